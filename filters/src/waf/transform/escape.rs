//! `t:escapeSeqDecode`: the escapes of ANSI C.

use super::hex::pair;
use memchr::memchr;

pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    decode_with(input, out, resolve)
}

/// Appends `input` with the escapes that begin with `\` resolved by `resolve`; returns whether there
/// is any. `resolve` is given the text after the `\`, appends what the escape says and returns what
/// follows it, or `None` when nothing is there to be escaped.
pub(super) fn decode_with(
    input: &[u8],
    out: &mut Vec<u8>,
    resolve: for<'a> fn(&'a [u8], &mut Vec<u8>) -> Option<&'a [u8]>,
) -> bool {
    let mut rest = input;
    while let Some(at) = memchr(b'\\', rest) {
        let (before, escape) = rest.split_at(at);
        out.extend_from_slice(before);
        let Some(tail) = resolve(escape.get(1..).unwrap_or_default(), out) else {
            rest = escape;
            break;
        };
        rest = tail;
    }
    out.extend_from_slice(rest);
    rest.len() != input.len()
}

fn resolve<'a>(text: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (first, after) = text.split_first()?;
    if let (b'x' | b'X', [high, low, tail @ ..]) = (first, after)
        && let Some(byte) = pair(*high, *low)
    {
        out.push(byte);
        return Some(tail);
    }
    let (value, length) = octal(text);
    if length > 0 {
        out.push((value & 0xff) as u8);
        return text.get(length..);
    }
    out.push(control(*first).unwrap_or(*first));
    Some(after)
}

/// The value of the up to three octal digits at the beginning of `text`, and how many there are.
pub(super) fn octal(text: &[u8]) -> (u32, usize) {
    let digits = text.iter().take(3).take_while(|byte| matches!(byte, b'0'..=b'7'));
    digits.fold((0, 0), |(value, length), byte| (value << 3 | u32::from(byte - b'0'), length + 1))
}

/// The control character that `\` and this letter name.
pub(super) const fn control(letter: u8) -> Option<u8> {
    Some(match letter {
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        _ => return None,
    })
}
