//! A sieve: tells of most addresses, with a few reads nearby, that they are in none of many networks.
//!
//! A bitmap that has three bits of one word set for each network, where a hash of its leading bits
//! says. Lengths are rounded down, the more the more there are, so that an address is hashed for
//! at most [`LENGTHS_MAX`] lengths. Bits may be set for another network: who passes is looked up,
//! and nobody who is in is missed.

use super::number::{Number, hash};
use std::collections::BTreeSet;

/// Bits between the lengths that are hashed: the first that leaves few enough.
const STEPS: [u8; 3] = [4, 8, 16];
/// Lengths that are hashed, at most. Each is a read; rounded further, more who are in none pass.
const LENGTHS_MAX: usize = 6;
/// Bits that are hashed, at most: addresses of IPv6 that are alike to there are mostly one
/// machine's.
const BITS_MAX: u8 = 64;
/// Bits of the map for each network: about one of a hundred others passes for each length. With half
/// as many, one of twenty would, and looking those up costs more than reads that are farther away.
const BITS_EACH: usize = 16;
/// Words of the map, at most: 2 MiB, so that it stays near.
const WORDS_MAX: usize = 1 << 18;

/// What has been noted of some networks.
#[derive(Clone, Debug)]
pub(super) struct Sieve {
    /// Of a power of two words.
    map: Vec<u64>,
    /// Lengths that occur, in bits.
    lengths: Vec<u8>,
    rounding: Rounding,
}

impl Sieve {
    /// Of networks: each with its first address and its leading bits.
    pub(super) fn new<K: Number + Into<u64>>(networks: &[(K, u8)]) -> Self {
        let words = (networks.len() * BITS_EACH / 64).next_power_of_two().min(WORDS_MAX);
        let mut map = vec![0_u64; words];
        let (rounding, lengths) = Rounding::of(networks.iter().map(|(_, bits)| *bits));
        for network in networks {
            let (word, bits) = place(rounding.hash(*network), words);
            if let Some(word) = map.get_mut(word) {
                *word |= bits;
            }
        }
        Self { map, lengths, rounding }
    }

    /// What `network` is known by: all that begin as it does have it, as far as lengths are
    /// rounded.
    pub(super) fn hash<K: Number + Into<u64>>(&self, network: (K, u8)) -> u64 {
        self.rounding.hash(network)
    }

    /// What the networks that `address` may be in are known by, each with the length that theirs
    /// are rounded to. If nothing, it is in none.
    /// Cost: a read for each length that occurs; none depends on another.
    pub(super) fn passing<K: Number + Into<u64>>(
        &self,
        address: K,
    ) -> impl Iterator<Item = (u8, u64)> {
        let hashed = move |length: &u8| (*length, hash(address.begin(*length)));
        self.lengths.iter().map(hashed).filter(|(_, hash)| {
            let (word, bits) = place(*hash, self.map.len());
            self.map.get(word).is_some_and(|word| word & bits == bits)
        })
    }

    /// What it occupies, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.map.capacity() * size_of::<u64>() + self.lengths.capacity()
    }
}

/// How lengths are rounded: down to a multiple of `step`, but not below the shortest that there is.
#[derive(Clone, Copy, Debug)]
struct Rounding {
    shortest: u8,
    step: u8,
}

impl Rounding {
    /// For networks of so many `bits`, and the lengths that come of it.
    fn of(bits: impl Iterator<Item = u8>) -> (Self, Vec<u8>) {
        let all: BTreeSet<u8> = bits.map(|bits| bits.min(BITS_MAX)).collect();
        let shortest = all.first().copied().unwrap_or_default();
        let with = |step| {
            let rounding = Self { shortest, step };
            let lengths: BTreeSet<u8> = all.iter().map(|bits| rounding.round(*bits)).collect();
            (rounding, Vec::from_iter(lengths))
        };
        let few = STEPS.map(with).into_iter().find(|(_, lengths)| lengths.len() <= LENGTHS_MAX);
        few.unwrap_or_else(|| with(BITS_MAX))
    }

    fn hash<K: Number + Into<u64>>(self, (first, bits): (K, u8)) -> u64 {
        hash(first.begin(self.round(bits)))
    }

    fn round(self, bits: u8) -> u8 {
        let bits = bits.min(BITS_MAX);
        (bits - bits % self.step).max(self.shortest)
    }
}

/// Which of so many words, and which bits of it, are those of `hash`.
fn place(hash: u64, words: usize) -> (usize, u64) {
    let bit = |from: u32| 1 << (hash >> from & 63);
    let word = (hash >> 18) as usize & (words - 1);
    (word, bit(0) | bit(6) | bit(12))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_lengths_are_hashed_however_many_there_are() {
        for (bits, want) in [
            (vec![], vec![]),
            (vec![32, 24, 26, 29], vec![24, 28, 32]),
            (vec![64], vec![64]),
            (vec![65, 100, 128], vec![64]),
            (vec![7, 8, 16, 32], vec![7, 8, 16, 32]),
            ((32..=64).collect(), vec![32, 40, 48, 56, 64]),
            ((3..=128).collect(), vec![3, 16, 32, 48, 64]),
            ((0..=32).collect(), vec![0, 8, 16, 24, 32]),
        ] {
            assert_eq!(Rounding::of(bits.iter().copied()).1, want, "{bits:?}");
        }
    }
}
