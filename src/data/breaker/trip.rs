//! Trip: when a circuit opens, for how long, and what that is called. Pure.

use crate::data::outcome::{Category, Outcome};
use crate::types::hash::mix;
use std::time::Duration;

/// Ten-thousandths of a whole.
pub const WHOLE: u64 = 10_000;

/// What a circuit goes by; each rule can be off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Calls that are remembered: 1 or more.
    pub calls_max: usize,
    /// Calls that ended longer ago are forgotten, if this is said.
    pub age_max: Option<Duration>,
    /// Rates count from so many calls on.
    pub calls_min: u32,
    /// Failures in a row; 0: off.
    pub failures: u32,
    /// Share of failures, in ten-thousandths; 0: off.
    pub failure_rate: u16,
    /// A call is slow that takes longer.
    pub slow_over: Duration,
    /// Share of slow calls, in ten-thousandths; 0: off.
    pub slow_rate: u16,
    /// How long it is open the first time.
    pub open_for: Duration,
    /// So many times as long with each repeat; 1: always the same.
    pub backoff: u32,
    /// The longest time that repeats come to.
    pub open_for_max: Duration,
    /// The part of that time by which chance makes it longer, in ten-thousandths.
    pub jitter: u16,
    /// Probes at once, while it is half open: 1 or more.
    pub probes_max: u8,
    /// Probes that have to succeed: 1 or more.
    pub successes: u8,
    /// Failures that count.
    pub counts: Counts,
}

/// A set of [`Category`]: those that count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts(u16);

impl Counts {
    /// These.
    #[must_use]
    pub fn of(categories: impl IntoIterator<Item = Category>) -> Self {
        Self(categories.into_iter().fold(0, |bits, one| bits | 1 << one as u16))
    }

    /// Whether an attempt that ended so counts as failed.
    #[must_use]
    pub const fn holds(self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Failure(category) => self.0 & (1 << category as u16) != 0,
            _ => false,
        }
    }
}

/// Why a circuit changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Too many failures in a row.
    FailuresInARow,
    /// Too large a share of failures.
    FailureRate,
    /// Too large a share of slow calls.
    SlowRate,
    /// A probe failed.
    ProbeFailed,
    /// It fails more than the others of its pool.
    OutlierErrors,
    /// It is slower than the others of its pool.
    OutlierLatency,
    /// Its time is over.
    TimeOver,
    /// An active check passed.
    CheckPassed,
    /// So many probes succeeded.
    ProbesPassed,
    /// An operator opened it.
    ForcedOpen,
    /// An operator keeps it closed.
    ForcedClosed,
    /// An operator closed it.
    Reset,
    /// What an operator said is over.
    Auto,
    /// Its backend left the pool.
    Left,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::FailuresInARow,
        Self::FailureRate,
        Self::SlowRate,
        Self::ProbeFailed,
        Self::OutlierErrors,
        Self::OutlierLatency,
        Self::TimeOver,
        Self::CheckPassed,
        Self::ProbesPassed,
        Self::ForcedOpen,
        Self::ForcedClosed,
        Self::Reset,
        Self::Auto,
        Self::Left,
    ];

    /// The label in log, metric and status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FailuresInARow => "failures_in_a_row",
            Self::FailureRate => "failure_rate",
            Self::SlowRate => "slow_rate",
            Self::ProbeFailed => "probe_failed",
            Self::OutlierErrors => "outlier_errors",
            Self::OutlierLatency => "outlier_latency",
            Self::TimeOver => "time_over",
            Self::CheckPassed => "check_passed",
            Self::ProbesPassed => "probes_passed",
            Self::ForcedOpen => "forced_open",
            Self::ForcedClosed => "forced_closed",
            Self::Reset => "reset",
            Self::Auto => "auto",
            Self::Left => "left",
        }
    }

    /// What a circuit becomes by it.
    #[must_use]
    pub const fn to(self) -> &'static str {
        match self {
            Self::TimeOver | Self::CheckPassed => "half_open",
            Self::ProbesPassed | Self::Reset | Self::Left => "closed",
            Self::ForcedOpen => "forced_open",
            Self::ForcedClosed => "forced_closed",
            Self::Auto => "auto",
            _ => "open",
        }
    }

    /// Whether it opens circuits by itself.
    #[must_use]
    pub fn is_trip(self) -> bool {
        self.to() == "open"
    }
}

/// What there is in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Calls.
    pub calls: u32,
    /// Those of them that failed, as the rules count.
    pub failures: u32,
    /// Those of these that found nobody who takes connections.
    pub unconnected: u32,
    /// Calls that took too long, however they ended.
    pub slow: u32,
}

/// Failures since the last call that did not fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// All of them.
    pub failures: u32,
    /// The last of them that found nobody who takes connections, one after the other.
    pub unconnected: u32,
}

