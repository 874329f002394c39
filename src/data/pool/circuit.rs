//! Circuit: what a backend's breaker means for its pool.
//!
//! Whatever changes a circuit goes through here, so that the backend is marked, the guard
//! counts, and the control plane hears of it.

use super::backend::Backend;
use super::live::Live;
use crate::data::breaker::{self, Cause, Permit, Trip};
use crate::data::outcome::Outcome;
use crate::types::moment::Moment;
use std::time::Duration;

/// What an attempt came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Its outcome: a success that took too long is a slow one.
    pub outcome: Outcome,
    /// What it did to its backend's circuit.
    pub verdict: Verdict,
}

/// What happened to a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Stays,
    /// It is open.
    Opened,
    /// It would be, but for the guard.
    Guarded,
    /// It is closed again.
    Closed,
}

impl Settled {
    /// Nothing came of it.
    #[must_use]
    pub fn nothing(outcome: Outcome) -> Self {
        Self { outcome, verdict: Verdict::Stays }
    }
}

impl Live {
    /// A call of `backend` has ended: how, and how long it took to its answer.
    /// Cost: no lock unless a circuit changes.
    pub(super) fn settle(
        &self,
        backend: &Backend,
        permit: Permit,
        (outcome, time): (Outcome, Duration),
        now: Moment,
    ) -> Settled {
        let circuit = &backend.state.breaker;
        let (outcome, verdict) = circuit.settle(permit, outcome, time, now);
        let verdict = match verdict {
            breaker::Verdict::Stays => Verdict::Stays,
            breaker::Verdict::Trips(trip) => self.trip(backend, trip, now),
            breaker::Verdict::Reopened => {
                self.changed(backend);
                Verdict::Opened
            }
            breaker::Verdict::Closed => {
                self.closed(backend, now);
                Verdict::Closed
            }
        };
        Settled { outcome, verdict }
    }

    /// Opens the circuit of `backend`, if the guard lets it.
    pub fn trip(&self, backend: &Backend, trip: Trip, now: Moment) -> Verdict {
        let circuit = &backend.state.breaker;
        if !self.guard.take(self.members().all.len(), trip.is_gone) {
            if circuit.guard(trip, now) {
                self.touch();
            }
            return Verdict::Guarded;
        }
        if !circuit.open(trip, now) {
            self.guard.give();
            return Verdict::Stays;
        }
        self.changed(backend);
        Verdict::Opened
    }

    /// Lets probes try an open circuit. Whether it was open.
    pub fn half_open(&self, backend: &Backend, cause: Cause, now: Moment) -> bool {
        let is_changed = backend.state.breaker.half_open(cause, now);
        if is_changed {
            self.changed(backend);
        }
        is_changed
    }

    /// Closes the circuit of `backend`, and forgets its calls.
    pub fn reset(&self, backend: &Backend, cause: Cause, now: Moment) {
        if backend.state.breaker.reset(cause, now) {
            self.closed(backend, now);
        }
    }

    /// `backend` has left the pool.
    pub fn retire(&self, backend: &Backend, now: Moment) {
        if backend.state.breaker.retire(now) {
            self.closed(backend, now);
        }
    }

    fn closed(&self, backend: &Backend, now: Moment) {
        self.guard.give();
        backend.state.begin(now);
        self.changed(backend);
    }

