//! `t:lowercase` and `t:uppercase`: ASCII letters only, as ModSecurity does it.
//!
//! Coraza maps all of Unicode and writes U+FFFD for what is not UTF-8; rules look for ASCII words,
//! and bytes that are no UTF-8 must stay what they are.

pub(super) fn lower(input: &[u8], out: &mut Vec<u8>) -> bool {
    if !has(input, b'A') {
        return false;
    }
    out.extend(input.iter().map(u8::to_ascii_lowercase));
    true
}

pub(super) fn upper(input: &[u8], out: &mut Vec<u8>) -> bool {
    if !has(input, b'a') {
        return false;
    }
    out.extend(input.iter().map(u8::to_ascii_uppercase));
    true
}

/// Whether `input` has one of the 26 bytes from `first`; by blocks, which the compiler vectorises.
fn has(input: &[u8], first: u8) -> bool {
    let is_letter = |byte: &u8| byte.wrapping_sub(first) < 26;
    input.chunks(64).any(|block| block.iter().fold(false, |found, byte| found | is_letter(byte)))
}
