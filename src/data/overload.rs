//! Overload: how many requests are under way at once, and which go first when it is too much.
//!
//! A limit of the process or of a pool. What would be too much is refused at once, rather than
//! served late; the lower a class, the smaller its share of the limit, so the lower ones go first
//! and leave room for the higher. Who has no limit counts nothing.

use crate::observe::metrics::Counter;
use crossbeam_utils::CachePadded;
use http::HeaderValue;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// How important requests are; the most important first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Priority {
    /// Up to the limit.
    High,
    /// Up to nine tenths of it.
    #[default]
    Normal,
    /// Up to six tenths of it.
    Low,
}

impl Priority {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];

    /// The label in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }

    /// How much of `limit` it may use, rounded up: at least one.
    #[must_use]
    pub fn share_of(self, limit: u32) -> u32 {
        let percent: u64 = match self {
            Self::High => 100,
            Self::Normal => 90,
            Self::Low => 60,
        };
        let share = (u64::from(limit) * percent).div_ceil(100);
        u32::try_from(share).unwrap_or(limit).max(1)
    }
}

/// Requests under way, counted over all workers. It outlives reloads.
#[derive(Debug, Default)]
pub struct InFlight(CachePadded<AtomicU32>);

impl InFlight {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts one more, unless there are `most` already: exact over all workers.
    fn enter(self: &Arc<Self>, most: u32) -> Option<Seat> {
        let more = |count: u32| (count < most).then(|| count + 1);
        let entered = self.0.fetch_update(Ordering::AcqRel, Ordering::Relaxed, more);
        entered.ok().map(|_| Seat(Arc::clone(self)))
    }
}

/// A request that is counted. It counts until this is dropped, on whatever path it ends.
#[derive(Debug)]
pub struct Seat(Arc<InFlight>);

impl Drop for Seat {
    fn drop(&mut self) {
        let before = self.0.0.fetch_sub(1, Ordering::AcqRel);
        debug_assert!(before > 0, "a seat that was never taken");
    }
}

/// A limit of requests under way.
pub struct Limit {
    /// Those that count.
    pub in_flight: Arc<InFlight>,
    /// How many there may be.
    pub most: u32,
    /// When clients may try again: what `Retry-After` says.
    pub retry_after: HeaderValue,
    /// `vanne_shed_total`, in the order of [`Priority::ALL`].
    pub shed: [Counter; Priority::ALL.len()],
}

impl Limit {
    /// A seat for a request of this class; `None`: it is too much, and is counted as such.
    /// Cost: one atomic, shared by all workers; no lock, no allocation.
    #[must_use]
    pub fn enter(&self, priority: Priority) -> Option<Seat> {
        let seat = self.in_flight.enter(priority.share_of(self.most));
        if let (None, Some(shed)) = (&seat, self.shed.get(priority as usize)) {
            shed.inc();
        }
        seat
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(most: u32) -> Limit {
        Limit {
            in_flight: Arc::default(),
            most,
            retry_after: HeaderValue::from_static("1"),
            shed: Default::default(),
        }
    }

    #[test]
    fn lower_classes_go_first_and_everybody_has_at_least_one_seat() {
        let shares = |limit| Priority::ALL.map(|priority| priority.share_of(limit));
        assert_eq!(shares(100), [100, 90, 60]);
        assert_eq!(shares(10), [10, 9, 6]);
        assert_eq!(shares(2), [2, 2, 2]);
        assert_eq!(shares(1), [1, 1, 1]);
        assert_eq!(shares(u32::MAX)[0], u32::MAX);
        for (index, priority) in Priority::ALL.into_iter().enumerate() {
            assert_eq!(priority as usize, index);
        }
        let limit = limit(10);
        let low: Vec<_> = std::iter::from_fn(|| limit.enter(Priority::Low)).collect();
        let normal: Vec<_> = std::iter::from_fn(|| limit.enter(Priority::Normal)).collect();
        let high: Vec<_> = std::iter::from_fn(|| limit.enter(Priority::High)).collect();
        assert_eq!((low.len(), normal.len(), high.len()), (6, 3, 1));
        drop(high);
        assert!(limit.enter(Priority::Low).is_none(), "what others use counts for all");
    }

    #[test]
    fn however_threads_meet_there_are_never_too_many_and_none_is_left() {
        let limit = limit(3);
        let run = |seed| {
            let mut rng = fastrand::Rng::with_seed(seed);
            for _ in 0..20_000 {
                let seat = limit.enter(Priority::High);
                assert!(limit.in_flight.count() <= 3);
                drop((rng.bool().then(std::thread::yield_now), seat));
            }
        };
        std::thread::scope(|scope| {
            for seed in 0..4 {
                scope.spawn(move || run(seed));
            }
        });
        assert_eq!(limit.in_flight.count(), 0);
    }
}