    fn changed(&self, backend: &Backend) {
        backend.state.mark_circuit();
        self.touch();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::breaker::{Kind, Rules};
    use crate::data::outcome::Category;
    use crate::data::pool::{GuardRules, Out};
    use crate::data::snapshot::tests::{pool_of, rules};
    use std::sync::Arc;

    const RESET: Outcome = Outcome::Failure(Category::Reset);
    const REFUSED: Outcome = Outcome::Failure(Category::Connect);

    fn at(seconds: u64) -> Moment {
        Moment::from_micros(0).after(Duration::from_secs(100 + seconds))
    }

    /// A pool of so many, half of which stay in service.
    fn live(size: usize, rules: &Rules) -> Arc<Live> {
        let live = pool_of(size).live;
        live.guard.configure(GuardRules { share: 5000, ..GuardRules::default() });
        let rules = Arc::new(rules.clone());
        live.members().all.iter().for_each(|m| m.backend.state.breaker.configure(&rules));
        live
    }

    fn ends(live: &Arc<Live>, index: usize, outcome: Outcome, now: Moment) -> Verdict {
        let members = live.members();
        let mut place = live.enter(&members.all[index]).unwrap();
        place.settle(outcome, Duration::ZERO, now).verdict
    }

    /// The last verdict of five.
    fn fail(live: &Arc<Live>, index: usize, outcome: Outcome, now: Moment) -> Verdict {
        for _ in 0..4 {
            ends(live, index, outcome, now);
        }
        ends(live, index, outcome, now)
    }

    #[test]
    fn an_open_circuit_takes_its_backend_out_and_probes_bring_it_back() {
        let live = live(2, &rules());
        let backend = live.members().all[0].backend.clone();
        assert_eq!(fail(&live, 0, RESET, at(0)), Verdict::Opened);
        assert_eq!(backend.state.why_out(), Some(Out::CircuitOpen));
        assert!(live.is_stale());
        assert!(live.half_open(&backend, Cause::TimeOver, at(60)));
        assert_eq!(backend.state.why_out(), Some(Out::HalfOpen));
        let probe = || live.enter_as_probe(&live.members(), &live.members().all[0]);
        let mut held: Vec<_> = (0..3).map(|_| probe().unwrap()).collect();
        assert!(probe().is_none(), "three at once");
        let verdicts: Vec<_> = held
            .iter_mut()
            .map(|place| place.settle(Outcome::Success, Duration::ZERO, at(61)).verdict)
            .collect();
        assert_eq!(verdicts, [Verdict::Stays, Verdict::Stays, Verdict::Closed]);
        assert_eq!((backend.state.why_out(), backend.state.since()), (None, Some(at(61))));
        assert_eq!(live.guard.out(), 0);
    }

    #[test]
    fn a_probe_that_is_dropped_makes_room() {
        let live = live(2, &rules());
        let backend = live.members().all[0].backend.clone();
        fail(&live, 0, RESET, at(0));
        live.half_open(&backend, Cause::TimeOver, at(60));
        for _ in 0..9 {
            let place = live.enter_as_probe(&live.members(), &live.members().all[0]).unwrap();
            assert!(place.is_probe() && backend.state.breaker.probes() == 1);
        }
        assert_eq!((backend.state.breaker.probes(), backend.state.in_flight()), (0, 0));
    }

    #[test]
    fn the_guard_keeps_a_share_but_for_who_is_gone() {
        let live = live(5, &rules());
        let verdicts: Vec<_> = (0..4).map(|index| fail(&live, index, RESET, at(0))).collect();
        use Verdict::{Guarded, Opened};
        assert_eq!(verdicts, [Opened, Opened, Guarded, Guarded]);
        let held = live.members().all[3].backend.clone();
        assert!(held.state.breaker.is_guarded());
        assert_eq!(held.state.why_out(), None);
        ends(&live, 3, RESET, at(0));
        assert_eq!(held.state.breaker.history(|history| history.count), 1, "told once");
        ends(&live, 3, Outcome::Success, at(0));
        assert!(!held.state.breaker.is_guarded(), "it may be well again");
        assert_eq!(fail(&live, 4, REFUSED, at(0)), Opened);
    }

    #[test]
    fn the_guard_holds_while_a_thousand_fail_at_once() {
        let live = live(1000, &rules());
        let fail_each = |first: usize| {
            for index in (first..1000).step_by(8) {
                fail(&live, index, RESET, at(0));
            }
        };
        std::thread::scope(|scope| {
            let fail_each = &fail_each;
            (0..8).for_each(|first| drop(scope.spawn(move || fail_each(first))));
        });
        let members = live.members();
        let is_open = |member: &&crate::data::pool::Member| {
            member.backend.state.why_out() == Some(Out::CircuitOpen)
        };
        assert_eq!((live.guard.out(), members.all.iter().filter(is_open).count()), (500, 500));
    }

    #[test]
    fn who_leaves_counts_no_more() {
        let live = live(2, &rules());
        let backend = live.members().all[0].backend.clone();
        fail(&live, 0, RESET, at(0));
        live.retire(&backend, at(1));
        assert_eq!((live.guard.out(), backend.state.breaker.kind()), (0, Kind::Closed));
        assert_eq!(fail(&live, 0, RESET, at(2)), Verdict::Stays);
    }
}
