//! `@validateUrlEncoding` and `@validateUtf8Encoding`. Both match what is *wrong*.

use memchr::memchr_iter;

/// `@validateUrlEncoding`: whether a `%` of `value` is not followed by two hexadecimal digits.
#[must_use]
pub fn validate_url_encoding(value: &[u8]) -> bool {
    let mut next = 0;
    for at in memchr_iter(b'%', value) {
        // The digits of an escape are no `%`, so no escape is looked at twice.
        debug_assert!(at >= next);
        let digits = value.get(at + 1..at + 3).unwrap_or_default();
        if digits.len() < 2 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return true;
        }
        next = at + 3;
    }
    false
}

/// `@validateUtf8Encoding`: whether `value` is not UTF-8 (overlong forms and surrogates are not).
#[must_use]
pub fn validate_utf8_encoding(value: &[u8]) -> bool {
    std::str::from_utf8(value).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_need_two_digits() {
        for value in ["", "a", "%41", "a%2Fb%2f", "%25%32"] {
            assert!(!validate_url_encoding(value.as_bytes()), "{value}");
        }
        for value in ["%", "%4", "%4g", "%%41", "100%", "%41%"] {
            assert!(validate_url_encoding(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn only_utf8_is_utf8() {
        for value in [&b""[..], b"abc", "žluť 漢 🦀".as_bytes(), b"\0"] {
            assert!(!validate_utf8_encoding(value), "{}", value.escape_ascii());
        }
        let broken: [&[u8]; 6] = [
            b"\xff",
            b"\xc0\xaf",
            b"\xe0\x80\xaf",
            b"\xed\xa0\x80",
            b"\xf4\x90\x80\x80",
            b"\xe6\xbc",
        ];
        for value in broken {
            assert!(validate_utf8_encoding(value), "{}", value.escape_ascii());
        }
    }
}
