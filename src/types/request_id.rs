//! The id of a request: in the log, to the backend and in the answer.

use std::fmt;

/// 128 random bits, written as 32 lower-case hex digits.
///
/// Not a secret: it names a request, it does not protect one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RequestId(u128);

impl RequestId {
    /// The next id that `rng` gives.
    pub fn next(rng: &mut fastrand::Rng) -> Self {
        Self(rng.u128(..))
    }

    /// Bits of it, as a random number.
    #[expect(clippy::cast_possible_truncation, reason = "half of the bits are enough")]
    #[must_use]
    pub fn as_random(self) -> u64 {
        self.0 as u64
    }

    /// As text.
    #[must_use]
    pub fn to_hex(self) -> [u8; 32] {
        let mut out = [0; 32];
        for (text, byte) in out.chunks_exact_mut(2).zip(self.0.to_be_bytes()) {
            text.copy_from_slice(&[digit(byte >> 4), digit(byte & 0xf)]);
        }
        out
    }
}

/// The hex digit of 0..=15. Arithmetic instead of a table: all digits are made at once.
const fn digit(number: u8) -> u8 {
    number + if number < 10 { b'0' } else { b'a' - 10 }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_and_display_agree() {
        let id = RequestId::next(&mut fastrand::Rng::with_seed(7));
        assert_eq!(std::str::from_utf8(&id.to_hex()).unwrap(), id.to_string());
        assert_eq!(id.to_string().len(), 32);
    }
}
