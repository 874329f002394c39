//! `t:htmlEntityDecode`: the character references of HTML (HTML standard, section 13.2.5.72).
//!
//! As browsers and Coraza read them: all names of the standard, with and without `;` where it
//! allows that, and numbers as UTF-8. ModSecurity knows five names and writes the lowest byte.

use super::hex::digit;
use memchr::memchr;

/// The longest name that counts without `;` ("&frac12").
const BARE_NAME_MAX: usize = 6;
/// The longest name.
const NAME_MAX: usize = htmlize::ENTITY_MAX_LENGTH;

pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let mut rest = input;
    while let Some(at) = memchr(b'&', rest) {
        let (before, reference) = rest.split_at(at);
        out.extend_from_slice(before);
        let tail = match reference {
            [_, b'#', text @ ..] => number(text, out),
            _ => name(reference, out),
        };
        rest = tail.unwrap_or_else(|| {
            out.push(b'&');
            reference.get(1..).unwrap_or_default()
        });
    }
    out.extend_from_slice(rest);
    rest.len() != input.len()
}

/// Appends the character of a number, whose `&#` stands before `text`; returns what follows it.
fn number<'a>(text: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (digits, base) = match text {
        [b'x' | b'X', digits @ ..] => (digits, 16),
        _ => (text, 10),
    };
    let (mut code, mut count) = (0_u32, 0);
    for digit in digits.iter().map_while(|byte| digit(*byte).filter(|digit| *digit < base)) {
        code = code.saturating_mul(u32::from(base)).saturating_add(u32::from(digit));
        count += 1;
    }
    if count == 0 {
        return None;
    }
    let character = character(code);
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    let tail = digits.get(count..)?;
    Some(tail.strip_prefix(b";").unwrap_or(tail))
}

/// The character of a number; those from 0x80 to 0x9F are of Windows-1252.
fn character(code: u32) -> char {
    const WINDOWS: [char; 32] = [
        '\u{20ac}', '\u{81}', '\u{201a}', '\u{192}', '\u{201e}', '\u{2026}', '\u{2020}',
        '\u{2021}', '\u{2c6}', '\u{2030}', '\u{160}', '\u{2039}', '\u{152}', '\u{8d}', '\u{17d}',
        '\u{8f}', '\u{90}', '\u{2018}', '\u{2019}', '\u{201c}', '\u{201d}', '\u{2022}', '\u{2013}',
        '\u{2014}', '\u{2dc}', '\u{2122}', '\u{161}', '\u{203a}', '\u{153}', '\u{9d}', '\u{17e}',
        '\u{178}',
    ];
    let windows = code.checked_sub(0x80).and_then(|index| WINDOWS.get(index as usize)).copied();
    let known = char::from_u32(code).filter(|character| *character != '\0');
    windows.or(known).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Appends the character of a name at the beginning of `reference`, which begins with `&`; returns
/// what follows it.
fn name<'a>(reference: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let letters = reference.iter().skip(1).take(NAME_MAX);
    let end = 1 + letters.take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let whole = reference.get(..=end).filter(|whole| whole.ends_with(b";"));
    let bare = (2..=end.min(BARE_NAME_MAX + 1)).rev().filter_map(|end| reference.get(..end));
    let mut known = whole.into_iter().chain(bare);
    let (length, text) =
        known.find_map(|name| htmlize::ENTITIES.get(name).map(|text| (name.len(), *text)))?;
    out.extend_from_slice(text);
    reference.get(length..)
}
