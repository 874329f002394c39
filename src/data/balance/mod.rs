//! 6 · Balance: how a pool chooses among its backends.
//!
//! One algorithm a file, one row each in [`ALGORITHMS`]. An algorithm sees the pool
//! and a test that says which backends may be chosen; it keeps no state of its own.

mod round_robin;

use crate::data::pool::{Backend, Pool};
use std::sync::Arc;

/// Whether a backend may be chosen now.
pub type Admits<'a> = dyn Fn(&Arc<Backend>) -> bool + 'a;

/// One way to choose.
#[derive(Debug)]
pub struct Algorithm {
    /// Its name in the config.
    pub name: &'static str,
    /// Index of the chosen backend, or `None` when none may be chosen.
    /// Cost: no allocation, no lock.
    pub pick: fn(&Pool, &Admits<'_>) -> Option<usize>,
}

/// All algorithms, in alphabetical order.
pub const ALGORITHMS: &[Algorithm] = &[Algorithm { name: "round-robin", pick: round_robin::pick }];

/// The algorithm called `name`.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Algorithm> {
    ALGORITHMS.iter().find(|algorithm| algorithm.name == name)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::data::snapshot::tests::pool_of;

    /// What every algorithm must keep, whatever its idea.
    #[test]
    fn contract_every_algorithm_picks_only_what_is_admitted() {
        for algorithm in ALGORITHMS {
            assert!((algorithm.pick)(&pool_of(0), &|_| true).is_none(), "{}", algorithm.name);
            for size in [1, 2, 7, 100] {
                picks_only_what_is_admitted(algorithm, size);
            }
        }
    }

    fn picks_only_what_is_admitted(algorithm: &Algorithm, size: usize) {
        let pool = pool_of(size);
        let last = Arc::clone(pool.backends.last().unwrap());
        for _ in 0..size * 2 {
            let only_last = |b: &Arc<Backend>| Arc::ptr_eq(b, &last);
            assert_eq!((algorithm.pick)(&pool, &only_last), Some(size - 1));
            assert!((algorithm.pick)(&pool, &|_| false).is_none());
            assert!((algorithm.pick)(&pool, &|_| true).unwrap() < size);
        }
    }

    #[test]
    fn contract_rows_are_alphabetical_and_found_by_name() {
        assert!(ALGORITHMS.is_sorted_by_key(|a| a.name));
        assert!(by_name("round-robin").is_some());
        assert!(by_name("roundrobin").is_none());
    }
}
