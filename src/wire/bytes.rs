//! Which bytes may stand where (RFC 9110 §5.5, §5.6.2; RFC 3986).

pub use vanne_filters::is_value;

/// What a byte may be part of, by its value: one look instead of many comparisons.
static CLASSES: [u8; 256] = classes();
/// A token.
const TOKEN: u8 = 1;
/// The target of a request.
const TARGET: u8 = 2;
/// A host and its port.
const HOST: u8 = 4;
/// No part of a target, though some clients send it in one without encoding it.
const UNSAFE: u8 = 8;

#[expect(clippy::indexing_slicing, reason = "a byte is an index of it, and it is a constant")]
const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0_u8;
    while byte < 255 {
        let mut class = 0;
        if !byte.is_ascii() || is_one_of(byte, b"\"<>") {
            class |= UNSAFE;
        }
        if byte.is_ascii_alphanumeric() || is_one_of(byte, b"!#$%&'*+-.^_`|~") {
            class |= TOKEN;
        }
        if byte.is_ascii_graphic() && !is_one_of(byte, b"\"<>#") {
            class |= TARGET;
        }
        if byte.is_ascii_alphanumeric() || is_one_of(byte, b"-._~%!$&'()*+;=:[]") {
            class |= HOST;
        }
        table[byte as usize] = class;
        byte += 1;
    }
    table[255] = UNSAFE;
    table
}

const fn is_one_of(byte: u8, mut list: &[u8]) -> bool {
    while let [first, rest @ ..] = list {
        if *first == byte {
            return true;
        }
        list = rest;
    }
    false
}

fn has(byte: u8, class: u8) -> bool {
    CLASSES.get(usize::from(byte)).is_some_and(|classes| classes & class != 0)
}

/// Whether `byte` may be in a token (RFC 9110 §5.6.2).
#[must_use]
pub fn is_token(byte: u8) -> bool {
    has(byte, TOKEN)
}

/// Whether `byte` may be in a host with its port (RFC 3986 §3.2.2, without user information).
#[must_use]
pub fn is_host(byte: u8) -> bool {
    has(byte, HOST)
}

/// Whether `byte` may be in a target: what browsers put there without encoding it (WHATWG
/// URL), and nothing that could end it: no controls, spaces, quotes, angle brackets,
/// fragments or non-ASCII.
#[must_use]
pub fn is_target(byte: u8) -> bool {
    has(byte, TARGET)
}

/// Whether `byte` is none of a target (RFC 3986 §2) that some clients send in one all the same:
/// `"`, `<`, `>` and what is beyond ASCII. `#` begins a fragment, which is nothing of a target.
#[must_use]
pub fn is_unsafe_in_target(byte: u8) -> bool {
    has(byte, UNSAFE)
}

/// A content-length: digits only, and not more than fit (RFC 9110 §8.6).
#[must_use]
pub fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0_u64, |length, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        length.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_what_the_rfcs_say() {
        let all =
            |is: fn(u8) -> bool| (0..=255).filter(|b| is(*b)).map(char::from).collect::<String>();
        let alphanumeric = |rest: &str| {
            let mut list: Vec<char> =
                ('0'..='9').chain('A'..='Z').chain('a'..='z').chain(rest.chars()).collect();
            list.sort_unstable();
            list.into_iter().collect::<String>()
        };
        assert_eq!(all(is_token), alphanumeric("!#$%&'*+-.^_`|~"));
        assert_eq!(all(is_host), alphanumeric("-._~%!$&'()*+;=:[]"));
        assert_eq!(all(is_target), alphanumeric("!$%&'()*+,-./:;=?@[\\]^_`{|}~"));
        let known = |byte| is_target(byte) || is_unsafe_in_target(byte);
        assert!(
            (0..=255).all(|byte: u8| known(byte) == (byte > b' ' && !b"#\x7f".contains(&byte)))
        );
        assert!((0..=255).all(|byte| !is_target(byte) || !is_unsafe_in_target(byte)));
        assert!(
            (0..=255)
                .all(|byte: u8| is_value(&[byte]) == (byte == 9 || (byte >= 32 && byte != 127)))
        );
    }

    #[test]
    fn a_length_is_digits_that_fit() {
        assert_eq!(parse_length(b"0"), Some(0));
        assert_eq!(parse_length(b"18446744073709551615"), Some(u64::MAX));
        for bad in ["", "+1", "-1", "1 ", "1,1", "0x1", "18446744073709551616", "\u{661}"] {
            assert_eq!(parse_length(bad.as_bytes()), None, "{bad}");
        }
    }
}
