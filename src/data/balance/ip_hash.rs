//! Consistent hash: the same key meets the same backend, as long as it is there.
//!
//! The key is the client's address, or what `hash.on` names. When a backend leaves, only its
//! keys move; when it comes back, they return. With `hash.load_max` a backend that has more
//! than its share of the requests in flight sends what comes on to the next ("consistent
//! hashing with bounded loads", Mirrokni, Thorup and Zadimoghaddam 2016). Slow start does
//! not count here: it would move every client twice.

use super::{Choice, Plan, Ring, first_from};
use crate::data::pool::{Live, Member, Members};

/// Points of the ring that are looked at before the rest is taken in order.
const STEPS_MAX: usize = 2048;

pub(super) fn plan(members: &[Member], load_max: Option<u32>) -> Plan {
    Plan::Ring(Ring::new(members, load_max))
}

/// The first member on the ring from the key on that admits the request, and has room.
/// Cost: O(1) when all do.
pub(super) fn pick(live: &Live, members: &Members, choice: &Choice<'_>) -> Option<usize> {
    let Some((_, Plan::Ring(ring))) = &members.plan else { return None };
    let admits = |index: usize| {
        members.active_at(index).is_some_and(|member| members.admits(member, choice))
    };
    let has_room = |index: usize| match ring.load_max {
        None => true,
        Some(hundredths) => members.active_at(index).is_some_and(|member| {
            let share = (u64::from(live.in_flight()) + 1) * u64::from(member.weight);
            let most = (share * u64::from(hundredths)).div_ceil(ring.weight.max(1) * 100);
            u64::from(member.backend.state.in_flight()) < most
        }),
    };
    let from = || ring.from(choice.key).take(STEPS_MAX);
    from()
        .find(|&index| has_room(index) && admits(index))
        .or_else(|| from().find(|&index| admits(index)))
        .or_else(|| first_from(members, choice.random_below(members.active.len()), choice))
}
