//! GCRA: the generic cell rate algorithm (ITU-T I.371, annex A), a bucket as one number.
//!
//! A bucket holds `burst` requests and fills at `rate`. What is kept of it is the moment when
//! it will be full again (I.371 calls it the theoretical arrival time): a request moves that
//! moment on by what it costs, and is refused where the bucket would then be overdrawn. A
//! moment that has passed says nothing, so a bucket that is full again may be forgotten.

use std::time::Duration;

/// Parts of a nanosecond that times are counted in: the rate is then met within 1 part in
/// 64,000 up to a million requests a second, and 64 bits last for nine years.
const PARTS: u64 = 64;
/// The same for a second.
const SECOND: u64 = 1_000_000_000 * PARTS;
/// The longest time that a bucket may take to fill: 62 days. More would come near the end of
/// 64 bits.
pub const FILL_MAX: Duration = Duration::from_secs(62 * 86_400);

/// A time since some beginning, the same for all who share a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(pub(super) u64);

impl Tick {
    /// This long after the beginning.
    #[must_use]
    pub fn after(time: Duration) -> Self {
        Self(parts(time))
    }

    /// So long after the beginning.
    #[must_use]
    pub const fn of(span: Span) -> Self {
        Self(span.seconds.saturating_mul(SECOND).saturating_add(span.parts))
    }

    /// So much later.
    #[must_use]
    pub fn later(self, time: Duration) -> Self {
        Self(self.0.saturating_add(parts(time)))
    }

    /// How long it is after `other`; `None`: it is not.
    #[must_use]
    pub fn since(self, other: Self) -> Option<Duration> {
        let parts = self.0.checked_sub(other.0).filter(|parts| *parts > 0)?;
        Some(duration(parts))
    }
}

/// A length of time in two whole numbers that a double holds exactly: what scripts reckon with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Whole seconds.
    pub seconds: u64,
    /// And so many parts of a second: less than [`Span::SECOND`].
    pub parts: u64,
}

impl Span {
    /// Parts in a second.
    pub const SECOND: u64 = SECOND;

    /// The same length.
    #[must_use]
    pub const fn of(time: Duration) -> Self {
        Self { seconds: time.as_secs(), parts: time.subsec_nanos() as u64 * PARTS }
    }

    /// The same length; rounded up.
    #[must_use]
    pub const fn to_duration(self) -> Duration {
        duration(self.seconds.saturating_mul(SECOND).saturating_add(self.parts))
    }

    const fn of_parts(parts: u64) -> Self {
        Self { seconds: parts / SECOND, parts: parts % SECOND }
    }
}

/// How much is allowed: a rate, and how much at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The time in which the bucket gains one.
    interval: u64,
    /// The time in which it fills.
    fill: u64,
    burst: u32,
}

/// What a bucket says to a request that it lets pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// When the bucket will be full again.
    pub full_at: Tick,
    /// What is left in it now.
    pub left: u32,
    /// How long the request has to wait until there is what it took; zero if there is.
    pub wait: Duration,
}

/// What it says to one that it refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// In what time it would let it pass, if nobody else comes.
    pub retry_after: Duration,
    /// What is left in it now: less than was asked.
    pub left: u32,
}

impl Quota {
    /// `count` in every `per`, and `burst` at once. `None` unless all are more than zero, one
    /// takes at least a nanosecond, and `burst` at most [`FILL_MAX`].
    #[must_use]
    pub fn new(count: u32, per: Duration, burst: u32) -> Option<Self> {
        // Rounded up: never more than the rate.
        let interval = parts(per).checked_next_multiple_of(u64::from(count))? / u64::from(count);
        let fill = interval.checked_mul(u64::from(burst))?;
        let is_right = interval >= PARTS && fill > 0 && fill <= parts(FILL_MAX);
        is_right.then_some(Self { interval, fill, burst })
    }

    /// How much at once.
    #[must_use]
    pub const fn burst(&self) -> u32 {
        self.burst
    }

