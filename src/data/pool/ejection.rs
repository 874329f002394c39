//! Ejection: passive health. A backend at which live traffic fails too often in a row is out
//! for a while, longer with each repeat.
//!
//! At most a share of a pool is ejected (the guard): if nearly all fail, the fault is likely
//! elsewhere, and sending all traffic to the last one helps nobody. The guard limits only
//! this; a failed active check always counts.

use super::backend::{Backend, Out};
use super::live::Live;
use crate::data::outcome::{Category, Outcome};
use crate::types::moment::Moment;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// When a backend is ejected, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// Failures in a row.
    pub failures: u32,
    /// The first time out; each repeat adds as much.
    pub out_for: Duration,
    /// The longest time out.
    pub out_for_max: Duration,
    /// Share of the pool that may be ejected at once, in hundredths.
    pub share_max: u32,
}

/// What passive health did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Stays,
    /// The backend is out.
    Ejected,
    /// It would be, but for the guard.
    Guarded,
}

/// Whether an attempt that ended so is held against its backend here: what says that it is
/// gone or overloaded, not that it answered with an error of its own.
fn counts(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Failure(category) if category != Category::Status)
}

impl Live {
    /// Notes how an attempt at `backend` ended.
    /// Cost: one load after a success.
    pub fn note(
        &self,
        backend: &Backend,
        outcome: Outcome,
        rules: &Ejection,
        now: Moment,
    ) -> Verdict {
        let state = &backend.state;
        if !counts(outcome) {
            let is_good = outcome != Outcome::ClientError;
            if is_good && state.failures.load(Ordering::Relaxed) != 0 {
                state.failures.store(0, Ordering::Relaxed);
            }
            return Verdict::Stays;
        }
        if state.failures.fetch_add(1, Ordering::AcqRel) + 1 < rules.failures {
            return Verdict::Stays;
        }
        self.eject(backend, rules, now)
    }

    fn eject(&self, backend: &Backend, rules: &Ejection, now: Moment) -> Verdict {
        let state = &backend.state;
        // One at a time, so that the guard holds.
        let _alone = self.ejecting.lock();
        let is_ejected = |backend: &Backend| backend.state.out() & Out::Ejected as u8 != 0;
        if is_ejected(backend) {
            return Verdict::Stays;
        }
        let members = self.members();
        let out = members.all.iter().filter(|member| is_ejected(&member.backend)).count();
        if (out + 1) * 100 > members.all.len() * rules.share_max as usize {
            return Verdict::Guarded;
        }
        let last = Moment::from_micros(state.ejected_until.load(Ordering::Acquire));
        if now.since(last) > rules.out_for_max {
            state.ejections.store(0, Ordering::Relaxed);
        }
        let times = state.ejections.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let time = rules.out_for.saturating_mul(times).min(rules.out_for_max);
        state.ejected_until.store(now.after(time).as_micros(), Ordering::Release);
        state.failures.store(0, Ordering::Relaxed);
        state.mark(Out::Ejected, true);
        self.touch();
        Verdict::Ejected
    }

    /// Takes `backend` back if its time is over, or at once if `is_proven`: an active check
    /// passed. Whether it came back.
    pub fn readmit(&self, backend: &Backend, is_proven: bool, now: Moment) -> bool {
        let state = &backend.state;
        let is_due = is_proven || state.ejected_until().is_some_and(|until| until <= now);
        if !is_due || !state.mark(Out::Ejected, false) {
            return false;
        }
        state.failures.store(0, Ordering::Relaxed);
        state.begin(now);
        self.touch();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::snapshot::tests::pool_of;

    const RULES: Ejection = Ejection {
        failures: 3,
        out_for: Duration::from_secs(10),
        out_for_max: Duration::from_secs(25),
        share_max: 50,
    };
    const REFUSED: Outcome = Outcome::Failure(Category::Connect);

    fn at(seconds: u64) -> Moment {
        Moment::from_micros(0).after(Duration::from_secs(100 + seconds))
    }

    fn fail(live: &Live, index: usize, now: Moment) -> Verdict {
        let backend = &live.members().all[index].backend;
        (0..3).map(|_| live.note(backend, REFUSED, &RULES, now)).last().unwrap()
    }

    #[test]
    fn failures_in_a_row_eject_and_time_brings_back() {
        let live = pool_of(2).live;
        let backend = live.members().all[0].backend.clone();
        for outcome in [REFUSED, REFUSED, Outcome::Success, REFUSED, REFUSED] {
            assert_eq!(live.note(&backend, outcome, &RULES, at(0)), Verdict::Stays);
        }
        // What the client did says nothing; an error of its own is an answer.
        live.note(&backend, Outcome::ClientError, &RULES, at(0));
        assert_eq!(live.note(&backend, REFUSED, &RULES, at(0)), Verdict::Ejected);
        assert_eq!(backend.state.why_out(), Some(Out::Ejected));
        assert!(live.is_stale());
        assert!(!live.readmit(&backend, false, at(9)));
        assert!(live.readmit(&backend, false, at(10)));
        assert_eq!((backend.state.why_out(), backend.state.since()), (None, Some(at(10))));
        let own = Outcome::Failure(Category::Status);
        assert!((0..9).all(|_| live.note(&backend, own, &RULES, at(11)) == Verdict::Stays));
    }

    #[test]
    fn each_repeat_is_longer_up_to_a_bound_and_good_times_are_remembered() {
        let live = pool_of(2).live;
        let backend = live.members().all[0].backend.clone();
        let mut now = at(0);
        for seconds in [10, 20, 25, 25] {
            assert_eq!(fail(&live, 0, now), Verdict::Ejected);
            assert_eq!(
                backend.state.ejected_until(),
                Some(now.after(Duration::from_secs(seconds)))
            );
            now = now.after(Duration::from_secs(seconds));
            assert!(live.readmit(&backend, false, now));
        }
        now = now.after(Duration::from_secs(26));
        fail(&live, 0, now);
        assert_eq!(backend.state.ejected_until(), Some(now.after(Duration::from_secs(10))));
    }

    #[test]
    fn the_guard_keeps_a_share_of_the_pool() {
        let live = pool_of(5).live;
        let verdicts: Vec<_> = (0..5).map(|index| fail(&live, index, at(0))).collect();
        use Verdict::{Ejected, Guarded};
        assert_eq!(verdicts, [Ejected, Ejected, Guarded, Guarded, Guarded]);
        assert_eq!(fail(&pool_of(1).live, 0, at(0)), Guarded, "the only one is never ejected");
    }

    #[test]
    fn a_check_that_passes_brings_back_at_once() {
        let live = pool_of(2).live;
        fail(&live, 1, at(0));
        let backend = live.members().all[1].backend.clone();
        assert!(live.readmit(&backend, true, at(1)) && !live.readmit(&backend, true, at(1)));
    }
}
