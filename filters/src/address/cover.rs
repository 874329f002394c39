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
    levels: Vec<Vec<Step<K>>>,
    leaves: Vec<Leaf<K, LEAF>>,
}

/// Keys in order. Those beyond the last one are as the last one.
type Step<K> = [K; FANOUT];

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
            at = at.min(level.len().checked_sub(1)?);
            at = at * FANOUT + last_of_step(level.get(at)?, address);
        }
        let leaf = self.leaves.get(at).or(self.leaves.last())?;
        let place = last_of(&leaf.firsts, address);
        Some(address.begin(*leaf.bits.get(place)?) == *leaf.firsts.get(place)?)
    }

    /// What it occupies, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let steps = self.levels.iter().map(Vec::capacity).sum::<usize>();
        let leaves = self.leaves.capacity() * size_of::<Leaf<K, LEAF>>();
        self.sieve.bytes() + leaves + steps * size_of::<Step<K>>()
    }
}

/// The place of the last of `keys` that is not above `address`, or the first where all are.
fn last_of<K: Number>(keys: &[K], address: K) -> usize {
    keys.iter().skip(1).map(|key| usize::from(*key <= address)).sum()
}

/// The same of a step: of four parts first, then within one.
fn last_of_step<K: Number>(keys: &Step<K>, address: K) -> usize {
    let parts = keys.as_chunks::<4>().0;
    let part: usize = parts.iter().skip(1).map(|part| usize::from(part[0] <= address)).sum();
    part * 4 + parts.get(part).map_or(0, |part| last_of(part, address))
}

fn levels<K: Number, const LEAF: usize>(leaves: &[Leaf<K, LEAF>]) -> Vec<Vec<Step<K>>> {
    let mut levels = Vec::new();
    let mut firsts: Vec<K> =
        leaves.iter().filter_map(|leaf| leaf.firsts.first()).copied().collect();
    while firsts.len() > 1 {
        let step = |some: &[K]| {
            let last = some.last()?;
            Some(std::array::from_fn(|at| *some.get(at).unwrap_or(last)))
        };
        let level: Vec<Step<K>> = firsts.chunks(FANOUT).filter_map(step).collect();
        firsts = level.iter().map(|step| step[0]).collect();
        levels.push(level);
    }
    levels.reverse();
    levels
}
