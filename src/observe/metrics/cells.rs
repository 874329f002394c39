//! Cells: where numbers are counted, with a copy for each worker.
//!
//! Sixteen numbers of one owner (a backend, a route) lie beside each other on a line, and each
//! worker counts on a line of its own: two workers never write to one cache line. Who asks
//! sums the copies up.

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
    static COPY: Cell<usize> = const { Cell::new(0) };
}

/// This thread counts as worker `index` from now on. Others count with worker 0.
pub fn count_as_worker(index: usize) {
    COPY.set(index);
}

/// Which worker this thread is; one that is none goes as worker 0.
#[must_use]
pub fn own_worker() -> usize {
    COPY.get()
}

/// Sixteen numbers, with a copy for each worker.
pub(super) struct Line {
    copies: Box<[CachePadded<[AtomicU64; LINE_CELLS]>]>,
}

impl Line {
    /// Zeros, for so many workers.
    pub(super) fn new(workers: usize) -> Arc<Self> {
        let copies = (0..workers.max(1)).map(|_| CachePadded::default()).collect();
        Arc::new(Self { copies })
    }

    fn own(&self, at: usize) -> Option<&AtomicU64> {
        let copy = self.copies.get(COPY.get() % self.copies.len())?;
        copy.get(at)
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
        if let Some(cell) = self.line.own(self.at) {
            cell.fetch_add(count, Ordering::Relaxed);
        }
    }
}

impl Default for Place {
    fn default() -> Self {
        Self { line: Line::new(1), at: 0, shown: None }
    }
}

/// A handle of a series that only goes up. By default of none: what it counts is not shown.
#[derive(Clone, Default)]
pub struct Counter(pub(super) Place);

impl Counter {
    /// One more.
    /// Cost: one atomic addition on this worker's own cache line.
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
    /// Cost: two atomic additions on this worker's own cache lines.
    pub fn observe(&self, time: Duration) {
        let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        let bucket = BUCKETS_MICROS.partition_point(|bound| *bound < micros);
        let line = &self.0.line;
        if let (Some(bucket), Some(sum)) = (line.own(bucket), line.own(Self::SUM)) {
            bucket.fetch_add(1, Ordering::Relaxed);
            let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            sum.fetch_add(nanos, Ordering::Relaxed);
        }
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
        let work = |worker: usize| {
            count_as_worker(worker);
            (0..1000).for_each(|_| counter.inc());
            if worker.is_multiple_of(2) { gauge.inc() } else { gauge.dec() }
        };
        std::thread::scope(|scope| (0..6).for_each(|w| drop(scope.spawn(move || work(w)))));
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
