//! White space and NUL: compressed, removed, replaced, trimmed.
//!
//! White space is that of Unicode in a value's UTF-8, and the byte 0xA0 (a space that does not
//! break, in Latin-1) where it is not UTF-8. So no other character loses a byte, which ModSecurity
//! would do to `à`; and bytes that are not UTF-8 stay, which Coraza's removal would make U+FFFD.

use memchr::memchr;

/// The space of Latin-1 that does not break.
const NO_BREAK: u8 = 0xa0;

/// One space for each run of white space of Latin-1.
pub(super) fn compress(input: &[u8], out: &mut Vec<u8>) -> bool {
    if !may_have_space(input) {
        return false;
    }
    let mut after_space = false;
    let mut push = |is_space: bool, bytes: &[u8]| {
        match is_space {
            true if after_space => {}
            true => out.push(b' '),
            false => out.extend_from_slice(bytes),
        }
        after_space = is_space;
    };
    if input.is_ascii() {
        input.iter().for_each(|byte| push(is_trimmed(*byte), &[*byte]));
        return true;
    }
    let is_space = |character: char| matches!(character, ' ' | '\t'..='\r' | '\u{85}' | '\u{a0}');
    for chunk in input.utf8_chunks() {
        for character in chunk.valid().chars() {
            push(is_space(character), character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        chunk.invalid().iter().for_each(|byte| push(*byte == NO_BREAK, &[*byte]));
    }
    true
}

pub(super) fn remove(input: &[u8], out: &mut Vec<u8>) -> bool {
    if !may_have_space(input) {
        return false;
    }
    if input.is_ascii() {
        out.extend(input.iter().filter(|byte| !is_trimmed(**byte)));
        return true;
    }
    for chunk in input.utf8_chunks() {
        let words = chunk.valid().split(char::is_whitespace);
        words.for_each(|word| out.extend_from_slice(word.as_bytes()));
        out.extend(chunk.invalid().iter().filter(|byte| **byte != NO_BREAK));
    }
    true
}

/// False when `input` is ASCII without white space.
fn may_have_space(input: &[u8]) -> bool {
    let may_be = |byte: &u8| (*byte == b' ') | (byte.wrapping_sub(b'\t') < 5) | (*byte >= 0x80);
    input.chunks(64).any(|block| block.iter().fold(false, |found, byte| found | may_be(byte)))
}

pub(super) fn remove_nulls(input: &[u8], out: &mut Vec<u8>) -> bool {
    if memchr(0, input).is_none() {
        return false;
    }
    out.extend(input.iter().filter(|byte| **byte != 0));
    true
}

pub(super) fn replace_nulls(input: &[u8], out: &mut Vec<u8>) -> bool {
    if memchr(0, input).is_none() {
        return false;
    }
    out.extend(input.iter().map(|byte| if *byte == 0 { b' ' } else { *byte }));
    true
}

const fn is_trimmed(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// How many bytes at the beginning of `input` are white space.
fn left(input: &[u8]) -> usize {
    input.iter().take_while(|byte| is_trimmed(**byte)).count()
}

fn right(input: &[u8]) -> usize {
    input.iter().rev().take_while(|byte| is_trimmed(**byte)).count()
}

pub(super) fn trim(input: &[u8], out: &mut Vec<u8>) -> bool {
    let rest = input.get(left(input)..).unwrap_or_default();
    keep(input, rest.get(..rest.len() - right(rest)), out)
}

pub(super) fn trim_left(input: &[u8], out: &mut Vec<u8>) -> bool {
    keep(input, input.get(left(input)..), out)
}

pub(super) fn trim_right(input: &[u8], out: &mut Vec<u8>) -> bool {
    keep(input, input.get(..input.len() - right(input)), out)
}

fn keep(input: &[u8], kept: Option<&[u8]>, out: &mut Vec<u8>) -> bool {
    let kept = kept.unwrap_or_default();
    let is_changed = kept.len() < input.len();
    if is_changed {
        out.extend_from_slice(kept);
    }
    is_changed
}
