//! 7 · Breaker: the circuit of one backend, which opens when calls fail or are slow there.
//!
//! Closed, it remembers the last calls (`window`) and opens by the first rule that they break
//! (`trip`). Open, nobody comes, until its time is over. Half open, a few probes pass: so many
//! successes close it, one failure opens it again. All of that is atomics (`state`); only a
//! change takes the lock of its history, which nobody else's call waits for.
//!
//! A call has a [`Permit`] of the epoch it began in: what ends in another one counts nowhere.
//! What an open circuit means for its pool, and the guard, is `pool/circuit.rs`.

mod history;
mod state;
mod trip;
mod window;

pub use history::{CHANGES_MAX, Change, History};
pub use state::Kind;
pub use trip::{Cause, Counts, Row, Rules, Sums, WHOLE};
pub use window::CallWindow;

use super::outcome::Outcome;
use crate::types::hash::mix;
use crate::types::moment::Moment;
use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use state::{State, Word};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The circuit of a backend. By default it has no rules, and never opens.
#[derive(Debug, Default)]
pub struct Breaker {
    state: State,
    window: ArcSwapOption<CallWindow>,
    /// An operator keeps it closed.
    is_held: AtomicBool,
    /// The guard keeps it closed.
    is_guarded: AtomicBool,
    /// There is something in its history that was not told of.
    has_news: AtomicBool,
    history: Mutex<History>,
}

/// What a call may count for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Permit {
    /// Nothing.
    #[default]
    None,
    /// The window of this epoch.
    Call(u64),
    /// The half-open circuit of this epoch, of whose probes it is one.
    Probe(u64),
}

/// Why a circuit is to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trip {
    /// By which rule.
    pub cause: Cause,
    /// Whether nobody takes connections there: those calls alone would have opened it.
    pub is_gone: bool,
    /// Whether the last call found nobody who does.
    is_unconnected: bool,
    epoch: u64,
}

/// What a call did to the circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Stays,
    /// It is to open, if the pool can do without it.
    Trips(Trip),
    /// A probe failed, and it is open again.
    Reopened,
    /// The last probe succeeded, and it is closed.
    Closed,
}

impl Breaker {
    /// Goes by these rules from now on. What it remembers stays.
    /// Cost: an allocation, if they are others than before.
    pub fn configure(&self, rules: &Arc<Rules>) {
        let _alone = self.history.lock();
        let next = match &*self.window.load() {
            Some(window) if window.rules == *rules => return,
            Some(window) => window.with(Arc::clone(rules)),
            None => CallWindow::new(Arc::clone(rules), self.state.load().epoch()),
        };
        self.window.store(Some(Arc::new(next)));
    }

