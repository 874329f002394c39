//! What a limit that adapts knows of the backends behind it.
//!
//! The data plane counts, control looks each second and says how much is let in from then on.

use crate::data::outcome::Outcome;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use vanne_filters::rate_limit::{Adaptive, Seen, Strain};

/// Attempts of a limit's requests, and what follows from them. Outlives reloads.
pub struct Adapting {
    attempts: AtomicU64,
    failures: AtomicU64,
    latency_sum_us: AtomicU64,
    answers: AtomicU64,
    permille: AtomicU32,
    /// Control's alone.
    adaptive: Mutex<Adaptive>,
}

impl Default for Adapting {
    fn default() -> Self {
        Self {
            attempts: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            latency_sum_us: AtomicU64::new(0),
            answers: AtomicU64::new(0),
            permille: AtomicU32::new(1000),
            adaptive: Mutex::default(),
        }
    }
}

impl Adapting {
    /// An attempt has ended. What its client or our own rules did says nothing.
    pub fn note(&self, outcome: Outcome, first_byte: Option<Duration>) {
        if outcome == Outcome::ClientError {
            return;
        }
        self.attempts.fetch_add(1, Ordering::Relaxed);
        if matches!(outcome, Outcome::Failure(_)) {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(time) = first_byte {
            let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
            self.latency_sum_us.fetch_add(micros, Ordering::Relaxed);
            self.answers.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Thousandths of the rate that are let in now.
    #[must_use]
    pub fn permille(&self) -> u32 {
        self.permille.load(Ordering::Relaxed)
    }

    /// A second has passed.
    pub fn step(&self, strain: &Strain) {
        let take = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        let seen = Seen {
            attempts: take(&self.attempts),
            failures: take(&self.failures),
            latency_sum_us: take(&self.latency_sum_us),
            answers: take(&self.answers),
        };
        let next = self.adaptive.lock().step(strain, seen);
        self.permille.store(next, Ordering::Relaxed);
    }
}
