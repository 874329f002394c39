//! A sieve: tells of most addresses, with a few reads nearby, that they are in none of many networks.
//!
//! A bitmap that has three bits of one word set for each network, where a hash of its leading bits
//! says. Lengths are rounded down to a multiple of [`STEP`], so that an address is hashed for a few
//! lengths only. Bits may be set for another network: who passes is looked up, and nobody who is
//! in is missed.

use super::number::Number;

/// Bits between the lengths that are hashed.
const STEP: u8 = 4;
/// Bits of the map for each network: about one of 20 others passes for each length.
const BITS_EACH: usize = 8;
/// Words of the map, at most: 2 MiB, so that it stays near.
const WORDS_MAX: usize = 1 << 18;

/// What has been noted of some networks.
#[derive(Clone, Debug)]
pub(super) struct Sieve {
    /// Of a power of two words.
    map: Vec<u64>,
    /// Lengths that occur, in bits.
    lengths: Vec<u8>,
}

impl Sieve {
    /// Of networks: each with its first address and its leading bits.
    pub(super) fn new<K: Number>(networks: &[(K, u8)]) -> Self {
        let words = (networks.len() * BITS_EACH / 64).next_power_of_two().min(WORDS_MAX);
        let mut map = vec![0_u64; words];
        let mut lengths = Vec::new();
        for (first, bits) in networks {
            let length = bits - bits % STEP;
            if !lengths.contains(&length) {
                lengths.push(length);
            }
            let (word, bits) = place(*first, length, words);
            if let Some(word) = map.get_mut(word) {
                *word |= bits;
            }
        }
        Self { map, lengths }
    }

    /// Whether `address` may be in one of them. If not, it is in none.
    /// Cost: a read for each length that occurs; none depends on another.
    pub(super) fn passes<K: Number>(&self, address: K) -> bool {
        self.lengths.iter().any(|length| {
            let (word, bits) = place(address, *length, self.map.len());
            self.map.get(word).is_some_and(|word| word & bits == bits)
        })
    }

    /// What it occupies, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.map.capacity() * size_of::<u64>() + self.lengths.capacity()
    }
}

/// Which of so many words, and which bits of it, are those of the leading bits of `address`.
fn place<K: Number>(address: K, length: u8, words: usize) -> (usize, u64) {
    let hash = address.begin(length).hash();
    let bit = |from: u32| 1 << (hash >> from & 63);
    let word = (hash >> 18) as usize & (words - 1);
    (word, bit(0) | bit(6) | bit(12))
}
