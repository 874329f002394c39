//! GCRA: the generic cell rate algorithm (ITU-T I.371, annex A), a bucket as one number.
//!
//! A bucket holds `burst` requests and fills at `rate`. What is kept of it is the moment since
//! which it would have filled if it had been empty then: a request moves that moment on by the
//! time in which the bucket gains what it costs, and is refused where the moment would then lie
//! ahead. (I.371 keeps the theoretical arrival time, which is later by the time in which the bucket
//! fills.) How much the bucket may hold is not in that number, so `burst` may change at any time:
//! what is in the bucket stays, as far as it has room. The rate is in it, so what was kept at
//! another rate is counted anew ([`Change`]).

use std::time::Duration;

/// Parts of a nanosecond that times are counted in: the rate is then met within 1 part in
/// 64,000 up to a million requests a second, and 64 bits last for nine years: two before the
/// beginning and almost seven after it.
const PARTS: u64 = 64;
/// The same for a second.
const SECOND: u64 = 1_000_000_000 * PARTS;
/// The longest time that a bucket may take to fill: 62 days. More would come near the end of
/// 64 bits.
pub const FILL_MAX: Duration = Duration::from_secs(62 * 86_400);

/// The beginning of time. A bucket that is full then has been empty before, but not before zero.
const BEGIN: u64 = 1 << 62;

/// A time since some beginning, the same for all who share a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(pub(super) u64);

impl Tick {
    /// This long after the beginning.
    #[must_use]
    pub fn after(time: Duration) -> Self {
        Self(parts(time).saturating_add(BEGIN))
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
        duration(self.to_parts())
    }

