//! Weighted round robin: each backend in turn, as often as its weight says, evenly spread.
//!
//! The turns of one cycle are worked out beforehand. A member of weight w has w of them, and
//! its k-th is due between k/w and (k+1)/w of the cycle; of those that are due the one whose
//! time ends first goes next (WF²Q, Bennett and Zhang 1996). So 5:1:1 is `a b a a c a a`:
//! never more in a row than needed, while a plain queue of deadlines would give five.

use super::{Choice, Plan, turn};
use crate::data::pool::{Live, Member, Members};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Turns of a cycle at most, or eight a member if that is more. Weights that need more are
/// rounded, each to at least one turn.
const TURNS_MAX: u64 = 65_536;

/// The cycle of `members`.
/// Cost: O(turns × log members).
pub(super) fn plan(members: &[Member], _: Option<u32>) -> Plan {
    let paces: Vec<u64> = members.iter().map(|member| u64::from(member.pace)).collect();
    Plan::Sequence(sequence(&turns(&paces)).into())
}

/// How many turns of a cycle each has: the paces in lowest terms, or rounded.
fn turns(paces: &[u64]) -> Vec<u64> {
    let divisor = paces.iter().copied().fold(0, gcd).max(1);
    let total = paces.iter().sum::<u64>() / divisor;
    let most = TURNS_MAX.max(8 * paces.len() as u64);
    let fitted = |pace: &u64| match pace / divisor {
        turns if total <= most => turns,
        turns => ((turns * most + total / 2) / total).max(1),
    };
    paces.iter().map(fitted).collect()
}

pub(super) fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A time in a cycle: a fraction, compared exactly.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Time(u64, u64);

impl Ord for Time {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (u128::from(self.0) * u128::from(other.1)).cmp(&(u128::from(other.0) * u128::from(self.1)))
    }
}

impl PartialOrd for Time {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

fn sequence(turns: &[u64]) -> Vec<u32> {
    let total: u64 = turns.iter().sum();
    // By when a turn may come, and by when it must have come: then who, and which turn.
    let mut early = BinaryHeap::with_capacity(turns.len());
    let mut due = BinaryHeap::with_capacity(turns.len());
    for (who, of) in (0_u32..).zip(turns) {
        if *of > 0 {
            early.push(Reverse((Time(0, *of), who, 0_u64, *of)));
        }
    }
    let mut cycle = Vec::new();
    for slot in 0..total {
        let now = Time(slot, total);
        while let Some(Reverse((time, who, number, of))) = early.peek().copied()
            && time <= now
        {
            early.pop();
            due.push(Reverse((Time(number + 1, of), who, number, of)));
        }
        if let Some(Reverse((_, who, number, of))) = due.pop() {
            cycle.push(who);
            if number + 1 < of {
                early.push(Reverse((Time(number + 1, of), who, number + 1, of)));
            }
        }
    }
    debug_assert_eq!(cycle.len() as u64, total, "some turn of the cycle is nobody's");
    cycle
}

/// The next in the cycle that admits the request.
/// Cost: O(1) when all do, O(turns) at worst; one atomic add.
pub(super) fn pick(live: &Live, members: &Members, choice: &Choice<'_>) -> Option<usize> {
    let Some((_, Plan::Sequence(cycle))) = &members.plan else { return None };
    let start = turn(live, choice).checked_rem(cycle.len())?;
    (0..cycle.len())
        .filter_map(|step| cycle.get((start + step) % cycle.len()))
        .map(|&who| who as usize)
        .find(|&who| members.active_at(who).is_some_and(|one| members.admits(one, choice)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_spread_evenly() {
        assert_eq!(sequence(&[5, 1, 1]), [0, 1, 0, 0, 2, 0, 0]);
        assert_eq!(sequence(&[1, 1, 1]), [0, 1, 2]);
        assert_eq!(sequence(&[3, 0, 1]), [0, 2, 0, 0]);
        assert_eq!(turns(&[500, 100, 100]), [5, 1, 1]);
    }

    #[test]
    fn every_cycle_is_exact_and_never_far_from_the_ideal() {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..50 {
            let turns: Vec<u64> = (0..rng.usize(1..20)).map(|_| rng.u64(1..50)).collect();
            let total: u64 = turns.iter().sum();
            let mut counts = vec![0_u64; turns.len()];
            for (slot, who) in (1..).zip(sequence(&turns)) {
                counts[who as usize] += 1;
                let is_near =
                    |(count, of): (&u64, &u64)| (count * total).abs_diff(slot * of) <= 2 * total;
                assert!(counts.iter().zip(&turns).all(is_near), "{turns:?}");
            }
            assert_eq!(counts, turns);
        }
    }

    #[test]
    fn a_cycle_is_bounded_and_forgets_nobody() {
        let turns = turns(&[1_000_003, 1, 999_983]);
        assert_eq!(turns[1], 1);
        assert!(turns.iter().sum::<u64>() <= TURNS_MAX + 3);
    }
}
