//! A family: networks of one length of address, in order, and which of them an address is in.
//!
//! Networks lie within each other or apart. So the longest that an address is in is the last that
//! begins at or before it, or one of those around that.

use super::number::Number;

/// Nobody: no network around.
const NOBODY: u32 = 0;

/// Networks of one family, each with what is said of it.
#[derive(Clone, Debug)]
pub(super) struct Family<K, V> {
    /// First address of each.
    firsts: Vec<K>,
    /// Leading bits of each.
    bits: Vec<u8>,
    /// The next longer network around each, counted from one; or [`NOBODY`].
    around: Vec<u32>,
    /// What is said of each.
    values: Vec<V>,
}

impl<K: Number, V> Family<K, V> {
    /// Of these networks: first address, leading bits, what is said. What is said last counts.
    /// At most `u32::MAX - 1`.
    pub(super) fn new(mut entries: Vec<(K, u8, V)>) -> Self {
        // Stable: of equals the last said is the last.
        entries.sort_by_key(|(first, bits, _)| (*first, *bits));
        let mut firsts: Vec<K> = Vec::with_capacity(entries.len());
        let mut lengths: Vec<u8> = Vec::with_capacity(entries.len());
        let mut values = Vec::with_capacity(entries.len());
        for (first, bits, value) in entries {
            if firsts.last() == Some(&first) && lengths.last() == Some(&bits) {
                values.pop();
            } else {
                firsts.push(first);
                lengths.push(bits);
            }
            values.push(value);
        }
        let around = around(&firsts, &lengths);
        Self { firsts, bits: lengths, around, values }
    }

    /// The networks that `address` is in, the longest first.
    pub(super) fn around(&self, address: K) -> impl Iterator<Item = ((K, u8), &V)> {
        let last = self.firsts.partition_point(|first| *first <= address).checked_sub(1);
        std::iter::successors(last, |place| self.next_around(*place))
            .filter_map(|place| Some((self.network(place)?, self.values.get(place)?)))
            .filter(move |((first, bits), _)| address.begin(*bits) == *first)
    }

    /// What is said of just this network.
    pub(super) fn get(&self, (first, bits): (K, u8)) -> Option<&V> {
        self.around(first).find(|(network, _)| *network == (first, bits)).map(|(_, value)| value)
    }

    /// All networks in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = ((K, u8), &V)> {
        self.firsts.iter().copied().zip(self.bits.iter().copied()).zip(&self.values)
    }

    /// Those that lie in no other, in order.
    pub(super) fn outermost(&self) -> impl Iterator<Item = (K, u8)> {
        let each = self.iter().zip(&self.around);
        each.filter(|(_, around)| **around == NOBODY).map(|((network, _), _)| network)
    }

    /// How many networks there are.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// What it occupies, in bytes; not what its values point to.
    pub(super) fn bytes(&self) -> usize {
        self.firsts.capacity() * size_of::<K>()
            + self.bits.capacity()
            + self.around.capacity() * size_of::<u32>()
            + self.values.capacity() * size_of::<V>()
    }

    fn network(&self, place: usize) -> Option<(K, u8)> {
        Some((*self.firsts.get(place)?, *self.bits.get(place)?))
    }

    fn next_around(&self, place: usize) -> Option<usize> {
        usize::try_from(*self.around.get(place)?).ok()?.checked_sub(1)
    }
}

/// Of each network, in order, the next longer one around it.
fn around<K: Number>(firsts: &[K], lengths: &[u8]) -> Vec<u32> {
    // Those that the present network is in, the longest last.
    let mut open: Vec<(K, u8, u32)> = Vec::new();
    let next = |((number, first), bits): ((u32, &K), &u8)| {
        while open.pop_if(|(of, bits, _)| first.begin(*bits) != *of).is_some() {}
        let around = open.last().map_or(NOBODY, |(_, _, number)| *number);
        open.push((*first, *bits, number));
        around
    };
    (1..).zip(firsts).zip(lengths).map(next).collect()
}
