//! A cover: whether an address is in any of many networks that lie apart.
//!
//! What takes time is memory that is far away. Most who are in no network end at the
//! [`Sieve`](super::sieve), which is near. For the others it tells the hash of some leading bits,
//! and the leaf of that hash has all networks that begin so: one place is read. Networks that are
//! crowded there, so that the leaf has no room for all, are in a [`Tree`].

use super::leaf::Leaf;
use super::number::Number;
use super::tree::Tree;

/// Networks that lie apart, `LEAF` of them at most together.
#[derive(Clone, Debug)]
pub(super) struct Cover<K, const LEAF: usize> {
    /// By the hash that a sieve knows networks by.
    leaves: Vec<Leaf<K, LEAF>>,
    /// Those for which their leaf had no room.
    crowded: Tree<K, LEAF>,
}

impl<K: Number, const LEAF: usize> Cover<K, LEAF> {
    /// Of networks in order, none within another: each with its first address and its leading bits,
    /// and known by its `hash`.
    pub(super) fn new(networks: &[(K, u8)], hash: impl Fn((K, u8)) -> u64) -> Self {
        // Half full on average: then one of twenty has no room for all that are to go there.
        let mut leaves = vec![Leaf::empty(); (2 * networks.len()).div_ceil(LEAF)];
        let has_no_room = |network: &&(K, u8)| {
            let at = place(hash(**network), leaves.len());
            !leaves.get_mut(at).is_some_and(|leaf: &mut Leaf<K, LEAF>| leaf.put(**network))
        };
        let crowded: Vec<_> = networks.iter().filter(has_no_room).copied().collect();
        Self { leaves, crowded: Tree::new(&crowded) }
    }

    /// Whether `address` is in one of those that are known by `hash`.
    /// Cost: a far read, and some more where it is crowded; no allocation.
    pub(super) fn contains(&self, address: K, hash: u64) -> bool {
        self.leaves.get(place(hash, self.leaves.len())).is_some_and(|leaf| {
            leaf.has(address) || leaf.has_more() && self.crowded.contains(address)
        })
    }

    /// What it occupies, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.leaves.capacity() * size_of::<Leaf<K, LEAF>>() + self.crowded.bytes()
    }
}

/// Which of so many leaves is that of `hash`: by its upper bits, as the sieve goes by the lower.
fn place(hash: u64, leaves: usize) -> usize {
    let scaled = u128::from(hash) * leaves as u128;
    (scaled >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_that_are_crowded_are_found_and_what_lies_between_them_is_not() {
        for count in [0, 1, 6, 7, 8, 100, 5000] {
            let networks: Vec<(u64, u8)> = (0..count).map(|at| (at * 4, 63)).collect();
            // As if all began alike.
            let cover = Cover::<u64, 7>::new(&networks, |_| u64::MAX);
            for address in 0..count * 4 + 4 {
                let want = address % 4 < 2 && address / 4 < count;
                assert_eq!(cover.contains(address, u64::MAX), want, "{address} of {count}");
            }
            assert!(!cover.contains(u64::MAX, u64::MAX));
        }
    }

    #[test]
    fn a_leaf_is_a_cache_line_or_two() {
        assert_eq!(
            [64, 64, 128],
            [size_of::<Leaf<u32, 12>>(), size_of::<Leaf<u64, 7>>(), size_of::<Leaf<u128, 7>>()]
        );
    }
}
