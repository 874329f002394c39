//! How many sessions were active of late, in bounded memory.
//!
//! One sketch (HyperLogLog, Flajolet et al. 2007) for each half minute of the last five; they
//! are joined when somebody asks. 16,384 registers are off by 0.8 % (1.04 ÷ √16384); few
//! sessions are counted nearly exactly (linear counting). It drives autoscaling: exact to a
//! session it need not be.

use crate::types::hash::mix;
use crate::types::moment::Moment;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Registers of a sketch, as a power of two.
const BITS: u32 = 14;
const REGISTERS: usize = 1 << BITS;
/// Length of a part of the time, in seconds.
const PART_SECONDS: u64 = 30;
/// Parts that count: five minutes, and the one that is not over.
const PARTS: u64 = 11;

/// Sessions that were active in the last five minutes.
pub struct Sessions {
    parts: Box<[Part]>,
}

struct Part {
    /// Which part of all time it holds, from 1.
    number: AtomicU64,
    registers: Box<[AtomicU8]>,
}

impl Default for Sessions {
    fn default() -> Self {
        let part = |_| Part {
            number: AtomicU64::new(0),
            registers: (0..REGISTERS).map(|_| AtomicU8::new(0)).collect(),
        };
        Self { parts: (0..PARTS).map(part).collect() }
    }
}

/// Which part of all time `now` is in.
fn number_of(now: Moment) -> u64 {
    now.as_micros() / (PART_SECONDS * 1_000_000) + 1
}

impl Sessions {
    /// The session `id` was active at `now`.
    /// `races`: relaxed; a session that comes just while a part begins anew may be lost there,
    /// and is counted again with its next request.
    pub fn note(&self, id: u64, now: Moment) {
        let number = number_of(now);
        let Some(part) = usize::try_from(number % PARTS).ok().and_then(|at| self.parts.get(at))
        else {
            return;
        };
        if part.number.load(Ordering::Relaxed) != number
            && part.number.swap(number, Ordering::Relaxed) != number
        {
            for register in &part.registers {
                register.store(0, Ordering::Relaxed);
            }
        }
        let hash = mix(id);
        let at = usize::try_from(hash >> (u64::BITS - BITS)).unwrap_or_default();
        let rank = u8::try_from((hash << BITS).leading_zeros().min(u64::BITS - BITS) + 1);
        if let (Some(register), Ok(rank)) = (part.registers.get(at), rank)
            && register.load(Ordering::Relaxed) < rank
        {
            register.fetch_max(rank, Ordering::Relaxed);
        }
    }

    /// How many different ones were active in the last five minutes.
    #[must_use]
    pub fn count(&self, now: Moment) -> u64 {
        let newest = number_of(now);
        let is_recent = |part: &&Part| {
            let number = part.number.load(Ordering::Relaxed);
            number > 0 && number <= newest && newest - number < PARTS
        };
        let parts: Vec<&Part> = self.parts.iter().filter(is_recent).collect();
        let joined = (0..REGISTERS).map(|at| {
            let of = |part: &&Part| part.registers.get(at).map_or(0, |r| r.load(Ordering::Relaxed));
            parts.iter().map(of).max().unwrap_or_default()
        });
        estimate(joined)
    }
}

fn estimate(registers: impl Iterator<Item = u8>) -> u64 {
    #[expect(clippy::cast_precision_loss, reason = "16384 is exact")]
    let count = REGISTERS as f64;
    let (sum, zeros) = registers.fold((0.0, 0_u32), |(sum, zeros), rank| {
        (sum + 2_f64.powi(-i32::from(rank)), zeros + u32::from(rank == 0))
    });
    let raw = 0.7213 / (1.0 + 1.079 / count) * count * count / sum;
    let estimate = match raw <= 2.5 * count && zeros > 0 {
        true => count * (count / f64::from(zeros)).ln(),
        false => raw,
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number of sessions"
    )]
    let whole = estimate.round() as u64;
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(seconds: u64) -> Moment {
        Moment::default().after(Duration::from_secs(seconds))
    }

    #[test]
    fn different_sessions_are_counted_once() {
        for (sessions, off) in [(0, 0), (1, 0), (100, 2), (1000, 20), (100_000, 3000)] {
            let sketch = Sessions::default();
            for round in 0..3 {
                (0..sessions).for_each(|id| sketch.note(id, at(round * 40)));
            }
            let count = sketch.count(at(100));
            assert!(count.abs_diff(sessions) <= off, "{count} for {sessions}");
        }
    }

    #[test]
    fn who_was_silent_for_five_minutes_is_forgotten() {
        let sketch = Sessions::default();
        (0..50).for_each(|id| sketch.note(id, at(10)));
        (50..60).for_each(|id| sketch.note(id, at(200)));
        assert!((59..=61).contains(&sketch.count(at(310))));
        assert_eq!(sketch.count(at(345)), 10);
        assert_eq!(sketch.count(at(545)), 0);
        sketch.note(1, at(100_000));
        assert_eq!(sketch.count(at(100_000)), 1);
    }
}
