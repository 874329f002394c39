//! How fast a backend answers: a peak-sensitive moving average (peak EWMA).
//!
//! A slow answer counts at once; fast ones bring the value down over time. Value and time
//! are one number, so that reading and writing take no lock. While nobody asks it, what it
//! once showed loses its meaning: the caller gets how much of it still holds.
//!
//! Source: Finagle's `PeakEwma`; the time constant is measured (`tests/load`): with 1 s a
//! backend that recovers has its share again within 5 s.

use crate::types::moment::Moment;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Time constant for backends that answer fast.
const DECAY_MIN_SECONDS: f32 = 1.0;
/// For slow ones: so many of their own answers.
const DECAY_ANSWERS: f32 = 8.0;
/// What a failure counts at least: a backend that fails fast must not look fast.
pub const FAILURE: Duration = Duration::from_secs(1);
/// Ticks of the stored time in a second. They wrap after 48 days, which only makes a value
/// look younger than it is.
const TICKS: u64 = 1024;

/// The moving average: seconds as `f32` in the upper half, ticks in the lower. Zero: nothing
/// is known.
#[derive(Debug, Default)]
pub struct Latency(AtomicU64);

/// What is known of a backend's latency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Known {
    /// Seconds.
    pub seconds: f32,
    /// How much that still says, 0 to 1: all of it now, nothing after a long silence.
    pub weight: f32,
}

impl Latency {
    /// Adds an answer that took `time`.
    /// `races`: a loop of compare-and-swap; each answer counts once.
    pub fn observe(&self, time: Duration, now: Moment) {
        let sample = time.as_secs_f32().max(1e-6);
        let ticks = ticks(now);
        let next = |old: u64| Some(pack(average(old, sample, ticks), ticks));
        let updated = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        debug_assert!(updated.is_ok(), "there is always a next value");
    }

    /// What is known at `now`; `None` if nothing ever was.
    #[must_use]
    pub fn known(&self, now: Moment) -> Option<Known> {
        let stored = self.0.load(Ordering::Relaxed);
        if stored == 0 {
            return None;
        }
        let (seconds, then) = unpack(stored);
        Some(Known { seconds, weight: fading(seconds, then, ticks(now)) })
    }
}

fn average(old: u64, sample: f32, now: u32) -> f32 {
    if old == 0 {
        return sample;
    }
    let (value, then) = unpack(old);
    if sample >= value {
        return sample;
    }
    let weight = fading(value, then, now);
    value * weight + sample * (1.0 - weight)
}

/// How much of a value of `then` holds at `now`.
fn fading(seconds: f32, then: u32, now: u32) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "a rough weight is all that is asked")]
    let elapsed = now.wrapping_sub(then) as f32 / TICKS as f32;
    (-elapsed / (seconds * DECAY_ANSWERS).max(DECAY_MIN_SECONDS)).exp()
}

#[expect(clippy::cast_possible_truncation, reason = "it wraps, as said above")]
fn ticks(now: Moment) -> u32 {
    (now.as_micros() / (1_000_000 / TICKS)) as u32
}

fn pack(seconds: f32, ticks: u32) -> u64 {
    (u64::from(seconds.to_bits()) << 32) | u64::from(ticks)
}

#[expect(clippy::cast_possible_truncation, reason = "two halves of a number")]
fn unpack(stored: u64) -> (f32, u32) {
    (f32::from_bits((stored >> 32) as u32), stored as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Moment {
        Moment::from_micros(1_000_000).after(Duration::from_secs_f64(seconds))
    }

    #[test]
    fn one_slow_answer_counts_at_once_and_fast_ones_bring_it_down() {
        let latency = Latency::default();
        assert_eq!(latency.known(at(0.0)), None);
        latency.observe(Duration::from_millis(5), at(0.0));
        latency.observe(Duration::from_millis(55), at(0.1));
        assert!((latency.known(at(0.1)).unwrap().seconds - 0.055).abs() < 1e-4);
        for step in 2..50 {
            latency.observe(Duration::from_millis(5), at(f64::from(step) / 10.0));
        }
        assert!(latency.known(at(5.0)).unwrap().seconds < 0.006);
    }

    #[test]
    fn what_was_known_fades_in_silence() {
        let latency = Latency::default();
        latency.observe(Duration::from_millis(5), at(0.0));
        assert!(latency.known(at(0.0)).unwrap().weight > 0.99);
        assert!(latency.known(at(10.0)).unwrap().weight < 0.01);
        // Eight of its own answers are as long as it takes for a slow one.
        latency.observe(Duration::from_secs(5), at(10.0));
        assert!(latency.known(at(20.0)).unwrap().weight > 0.7);
    }
}
