//! The clock: the one place that reads it.
//!
//! Everything else takes `now` as an argument, so it can be tested on a virtual
//! clock. An engine reads the clock once per event.

use std::time::{Instant, SystemTime};

/// The monotonic time, for durations and deadlines.
#[expect(clippy::disallowed_methods, reason = "this is the only reader of the clock")]
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// The wall clock, for logs. It may jump: never subtract two of its readings.
#[expect(clippy::disallowed_methods, reason = "this is the only reader of the clock")]
#[must_use]
pub fn wall() -> SystemTime {
    SystemTime::now()
}
