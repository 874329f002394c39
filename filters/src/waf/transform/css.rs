//! `t:cssDecode`: the escapes of CSS (CSS Syntax, section 4.3.7).
//!
//! As Coraza does it an escape is a character, written in UTF-8; ModSecurity writes its lowest
//! byte. Full-width ASCII becomes ASCII in both.

use super::hex::digit;
use super::unicode::ascii_of_full_width;
use memchr::memchr;

pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let mut rest = input;
    while let Some(at) = memchr(b'\\', rest) {
        let (before, escape) = rest.split_at(at);
        out.extend_from_slice(before);
        rest = resolve(escape.get(1..).unwrap_or_default(), out);
    }
    out.extend_from_slice(rest);
    rest.len() != input.len()
}

/// Appends what the escape says whose `\` stands before `text`; returns what follows it.
fn resolve<'a>(text: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let digits = text.iter().take(6).map_while(|byte| digit(*byte));
    let (mut code, mut count) = (0_u32, 0);
    for digit in digits {
        code = code << 4 | u32::from(digit);
        count += 1;
    }
    let tail = text.get(count..).unwrap_or_default();
    match tail {
        _ if count > 0 => {
            push(code, out);
            match tail {
                [b' ' | b'\t'..=b'\r', after @ ..] => after,
                _ => tail,
            }
        }
        [b'\n', after @ ..] => after,
        [byte, after @ ..] => {
            out.push(*byte);
            after
        }
        [] => tail,
    }
}

fn push(code: u32, out: &mut Vec<u8>) {
    let code = ascii_of_full_width(code).map_or(code, u32::from);
    let known = char::from_u32(code).filter(|character| *character != '\0');
    let character = known.unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}
