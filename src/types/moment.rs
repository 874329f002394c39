//! Moments: times as numbers, so that they fit into an atomic.

use super::clock;
use std::time::{Duration, Instant};

/// A time in microseconds since shortly before the process' first look at the clock. What is
/// earlier counts as that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// The moment of `instant`.
    #[must_use]
    pub fn of(instant: Instant) -> Self {
        Self(micros(instant.saturating_duration_since(clock::epoch())))
    }

    /// The moment that [`as_micros`](Self::as_micros) gave.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// As a number.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to this; zero if it is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// This much later.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(micros(time)))
    }

    /// The same for the standard library.
    #[must_use]
    pub fn to_instant(self) -> Instant {
        clock::epoch() + Duration::from_micros(self.0)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_keep_distances() {
        let now = clock::now();
        let (a, b) = (Moment::of(now), Moment::of(now + Duration::from_millis(1500)));
        assert_eq!(b.since(a), Duration::from_millis(1500));
        assert_eq!(a.since(b), Duration::ZERO);
        assert_eq!(a.after(Duration::from_millis(1500)), b);
        assert!(a.to_instant() <= now && now - a.to_instant() < Duration::from_micros(1));
    }
}
