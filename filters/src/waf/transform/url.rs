//! `t:urlDecode`, `t:urlDecodeUni` and `t:urlEncode`.
//!
//! What is no escape stays as it is: servers differ in what they make of it.

use super::hex::{letter, pair};
use super::unicode::best_fit;
use memchr::memchr2;

pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    walk(input, out, |_, _| None)
}

/// Appends the decoded `input`; always writes.
pub(crate) fn decode_into(input: &[u8], out: &mut Vec<u8>) {
    if !decode(input, out) {
        out.extend_from_slice(input);
    }
}

/// Appends `input` with its `%hh` decoded, and nothing else; whether each `%` was an escape.
pub(crate) fn decode_percent(input: &[u8], out: &mut Vec<u8>) -> bool {
    let mut is_whole = true;
    let mut rest = input;
    loop {
        rest = match rest {
            [] => return is_whole,
            [b'%', high, low, tail @ ..] if pair(*high, *low).is_some() => {
                out.extend(pair(*high, *low));
                tail
            }
            [byte, tail @ ..] => {
                is_whole &= *byte != b'%';
                out.push(*byte);
                tail
            }
        };
    }
}

/// `%uhhhh` too, each a byte: what it looks like in ASCII, else its low byte.
pub(super) fn decode_uni(input: &[u8], out: &mut Vec<u8>) -> bool {
    walk(input, out, |escape, out| {
        let [_, b'u' | b'U', tail @ ..] = escape else { return None };
        if let [a, b, c, d, after @ ..] = tail
            && let (Some(high), Some(low)) = (pair(*a, *b), pair(*c, *d))
        {
            out.push(best_fit(u16::from_be_bytes([high, low])));
            return Some(after);
        }
        out.extend_from_slice(escape.get(..2)?);
        Some(tail)
    })
}

/// Decodes `%hh` and `+`; `other` may take an escape that it knows, and returns what follows it.
fn walk(
    input: &[u8],
    out: &mut Vec<u8>,
    other: impl for<'a> Fn(&'a [u8], &mut Vec<u8>) -> Option<&'a [u8]>,
) -> bool {
    let Some(first) = memchr2(b'%', b'+', input) else { return false };
    let (same, mut rest) = input.split_at(first);
    out.extend_from_slice(same);
    loop {
        rest = match rest {
            [] => return true,
            [b'+', tail @ ..] => {
                out.push(b' ');
                tail
            }
            [b'%', high, low, tail @ ..] if pair(*high, *low).is_some() => {
                out.extend(pair(*high, *low));
                tail
            }
            [b'%', tail @ ..] => other(rest, out).unwrap_or_else(|| {
                out.push(b'%');
                tail
            }),
            _ => {
                let plain = memchr2(b'%', b'+', rest).unwrap_or(rest.len());
                let (plain, tail) = rest.split_at(plain);
                out.extend_from_slice(plain);
                tail
            }
        };
    }
}

/// All but letters, digits and `*` become `%hh`; a space becomes `+`.
pub(super) fn encode(input: &[u8], out: &mut Vec<u8>) -> bool {
    for byte in input {
        match byte {
            b' ' => out.push(b'+'),
            b'*' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => out.push(*byte),
            _ => out.extend_from_slice(&[b'%', letter(byte >> 4), letter(byte & 0xf)]),
        }
    }
    true
}
