//! Guard: a share of a pool stays in service, whatever its circuits say.
//!
//! If nearly all fail, the fault is likely elsewhere, and sending all traffic to the last one
//! helps nobody. The guard limits circuits that calls open. It limits no active check and no
//! operator, and keeps nobody in service who refuses connections: there nobody is. Only where
//! no check would tell that the last one is back, that one stays, since live traffic does.

use crate::data::breaker::WHOLE;
use std::sync::atomic::{AtomicU32, Ordering};

/// What the guard goes by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuardRules {
    /// Share of the pool that stays in service, in ten-thousandths; 0: off.
    pub share: u16,
    /// Whether its backends are checked.
    pub is_checked: bool,
    /// Whether all requests that nobody here takes have somewhere else to go: then it is off.
    pub has_fallback: bool,
}

/// Counts circuits of a pool that are not closed.
/// `races`: who opens a circuit counts it before and takes it back if another did; so it is
/// never too low.
#[derive(Debug, Default)]
pub struct Guard {
    out: AtomicU32,
    rules: AtomicU32,
}

const CHECKED: u32 = 1 << 16;
const FALLBACK: u32 = 1 << 17;
const SHARE: u32 = 0xffff;

impl Guard {
    /// Goes by these rules from now on.
    pub fn configure(&self, rules: GuardRules) {
        let flag = |holds: bool, bit: u32| if holds { bit } else { 0 };
        let word = u32::from(rules.share)
            | flag(rules.is_checked, CHECKED)
            | flag(rules.has_fallback, FALLBACK);
        self.rules.store(word, Ordering::Relaxed);
    }

    /// Circuits that are not closed.
    #[must_use]
    pub fn out(&self) -> u32 {
        self.out.load(Ordering::Relaxed)
    }

    /// Whether one more of `all` backends may be out; then it counts. `is_gone`: nobody takes
    /// connections there.
    pub(super) fn take(&self, all: usize, is_gone: bool) -> bool {
        let word = self.rules.load(Ordering::Relaxed);
        let share = if word & FALLBACK != 0 { 0 } else { u64::from(word & SHARE) };
        let may = |out: u32| {
            let left = (all as u64).saturating_sub(u64::from(out) + 1);
            let may = match is_gone {
                true => share == 0 || word & CHECKED != 0 || left > 0,
                false => left * WHOLE >= share * all as u64,
            };
            may.then_some(out + 1)
        };
        self.out.fetch_update(Ordering::AcqRel, Ordering::Relaxed, may).is_ok()
    }

    /// One is closed again.
    pub(super) fn give(&self) {
        let before = self.out.fetch_sub(1, Ordering::AcqRel);
        debug_assert!(before > 0, "a circuit that was never counted");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `all` may be out.
    fn most(rules: GuardRules, all: usize, is_gone: bool) -> usize {
        let guard = Guard::default();
        guard.configure(rules);
        (0..all * 2).take_while(|_| guard.take(all, is_gone)).count().min(all)
    }

    #[test]
    fn a_share_stays_in_service() {
        let rules = |share| GuardRules { share, ..GuardRules::default() };
        for (share, all, want) in
            [(5000, 1, 0), (5000, 2, 1), (5000, 5, 2), (1, 5, 4), (0, 5, 5), (10_000, 5, 0)]
        {
            assert_eq!(most(rules(share), all, false), want, "{share} of {all}");
        }
        let off = GuardRules { has_fallback: true, ..rules(5000) };
        assert_eq!(most(off, 1, false), 1);
    }

    #[test]
    fn who_refuses_connections_is_not_kept_but_for_the_last_that_nobody_checks() {
        let rules = |is_checked| GuardRules { share: 5000, is_checked, has_fallback: false };
        assert_eq!(most(rules(true), 3, true), 3);
        assert_eq!(most(rules(false), 3, true), 2);
    }

    #[test]
    fn who_is_back_makes_room() {
        let guard = Guard::default();
        guard.configure(GuardRules { share: 5000, ..GuardRules::default() });
        assert!(guard.take(2, false) && !guard.take(2, false));
        guard.give();
        assert!(guard.take(2, false));
    }
}
