//! `t:jsDecode`: the escapes of JavaScript.
//!
//! A character becomes its lowest byte, and full-width ASCII becomes ASCII: rules look for ASCII
//! words. `\u{…}` is read as Coraza does; ModSecurity does not know it.

use super::escape::{control, decode_with, octal};
use super::hex::{digit, pair};
use super::unicode::ascii_of_full_width;

pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    decode_with(input, out, resolve)
}

fn resolve<'a>(text: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (first, after) = text.split_first()?;
    match (first, after) {
        (b'u', after) => {
            if let Some((code, tail)) = braced(after).or_else(|| four(after)) {
                out.push(ascii_of_full_width(code).unwrap_or((code & 0xff) as u8));
                return Some(tail);
            }
        }
        (b'x', [high, low, tail @ ..]) => {
            if let Some(byte) = pair(*high, *low) {
                out.push(byte);
                return Some(tail);
            }
        }
        (b'0'..=b'7', _) => return Some(octal_byte(text, out)),
        _ => {}
    }
    out.push(control(*first).unwrap_or(*first));
    Some(after)
}

/// `{hhhhhh}`: one to six digits.
fn braced(text: &[u8]) -> Option<(u32, &[u8])> {
    let digits = text.strip_prefix(b"{")?;
    let count = digits.iter().take(6).take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, tail) = digits.split_at(count);
    (count > 0).then(|| number(digits)).flatten().zip(tail.strip_prefix(b"}"))
}

/// `hhhh`
fn four(text: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, tail) = text.split_at_checked(4)?;
    Some((number(digits)?, tail))
}

fn number(digits: &[u8]) -> Option<u32> {
    let append = |number: u32, byte: &u8| Some(number << 4 | u32::from(digit(*byte)?));
    digits.iter().try_fold(0, append)
}

/// Appends the byte of up to three octal digits, of two when three are more than a byte.
fn octal_byte<'a>(text: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let (value, length) = octal(text);
    let (value, length) = if value > 0xff { (value >> 3, 2) } else { (value, length) };
    out.push((value & 0xff) as u8);
    text.get(length..).unwrap_or_default()
}
