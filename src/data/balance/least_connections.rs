//! Least connections: the backend with the fewest requests in flight for its weight.
//!
//! Exact up to 64 members; among more, the best of four taken at random: nearly as even
//! (Mitzenmacher 2001), and as fast with 5,000 as with 100. What counts is requests, over
//! all workers; kept connections without one do not.

use super::{Choice, below, first_from};
use crate::data::pool::{Live, Member, Members};
use crate::types::hash::mix;

/// Members that are all looked at.
const EXACT_MAX: usize = 64;
/// Members looked at among more.
const SAMPLES: u64 = 4;

/// The least loaded member that admits the request; of equals one by chance and weight.
/// Cost: up to 64 members O(n), else O(1), and O(n) when the samples are full or out.
pub(super) fn pick(_: &Live, members: &Members, choice: &Choice<'_>) -> Option<usize> {
    let count = members.active.len();
    let start = choice.random_below(count);
    if count <= EXACT_MAX {
        return best(members, choice, (0..count).map(|step| (start + step) % count));
    }
    let sample = |number| below(mix(choice.random ^ number), count);
    best(members, choice, (0..SAMPLES).map(sample)).or_else(|| first_from(members, start, choice))
}

fn best(
    members: &Members,
    choice: &Choice<'_>,
    indices: impl Iterator<Item = usize>,
) -> Option<usize> {
    let mut best: Option<(usize, Load)> = None;
    for index in indices {
        let Some(member) = members.active_at(index) else { continue };
        let load = Load::of(member, mix(choice.random ^ !(index as u64)));
        if best.as_ref().is_none_or(|(_, least)| load.is_below(least))
            && members.admits(member, choice)
        {
            best = Some((index, load));
        }
    }
    best.map(|(index, _)| index)
}

/// Requests in flight for a weight, and a part of one more by chance: so that of idle backends
/// the heavy one is chosen more often, and not always.
struct Load(u64, u64);

impl Load {
    fn of(member: &Member, random: u64) -> Self {
        let whole = u64::from(member.backend.state.in_flight()) << 16;
        Self(whole | (random & 0xffff), u64::from(member.pace))
    }

    fn is_below(&self, other: &Self) -> bool {
        self.0 * other.1 < other.0 * self.1
    }
}
