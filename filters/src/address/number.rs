//! Addresses, and their upper halves, as numbers that are treated alike.

use std::ops::{BitAnd, BitXor, Not};

/// An address as a number.
pub(super) trait Number:
    Copy + Ord + Default + BitAnd<Output = Self> + BitXor<Output = Self> + Not<Output = Self>
{
    /// The greatest number of which so many leading bits are not set.
    fn rest(bits: u8) -> Self;

    /// The first address of the network of so many leading bits that it is in.
    fn begin(self, bits: u8) -> Self {
        self & !Self::rest(bits)
    }

    /// Whether so many leading bits are those of `other`.
    fn is_alike(self, other: Self, bits: u8) -> bool {
        self ^ other <= Self::rest(bits)
    }
}

/// `Number::rest`, read: a shift by as many bits as there are would be a case of its own.
macro_rules! rest {
    ($number:ty) => {
        fn rest(bits: u8) -> Self {
            static RESTS: [$number; 256] = {
                let mut rests = [0; 256];
                let mut bits = 0;
                #[expect(clippy::indexing_slicing, reason = "no number has as many bits")]
                while bits < <$number>::BITS as usize {
                    rests[bits] = <$number>::MAX >> bits;
                    bits += 1;
                }
                rests
            };
            RESTS.get(usize::from(bits)).copied().unwrap_or_default()
        }
    };
}

impl Number for u32 {
    rest!(u32);
}

impl Number for u64 {
    rest!(u64);
}

impl Number for u128 {
    rest!(u128);
}

/// An odd number without a pattern: the golden section of 2^64.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// A hash: as many different ones as there are numbers nearly, all its bits of use. A product's two
/// halves, laid on each other.
#[expect(clippy::cast_possible_truncation, reason = "the two halves")]
pub(super) fn hash(number: impl Into<u64>) -> u64 {
    let product = u128::from(number.into() ^ ODD) * u128::from(ODD);
    product as u64 ^ (product >> 64) as u64
}
