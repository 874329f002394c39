//! Window: how fast and how well a backend answered in the last minute.
//!
//! Two histograms of a minute each, one that is being filled and the one before. The last
//! minute is the part of the older one that is not over yet, and the newer one. Buckets are a
//! twelfth of an octave wide, so a quantile is off by at most (r − 1) ÷ (r + 1) = 2.9 % for
//! r = 2^(1/12); from 64 µs to 67 s, beyond which there is one bucket on each side. 2 KiB,
//! made with the first answer; any worker adds to it.

use crate::types::moment::Moment;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// The time that counts.
const MINUTE_MICROS: u64 = 60_000_000;
/// Buckets in an octave.
const PER_OCTAVE: u32 = 12;
/// The shortest time that is told from shorter ones, as a power of two of microseconds.
const SHORTEST: u32 = 6;
/// Octaves from the shortest time to the longest.
const OCTAVES: u32 = 20;
const BUCKETS: usize = (PER_OCTAVE * OCTAVES) as usize;

/// How a backend did in the last minute. Empty until somebody notes something.
#[derive(Debug, Default)]
pub struct Window(OnceLock<Box<[Minute; 2]>>);

/// A minute's histogram.
#[derive(Debug)]
struct Minute {
    /// Which minute of all time, from 1. Zero: none.
    number: AtomicU64,
    errors: AtomicU32,
    counts: [AtomicU32; BUCKETS],
}

impl Default for Minute {
    fn default() -> Self {
        Self {
            number: AtomicU64::new(0),
            errors: AtomicU32::new(0),
            counts: std::array::from_fn(|_| AtomicU32::new(0)),
        }
    }
}

/// What there is to tell of the last minute.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// Attempts that ended and say something of the backend.
    pub attempts: f64,
    /// Those of them that failed.
    pub errors: f64,
    /// Times to the answer, in seconds, that 50, 95 and 99 of a hundred do not exceed.
    pub quantiles: [f64; 3],
}

/// What [`Summary::quantiles`] are.
pub const QUANTILES: [f64; 3] = [0.5, 0.95, 0.99];

fn number_of(now: Moment) -> u64 {
    now.as_micros() / MINUTE_MICROS + 1
}