    /// In what time an empty bucket is full.
    #[must_use]
    pub const fn fill_time(&self) -> Duration {
        duration(self.fill)
    }

    /// The time in which it gains `cost`.
    #[must_use]
    pub const fn span(&self, cost: u32) -> Span {
        Span::of_parts(self.interval.saturating_mul(cost as u64))
    }

    /// The time in which an empty bucket is full.
    #[must_use]
    pub const fn fill(&self) -> Span {
        Span::of_parts(self.fill)
    }

    /// What one of `count` has who share it evenly; a request of `cost` finds enough in it.
    #[must_use]
    pub fn share(&self, count: u32, cost: u32) -> Self {
        let burst = self.burst.div_ceil(count.max(1)).max(cost);
        let interval = self.interval.saturating_mul(u64::from(count.max(1)));
        Self { interval, fill: interval.saturating_mul(u64::from(burst)), burst }
    }

    /// The same bucket that fills at `permille` thousandths of its rate; 1 to 1000.
    #[must_use]
    pub fn slowed(&self, permille: u32) -> Self {
        if permille >= 1000 {
            return *self;
        }
        let slow = |parts: u64| parts.saturating_mul(1000) / u64::from(permille.max(1));
        let interval = slow(self.interval);
        Self { interval, fill: interval.saturating_mul(u64::from(self.burst)), burst: self.burst }
    }

    /// Takes `cost` out of a bucket that will be full at `full_at`, for a request that waits up
    /// to `patience` for it. Nothing is taken where it would have to wait longer.
    ///
    /// # Errors
    /// When it would.
    pub fn take(
        &self,
        full_at: Tick,
        now: Tick,
        cost: u32,
        patience: Duration,
    ) -> Result<Pass, Refused> {
        let missing = full_at.0.saturating_sub(now.0);
        let after = missing.saturating_add(self.interval.saturating_mul(u64::from(cost)));
        let wait = after.saturating_sub(self.fill);
        if wait > 0 && wait > parts(patience) {
            return Err(Refused { retry_after: duration(wait), left: self.left(missing) });
        }
        let full_at = Tick(now.0.saturating_add(after));
        Ok(Pass { full_at, left: self.left(after), wait: duration(wait) })
    }

    /// Puts `cost` back, taken before.
    #[must_use]
    pub fn give_back(&self, full_at: Tick, cost: u32) -> Tick {
        Tick(full_at.0.saturating_sub(self.interval.saturating_mul(u64::from(cost))))
    }

    /// Takes `cost`, though there is less: what was found to cost more than was thought. At
    /// most a whole bucket is owed.
    #[must_use]
    pub fn charge(&self, full_at: Tick, now: Tick, cost: u32) -> Tick {
        let missing = full_at.0.saturating_sub(now.0);
        let after = missing.saturating_add(self.interval.saturating_mul(u64::from(cost)));
        Tick(now.0.saturating_add(after.min(self.fill.saturating_mul(2))))
    }

    /// What a bucket holds that `missing` is missing from.
    fn left(&self, missing: u64) -> u32 {
        let left = self.fill.saturating_sub(missing) / self.interval;
        u32::try_from(left).unwrap_or(u32::MAX)
    }
}

fn parts(time: Duration) -> u64 {
    let whole = time.as_secs().saturating_mul(SECOND);
    whole.saturating_add(u64::from(time.subsec_nanos()) * PARTS)
}

