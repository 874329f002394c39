//! Counters whose labels turn up as they come.

use super::{Counter, Metrics, Row};
use parking_lot::Mutex;
use std::sync::Arc;

/// Counters of one row: each is made when something is first counted there, and then kept. For
/// few and bounded labels that cannot be listed before.
pub struct Counters<const N: usize> {
    metrics: Arc<Metrics>,
    row: &'static Row<Counter, N>,
    made: Mutex<Vec<([Box<str>; N], Counter)>>,
}

impl<const N: usize> Counters<N> {
    /// None yet.
    #[must_use]
    pub fn new(metrics: &Arc<Metrics>, row: &'static Row<Counter, N>) -> Self {
        Self { metrics: Arc::clone(metrics), row, made: Mutex::default() }
    }

    /// One more with these labels.
    /// Cost: a lock, and a look at each that there is.
    pub fn inc(&self, labels: [&str; N]) {
        let mut made = self.made.lock();
        let is_it = |of: &[Box<str>; N]| of.iter().zip(labels).all(|(a, b)| **a == *b);
        if let Some((_, counter)) = made.iter().find(|(of, _)| is_it(of)) {
            return counter.inc();
        }
        let counter = self.metrics.handle(self.row, labels);
        counter.inc();
        made.push((labels.map(Box::from), counter));
    }
}
