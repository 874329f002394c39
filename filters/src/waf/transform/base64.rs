//! `t:base64Decode`, `t:base64DecodeExt` and `t:base64Encode`.
//!
//! Decoding is Coraza's: it stops where the text stops being base64 and keeps what was decoded;
//! the forgiving form leaves out what is no base64 and reads base64url too, so that a stray byte
//! does not hide what follows.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub(super) fn encode(input: &[u8], out: &mut Vec<u8>) -> bool {
    out.resize(input.len().div_ceil(3).saturating_mul(4), 0);
    // The length is exact, so this cannot fail.
    STANDARD.encode_slice(input, out).is_ok()
}

pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let ends = |byte: &u8| !matches!(byte, b'\r' | b'\n') && sextet(*byte).is_none();
    let end = input.iter().position(ends).unwrap_or(input.len());
    sextets(input.iter().take(end).filter_map(|byte| sextet(*byte)), out);
    true
}

pub(super) fn decode_ext(input: &[u8], out: &mut Vec<u8>) -> bool {
    let forgiving = |byte: &u8| match byte {
        b'-' => Some(62),
        b'_' => Some(63),
        byte => sextet(*byte),
    };
    let text = input.iter().take_while(|byte| **byte != b'=');
    sextets(text.filter_map(forgiving), out);
    true
}

/// Appends the bytes that the sextets are; what remains of less than a byte is dropped.
fn sextets(sextets: impl Iterator<Item = u32>, out: &mut Vec<u8>) {
    let (mut bits, mut count) = (0_u32, 0);
    for sextet in sextets {
        bits = bits << 6 | sextet;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count & 0xff) as u8);
        }
    }
}

/// The six bits that `byte` stands for.
fn sextet(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}
