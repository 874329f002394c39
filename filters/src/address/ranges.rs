//! Ranges: the networks of one family, cut into ranges that do not overlap, in order.
//!
//! Each range knows the longest network that it is in, each network the next longer one around
//! it. Where a range begins is found in an implicit tree of [`FANOUT`] keys a step: a million
//! networks are six steps, wherever they lie; nobody can choose networks that make it slower.
//! What takes time is memory that is far away, so the last step has all it needs in one place.

/// Keys that are compared in one step: of IPv4 one cache line.
const FANOUT: usize = 16;
/// Ranges that lie together: of IPv4 one cache line, with their owners.
const LEAF: usize = 8;

/// An address as a number.
pub(super) trait Number: Copy + Ord {
    /// The address with all bits zero.
    const ZERO: Self;
    /// The address with all bits one.
    const MAX: Self;
    /// Bits of an address.
    const BITS: u8;

    /// The last address of the network with so many leading bits that begins here.
    fn last(self, bits: u8) -> Self;

    /// The next address, if there is one.
    fn next(self) -> Option<Self>;
}

impl Number for u32 {
    const ZERO: Self = 0;
    const MAX: Self = Self::MAX;
    const BITS: u8 = 32;

    fn last(self, bits: u8) -> Self {
        self | Self::MAX.checked_shr(u32::from(bits)).unwrap_or(0)
    }

    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl Number for u128 {
    const ZERO: Self = 0;
    const MAX: Self = Self::MAX;
    const BITS: u8 = 128;

    fn last(self, bits: u8) -> Self {
        self | Self::MAX.checked_shr(u32::from(bits)).unwrap_or(0)
    }

    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

/// Nobody: no network.
const NOBODY: u32 = 0;

/// The networks of one family.
#[derive(Clone, Debug)]
pub(super) struct Ranges<K> {
    leaves: Vec<Leaf<K>>,
    /// Where each leaf begins, then every `FANOUT`th of those, and so on; the shortest first.
    levels: Vec<Vec<K>>,
    /// Of each network the next longer one around it, counted as owners are.
    around: Vec<u32>,
}

/// Ranges that follow each other. Those beyond the last one are as the last one.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Leaf<K> {
    /// Where each begins; the first of all at zero.
    starts: [K; LEAF],
    /// The longest network that each is in, counted from one; [`NOBODY`]: none.
    owners: [u32; LEAF],
}

/// The ranges of some networks, as they are made.
struct Making<K> {
    leaves: Vec<Leaf<K>>,
    /// Ranges in the last leaf.
    count: usize,
}

impl<K: Number> Ranges<K> {
    /// Of networks in order: each with its first address and its leading bits, longer ones after
    /// those around them, none twice. At most `u32::MAX - 1`.
    pub(super) fn new(networks: &[(K, u8)]) -> Self {
        debug_assert!(networks.is_sorted() && networks.iter().all(|(_, bits)| *bits <= K::BITS));
        let leaves = Vec::with_capacity((networks.len() * 2 + 1).div_ceil(LEAF));
        let mut making = Making { leaves, count: 0 };
        let mut around = Vec::with_capacity(networks.len());
        making.begin(K::ZERO, NOBODY);
        // Those that the present address is in, with their last addresses.
        let mut open: Vec<(K, u32)> = Vec::new();
        for (number, (first, bits)) in (1..).zip(networks) {
            while let Some((last, _)) = open.pop_if(|(last, _)| *last < *first) {
                making.resume(last, &open);
            }
            making.begin(*first, number);
            around.push(open.last().map_or(NOBODY, |(_, number)| *number));
            open.push((first.last(*bits), number));
        }
        while let Some((last, _)) = open.pop() {
            making.resume(last, &open);
        }
        let mut leaves = making.leaves;
        leaves.shrink_to_fit();
        Self { levels: levels(&leaves), leaves, around }
    }

    /// The place of the longest network that `address` is in.
    pub(super) fn find(&self, address: K) -> Option<usize> {
        let mut at = 0;
        for level in &self.levels {
            let from = at * FANOUT;
            let keys = level.get(from..level.len().min(from + FANOUT)).unwrap_or_default();
            at = from + last_of(keys, address);
        }
        let leaf = self.leaves.get(at)?;
        place(*leaf.owners.get(last_of(&leaf.starts, address))?)
    }

    /// The place of the next longer network around that at `place`.
    pub(super) fn around(&self, of: usize) -> Option<usize> {
        place(*self.around.get(of)?)
    }

    /// What it occupies, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let keys = self.levels.iter().map(Vec::capacity).sum::<usize>();
        self.leaves.capacity() * size_of::<Leaf<K>>()
            + keys * size_of::<K>()
            + self.around.capacity() * size_of::<u32>()
    }
}

impl<K: Number> Making<K> {
    /// After `last` it is again as it is around.
    fn resume(&mut self, last: K, open: &[(K, u32)]) {
        if let Some(next) = last.next() {
            self.begin(next, open.last().map_or(NOBODY, |(_, number)| *number));
        }
    }

    fn begin(&mut self, start: K, owner: u32) {
        let is_there = self.leaves.last().is_some_and(|leaf| leaf.starts.contains(&start));
        // What ends where another begins has no range of its own there. Only an address with all
        // bits one is in a leaf's rest without being there.
        if is_there && start < K::MAX {
            self.count -= 1;
        } else if self.leaves.is_empty() || self.count == LEAF {
            self.leaves.push(Leaf { starts: [K::MAX; LEAF], owners: [owner; LEAF] });
            self.count = 0;
        }
        let Some(leaf) = self.leaves.last_mut() else { return };
        if let Some(place) = leaf.starts.get_mut(self.count) {
            *place = start;
        }
        leaf.owners.iter_mut().skip(self.count).for_each(|rest| *rest = owner);
        self.count += 1;
    }
}

/// The place of the last of `keys` that is not above `address`. The first is never above: the
/// step before has chosen it.
fn last_of<K: Number>(keys: &[K], address: K) -> usize {
    keys.iter().map(|key| usize::from(*key <= address)).sum::<usize>() - 1
}

fn levels<K: Number>(leaves: &[Leaf<K>]) -> Vec<Vec<K>> {
    let mut levels: Vec<Vec<K>> = Vec::new();
    let mut level: Vec<K> = leaves.iter().map(|leaf| leaf.starts[0]).collect();
    while level.len() > 1 {
        let above = level.iter().step_by(FANOUT).copied().collect();
        levels.push(std::mem::replace(&mut level, above));
    }
    levels.reverse();
    levels
}

fn place(owner: u32) -> Option<usize> {
    usize::try_from(owner).ok()?.checked_sub(1)
}
