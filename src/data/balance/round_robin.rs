//! Round robin: each backend in turn.
//!
//! One counter per pool over all workers, so the turns are exact however the requests
//! are spread. Which one do I want? This, unless requests differ much in cost.

use super::Choice;
use crate::data::pool::Pool;
use std::sync::atomic::Ordering;

/// The next backend in turn that is admitted. A further attempt takes no turn: else two
/// backends, one of them down, would send every request to that one first.
/// Cost: O(1) when all are admitted, O(n) at worst; one atomic add.
/// `races`: relaxed; each call gets a turn of its own, order between calls does not matter.
pub(super) fn pick(pool: &Pool, choice: Choice<'_>) -> Option<usize> {
    let count = pool.backends.len();
    if count == 0 {
        return None;
    }
    let turn = if choice.is_first() {
        pool.turn.fetch_add(1, Ordering::Relaxed)
    } else {
        pool.turn.load(Ordering::Relaxed)
    };
    (0..count)
        .map(|step| turn.wrapping_add(step) % count)
        .find(|&index| pool.backends.get(index).is_some_and(|backend| choice.admits(backend)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::snapshot::tests::pool_of;

    #[test]
    fn turns_are_exact() {
        let pool = pool_of(3);
        let mut counts = [0; 3];
        for _ in 0..10_000 {
            counts[pick(&pool, Choice { tried: &[] }).unwrap()] += 1;
        }
        assert!(counts.iter().all(|&c| (3333..=3334).contains(&c)), "{counts:?}");
    }
}
