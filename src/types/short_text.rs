//! A short text that is kept in place, without memory of its own.

use std::fmt::{self, Display, Write};

/// A text of at most `N` bytes; `N` is at most 255.
#[derive(Clone, Copy, Debug)]
pub struct ShortText<const N: usize> {
    bytes: [u8; N],
    length: u8,
}

impl<const N: usize> ShortText<N> {
    /// What `value` shows, as far as there is room.
    #[must_use]
    pub fn of(value: impl Display) -> Self {
        let mut text = Self { bytes: [0; N], length: 0 };
        // What is too long is left out.
        write!(text, "{value}").unwrap_or_default();
        text
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

impl<const N: usize> Write for ShortText<N> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let start = usize::from(self.length);
        let room = self.bytes.get_mut(start..start + part.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(part.as_bytes());
        self.length = u8::try_from(start + part.len()).map_err(|_too_long| fmt::Error)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_as_far_as_there_is_room() {
        assert_eq!(ShortText::<5>::of(65535).as_bytes(), b"65535");
        let longest = "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255";
        assert_eq!(ShortText::<45>::of(longest).as_bytes(), longest.as_bytes());
        assert_eq!(ShortText::<3>::of("four").as_bytes(), b"");
    }
}
