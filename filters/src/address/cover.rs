//! A cover: whether an address is in any of many networks that lie apart.
//!
//! Most who are in none end at the [`Sieve`]. Of the others the last network that begins at or
//! before the address decides. It is found in an implicit tree of [`FANOUT`] keys a step: a
//! million networks are six steps, wherever they lie. What takes time is memory that is far away,
//! so the last step has all it needs in one place.

use super::number::Number;
use super::sieve::Sieve;

/// Keys that are compared in one step.
const FANOUT: usize = 16;

/// Addresses, as networks that lie apart, `LEAF` of them together.
#[derive(Clone, Debug)]
pub(super) struct Cover<K, const LEAF: usize> {
    sieve: Sieve,
    /// Where each leaf begins, then every `FANOUT`th of those, and so on; the shortest first.
    levels: Vec<Vec<K>>,
    leaves: Vec<Leaf<K, LEAF>>,
}

/// Networks that follow each other. Those beyond the last one are as the last one.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Leaf<K, const LEAF: usize> {
    /// First address of each.
    firsts: [K; LEAF],
    /// Leading bits of each.
    bits: [u8; LEAF],
}

impl<K: Number, const LEAF: usize> Cover<K, LEAF> {
    /// Of networks in order, none within another: each with its first address and its leading bits.
    pub(super) fn new(networks: &[(K, u8)]) -> Self {
        debug_assert!(networks.is_sorted());
        let leaf = |some: &[(K, u8)]| {
            let last = some.last()?;
            let at = |at| some.get(at).unwrap_or(last);
            let firsts = std::array::from_fn(|place| at(place).0);
            Some(Leaf { firsts, bits: std::array::from_fn(|place| at(place).1) })
        };
        let mut leaves = Vec::with_capacity(networks.len().div_ceil(LEAF));
        leaves.extend(networks.chunks(LEAF).filter_map(leaf));
        Self { sieve: Sieve::new(networks), levels: levels(&leaves), leaves }
    }

    /// Whether `address` is in one of them.
    /// Cost: mostly that of the sieve, else a step for each level; no allocation.
    pub(super) fn contains(&self, address: K) -> bool {
        self.sieve.passes(address) && self.is_in_last(address).unwrap_or(false)
    }

    /// Whether `address` is in the last network that begins at or before it.
    fn is_in_last(&self, address: K) -> Option<bool> {
        let mut at = 0;
        for level in &self.levels {
            let from = at * FANOUT;
            let keys = level.get(from..level.len().min(from + FANOUT)).unwrap_or_default();
            at = from + last_of(keys, address);
        }
        let leaf = self.leaves.get(at)?;
        let place = last_of(&leaf.firsts, address);
        Some(address.begin(*leaf.bits.get(place)?) == *leaf.firsts.get(place)?)
    }

    /// What it occupies, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let keys = self.levels.iter().map(Vec::capacity).sum::<usize>();
        let leaves = self.leaves.capacity() * size_of::<Leaf<K, LEAF>>();
        self.sieve.bytes() + leaves + keys * size_of::<K>()
    }
}

/// The place of the last of `keys` that is not above `address`, or the first where all are.
fn last_of<K: Number>(keys: &[K], address: K) -> usize {
    keys.iter().map(|key| usize::from(*key <= address)).sum::<usize>().saturating_sub(1)
}

fn levels<K: Number, const LEAF: usize>(leaves: &[Leaf<K, LEAF>]) -> Vec<Vec<K>> {
    let mut levels: Vec<Vec<K>> = Vec::new();
    let mut level: Vec<K> = leaves.iter().filter_map(|leaf| leaf.firsts.first()).copied().collect();
    while level.len() > 1 {
        let above = level.iter().step_by(FANOUT).copied().collect();
        levels.push(std::mem::replace(&mut level, above));
    }
    levels.reverse();
    levels
}
