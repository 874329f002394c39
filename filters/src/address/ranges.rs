//! Ranges: the networks of one family, cut into ranges that do not overlap, in order.
//!
//! Each range knows the longest network that it is in, each network the next longer one around
//! it. Where a range begins is found in an implicit tree of [`FANOUT`] keys a step: a million
//! networks are five or six steps, wherever they lie; nobody can choose networks that make it
//! slower.

/// Keys that are compared in one step: of IPv4 one cache line.
const FANOUT: usize = 16;

/// An address as a number.
pub(super) trait Number: Copy + Ord {
    /// The address with all bits zero.
    const ZERO: Self;
    /// Bits of an address.
    const BITS: u8;

    /// The last address of the network with so many leading bits that begins here.
    fn last(self, bits: u8) -> Self;

    /// The next address, if there is one.
    fn next(self) -> Option<Self>;
}

impl Number for u32 {
    const ZERO: Self = 0;
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
    /// Where ranges begin; the first at zero.
    starts: Vec<K>,
    /// The longest network that each is in, counted from one; [`NOBODY`]: none.
    owners: Vec<u32>,
    /// Every `FANOUT`th of `starts`, every `FANOUT`th of those, and so on; the shortest first.
    levels: Vec<Vec<K>>,
    /// Of each network the next longer one around it, counted as owners are.
    around: Vec<u32>,
}

impl<K: Number> Ranges<K> {
    /// Of networks in order: each with its first address and its leading bits, longer ones after
    /// those around them, none twice. At most `u32::MAX - 1`.
    pub(super) fn new(networks: &[(K, u8)]) -> Self {
        debug_assert!(networks.is_sorted() && networks.iter().all(|(_, bits)| *bits <= K::BITS));
        let mut ranges = Self {
            starts: Vec::with_capacity(networks.len() * 2 + 1),
            owners: Vec::with_capacity(networks.len() * 2 + 1),
            levels: Vec::new(),
            around: Vec::with_capacity(networks.len()),
        };
        ranges.begin(K::ZERO, NOBODY);
        // Those that the present address is in, with their last addresses.
        let mut open: Vec<(K, u32)> = Vec::new();
        for (number, (first, bits)) in (1..).zip(networks) {
            while let Some((last, _)) = open.pop_if(|(last, _)| *last < *first) {
                ranges.resume(last, &open);
            }
            ranges.begin(*first, number);
            ranges.around.push(open.last().map_or(NOBODY, |(_, number)| *number));
            open.push((first.last(*bits), number));
        }
        while let Some((last, _)) = open.pop() {
            ranges.resume(last, &open);
        }
        ranges.starts.shrink_to_fit();
        ranges.owners.shrink_to_fit();
        ranges.index();
        ranges
    }

    /// After `last` it is again as it is around.
    fn resume(&mut self, last: K, open: &[(K, u32)]) {
        if let Some(next) = last.next() {
            self.begin(next, open.last().map_or(NOBODY, |(_, number)| *number));
        }
    }

    fn begin(&mut self, start: K, owner: u32) {
        match (self.starts.last(), self.owners.last_mut()) {
            (Some(last), Some(known)) if *last == start => *known = owner,
            _ => {
                self.starts.push(start);
                self.owners.push(owner);
            }
        }
    }

    fn index(&mut self) {
        let mut level = &self.starts;
        while level.len() > FANOUT {
            let above = level.iter().step_by(FANOUT).copied().collect();
            self.levels.push(above);
            level = self.levels.last().unwrap_or(&self.starts);
        }
        self.levels.reverse();
    }

    /// The place of the longest network that `address` is in.
    pub(super) fn find(&self, address: K) -> Option<usize> {
        let mut at = 0;
        for level in self.levels.iter().chain([&self.starts]) {
            let from = at * FANOUT;
            let keys = level.get(from..level.len().min(from + FANOUT)).unwrap_or_default();
            // The first is never above: the step before has chosen it.
            at = from + keys.iter().map(|key| usize::from(*key <= address)).sum::<usize>() - 1;
        }
        place(*self.owners.get(at)?)
    }

    /// The place of the next longer network around that at `place`.
    pub(super) fn around(&self, of: usize) -> Option<usize> {
        place(*self.around.get(of)?)
    }

    /// What it occupies, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let keys = self.starts.capacity() + self.levels.iter().map(Vec::capacity).sum::<usize>();
        keys * size_of::<K>() + (self.owners.capacity() + self.around.capacity()) * size_of::<u32>()
    }
}

fn place(owner: u32) -> Option<usize> {
    usize::try_from(owner).ok()?.checked_sub(1)
}