/// Rounded up, so that who waits so long has waited enough.
const fn duration(parts: u64) -> Duration {
    Duration::from_nanos(parts.div_ceil(PARTS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NONE: Duration = Duration::ZERO;

    fn at(millis: u64) -> Tick {
        Tick::after(Duration::from_millis(millis))
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let quota = Quota::new(100, Duration::from_secs(1), 3).unwrap();
        let (mut full_at, mut passed) = (Tick::default(), Vec::new());
        for millis in [0, 0, 0, 0, 9, 10, 10, 21, 31, 1000, 1000, 1000, 1000] {
            let said = quota.take(full_at, at(millis), 1, NONE);
            full_at = said.map_or(full_at, |pass| pass.full_at);
            passed.push(said.is_ok());
        }
        let want = [1, 1, 1, 0, 0, 1, 0, 1, 1, 1, 1, 1, 0].map(|passed| passed == 1);
        assert_eq!(passed, want);
    }

    #[test]
    fn who_is_refused_hears_when_to_come_again() {
        let quota = Quota::new(10, Duration::from_secs(1), 2).unwrap();
        let first = quota.take(Tick::default(), at(0), 2, NONE).unwrap();
        assert_eq!(first.left, 0);
        let refused = quota.take(first.full_at, at(50), 1, NONE).unwrap_err();
        assert_eq!((refused.retry_after, refused.left), (Duration::from_millis(50), 0));
        let again = at(50).0 + parts(refused.retry_after);
        assert!(quota.take(first.full_at, Tick(again - 1), 1, NONE).is_err());
        assert_eq!(quota.take(first.full_at, Tick(again), 1, NONE).unwrap().left, 0);
        let back = quota.give_back(first.full_at, 1);
        assert_eq!(quota.take(back, at(0), 1, NONE).unwrap().full_at, first.full_at);
    }

    #[test]
    fn who_has_patience_waits_its_turn() {
        let quota = Quota::new(10, Duration::from_secs(1), 1).unwrap();
        let (mut full_at, mut waits) = (Tick::default(), Vec::new());
        for _ in 0..4 {
            let said = quota.take(full_at, at(0), 1, Duration::from_millis(200));
            full_at = said.map_or(full_at, |pass| pass.full_at);
            waits.push(said.map(|pass| pass.wait.as_millis()).map_err(|no| no.retry_after));
        }
        assert_eq!(waits, [Ok(0), Ok(100), Ok(200), Err(Duration::from_millis(300))]);
    }

    #[test]
    fn what_is_charged_later_may_be_owed_but_not_without_end() {
        let quota = Quota::new(1, Duration::from_secs(1), 5).unwrap();
        let owed = quota.charge(Tick::default(), at(0), 1000);
        assert_eq!(owed, at(10_000));
        assert!(quota.take(owed, at(5_999), 1, NONE).is_err());
        assert!(quota.take(owed, at(6_000), 1, NONE).is_ok());
    }

    #[test]
    fn what_cannot_be_kept_is_no_quota() {
        let day = Duration::from_secs(86_400);
        for (count, per, burst) in [(0, day, 1), (1, day, 0), (1, day, 63), (1, Duration::ZERO, 1)]
        {
            assert_eq!(Quota::new(count, per, burst), None, "{count} {per:?} {burst}");
        }
        assert_eq!(Quota::new(2, Duration::from_nanos(1), 1), None);
        assert!(Quota::new(1, day, 62).is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        /// The bucket as a child would build it: a level that falls as time goes by, in whole
        /// numbers without rounding (times of a nanosecond, levels of `count` a nanosecond).
        #[test]
        fn verdicts_are_those_of_a_bucket_that_leaks(
            (count, per_ms) in (1..5000_u32, prop::sample::select(vec![1000_u64, 60_000])),
            burst in 1..300_u32,
            arrivals in prop::collection::vec((0..40_000_000_u64, 1..3_u32), 1..400),
        ) {
            let per = Duration::from_millis(per_ms);
            let quota = Quota::new(count, per, burst).unwrap();
            // The same rounding: one request is so many parts.
            let (room, mut level, mut nanos) = (u128::from(quota.fill), 0_u128, 0_u64);
            let mut full_at = Tick::default();
            for (gap, cost) in arrivals {
                nanos += gap;
                level = level.saturating_sub(u128::from(gap * PARTS));
                let more = u128::from(cost) * u128::from(quota.interval);
                let may = level + more <= room;
                level += if may { more } else { 0 };
                let said = quota.take(full_at, Tick::after(Duration::from_nanos(nanos)), cost, NONE);
                prop_assert_eq!(said.is_ok(), may);
                full_at = said.map_or(full_at, |pass| pass.full_at);
            }
        }
    }
}
