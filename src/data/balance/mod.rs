//! 6 · Balance: how a pool chooses among its members.
//!
//! One algorithm a file, one row each in [`ALGORITHMS`]. `plan` works out what it needs when
//! the members change, on the control plane; `pick` chooses at each attempt. An algorithm
//! keeps no state of its own. Which one do I want?
//!
//! - `round-robin`: equal backends, requests of like cost.
//! - `weighted`: the same for backends of unequal size.
//! - `least-connections`: requests of unlike cost, above all long ones.
//! - `least-response-time`: backends that differ in speed, or now and then slow down.
//! - `ip-hash`: caches and sessions: the same client meets the same backend.

mod ip_hash;
mod least_connections;
mod least_response_time;
mod ring;
mod round_robin;
mod weighted;

pub use ring::Ring;

use crate::data::pool::{Backend, Live, Member, Members};
use crate::types::moment::Moment;
use std::sync::Arc;

/// What a choice rests on.
#[derive(Clone, Copy, Default)]
pub struct Choice<'a> {
    /// Backends that this request has tried already: not to be chosen again.
    pub tried: &'a [Arc<Backend>],
    /// Only those whose last attempt was good.
    pub only_good: bool,
    /// What of the request is to meet the same backend again.
    pub key: u64,
    /// A random number of this choice.
    pub random: u64,
    /// When it is made.
    pub now: Moment,
}

impl Choice<'_> {
    /// Whether this is the request's first choice: only that one takes a turn.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.tried.is_empty()
    }

    /// A number below `count` that the choice's random number says; 0 if `count` is.
    fn random_below(&self, count: usize) -> usize {
        below(self.random, count)
    }
}

/// `random` spread evenly over 0..`count`.
#[expect(clippy::cast_possible_truncation, reason = "the result is below `count`")]
fn below(random: u64, count: usize) -> usize {
    ((u128::from(random) * count as u128) >> 64) as usize
}

/// What an algorithm has worked out for the present members.
#[derive(Debug, Default)]
pub enum Plan {
    /// Nothing: it looks at them as they are.
    #[default]
    Nothing,
    /// Whose turn comes after whose: indices of members.
    Sequence(Box<[u32]>),
    /// Where they stand on a ring of hashes.
    Ring(Ring),
}

/// One way to choose.
#[derive(Debug)]
pub struct Algorithm {
    /// Its name in the config.
    pub name: &'static str,
    /// Works out what it needs for these members; there is at least one, and each has a
    /// weight. `load_max`: a backend may have so many hundredths of the mean load, if said.
    pub plan: fn(members: &[Member], load_max: Option<u32>) -> Plan,
    /// Index of the chosen member, or `None` when none admits the request.
    /// Cost: no allocation, no lock.
    pub pick: fn(&Live, &Members, &Choice<'_>) -> Option<usize>,
}

/// All algorithms, in alphabetical order.
pub const ALGORITHMS: &[Algorithm] = &[
    Algorithm { name: "ip-hash", plan: ip_hash::plan, pick: ip_hash::pick },
    Algorithm { name: "least-connections", plan: nothing, pick: least_connections::pick },
    Algorithm { name: "least-response-time", plan: nothing, pick: least_response_time::pick },
    Algorithm { name: "round-robin", plan: nothing, pick: round_robin::pick },
    Algorithm { name: "weighted", plan: weighted::plan, pick: weighted::pick },
];

fn nothing(_: &[Member], _: Option<u32>) -> Plan {
    Plan::Nothing
}

/// The algorithm called `name`.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Algorithm> {
    ALGORITHMS.iter().find(|algorithm| algorithm.name == name)
}

/// The first member from `start` on that admits the request, round the end.
/// Cost: O(1) when all do, O(n) at worst.
fn first_from(members: &Members, start: usize, choice: &Choice<'_>) -> Option<usize> {
    let count = members.active.len();
    (0..count)
        .map(|step| (start + step) % count)
        .find(|&index| members.active_at(index).is_some_and(|one| members.admits(one, choice)))
}

/// Turns taken before this choice: each first choice of a request takes one, so that two
/// backends of which one is down do not send every request to that one first.
/// `races`: relaxed; each gets a turn of its own, order between them does not matter.
fn turn(live: &Live, choice: &Choice<'_>) -> usize {
    use std::sync::atomic::Ordering::Relaxed;
    match choice.is_first() {
        true => live.turn.fetch_add(1, Relaxed),
        false => live.turn.load(Relaxed),
    }
}

#[cfg(test)]
mod tests;
