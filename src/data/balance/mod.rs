//! 6 · Balance: how a pool chooses among its backends.
//!
//! One algorithm a file, one row each in [`ALGORITHMS`]. An algorithm sees the pool
//! and what was tried already; it keeps no state of its own.

mod round_robin;

use crate::data::pool::{Backend, Pool};
use std::sync::Arc;

/// What a choice rests on.
#[derive(Clone, Copy)]
pub struct Choice<'a> {
    /// Backends that this request has tried already: not to be chosen again.
    pub tried: &'a [Arc<Backend>],
}

impl Choice<'_> {
    /// Whether `backend` may be chosen.
    #[must_use]
    pub fn admits(&self, backend: &Arc<Backend>) -> bool {
        !self.tried.iter().any(|other| Arc::ptr_eq(other, backend))
    }

    /// Whether this is the request's first choice: only that one takes a turn.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.tried.is_empty()
    }
}

/// One way to choose.
#[derive(Debug)]
pub struct Algorithm {
    /// Its name in the config.
    pub name: &'static str,
    /// Index of the chosen backend, or `None` when none may be chosen.
    /// Cost: no allocation, no lock.
    pub pick: fn(&Pool, Choice<'_>) -> Option<usize>,
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
            assert!(
                (algorithm.pick)(&pool_of(0), Choice { tried: &[] }).is_none(),
                "{}",
                algorithm.name
            );
            for size in [1, 2, 7, 100] {
                picks_only_what_is_admitted(algorithm, size);
            }
        }
    }

    fn picks_only_what_is_admitted(algorithm: &Algorithm, size: usize) {
        let pool = pool_of(size);
        let others = &pool.backends[..size - 1];
        for _ in 0..size * 2 {
            assert_eq!((algorithm.pick)(&pool, Choice { tried: others }), Some(size - 1));
            assert!((algorithm.pick)(&pool, Choice { tried: &pool.backends }).is_none());
            assert!((algorithm.pick)(&pool, Choice { tried: &[] }).unwrap() < size);
        }
    }

    #[test]
    fn contract_rows_are_alphabetical_and_found_by_name() {
        assert!(ALGORITHMS.is_sorted_by_key(|a| a.name));
        assert!(by_name("round-robin").is_some());
        assert!(by_name("roundrobin").is_none());
    }
}
