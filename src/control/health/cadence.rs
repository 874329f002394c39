//! When checks are due. Pure.

use std::time::{Duration, Instant};

/// Over how long the first checks of many targets are spread, for each of them. A few are
/// asked at once: who starts or adds a backend waits for the result.
const FIRST_EACH: Duration = Duration::from_millis(1);
/// The most that this is, however many they are and however long the interval is.
const FIRST_MAX: Duration = Duration::from_secs(1);

/// How long the first check of one of `count` new targets waits.
pub(super) fn first(count: usize, interval: Duration, rng: &mut fastrand::Rng) -> Duration {
    let each = u32::try_from(count).unwrap_or(u32::MAX);
    let spread = FIRST_EACH.saturating_mul(each).min(FIRST_MAX).min(interval);
    spread.mul_f64(rng.f64())
}

/// When the next check is due, after one that was due at `due` and over at `now`: an interval
/// later, give or take a tenth, so that checks of one rhythm come apart. At once if that is
/// past, as after a wait for others: two checks of a target never overlap, and none that was
/// missed is made up for.
pub(super) fn next(
    due: Instant,
    now: Instant,
    interval: Duration,
    rng: &mut fastrand::Rng,
) -> Instant {
    (due + interval.mul_f64(0.9 + 0.2 * rng.f64())).max(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::clock;

    #[test]
    fn first_checks_are_spread_but_soon() {
        let mut rng = fastrand::Rng::with_seed(1);
        let second = Duration::from_secs(1);
        for (count, interval, most) in [
            (1, 30 * second, Duration::from_millis(1)),
            (100, 30 * second, Duration::from_millis(100)),
            (5000, 30 * second, second),
            (5000, second / 10, second / 10),
        ] {
            let waits: Vec<_> = (0..1000).map(|_| first(count, interval, &mut rng)).collect();
            assert!(waits.iter().all(|wait| *wait <= most));
            assert!(waits.iter().filter(|wait| **wait > most / 2).count() > 400, "spread");
        }
    }

    #[test]
    fn checks_keep_their_rhythm_give_or_take_a_tenth() {
        let mut rng = fastrand::Rng::with_seed(1);
        let (now, second) = (clock::now(), Duration::from_secs(1));
        for _ in 0..1000 {
            let wait = next(now, now + second, 10 * second, &mut rng) - now;
            assert!((9 * second..=11 * second).contains(&wait), "{wait:?}");
        }
        let late = now + 60 * second;
        assert_eq!(next(now, late, 10 * second, &mut rng), late);
    }
}
