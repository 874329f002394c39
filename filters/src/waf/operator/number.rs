//! Numbers as the operators `@eq`, `@ge`, `@gt`, `@le` and `@lt` read them.

/// The number at the beginning of `value`, after white space; 0 when there is none.
///
/// That is C's `atoll`, which ModSecurity 3 uses; what does not fit becomes the nearest number
/// that does. Coraza reads a value that has anything after the number as 0.
#[must_use]
pub fn number(value: &[u8]) -> i64 {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let start = value.iter().position(|byte| !is_space(byte)).unwrap_or(value.len());
    let text = value.get(start..).unwrap_or_default();
    let (is_negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0_i64, |number, byte| {
        let digit = i64::from(byte - b'0');
        let number = number.saturating_mul(10);
        if is_negative { number.saturating_sub(digit) } else { number.saturating_add(digit) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_what_the_value_begins_with() {
        let cases: [(&[u8], i64); 14] = [
            (b"", 0),
            (b"0", 0),
            (b"42", 42),
            (b"-42", -42),
            (b"+7", 7),
            (b" \t\x0b9", 9),
            (b"12abc", 12),
            (b"abc", 0),
            (b"- 1", 0),
            (b"1.9", 1),
            (b"0x10", 0),
            (b"9223372036854775807", i64::MAX),
            (b"99999999999999999999999", i64::MAX),
            (b"-99999999999999999999999", i64::MIN),
        ];
        for (value, expected) in cases {
            assert_eq!(number(value), expected, "{}", value.escape_ascii());
        }
    }
}
