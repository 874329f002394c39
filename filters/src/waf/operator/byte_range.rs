//! `@validateByteRange`: does the value have a byte that it may not have?

/// The bytes that a value may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByteRange {
    is_allowed: [bool; 256],
}

impl ByteRange {
    /// Reads `10, 13, 32-126`: bytes and ranges of them in decimal, both ends allowed.
    ///
    /// # Errors
    /// What is not such a list, in words.
    pub fn parse(parameter: &[u8]) -> Result<Self, String> {
        let mut is_allowed = [false; 256];
        for item in parameter.split(|byte| *byte == b',') {
            let (first, last) = match item.iter().position(|byte| *byte == b'-') {
                Some(at) => (number(item.get(..at))?, number(item.get(at + 1..))?),
                None => (number(Some(item))?, number(Some(item))?),
            };
            let range = is_allowed.get_mut(usize::from(first)..=usize::from(last));
            range.filter(|range| !range.is_empty()).ok_or_else(|| expected(item))?.fill(true);
        }
        Ok(Self { is_allowed })
    }

    /// The first byte of `value` that is not allowed.
    #[must_use]
    pub fn violates(&self, value: &[u8]) -> Option<u8> {
        value.iter().copied().find(|byte| !self.allows(*byte))
    }

    /// Whether `byte` is allowed.
    #[must_use]
    pub fn allows(&self, byte: u8) -> bool {
        self.is_allowed.get(usize::from(byte)).copied().unwrap_or_default()
    }
}

fn number(text: Option<&[u8]>) -> Result<u8, String> {
    let text = text.unwrap_or_default().trim_ascii();
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| expected(text))
}

fn expected(item: &[u8]) -> String {
    format!("expected bytes such as `9,10,32-126`, found `{}`", item.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_allows_both_its_ends() {
        let range = ByteRange::parse(b"9, 10 ,32-126").unwrap();
        assert_eq!(range.violates(b"\t\n ~"), None);
        assert_eq!(range.violates(b"a\x7f\0"), Some(0x7f));
        assert_eq!(range.violates(b"\x1f"), Some(0x1f));
        assert_eq!(range.violates(b""), None);
        let all = ByteRange::parse(b"0-255").unwrap();
        assert!((0..=255).all(|byte| all.allows(byte)));
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for parameter in ["", "256", "1-", "-1", "a", "9-8", "1,,2", "1-2-3"] {
            assert!(ByteRange::parse(parameter.as_bytes()).is_err(), "{parameter}");
        }
    }
}