    const fn to_parts(self) -> u64 {
        self.seconds.saturating_mul(SECOND).saturating_add(self.parts)
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
    /// Nothing is allowed: there is no rate yet.
    pub(super) const NONE: Self = Self { interval: 0, fill: 0, burst: 0 };

    /// `count` in every `per`, and `burst` at once. `None` unless all are more than zero, one
    /// takes at least a nanosecond, and `burst` at most [`FILL_MAX`].
    #[must_use]
    pub fn new(count: u32, per: Duration, burst: u32) -> Option<Self> {
        // Rounded up: never more than the rate.
        let interval = parts(per).checked_next_multiple_of(u64::from(count))? / u64::from(count);
        let fill = interval.checked_mul(u64::from(burst))?;
        let is_right = interval >= PARTS && fill > 0 && fill <= parts(FILL_MAX);
        is_right.then(|| Self::of(interval, burst))
    }

    /// `burst` that fills by one in each `interval`; no slower than time goes back.
    fn of(interval: u64, burst: u32) -> Self {
        let interval = interval.min(BEGIN / u64::from(burst.max(1)));
        Self { interval, fill: interval.saturating_mul(u64::from(burst)), burst }
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
        Self::of(self.interval.saturating_mul(u64::from(count.max(1))), burst)
    }

    /// The same bucket that fills at `permille` thousandths of its rate; 1 to 1000.
    #[must_use]
    pub fn slowed(&self, permille: u32) -> Self {
        if permille >= 1000 {
            return *self;
        }
        Self::of(self.interval.saturating_mul(1000) / u64::from(permille.max(1)), self.burst)
    }

    /// A bucket that is full now, but for `missing`: since when it would have filled.
    #[must_use]
    pub fn bucket(&self, missing: Span, now: Tick) -> Tick {
        self.with(missing.to_parts(), now)
    }

    /// A bucket that is full now.
    #[must_use]
    pub fn full(&self, now: Tick) -> Tick {
        self.with(0, now)
    }

    /// Takes `cost` out of a bucket, for a request that waits up to `patience` for it. Nothing is
    /// taken where it would have to wait longer.
    ///
    /// # Errors
    /// When it would.
    pub fn take(
        &self,
        bucket: &mut Tick,
        now: Tick,
        cost: u32,
        patience: Duration,
    ) -> Result<Pass, Refused> {
        let missing = self.missing(*bucket, now);
        let after = missing.saturating_add(self.interval.saturating_mul(u64::from(cost)));
        let wait = after.saturating_sub(self.fill);
        if wait > 0 && wait > parts(patience) {
            return Err(Refused { retry_after: duration(wait), left: self.left(missing) });
        }
        *bucket = self.with(after, now);
        // Most wait for nothing: no division.
        let wait = if wait == 0 { Duration::ZERO } else { duration(wait) };
        Ok(Pass { left: self.left(after), wait })
    }

    /// Puts `cost` back, taken before.
    pub fn give_back(&self, bucket: &mut Tick, cost: u32) {
        bucket.0 = bucket.0.saturating_sub(self.interval.saturating_mul(u64::from(cost)));
    }

    /// Takes `cost`, though there is less: what was found to cost more than was thought. At
    /// most a whole bucket is owed.
    pub fn charge(&self, bucket: &mut Tick, now: Tick, cost: u32) {
        let missing = self.missing(*bucket, now);
        let after = missing.saturating_add(self.interval.saturating_mul(u64::from(cost)));
        *bucket = self.with(after.min(self.fill.saturating_mul(2)), now);
    }

    /// Whether buckets of `other` are counted in the same way.
    #[must_use]
    pub const fn has_rate_of(&self, other: &Self) -> bool {
        self.interval == other.interval
    }

    /// How buckets of `before`, of which something was last wanted at `touched`, are counted now.
    /// `None`: as before.
    #[must_use]
    pub fn change_from(&self, before: &Self, touched: Tick, now: Tick) -> Option<Change> {
        // Where there was no rate yet, there is nothing to count anew.
        if self.has_rate_of(before) || before.interval == 0 {
            return None;
        }
        let is_faster = self.interval < before.interval;
        let since = if is_faster { touched } else { now };
        Some(Change { since, ratio: as_double(self.interval) / as_double(before.interval) })
    }

    /// What is missing from `bucket`; more than it holds: what is owed too.
    fn missing(&self, bucket: Tick, now: Tick) -> u64 {
        bucket.0.saturating_add(self.fill).saturating_sub(now.0)
    }

    /// The bucket from which so much is missing.
    fn with(&self, missing: u64, now: Tick) -> Tick {
        Tick(now.0.saturating_add(missing).saturating_sub(self.fill))
    }

    /// What a bucket holds that `missing` is missing from.
    fn left(&self, missing: u64) -> u32 {
        let left = self.fill.saturating_sub(missing) / self.interval;
        u32::try_from(left).unwrap_or(u32::MAX)
    }
}

/// How buckets that were counted at one rate are counted at another: what they hold, or owe,
/// stays, in requests. The time since something was last wanted of them counts at the faster of
/// the two: nobody waits for a rate that is gone, or loses what there was before.
///
/// In doubles, as scripts do it.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    since: Tick,
    ratio: f64,
}

impl Change {
    /// The same bucket at the new rate.
    #[must_use]
    pub fn of(&self, bucket: Tick) -> Tick {
        // To the nearest: whole requests stay whole.
        let scaled = |parts: u64| (as_double(parts) * self.ratio + 0.5) as u64;
        match self.since.0.checked_sub(bucket.0) {
            Some(held) => Tick(self.since.0.saturating_sub(scaled(held))),
            None => {
                let owed = scaled(bucket.0 - self.since.0).min(parts(FILL_MAX));
                Tick(self.since.0.saturating_add(owed))
            }
        }
    }
}

