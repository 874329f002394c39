//! A tree: whether an address is in any of many networks that lie apart, wherever they lie.
//!
//! The last network that begins at or before the address decides. It is found in an implicit tree
//! of [`FANOUT`] keys a step: a million networks are six steps. What takes time is memory that is
//! far away, so the last step has all it needs in one place.

use super::leaf::Leaf;
use super::number::Number;

/// Keys that are compared in one step.
const FANOUT: usize = 16;

/// Addresses, as networks that lie apart, `LEAF` of them together.
#[derive(Clone, Debug)]
pub(super) struct Tree<K, const LEAF: usize> {
    /// Where each leaf begins, then every `FANOUT`th of those, and so on; the shortest first.
    levels: Vec<Vec<Step<K>>>,
    /// Networks that follow each other.
    leaves: Vec<Leaf<K, LEAF>>,
}

/// Keys in order. Those beyond the last one are as the last one.
type Step<K> = [K; FANOUT];

impl<K: Number, const LEAF: usize> Tree<K, LEAF> {
    /// Of networks in order, none within another: each with its first address and its leading bits.
    pub(super) fn new(networks: &[(K, u8)]) -> Self {
        debug_assert!(networks.is_sorted());
        let leaves: Vec<_> = networks.chunks(LEAF).map(Leaf::of).collect();
        Self { levels: levels(&leaves), leaves }
    }

    /// Whether `address` is in one of them.
    /// Cost: a step for each level; no allocation.
    pub(super) fn contains(&self, address: K) -> bool {
        self.leaf(address).is_some_and(|leaf| leaf.has(address))
    }

    /// The leaf with the last network that begins at or before `address`.
    fn leaf(&self, address: K) -> Option<&Leaf<K, LEAF>> {
        let mut at = 0;
        for level in &self.levels {
            at = at.min(level.len().checked_sub(1)?);
            at = at * FANOUT + last_of_step(level.get(at)?, address);
        }
        self.leaves.get(at).or(self.leaves.last())
    }

    /// What it occupies, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let steps = self.levels.iter().map(Vec::capacity).sum::<usize>();
        self.leaves.capacity() * size_of::<Leaf<K, LEAF>>() + steps * size_of::<Step<K>>()
    }
}

/// The place of the last of `keys` that is not above `address`, or the first where all are: of four
/// parts first, then within one.
fn last_of_step<K: Number>(keys: &Step<K>, address: K) -> usize {
    let parts = keys.as_chunks::<4>().0;
    let part: usize = parts.iter().skip(1).map(|part| usize::from(part[0] <= address)).sum();
    let last_of =
        |keys: &[K; 4]| keys.iter().skip(1).map(|key| usize::from(*key <= address)).sum::<usize>();
    part * 4 + parts.get(part).map_or(0, last_of)
}

fn levels<K: Number, const LEAF: usize>(leaves: &[Leaf<K, LEAF>]) -> Vec<Vec<Step<K>>> {
    let mut levels = Vec::new();
    let mut firsts: Vec<K> = leaves.iter().filter_map(Leaf::first).collect();
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