impl Window {
    /// Notes an attempt that ended at `now` and took `time` to its answer, or to its failure.
    /// Cost: a logarithm and two atomic additions; clears a histogram once a minute.
    /// `races`: relaxed; what is noted just while a minute begins may be lost.
    pub fn note(&self, time: Duration, is_error: bool, now: Moment) {
        let minutes = self.0.get_or_init(Box::default);
        let number = number_of(now);
        let [even, odd] = &**minutes;
        let minute = if number.is_multiple_of(2) { even } else { odd };
        minute.begin(number);
        if let Some(bucket) = minute.counts.get(bucket_of(time)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        if is_error {
            minute.errors.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The last minute, as it is at `now`; `None` if nothing was noted in it.
    /// Cost: reads the whole window.
    #[must_use]
    pub fn summary(&self, now: Moment) -> Option<Summary> {
        let minutes = self.0.get()?;
        let number = number_of(now);
        let of = |number: u64| {
            minutes.iter().find(|minute| minute.number.load(Ordering::Relaxed) == number)
        };
        let (newer, older) = (of(number), of(number.saturating_sub(1)).filter(|_| number > 1));
        #[expect(clippy::cast_precision_loss, reason = "microseconds of a minute")]
        let left = 1.0 - (now.as_micros() % MINUTE_MICROS) as f64 / MINUTE_MICROS as f64;
        let read = |minute: Option<&Minute>, at: Option<usize>| {
            let cell = minute.and_then(|minute| match at {
                Some(at) => minute.counts.get(at),
                None => Some(&minute.errors),
            });
            cell.map_or(0.0, |cell| f64::from(cell.load(Ordering::Relaxed)))
        };
        let counted = |at| read(newer, at) + left * read(older, at);
        let counts: Vec<f64> = (0..BUCKETS).map(|at| counted(Some(at))).collect();
        let attempts: f64 = counts.iter().sum();
        (attempts > 0.0).then(|| Summary {
            attempts,
            errors: counted(None),
            quantiles: QUANTILES.map(|share| quantile(&counts, share * attempts)),
        })
    }
}

impl Minute {
    /// From now on it is the minute `number`, if it was an older one.
    fn begin(&self, number: u64) {
        let before = self.number.load(Ordering::Relaxed);
        let is_begun = before >= number
            || self
                .number
                .compare_exchange(before, number, Ordering::AcqRel, Ordering::Relaxed)
                .is_err();
        if is_begun {
            return;
        }
        self.errors.store(0, Ordering::Relaxed);
        for count in &self.counts {
            count.store(0, Ordering::Relaxed);
        }
    }
}

/// The time in seconds that `rank` of these do not exceed.
fn quantile(counts: &[f64], rank: f64) -> f64 {
    let mut sum = 0.0;
    let reaches = |count: &f64| {
        sum += count;
        // A little less: the sums are of fractions.
        *count > 0.0 && sum >= rank - 1e-6
    };
    let at = counts.iter().position(reaches).unwrap_or(BUCKETS - 1);
    // Between the bounds of its bucket, as far from one as from the other in proportion.
    #[expect(clippy::cast_precision_loss, reason = "at most BUCKETS")]
    let low = (at as f64 / f64::from(PER_OCTAVE) + f64::from(SHORTEST)).exp2();
    let high = low * (1.0 / f64::from(PER_OCTAVE)).exp2();
    2.0 * low * high / (low + high) / 1e6
}

/// Where a time is counted.
fn bucket_of(time: Duration) -> usize {
    let octaves = (time.as_secs_f32() * 1e6).max(1.0).log2() - 6.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    let bucket = (octaves * 12.0).clamp(0.0, 1e6) as usize;
    bucket.min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::hash::mix;

    fn at(seconds: f64) -> Moment {
        Moment::default().after(Duration::from_secs_f64(600.0 + seconds))
    }

    /// Numbers between 0 and 1, always the same.
    fn uniform() -> impl Iterator<Item = f64> {
        (1..).map(|seed| (mix(seed) >> 11) as f64 / (1_u64 << 53) as f64)
    }

    /// The largest error of the quantiles of these times, in seconds, against exact ones.
    fn worst(times: impl Iterator<Item = f64>) -> f64 {
        let mut times: Vec<f64> = times.take(20_000).collect();
        let window = Window::default();
        for time in &times {
            window.note(Duration::from_secs_f64(*time), false, at(1.0));
        }
        times.sort_by(f64::total_cmp);
        let found = window.summary(at(1.0)).unwrap().quantiles;
        let error = |(share, found): (f64, f64)| {
            let exact = times[((share * times.len() as f64).ceil() as usize).max(1) - 1];
            (found / exact - 1.0).abs()
        };
        QUANTILES.into_iter().zip(found).map(error).fold(0.0, f64::max)
    }

    #[test]
    fn quantiles_are_within_three_percent_whatever_the_distribution() {
        let gauss = || {
            uniform()
                .zip(uniform().skip(77_777))
                .map(|(a, b)| (-2.0 * a.max(1e-12).ln()).sqrt() * (std::f64::consts::TAU * b).cos())
        };
        let all: [(&str, Box<dyn Iterator<Item = f64>>); 7] = [
            ("always the same", Box::new(std::iter::repeat(0.012_345))),
            ("uniform", Box::new(uniform().map(|x| 0.001 + x * 0.2))),
            ("exponential", Box::new(uniform().map(|x| 0.0005 - 0.02 * (1.0 - x).ln()))),
            ("log-normal", Box::new(gauss().map(|x| 0.01 * (0.8 * x).exp()))),
            ("Pareto", Box::new(uniform().map(|x| 0.002 / (1.0 - x).powf(0.7).max(1e-4)))),
            ("two peaks", Box::new(uniform().map(|x| if x < 0.9 { 0.003 } else { 1.7 }))),
            ("edges of buckets", Box::new((0..).map(|n| 64e-6 * f64::from(n % 240 / 12).exp2()))),
        ];
        for (name, times) in all {
            let error = worst(times);
            assert!(error <= 0.03, "{name}: {:.2} %", error * 100.0);
        }
    }

    #[test]
    fn only_the_last_minute_counts() {
        let window = Window::default();
        assert_eq!(window.summary(at(0.0)), None);
        for second in 0..60 {
            window.note(Duration::from_millis(10), second % 2 == 0, at(f64::from(second)));
        }
        let now = |seconds| window.summary(at(seconds)).map(|it| (it.attempts, it.errors));
        assert_eq!(now(59.9), Some((60.0, 30.0)));
        assert_eq!(now(90.0), Some((30.0, 15.0)), "half of the minute is over");
        window.note(Duration::from_secs(1), false, at(90.0));
        let summary = window.summary(at(90.0)).unwrap();
        assert_eq!(summary.attempts, 31.0);
        assert!((summary.quantiles[2] - 1.0).abs() < 0.03);
        assert_eq!(now(179.9).map(|(attempts, _)| attempts < 0.1), Some(true));
        assert_eq!(now(181.0), None);
    }

    #[test]
    fn times_out_of_range_are_at_its_ends() {
        assert_eq!(bucket_of(Duration::ZERO), 0);
        assert_eq!(bucket_of(Duration::from_micros(64)), 0);
        assert_eq!(bucket_of(Duration::from_micros(128)), 12);
        assert_eq!(bucket_of(Duration::MAX), BUCKETS - 1);
        assert!(size_of::<[Minute; 2]>() <= 2048, "{}", size_of::<[Minute; 2]>());
    }
}
