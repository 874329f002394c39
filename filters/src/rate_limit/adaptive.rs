//! Adaptive: how far a limit falls while the backends behind it are in trouble.
//!
//! Backends that answer late or badly get less, until they do well again: each second of trouble
//! takes three tenths of what is let in, each good one gives a twentieth of the full rate back. So
//! the way down takes seconds and the way up half a minute, as with TCP's congestion window: what
//! is overloaded recovers only where the load stays low for a while. It never falls below a floor.
//!
//! Pure: who knows the backends says what was seen each second.

/// What trouble is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strain {
    /// Answers that take longer on average are trouble, in microseconds; `None`: none are.
    pub latency_us: Option<u64>,
    /// More failures of a thousand attempts are trouble; `None`: none are.
    pub errors_permille: Option<u32>,
    /// The least that is let in, in thousandths of the limit; 1 to 1000.
    pub floor_permille: u32,
}

/// What was seen of the backends in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Attempts that ended.
    pub attempts: u64,
    /// Of these, how many failed.
    pub failures: u64,
    /// The time to the first byte of all that had one, in microseconds.
    pub latency_sum_us: u64,
    /// How many had one.
    pub answers: u64,
}

/// Attempts in a second that say something: with fewer, chance does. Where less is let in, there are
/// as many fewer of them, and there has been trouble before.
const ATTEMPTS_MIN: u32 = 10;
/// What is left of it after a second of trouble, in thousandths.
const FALL: u32 = 700;
/// What a good second gives back, in thousandths of the full rate.
const RISE: u32 = 50;

/// How much of a limit is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adaptive {
    permille: u32,
}

impl Default for Adaptive {
    fn default() -> Self {
        Self { permille: 1000 }
    }
}

impl Strain {
    /// Whether what was seen while so much was let in is trouble. Too little to say is not.
    fn is_trouble(&self, seen: Seen, permille: u32) -> bool {
        let enough = u64::from((ATTEMPTS_MIN * permille / 1000).max(1));
        let is_late = self.latency_us.is_some_and(|most| {
            seen.answers >= enough && seen.latency_sum_us > most.saturating_mul(seen.answers)
        });
        let is_bad = self.errors_permille.is_some_and(|most| {
            let failed = seen.failures.saturating_mul(1000);
            seen.attempts >= enough && failed > u64::from(most).saturating_mul(seen.attempts)
        });
        is_late || is_bad
    }
}

impl Adaptive {
    /// A second has passed in which this was seen: how much is let in from now on, in thousandths of
    /// the limit.
    pub fn step(&mut self, strain: &Strain, seen: Seen) -> u32 {
        let floor = strain.floor_permille.clamp(1, 1000);
        let next = match strain.is_trouble(seen, self.permille) {
            true => self.permille * FALL / 1000,
            false => self.permille + RISE,
        };
        self.permille = next.clamp(floor, 1000);
        self.permille
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRAIN: Strain =
        Strain { latency_us: Some(500_000), errors_permille: Some(50), floor_permille: 200 };

    fn seen(attempts: u64, failures: u64, latency_ms: u64) -> Seen {
        let answers = attempts;
        Seen { attempts, failures, latency_sum_us: latency_ms * 1000 * answers, answers }
    }

    #[test]
    fn late_or_bad_answers_are_trouble_and_too_few_are_nothing() {
        for (attempts, failures, latency_ms, want) in [
            (100, 0, 100, false),
            (100, 5, 500, false),
            (100, 6, 100, true),
            (100, 0, 501, true),
            (9, 9, 9000, false),
            (10, 10, 0, true),
            (0, 0, 0, false),
        ] {
            let seen = seen(attempts, failures, latency_ms);
            assert_eq!(STRAIN.is_trouble(seen, 1000), want, "{seen:?}");
        }
        let blind = Strain { latency_us: None, errors_permille: None, ..STRAIN };
        assert!(!blind.is_trouble(seen(100, 100, 9000), 1000));
    }

    #[test]
    fn it_falls_fast_to_the_floor_and_recovers_slowly() {
        let mut adaptive = Adaptive::default();
        let (good, bad) = (seen(100, 0, 1), seen(100, 100, 1));
        let falling: Vec<u32> = (0..6).map(|_| adaptive.step(&STRAIN, bad)).collect();
        assert_eq!(falling, [700, 490, 343, 240, 200, 200]);
        let rising: Vec<u32> = (0..17).map(|_| adaptive.step(&STRAIN, good)).collect();
        assert_eq!((rising[0], rising[15], rising[16]), (250, 1000, 1000));
        // Trouble on the way up takes it down again.
        assert_eq!(adaptive.step(&STRAIN, bad), 700);
    }

    #[test]
    fn a_small_limit_falls_to_its_floor_as_well() {
        let strain = Strain { floor_permille: 100, ..STRAIN };
        let mut adaptive = Adaptive::default();
        let mut permille = 1000;
        for _ in 0..8 {
            // Ten a second, all bad: as many come as are let in.
            let attempts = u64::from(permille / 100);
            permille = adaptive.step(&strain, seen(attempts, attempts, 1));
        }
        assert_eq!(permille, 100);
        // Nobody asks: there is nothing to spare backends from.
        assert_eq!(adaptive.step(&strain, Seen::default()), 150);
    }
}
