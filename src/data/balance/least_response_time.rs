//! Least response time: of two members taken at random, the one that will answer sooner.
//!
//! That is judged by peak EWMA × requests in flight ÷ weight. Two at random instead of
//! the best of all: workers that decide at the same time do not all run to the same backend.
//! A backend of which nothing is known, or nothing recent, counts as fast as the other one,
//! so it is tried, and by its requests in flight it is not flooded.

use super::{Choice, below, first_from};
use crate::data::pool::latency::Known;
use crate::data::pool::{Live, Member, Members};
use crate::types::hash::mix;

/// Pairs that are looked at until one member admits the request.
const PAIRS: u64 = 3;

/// The better of two by chance that admits the request.
/// Cost: O(1); O(n) when three pairs are full or out.
pub(super) fn pick(_: &Live, members: &Members, choice: &Choice<'_>) -> Option<usize> {
    let count = members.active.len();
    (0..PAIRS)
        .find_map(|number| better_of_two(members, choice, mix(choice.random ^ number)))
        .or_else(|| first_from(members, choice.random_below(count), choice))
}

fn better_of_two(members: &Members, choice: &Choice<'_>, random: u64) -> Option<usize> {
    let count = members.active.len();
    let first = below(random, count);
    // Another one, each of the others equally likely.
    let second = match count.checked_sub(1) {
        Some(others @ 1..) => (first + 1 + below(mix(random), others)) % count,
        _ => first,
    };
    let admitted = |index| members.active_at(index).filter(|member| members.admits(member, choice));
    match (admitted(first), admitted(second)) {
        (Some(a), Some(b)) => Some(if is_sooner(b, a, choice) { second } else { first }),
        (Some(_), None) => Some(first),
        (None, Some(_)) => Some(second),
        (None, None) => None,
    }
}

/// Whether `a` will answer sooner than `b`.
fn is_sooner(a: &Member, b: &Member, choice: &Choice<'_>) -> bool {
    let of = |member: &Member| member.backend.state.latency.known(choice.now);
    let (seconds_a, seconds_b) = match (of(a), of(b)) {
        (None, None) => (1.0, 1.0),
        (Some(known), None) => (known.seconds, known.seconds),
        (None, Some(known)) => (known.seconds, known.seconds),
        (Some(a), Some(b)) => faded(a, b),
    };
    // Other numbers than those that chose the pair.
    let (random_a, random_b) = (mix(choice.random.rotate_left(21)), mix(!choice.random));
    load(a, random_a) * seconds_a < load(b, random_b) * seconds_b
}

/// What is known of two, as far as it still says something: the rest is what both show
/// together, each for as much as it still says.
fn faded(a: Known, b: Known) -> (f32, f32) {
    let trust = a.weight + b.weight;
    if trust < 1e-3 {
        return (1.0, 1.0);
    }
    let common = (a.seconds * a.weight + b.seconds * b.weight) / trust;
    let of = |known: Known| common + (known.seconds - common) * known.weight;
    (of(a), of(b))
}

/// Requests in flight for a weight, and a part of one more by chance: so that the worse of two
/// idle backends is chosen now and then, and shows when it has become the better.
#[expect(clippy::cast_precision_loss, reason = "a rough comparison is all that is asked")]
fn load(member: &Member, random: u64) -> f32 {
    let part = (random >> 40) as f32 / (1_u64 << 24) as f32;
    (member.backend.state.in_flight() as f32 + part) / member.pace.max(1) as f32
}