impl Rules {
    /// Why a circuit with these calls behind it opens, if it does.
    #[must_use]
    pub fn trips(&self, sums: &Sums, row: Row) -> Option<Cause> {
        let reaches = |count: u32, rate: u16| {
            rate > 0
                && sums.calls >= self.calls_min
                && sums.calls > 0
                && u64::from(count) * WHOLE >= u64::from(rate) * u64::from(sums.calls)
        };
        match () {
            () if self.failures > 0 && row.failures >= self.failures => Some(Cause::FailuresInARow),
            () if reaches(sums.failures, self.failure_rate) => Some(Cause::FailureRate),
            () if reaches(sums.slow, self.slow_rate) => Some(Cause::SlowRate),
            () => None,
        }
    }

    /// Whether it would open by calls alone that found nobody: then nobody is there.
    #[must_use]
    pub fn is_gone(&self, sums: &Sums, row: Row) -> bool {
        let failures = sums.unconnected;
        let row = Row { failures: row.unconnected, ..row };
        self.trips(&Sums { failures, slow: 0, ..*sums }, row).is_some()
    }

    /// Whether a probe that ended so is good; `None`: it says nothing.
    #[must_use]
    pub fn judges(&self, outcome: Outcome, is_slow: bool) -> Option<bool> {
        match outcome {
            Outcome::ClientError | Outcome::Unseen => None,
            _ if is_slow && self.slow_rate > 0 => Some(false),
            _ => Some(!self.counts.holds(outcome)),
        }
    }

    /// How long it is open the `repeat`th time, from 1 on. `random`: any number.
    #[must_use]
    pub fn open_time(&self, repeat: u32, random: u64) -> Duration {
        let times = self.backoff.max(1).saturating_pow(repeat.saturating_sub(1));
        let time = self.open_for.saturating_mul(times).min(self.open_for_max.max(self.open_for));
        let part = mix(random) % (u64::from(self.jitter) + 1);
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        time + Duration::from_micros(micros / WHOLE * part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::snapshot::tests::rules;

    #[test]
    fn each_rule_trips_at_its_number_and_can_be_off() {
        let sums = |calls, failures, slow| Sums { calls, failures, unconnected: 0, slow };
        let row = |failures| Row { failures, unconnected: 0 };
        let (rules, off) =
            (rules(), Rules { failures: 0, failure_rate: 0, slow_rate: 0, ..rules() });
        for (sums, row, want) in [
            (sums(5, 5, 0), row(4), None),
            (sums(5, 5, 0), row(5), Some(Cause::FailuresInARow)),
            (sums(9, 9, 0), row(0), None),
            (sums(10, 4, 0), row(0), None),
            (sums(10, 5, 0), row(0), Some(Cause::FailureRate)),
            (sums(100, 49, 49), row(4), None),
            (sums(100, 0, 50), row(0), Some(Cause::SlowRate)),
        ] {
            assert_eq!(rules.trips(&sums, row), want, "{sums:?} {row:?}");
            assert_eq!(off.trips(&sums, row), None);
        }
    }

    #[test]
    fn who_is_gone_is_told_from_who_fails() {
        let rules = rules();
        let row = |failures, unconnected| Row { failures, unconnected };
        let sums = |failures, unconnected| Sums { calls: 20, failures, unconnected, slow: 20 };
        assert!(rules.is_gone(&sums(6, 6), row(6, 5)));
        assert!(!rules.is_gone(&sums(6, 4), row(6, 4)));
        assert!(rules.is_gone(&sums(10, 10), row(1, 1)));
        assert!(!rules.is_gone(&sums(20, 9), row(9, 0)));
    }

    #[test]
    fn repeats_are_longer_up_to_a_bound_and_by_chance() {
        let seconds = Duration::from_secs;
        let rules = Rules { backoff: 2, ..rules() };
        let times = [1, 2, 3, 4, 5, 40].map(|repeat| rules.open_time(repeat, 7));
        assert_eq!(times, [60, 120, 240, 480, 600, 600].map(seconds));
        assert_eq!(super::tests::rules().open_time(9, 7), seconds(60));
        let rules = Rules { jitter: 1000, ..rules };
        let times: Vec<_> = (0..50).map(|random| rules.open_time(1, random)).collect();
        assert!(times.iter().all(|time| (seconds(60)..=seconds(66)).contains(time)));
        assert!(
            times.iter().any(|time| *time > seconds(63)) && times.iter().any(|t| *t < seconds(63))
        );
    }

    #[test]
    fn what_counts_is_the_pools_to_say() {
        let counts = Counts::of([Category::Connect, Category::Gateway]);
        for outcome in Outcome::ALL {
            let is = matches!(
                outcome,
                Outcome::Failure(Category::Connect) | Outcome::Failure(Category::Gateway)
            );
            assert_eq!(counts.holds(outcome), is, "{outcome:?}");
        }
        let rules = Rules { counts, ..rules() };
        assert_eq!(rules.judges(Outcome::ClientError, true), None);
        assert_eq!(rules.judges(Outcome::Failure(Category::Status), false), Some(true));
        assert_eq!(rules.judges(Outcome::Failure(Category::Gateway), false), Some(false));
        assert_eq!(rules.judges(Outcome::Slow, true), Some(false));
        let rules = Rules { slow_rate: 0, ..rules };
        assert_eq!(rules.judges(Outcome::Slow, true), Some(true));
    }
}
