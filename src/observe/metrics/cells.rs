//! Cells: where numbers are counted, with a copy for each worker.
//!
//! Sixteen numbers of one owner (a backend, a route) lie beside each other on a line, and each
//! worker counts on a line of its own: two workers never write to one cache line, and none
//! needs an atomic addition. Threads that are no workers share one more. Who asks sums the
//! copies up.

use super::family::Shown;
use crossbeam_utils::CachePadded;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Numbers on a line: 128 bytes.
pub(super) const LINE_CELLS: usize = 16;

/// Upper bounds of the duration buckets, in microseconds: half a millisecond to one minute.
pub(super) const BUCKETS_MICROS: [u32; 14] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 10_000_000, 60_000_000,
];

thread_local! {
    /// Where this thread counts: a worker after the first copy, which all others share.
    static COPY: Cell<usize> = const { Cell::new(SHARED) };
}

/// The copy of those that are no workers.
const SHARED: usize = 0;

/// This thread counts as worker `index` from now on: no other may.
pub fn count_as_worker(index: usize) {
    COPY.set(SHARED + 1 + index);
}

/// Which worker this thread is; one that is none goes as worker 0.
#[must_use]
pub fn own_worker() -> usize {
    COPY.get().saturating_sub(SHARED + 1)
}

/// Sixteen numbers, with a copy for each worker and one for the others.
pub(super) struct Line {
    copies: Box<[CachePadded<[AtomicU64; LINE_CELLS]>]>,
}

impl Line {
    /// Zeros, for so many workers.
    pub(super) fn new(workers: usize) -> Arc<Self> {
        let copies = (0..=workers).map(|_| CachePadded::default()).collect();
        Arc::new(Self { copies })
    }

    /// Adds to a number.
    /// `races`: a worker's copy is written by its thread alone, so what it read still holds.
    fn add(&self, at: usize, count: u64) {
        let cell = |copy: usize| self.copies.get(copy).and_then(|copy| copy.get(at));
        let own = COPY.get();
        match cell(own).filter(|_| own != SHARED) {
            Some(cell) => {
                let sum = cell.load(Ordering::Relaxed).wrapping_add(count);
                cell.store(sum, Ordering::Relaxed);
            }
            // No worker, or one of more than there were to be.
            None => {
                if let Some(cell) = cell(SHARED) {
                    cell.fetch_add(count, Ordering::Relaxed);
                }
            }
        }
    }

    /// The sum over all workers; what others subtracted counts down.
    /// `races`: relaxed; what is counted meanwhile is in it or not.
    pub(super) fn sum(&self, at: usize) -> u64 {
        let copies = self.copies.iter().filter_map(|copy| copy.get(at));
        copies.fold(0, |sum, cell| sum.wrapping_add(cell.load(Ordering::Relaxed)))
    }
}

/// A number on a line, shown as a series while somebody has it.
#[derive(Clone)]
pub struct Place {
    pub(super) line: Arc<Line>,
    pub(super) at: usize,
    pub(super) shown: Option<Arc<Shown>>,
}

impl Place {
    fn add(&self, count: u64) {
        self.line.add(self.at, count);
    }
}

impl Default for Place {
    fn default() -> Self {
        Self { line: Line::new(0), at: 0, shown: None }
    }
}

/// A handle of a series that only goes up. By default of none: what it counts is not shown.
#[derive(Clone, Default)]
pub struct Counter(pub(super) Place);

impl Counter {
    /// One more.
    /// Cost: an addition on this worker's own cache line.
    pub fn inc(&self) {
        self.0.add(1);
    }

    /// So many more.
    pub fn inc_by(&self, count: u64) {
        self.0.add(count);
    }

    /// How many there were.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.line.sum(self.0.at)
    }
}

/// A handle of a series that goes up and down. By default of none: it is not shown.
///
/// It is either moved by many ([`inc`](Self::inc), [`dec`](Self::dec)) or set by one.
#[derive(Clone, Default)]
pub struct Gauge(pub(super) Place);

impl Gauge {
    /// One more.
    pub fn inc(&self) {
        self.0.add(1);
    }

    /// One less.
    pub fn dec(&self) {
        self.0.add(u64::MAX);
    }

    /// It is `value` now. One thread sets it.
    pub fn set(&self, value: i64) {
        self.0.add(value.wrapping_sub(self.get()).cast_unsigned());
    }

    /// What it is.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.line.sum(self.0.at).cast_signed()
    }
}

/// A handle of a series of durations. By default of none: what it counts is not shown.
///
/// It has a line of its own: its buckets, those longer than the last bound, and the sum.
#[derive(Clone, Default)]
pub struct Histogram(pub(super) Place);

impl Histogram {
    /// Where the sum is, in nanoseconds.
    pub(super) const SUM: usize = LINE_CELLS - 1;

    /// One of this duration.
    /// Cost: two additions on this worker's own cache lines.
    pub fn observe(&self, time: Duration) {
        let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        let bucket = BUCKETS_MICROS.partition_point(|bound| *bound < micros);
        self.0.line.add(bucket, 1);
        self.0.line.add(Self::SUM, u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        (0..Self::SUM).map(|at| self.0.line.sum(at)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_workers_count_is_one_sum() {
        let line = Line::new(3);
        let counter = Counter(Place { line: Arc::clone(&line), at: 2, shown: None });
        let gauge = Gauge(Place { line, at: 3, shown: None });
        // Three workers, one that is not foreseen, and two threads that are none.
        let work = |thread: usize| {
            if thread < 4 {
                count_as_worker(thread);
            }
            (0..1000).for_each(|_| counter.inc());
            if thread.is_multiple_of(2) { gauge.inc() } else { gauge.dec() }
        };
        std::thread::scope(|scope| (0..6).for_each(|at| drop(scope.spawn(move || work(at)))));
        assert_eq!((counter.get(), gauge.get()), (6000, 0));
        for value in [7, -3, 0] {
            gauge.set(value);
            assert_eq!(gauge.get(), value);
        }
    }

    #[test]
    fn a_duration_is_in_the_first_bucket_that_holds_it() {
        let histogram = Histogram::default();
        for micros in [0, 500, 501, 60_000_000, 60_000_001, u64::from(u32::MAX) + 7] {
            histogram.observe(Duration::from_micros(micros));
        }
        let counts: Vec<u64> = (0..Histogram::SUM).map(|at| histogram.0.line.sum(at)).collect();
        assert_eq!((counts[0], counts[1], counts[13], counts[14]), (2, 1, 1, 2));
        assert_eq!(histogram.count(), 6);
    }
}
