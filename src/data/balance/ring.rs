//! A ring of hashes: each member stands at many points, a key belongs to the next one.
//!
//! Points depend on a member's address and weight alone, so every replica has the same ring,
//! and it does not matter in which order members came. Found by its position, not by search:
//! hashes are spread evenly, so the point is near where its share of the ring begins.

use super::weighted::gcd;
use crate::data::pool::Member;
use crate::types::hash::{mix, stable};

/// Points of a member of the smallest weight. With 160 the shares differ by about 8 %
/// (1 ÷ √160), as in ketama.
const POINTS: u64 = 160;
/// Points of all members at most.
const POINTS_MAX: u64 = 1 << 21;

/// Members on a ring.
#[derive(Debug)]
pub struct Ring {
    /// Hash and member, by hash.
    points: Box<[(u32, u32)]>,
    /// For each equal part of the ring, its first point.
    starts: Box<[u32]>,
    /// Bits of a hash that are not its part.
    shift: u32,
    /// The members' weights together.
    pub(super) weight: u64,
    /// A member may have so many hundredths of the mean load.
    pub(super) load_max: Option<u32>,
}

impl Ring {
    /// The ring of `members`.
    /// Cost: O(points × log points).
    #[must_use]
    pub fn new(members: &[Member], load_max: Option<u32>) -> Self {
        let weights = || members.iter().map(|member| u64::from(member.weight));
        let divisor = weights().fold(0, gcd).max(1);
        let weight: u64 = weights().sum();
        let of_one = POINTS.min(POINTS_MAX * divisor / weight.max(1)).max(1);
        let mut points = Vec::new();
        for (index, member) in (0_u32..).zip(members) {
            let seed = stable(member.backend.name.as_bytes());
            let count = u64::from(member.weight) / divisor * of_one;
            points.extend((0..count).map(|number| (upper(mix(seed ^ mix(number))), index)));
        }
        points.sort_unstable();
        let bits = (points.len().max(2) as u64).ilog2();
        let shift = u32::BITS - bits;
        let mut starts = Vec::with_capacity(1 << bits);
        let mut at = 0;
        for part in 0..1_u32 << bits {
            while points.get(at).is_some_and(|(hash, _)| hash >> shift < part) {
                at += 1;
            }
            starts.push(u32::try_from(at).unwrap_or(u32::MAX));
        }
        Self { points: points.into(), starts: starts.into(), shift, weight, load_max }
    }

    /// Members from where `key` belongs on, once round; each as often as it has points.
    pub(super) fn from(&self, key: u64) -> impl Iterator<Item = usize> {
        let hash = upper(mix(key));
        let part = (hash >> self.shift) as usize;
        let mut at = self.starts.get(part).copied().unwrap_or_default() as usize;
        while self.points.get(at).is_some_and(|(point, _)| *point < hash) {
            at += 1;
        }
        let (before, after) = self.points.split_at(at.min(self.points.len()));
        after.iter().chain(before).map(|(_, member)| *member as usize)
    }
}

fn upper(hash: u64) -> u32 {
    u32::try_from(hash >> 32).unwrap_or_default()
}
