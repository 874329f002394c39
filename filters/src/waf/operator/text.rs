//! Operators that compare a value with a text: byte by byte, case and all.
//!
//! An empty parameter is in every value, and an empty value is within every parameter: what
//! ModSecurity 3 and Coraza 3 do alike.

use memchr::memmem;

/// `@beginsWith`: `value` begins with `parameter`.
#[must_use]
pub fn begins_with(value: &[u8], parameter: &[u8]) -> bool {
    value.starts_with(parameter)
}

/// `@contains`: `parameter` is somewhere in `value`.
#[must_use]
pub fn contains(value: &[u8], parameter: &[u8]) -> bool {
    value.len() >= parameter.len() && memmem::find(value, parameter).is_some()
}

/// `@containsWord`: `parameter` is somewhere in `value` with no ASCII letter right before or after
/// it. Digits and `_` end a word, as in ModSecurity 3.
#[must_use]
pub fn contains_word(value: &[u8], parameter: &[u8]) -> bool {
    if parameter.is_empty() {
        return true;
    }
    let ends_word = |byte: Option<&u8>| !byte.is_some_and(u8::is_ascii_alphabetic);
    let mut from = 0;
    while let Some(found) = value.get(from..).and_then(|rest| memmem::find(rest, parameter)) {
        let start = from + found;
        let before = start.checked_sub(1).and_then(|at| value.get(at));
        if ends_word(before) && ends_word(value.get(start + parameter.len())) {
            return true;
        }
        from = start + 1;
    }
    false
}

/// `@endsWith`: `value` ends with `parameter`.
#[must_use]
pub fn ends_with(value: &[u8], parameter: &[u8]) -> bool {
    value.ends_with(parameter)
}

/// `@streq`: they are equal.
#[must_use]
pub fn streq(value: &[u8], parameter: &[u8]) -> bool {
    value == parameter
}

/// `@strmatch`: `parameter` is somewhere in `value`.
#[must_use]
pub fn strmatch(value: &[u8], parameter: &[u8]) -> bool {
    contains(value, parameter)
}

/// `@within`: `value` is somewhere in `parameter`.
#[must_use]
pub fn within(value: &[u8], parameter: &[u8]) -> bool {
    contains(parameter, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_compared_byte_by_byte() {
        assert!(begins_with(b"/admin", b"/ad") && !begins_with(b"/Admin", b"/ad"));
        assert!(ends_with(b"a.php", b".php") && !ends_with(b".ph", b".php"));
        assert!(contains(b"abc", b"b") && !contains(b"abc", b"B") && !contains(b"b", b"bb"));
        assert!(strmatch(b"a\0c", b"\0") && !strmatch(b"ac", b"\0"));
        assert!(within(b"GET", b"HEAD GET") && !within(b"PUT", b"HEAD GET"));
        assert!(streq(b"a", b"a") && !streq(b"a", b"A") && !streq(b"a", b"ab"));
        assert!(contains(b"", b"") && contains(b"a", b"") && within(b"", b"a"));
        assert!(begins_with(b"a", b"") && ends_with(b"", b""));
    }

    #[test]
    fn a_word_ends_where_no_letter_follows() {
        for value in ["or", "1 or 2", "or 2", "1or2", "for or", "a_or_b"] {
            assert!(contains_word(value.as_bytes(), b"or"), "{value}");
        }
        for value in ["", "for", "ore", "floor orient", "o"] {
            assert!(!contains_word(value.as_bytes(), b"or"), "{value}");
        }
        assert!(contains_word(b"", b""));
    }
}