/// Seconds and parts of them together, as scripts have them.
fn as_double(parts: u64) -> f64 {
    let span = Span::of_parts(parts);
    span.seconds as f64 * SECOND as f64 + span.parts as f64
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

    fn per_second(count: u32, burst: u32) -> Quota {
        Quota::new(count, Duration::from_secs(1), burst).unwrap()
    }

    fn per_hour(count: u32, burst: u32) -> Quota {
        Quota::new(count, Duration::from_secs(3600), burst).unwrap()
    }

    /// What a bucket holds.
    fn left(quota: &Quota, mut bucket: Tick, now: Tick) -> u32 {
        quota.take(&mut bucket, now, 0, NONE).map_or_else(|no| no.left, |pass| pass.left)
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let quota = per_second(100, 3);
        let mut bucket = quota.full(at(0));
        let passed = [0, 0, 0, 0, 9, 10, 10, 21, 31, 1000, 1000, 1000, 1000]
            .map(|millis| u8::from(quota.take(&mut bucket, at(millis), 1, NONE).is_ok()));
        assert_eq!(passed, [1, 1, 1, 0, 0, 1, 0, 1, 1, 1, 1, 1, 0]);
    }

    #[test]
    fn who_is_refused_hears_when_to_come_again() {
        let quota = per_second(10, 2);
        let mut bucket = quota.full(at(0));
        assert_eq!(quota.take(&mut bucket, at(0), 2, NONE).unwrap().left, 0);
        let refused = quota.take(&mut bucket, at(50), 1, NONE).unwrap_err();
        assert_eq!((refused.retry_after, refused.left), (Duration::from_millis(50), 0));
        let (again, empty) = (at(50).0 + parts(refused.retry_after), bucket);
        assert!(quota.take(&mut bucket, Tick(again - 1), 1, NONE).is_err());
        assert_eq!(quota.take(&mut bucket, Tick(again), 1, NONE).unwrap().left, 0);
        quota.give_back(&mut bucket, 1);
        assert_eq!(bucket, empty);
    }

    #[test]
    fn who_has_patience_waits_its_turn() {
        let quota = per_second(10, 1);
        let mut bucket = quota.full(at(0));
        let waits = [0; 4].map(|millis| {
            let said = quota.take(&mut bucket, at(millis), 1, Duration::from_millis(200));
            said.map(|pass| pass.wait.as_millis()).map_err(|no| no.retry_after)
        });
        assert_eq!(waits, [Ok(0), Ok(100), Ok(200), Err(Duration::from_millis(300))]);
    }

    #[test]
    fn what_is_charged_later_may_be_owed_but_not_without_end() {
        let quota = per_second(1, 5);
        let mut bucket = quota.full(at(0));
        quota.charge(&mut bucket, at(0), 1000);
        assert!(quota.take(&mut bucket, at(5_999), 1, NONE).is_err());
        assert!(quota.take(&mut bucket, at(6_000), 1, NONE).is_ok());
    }

    #[test]
    fn what_cannot_be_kept_is_no_quota() {
        let day = Duration::from_secs(86_400);
        for (count, per, burst) in [(0, day, 1), (1, day, 0), (1, day, 63), (1, Duration::ZERO, 1)]
        {
            assert_eq!(Quota::new(count, per, burst), None, "{count} {per:?} {burst}");
        }
        assert_eq!(Quota::new(2, Duration::from_nanos(1), 1), None);
        // As slow as may be, and slower: full is full all the same.
        let slowest = Quota::new(1, day, 62).unwrap();
        let slower = slowest.slowed(1).share(1000, 1);
        for quota in [slowest, slowest.slowed(100), slower] {
            let mut bucket = quota.full(at(0));
            assert_eq!(quota.take(&mut bucket, at(0), 1, NONE).unwrap().left, quota.burst() - 1);
        }
    }

    #[test]
    fn what_a_bucket_holds_and_owes_stays_when_its_rate_changes() {
        let now = at(1_000_000);
        for (before, after) in
            [(per_hour(1, 2), per_second(1000, 2)), (per_second(10, 9), per_hour(1, 9))]
        {
            for taken in 0..=before.burst() {
                let mut bucket = before.full(now);
                before.take(&mut bucket, now, taken, NONE).unwrap();
                let there = after.change_from(&before, now, now).unwrap().of(bucket);
                assert_eq!(left(&after, there, now), before.burst() - taken);
                let back = before.change_from(&after, now, now).unwrap().of(there);
                assert!(bucket.0.abs_diff(back.0) <= before.interval / 1000, "{bucket:?} {back:?}");
            }
        }
        let (fast, slow) = (per_second(10, 2), per_second(1, 2));
        let mut bucket = fast.full(now);
        fast.charge(&mut bucket, now, 4);
        let mut there = slow.change_from(&fast, now, now).unwrap().of(bucket);
        let refused = slow.take(&mut there, now, 1, NONE).unwrap_err();
        assert_eq!(refused.retry_after, Duration::from_secs(3));
    }

    #[test]
    fn time_since_it_was_touched_counts_at_the_faster_rate() {
        let (slow, fast) = (per_hour(1, 20), per_second(10, 20));
        let (touched, now) = (at(0), at(500));
        let empty = slow.bucket(slow.fill(), touched);
        let faster = fast.change_from(&slow, touched, now).unwrap().of(empty);
        assert_eq!(left(&fast, faster, now), 5);
        let empty = fast.bucket(fast.fill(), touched);
        let slower = slow.change_from(&fast, touched, now).unwrap().of(empty);
        assert_eq!(left(&slow, slower, now), 5);
        // And not twice.
        assert_eq!(left(&slow, slower, at(600)), 5);
    }

    #[test]
    fn what_is_in_a_bucket_stays_as_far_as_it_has_room() {
        let (small, large) = (per_hour(1, 10), per_hour(1, 100));
        assert!(small.change_from(&large, at(0), at(0)).is_none());
        let mut bucket = large.full(at(0));
        large.take(&mut bucket, at(0), 50, NONE).unwrap();
        assert_eq!((left(&small, bucket, at(0)), left(&large, bucket, at(0))), (10, 50));
        large.take(&mut bucket, at(0), 50, NONE).unwrap();
        assert_eq!((left(&small, bucket, at(0)), left(&large, bucket, at(0))), (0, 0));
        let refused = small.take(&mut bucket, at(0), 1, NONE).unwrap_err();
        assert_eq!(refused.retry_after, Duration::from_secs(3600));
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
            let mut bucket = quota.full(Tick::after(NONE));
            for (gap, cost) in arrivals {
                nanos += gap;
                level = level.saturating_sub(u128::from(gap * PARTS));
                let more = u128::from(cost) * u128::from(quota.interval);
                let may = level + more <= room;
                level += if may { more } else { 0 };
                let now = Tick::after(Duration::from_nanos(nanos));
                let said = quota.take(&mut bucket, now, cost, NONE);
                prop_assert_eq!(said.is_ok(), may);
            }
        }

        /// The same at rates that change at any time: what is in it stays, and it fills at the
        /// rate of the moment.
        #[test]
        fn a_bucket_whose_rate_changes_fills_at_the_rate_of_the_moment(
            rates in prop::collection::vec((1..2000_u32, 1..300_u64), 1..30),
            burst in 1..50_u32,
        ) {
            let (mut level, mut millis) = (f64::from(burst), 0);
            let mut before = per_second(rates[0].0, burst);
            let mut bucket = before.full(at(0));
            for (rate, steps) in rates {
                let quota = per_second(rate, burst);
                bucket = quota.change_from(&before, at(millis), at(millis)).map_or(bucket, |change| change.of(bucket));
                for _ in 0..steps {
                    millis += 1;
                    level = (level + f64::from(rate) / 1000.0).min(f64::from(burst));
                    let said = quota.take(&mut bucket, at(millis), 1, NONE);
                    // Where it is a matter of rounding, either is right.
                    prop_assert!(said.is_ok() == (level >= 1.0) || (level - 1.0).abs() < 0.001);
                    level -= if said.is_ok() { 1.0 } else { 0.0 };
                }
                before = quota;
            }
        }
    }
}
