//! Handles of a pool's metrics, and of each of its backends'.

use crate::data::outcome::Outcome;
use crate::observe::metrics::{
    ATTEMPTS, BACKEND_RECEIVED_BYTES, BACKEND_REQUESTS, BACKEND_SENT_BYTES, CIRCUIT_GUARDED,
    Counter, Histogram, Metrics, POOL_CONNECT_DURATION, POOL_CONNECTIONS, POOL_FIRST_BYTE_DURATION,
    POOL_QUEUE_DURATION, RETRIES, STICKY,
};
use std::time::Duration;

/// Status classes, as metrics name them.
pub const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Where a status is in [`CLASSES`].
#[must_use]
pub fn class_of(status: u16) -> usize {
    usize::from(status / 100).clamp(1, CLASSES.len()) - 1
}

/// Handles of a backend's metrics. By default of none.
#[derive(Default)]
pub struct BackendMetrics {
    requests: [Counter; CLASSES.len()],
    attempts: [Counter; Outcome::ALL.len()],
    received: Counter,
    sent: Counter,
}

impl BackendMetrics {
    /// Those of `backend` in `pool`: they fill a line.
    #[must_use]
    pub fn new(metrics: &Metrics, pool: &str, backend: &str) -> Self {
        let mut group = metrics.group();
        Self {
            requests: group.handles(&BACKEND_REQUESTS, &[pool, backend], &CLASSES),
            attempts: group.handles(&ATTEMPTS, &[pool, backend], &Outcome::LABELS),
            received: group.handle(&BACKEND_RECEIVED_BYTES, [pool, backend]),
            sent: group.handle(&BACKEND_SENT_BYTES, [pool, backend]),
        }
    }

    /// Counts an attempt that ended.
    pub fn count_attempt(&self, outcome: Outcome) {
        if let Some(counter) = self.attempts.get(outcome.index()) {
            counter.inc();
        }
    }

    /// Attempts that ended, by outcome.
    pub fn attempts_by_outcome(&self) -> impl Iterator<Item = (Outcome, u64)> + '_ {
        Outcome::ALL.into_iter().zip(self.attempts.iter().map(Counter::get))
    }

    /// Attempts that ended, and those of them that failed.
    #[must_use]
    pub fn attempts(&self) -> (u64, u64) {
        self.attempts_by_outcome().fold((0, 0), |(all, failed), (outcome, count)| match outcome {
            Outcome::Failure(_) => (all + count, failed + count),
            _ => (all + count, failed),
        })
    }

    /// Counts a request that ended, with what its client sent and got.
    pub fn count_request(&self, status: u16, sent: u64, received: u64) {
        if let Some(counter) = self.requests.get(class_of(status)) {
            counter.inc();
        }
        self.sent.inc_by(sent);
        self.received.inc_by(received);
    }
}

impl std::fmt::Debug for BackendMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BackendMetrics")
    }
}

/// What became of a client's token in a sticky pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stuck {
    /// The backend that it names answered.
    Hit = 0,
    /// There is no token, or none that is good.
    New = 1,
    /// Another backend than it names answered.
    Moved = 2,
}

/// Handles of a pool's metrics. By default of none.
#[derive(Default)]
pub struct PoolMetrics {
    /// `vanne_retries_total`: tried again, and not for want of budget.
    pub retries: [Counter; 2],
    /// `vanne_circuit_guarded_total`.
    pub guarded: Counter,
    /// `vanne_pool_queue_seconds`.
    pub queue: Histogram,
    /// `vanne_pool_first_byte_seconds`.
    pub first_byte: Histogram,
    connect: Histogram,
    connections: [Counter; 2],
    sticky: [Counter; 3],
}

impl PoolMetrics {
    /// Those of the pool called `pool`.
    #[must_use]
    pub fn new(metrics: &Metrics, pool: &str) -> Self {
        let mut group = metrics.group();
        Self {
            retries: ["done", "no_budget"].map(|result| group.handle(&RETRIES, [pool, result])),
            guarded: group.handle(&CIRCUIT_GUARDED, [pool]),
            connections: ["new", "reused"]
                .map(|kind| group.handle(&POOL_CONNECTIONS, [pool, kind])),
            sticky: ["hit", "new", "moved"].map(|result| group.handle(&STICKY, [pool, result])),
            queue: group.handle(&POOL_QUEUE_DURATION, [pool]),
            first_byte: group.handle(&POOL_FIRST_BYTE_DURATION, [pool]),
            connect: group.handle(&POOL_CONNECT_DURATION, [pool]),
        }
    }

    /// Counts a connection that an attempt has got after `time`.
    pub fn count_connection(&self, is_reused: bool, time: Duration) {
        let [new, reused] = &self.connections;
        if is_reused {
            return reused.inc();
        }
        new.inc();
        self.connect.observe(time);
    }

    /// Counts what became of a client's token.
    pub fn count_sticky(&self, stuck: Stuck) {
        if let Some(counter) = self.sticky.get(stuck as usize) {
            counter.inc();
        }
    }
}
