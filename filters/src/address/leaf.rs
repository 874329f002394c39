//! A leaf: a few networks that are read together, in one cache line or two.

use super::number::Number;

/// `ROOM` networks at most.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct Leaf<K, const ROOM: usize> {
    /// First address of each. Those beyond the last one are as the first one.
    firsts: [K; ROOM],
    /// Leading bits of each.
    bits: [u8; ROOM],
    /// How many were to be put in, as far as it can count: it can beyond its room.
    count: u8,
}

impl<K: Number, const ROOM: usize> Leaf<K, ROOM> {
    /// Without a network.
    pub(super) fn empty() -> Self {
        Self { firsts: [K::default(); ROOM], bits: [0; ROOM], count: 0 }
    }

    /// Of these, as far as there is room.
    pub(super) fn of(networks: &[(K, u8)]) -> Self {
        let mut leaf = Self::empty();
        for network in networks {
            leaf.put(*network);
        }
        leaf
    }

    /// Puts a network in, if there is room for it. Whether there was.
    pub(super) fn put(&mut self, (first, bits): (K, u8)) -> bool {
        let at = usize::from(self.count);
        if at == 0 {
            (self.firsts, self.bits) = ([first; ROOM], [bits; ROOM]);
        }
        self.count = self.count.saturating_add(1);
        let places = self.firsts.get_mut(at).zip(self.bits.get_mut(at));
        places.map(|(first_at, bits_at)| (*first_at, *bits_at) = (first, bits)).is_some()
    }

    /// First address of the first one.
    pub(super) fn first(&self) -> Option<K> {
        self.firsts.first().copied()
    }

    /// Whether `address` is in one of them.
    pub(super) fn has(&self, address: K) -> bool {
        let each = self.firsts.iter().zip(&self.bits);
        // All are compared: where a jump would go, nobody could guess.
        let is_in =
            each.fold(false, |is_in, (first, bits)| is_in | address.is_alike(*first, *bits));
        is_in & (self.count > 0)
    }

    /// Whether there was no room for others.
    pub(super) fn has_more(&self) -> bool {
        usize::from(self.count) > ROOM
    }
}