    /// How it is.
    /// Cost: one load.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.state.load().kind()
    }

    /// Probes under way, while it is half open.
    #[must_use]
    pub fn probes(&self) -> u64 {
        self.state.load().probes()
    }

    /// Probes that have succeeded, while it is half open.
    #[must_use]
    pub fn successes(&self) -> u64 {
        self.state.load().successes()
    }

    /// The permit of a call that passes anyway: it counts while the circuit is closed.
    /// Cost: one load.
    #[must_use]
    pub fn call(&self) -> Permit {
        let word = self.state.load();
        match word.kind() {
            Kind::Closed => Permit::Call(word.epoch()),
            Kind::Open | Kind::HalfOpen => Permit::None,
        }
    }

    /// The permit of a probe; `None` unless it is half open and may have one more.
    #[must_use]
    pub fn probe(&self) -> Option<Permit> {
        if self.kind() != Kind::HalfOpen {
            return None;
        }
        let most = self.window.load().as_ref().map_or(1, |window| window.rules.probes_max);
        let (_, after) = self.state.update(|word| word.with_probe(most))?;
        Some(Permit::Probe(after.epoch()))
    }

    /// A call has ended so, and took `time` to its answer. A probe's slot is free again. Gives
    /// its outcome, a success that took too long as a slow one, and what it did.
    /// Cost: no lock unless the circuit changes; see [`CallWindow::note`].
    pub fn settle(
        &self,
        permit: Permit,
        outcome: Outcome,
        time: Duration,
        now: Moment,
    ) -> (Outcome, Verdict) {
        let window = self.window.load();
        let Some(window) = window.as_ref() else {
            self.give_back(permit);
            return (outcome, Verdict::Stays);
        };
        let is_slow = time > window.rules.slow_over;
        let outcome = match outcome {
            Outcome::Success if is_slow => Outcome::Slow,
            other => other,
        };
        let verdict = match permit {
            Permit::Call(epoch) if epoch == window.epoch => {
                self.settle_call(window, outcome, is_slow, now)
            }
            Permit::Probe(epoch) => {
                self.settle_probe(epoch, &window.rules, (outcome, is_slow), now)
            }
            Permit::None | Permit::Call(_) => Verdict::Stays,
        };
        (outcome, verdict)
    }

    fn settle_call(
        &self,
        window: &CallWindow,
        outcome: Outcome,
        is_slow: bool,
        now: Moment,
    ) -> Verdict {
        if matches!(outcome, Outcome::ClientError | Outcome::Unseen) {
            return Verdict::Stays;
        }
        let Some((cause, is_gone)) = window.note(outcome, is_slow, now) else {
            if self.is_guarded.load(Ordering::Relaxed) {
                self.is_guarded.store(false, Ordering::Relaxed);
            }
            return Verdict::Stays;
        };
        let (word, epoch) = (self.state.load(), window.epoch);
        let is_closed = word.kind() == Kind::Closed && word.epoch() == epoch;
        match is_closed && !self.is_held.load(Ordering::Relaxed) {
            true => {
                let is_unconnected = is_connect(outcome);
                Verdict::Trips(Trip { cause, is_gone, is_unconnected, epoch })
            }
            false => Verdict::Stays,
        }
    }

    fn settle_probe(
        &self,
        epoch: u64,
        rules: &Rules,
        (outcome, is_slow): (Outcome, bool),
        now: Moment,
    ) -> Verdict {
        let Some(is_good) = rules.judges(outcome, is_slow) else {
            self.give_back(Permit::Probe(epoch));
            return Verdict::Stays;
        };
        let next = |word: Word| {
            let word = word.without_probe(epoch)?;
            Some(if is_good { word.with_success(rules.successes) } else { word.next(Kind::Open) })
        };
        let mut history = self.history.lock();
        let Some((before, after)) = self.state.update(next) else { return Verdict::Stays };
        match after.kind() {
            Kind::HalfOpen => Verdict::Stays,
            Kind::Open => {
                history.is_gone |= is_connect(outcome);
                history.open(rules, Cause::ProbeFailed, now);
                self.note(&mut history, (before, after), Cause::ProbeFailed, now);
                Verdict::Reopened
            }
            Kind::Closed => {
                self.begin(&mut history, (before, after), Cause::ProbesPassed, now);
                Verdict::Closed
            }
        }
    }

    /// A call has ended, of which nothing is known: a probe's slot is free again.
    pub fn give_back(&self, permit: Permit) {
        if let Permit::Probe(epoch) = permit {
            // A circuit that has changed meanwhile has no slot of it.
            let _other_epoch = self.state.update(|word| word.without_probe(epoch));
        }
    }

    /// Opens it, as `trip` says, if it is as it was then. Whether this did it.
    pub fn open(&self, trip: Trip, now: Moment) -> bool {
        let Some(window) = self.window.load_full() else { return false };
        let next = |word: Word| {
            let is_so = word.kind() == Kind::Closed && word.epoch() == trip.epoch;
            is_so.then(|| word.next(Kind::Open))
        };
        let mut history = self.history.lock();
        let Some((before, after)) = self.state.update(next) else { return false };
        if history.is_new_start(&window.rules, now) {
            history.repeats = 0;
        }
        history.cause = Some(trip.cause);
        history.is_gone = trip.is_gone || trip.is_unconnected;
        history.open(&window.rules, trip.cause, now);
        self.note(&mut history, (before, after), trip.cause, now);
        self.is_guarded.store(false, Ordering::Relaxed);
        true
    }

    /// What opens it, for this cause, which no call of its own is; `None` if nothing may.
    #[must_use]
    pub fn trip(&self, cause: Cause) -> Option<Trip> {
        let word = self.state.load();
        let may = word.kind() == Kind::Closed && !self.is_held.load(Ordering::Relaxed);
        let (is_gone, is_unconnected, epoch) = (false, false, word.epoch());
        may.then_some(Trip { cause, is_gone, is_unconnected, epoch })
    }

    /// The guard has kept it closed, though `trip` says it should open. Whether that is new.
    pub fn guard(&self, trip: Trip, now: Moment) -> bool {
        if self.is_guarded.swap(true, Ordering::AcqRel) {
            return false;
        }
        let mut history = self.history.lock();
        let word = self.state.load();
        self.note(&mut history, (word, word), trip.cause, now);
        true
    }

    /// Makes it half open, if it is open. Whether this did it.
    pub fn half_open(&self, cause: Cause, now: Moment) -> bool {
        let next = |word: Word| (word.kind() == Kind::Open).then(|| word.next(Kind::HalfOpen));
        let mut history = self.history.lock();
        let Some((before, after)) = self.state.update(next) else { return false };
        history.until = None;
        self.note(&mut history, (before, after), cause, now);
        true
    }

    /// Closes it, and forgets the calls; so it does if it is closed. Whether it was not.
    pub fn reset(&self, cause: Cause, now: Moment) -> bool {
        let mut history = self.history.lock();
        let Some(change) = self.state.update(|word| Some(word.next(Kind::Closed))) else {
            return false;
        };
        let was_closed = change.0.kind() == Kind::Closed;
        history.repeats = 0;
        self.begin(&mut history, change, cause, now);
        !was_closed
    }

    /// Its backend has left the pool: closed, and without rules. Whether it was not closed.
    pub fn retire(&self, now: Moment) -> bool {
        self.window.store(None);
        // Whoever saw the rules before belongs to an epoch that is over.
        self.reset(Cause::Left, now)
    }

    /// Keeps it closed from now on, or no longer: an operator says so.
    pub fn hold(&self, is_held: bool) {
        self.is_held.store(is_held, Ordering::Relaxed);
    }

    /// Begins an epoch in which it is closed.
    fn begin(&self, history: &mut History, change: (Word, Word), cause: Cause, now: Moment) {
        if let Some(window) = self.window.load_full() {
            let rules = Arc::clone(&window.rules);
            self.window.store(Some(Arc::new(CallWindow::new(rules, change.1.epoch()))));
        }
        self.is_guarded.store(false, Ordering::Relaxed);
        (history.cause, history.until, history.is_gone) = (None, None, false);
        history.closed = Some(now);
        self.note(history, change, cause, now);
    }

    /// Remembers that `cause` happened, which changes nothing.
    pub fn remark(&self, cause: Cause, now: Moment) {
        let mut history = self.history.lock();
        let word = self.state.load();
        self.note(&mut history, (word, word), cause, now);
    }

    fn note(&self, history: &mut History, change: (Word, Word), cause: Cause, now: Moment) {
        history.add(Change { at: now, from: change.0.kind(), to: change.1.kind(), cause });
        self.has_news.store(true, Ordering::Release);
    }

    /// Changes that nobody was told of yet.
    /// Cost: one load while there are none.
    #[must_use]
    pub fn news(&self) -> Vec<Change> {
        if !self.has_news.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut history = self.history.lock();
        self.has_news.store(false, Ordering::Release);
        history.news()
    }

    /// Whether the guard keeps it closed.
    #[must_use]
    pub fn is_guarded(&self) -> bool {
        self.is_guarded.load(Ordering::Relaxed)
    }

    /// Whether the last call there failed, as its rules count.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.window.load().as_ref().is_some_and(|window| window.row().failures > 0)
    }

    /// Its calls; `None` as long as it has no rules.
    #[must_use]
    pub fn window(&self) -> Option<Arc<CallWindow>> {
        self.window.load_full()
    }

    /// Looks at its history, which does not change meanwhile.
    pub fn history<T>(&self, look: impl FnOnce(&History) -> T) -> T {
        look(&self.history.lock())
    }
}

/// Whether a call found nobody who takes connections.
fn is_connect(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Failure(category) if category.is_connect())
}

impl History {
    /// It opens now.
    fn open(&mut self, rules: &Rules, cause: Cause, now: Moment) {
        debug_assert!(self.cause.is_some(), "{cause:?}: it was opened by something");
        self.repeats = self.repeats.saturating_add(1);
        let random = mix(now.as_micros()) ^ u64::from(self.repeats);
        self.until = Some(now.after(rules.open_time(self.repeats, random)));
    }

    /// Whether it was well for so long that an opening now is no repeat.
    fn is_new_start(&self, rules: &Rules, now: Moment) -> bool {
        let good = rules.open_for_max.max(rules.open_for);
        self.closed.is_none_or(|closed| now.since(closed) > good)
    }
}

#[cfg(test)]
mod tests;
