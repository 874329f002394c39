//! Addresses, and their upper halves, as numbers that are treated alike.

/// An address as a number.
pub(super) trait Number: Copy + Ord {
    /// The first address of the network of so many leading bits that it is in.
    fn begin(self, bits: u8) -> Self;

    /// A hash: as many different ones as there are addresses nearly, all its bits of use.
    fn hash(self) -> u64;
}

/// An odd number without a pattern: the golden section of 2^64.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Number for u32 {
    fn begin(self, bits: u8) -> Self {
        self & !Self::MAX.checked_shr(u32::from(bits)).unwrap_or(0)
    }

    fn hash(self) -> u64 {
        fold(u64::from(self) ^ ODD)
    }
}

impl Number for u64 {
    fn begin(self, bits: u8) -> Self {
        self & !Self::MAX.checked_shr(u32::from(bits)).unwrap_or(0)
    }

    fn hash(self) -> u64 {
        fold(self ^ ODD)
    }
}

impl Number for u128 {
    fn begin(self, bits: u8) -> Self {
        self & !Self::MAX.checked_shr(u32::from(bits)).unwrap_or(0)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    fn hash(self) -> u64 {
        fold(((self >> 64) as u64).hash() ^ self as u64)
    }
}

/// A product's two halves, laid on each other.
#[expect(clippy::cast_possible_truncation, reason = "the two halves")]
fn fold(number: u64) -> u64 {
    let product = u128::from(number) * u128::from(ODD);
    product as u64 ^ (product >> 64) as u64
}
