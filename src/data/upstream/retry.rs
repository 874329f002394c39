//! 8 · Retry: how often a request may be tried again, and how often all of a pool's.
//!
//! Retries help with a fault of one backend and make a fault of all worse. So each pool has
//! a budget: every request adds a share of a retry, every retry takes a whole one. What was
//! not used is kept up to a bound; a small floor per second is there without any traffic.

use crate::types::moment::Moment;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// A retry, in the units that are counted.
const ONE: i64 = 1000;
/// Seconds of floor that may be used at once.
const FLOOR_BURST: Duration = Duration::from_secs(1);

/// When and how a pool's requests are tried again.
#[derive(Clone, Debug, PartialEq)]
pub struct Retries {
    /// Further attempts of one request.
    pub attempts: u8,
    /// Faults after which another attempt is made, besides those where no backend saw the
    /// request.
    pub on: Vec<On>,
    /// Share of the requests that may be retried, in thousandths.
    pub budget: u16,
    /// Retries per second that are always possible.
    pub floor: u16,
    /// The pause before the second attempt; twice as long before each further one.
    pub backoff: Duration,
    /// The longest pause.
    pub backoff_max: Duration,
    /// Bytes of a body that are kept for another attempt.
    pub body_max: usize,
}

/// What another attempt may be made after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// The backend closed the connection before it answered.
    Reset,
    /// No answer within `first_byte`.
    Timeout,
    /// An answer with this status.
    Status(u16),
}

impl Retries {
    /// Whether an answer with `status` is to be tried again.
    #[must_use]
    pub fn is_on_status(&self, status: u16) -> bool {
        self.on.contains(&On::Status(status))
    }

    /// The pause before further attempt `number` (1 is the first), with full jitter: a part
    /// of it that `random` says, so that those who failed together do not come back together.
    #[must_use]
    pub fn pause(&self, number: u32, random: u64) -> Duration {
        let doubled = 1_u32.checked_shl(number.saturating_sub(1)).unwrap_or(u32::MAX);
        let longest = self.backoff.saturating_mul(doubled).min(self.backoff_max);
        let micros = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(random % micros.saturating_add(1))
    }
}

/// What all requests of a pool may still retry. Kept over reloads.
#[derive(Debug, Default)]
pub struct Budget {
    balance: AtomicI64,
    /// Until when the floor is used up, in microseconds (a generic cell rate).
    floor_used: AtomicU64,
}

impl Budget {
    /// A request adds its share. At most a second's floor, or a hundred retries, add up.
    /// `races`: relaxed; the balance may exceed its bound by one request of each thread.
    pub fn deposit(&self, share: u16) {
        const BALANCE_MAX: i64 = 100 * ONE;
        if share > 0 && self.balance.load(Ordering::Relaxed) < BALANCE_MAX {
            self.balance.fetch_add(i64::from(share), Ordering::Relaxed);
        }
    }

    /// Takes a retry out of the budget, if there is one.
    #[must_use]
    pub fn withdraw(&self, floor: u16, now: Moment) -> bool {
        let taken = |balance: i64| (balance >= ONE).then(|| balance - ONE);
        self.balance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
            || self.withdraw_floor(floor, now)
    }

    fn withdraw_floor(&self, floor: u16, now: Moment) -> bool {
        if floor == 0 {
            return false;
        }
        let step = 1_000_000 / u64::from(floor);
        let latest = now.after(FLOOR_BURST).as_micros();
        let taken = |used: u64| {
            let next = used.max(now.as_micros()) + step;
            (next <= latest).then_some(next)
        };
        self.floor_used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }

    /// Retries that requests have saved up.
    #[must_use]
    pub fn left(&self) -> i64 {
        self.balance.load(Ordering::Relaxed) / ONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_micros(millis * 1000)
    }

    #[test]
    fn retries_are_a_share_of_requests_and_a_floor() {
        let budget = Budget::default();
        let mut retries = 0;
        for request in 0..10_000 {
            budget.deposit(200);
            retries += u32::from(budget.withdraw(10, at(request)));
        }
        // 20 % of 10,000, and 10 a second for 10 s and the first second's burst.
        assert!((2000..=2110).contains(&retries), "{retries}");
    }

    #[test]
    fn what_was_saved_up_is_bounded() {
        let budget = Budget::default();
        (0..100_000).for_each(|_| budget.deposit(1000));
        assert_eq!(budget.left(), 100);
        let now = at(1000);
        assert_eq!((0..1000).filter(|_| budget.withdraw(0, now)).count(), 100);
        assert_eq!((0..1000).filter(|_| budget.withdraw(10, now)).count(), 10);
    }

    #[test]
    fn pauses_double_up_to_a_bound_and_are_jittered() {
        let retries = Retries {
            attempts: 3,
            on: Vec::new(),
            budget: 200,
            floor: 10,
            backoff: Duration::from_millis(25),
            backoff_max: Duration::from_millis(60),
            body_max: 0,
        };
        let longest = |number| (0..100_000).map(|r| retries.pause(number, r)).max().unwrap();
        assert_eq!([1, 2, 3, 40].map(longest).map(|d| d.as_millis()), [25, 50, 60, 60]);
        assert_eq!(retries.pause(1, 0), Duration::ZERO);
    }
}
