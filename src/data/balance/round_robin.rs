//! Round robin: each backend in turn.
//!
//! One counter per pool over all workers, so the turns are exact however the requests
//! are spread. Which one do I want? This, unless requests differ much in cost.

use super::Admits;
use crate::data::pool::Pool;
use std::sync::atomic::Ordering;

/// The next backend in turn that is admitted.
/// Cost: O(1) when all are admitted, O(n) at worst; one atomic add.
/// `races`: relaxed; each call gets a turn of its own, order between calls does not matter.
pub(super) fn pick(pool: &Pool, admits: &Admits<'_>) -> Option<usize> {
    let count = pool.backends.len();
    if count == 0 {
        return None;
    }
    let turn = pool.turn.fetch_add(1, Ordering::Relaxed);
    (0..count)
        .map(|step| turn.wrapping_add(step) % count)
        .find(|&index| pool.backends.get(index).is_some_and(admits))
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
            counts[pick(&pool, &|_| true).unwrap()] += 1;
        }
        assert!(counts.iter().all(|&c| (3333..=3334).contains(&c)), "{counts:?}");
    }
}
