//! The clock: the one place that reads it.
//!
//! Everything else takes `now` as an argument, so it can be tested on a virtual
//! clock. An engine reads the clock once per event.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

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

/// From when [`Moment`](super::moment::Moment)s count: shortly before the clock was first
/// asked for it, so that what the first caller read before is not cut off.
#[must_use]
pub fn epoch() -> Instant {
    static EPOCH: LazyLock<Instant> = LazyLock::new(|| {
        let now = now();
        now.checked_sub(Duration::from_secs(60)).unwrap_or(now)
    });
    *EPOCH
}
