//! One backend, and what is known of it: atomics that outlive reloads.
//!
//! Data and control write them, both read them. Nothing here decides.

use super::latency::Latency;
use super::metrics::BackendMetrics;
use super::window::Window;
use crate::data::breaker::{Breaker, Kind};
use crate::types::moment::Moment;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

/// Why a backend takes no new traffic. Several may hold at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Out {
    /// An operator lets it finish what it has; sticky clients may still come.
    Drain = 1,
    /// An operator took it out: nobody comes.
    Maint = 2,
    /// Its active check fails.
    Unhealthy = 4,
    /// Its circuit is open: calls failed there, or were slow.
    CircuitOpen = 8,
    /// Its circuit is half open: only probes come.
    HalfOpen = 16,
    /// An operator opened its circuit: nobody comes.
    ForcedOpen = 32,
    /// Its source says that it ends: it finishes what it has, and sticky clients may still come.
    Leaving = 64,
}

impl Out {
    /// All of them, the most telling first.
    pub const ALL: [Self; 7] = [
        Self::Maint,
        Self::Drain,
        Self::Leaving,
        Self::ForcedOpen,
        Self::Unhealthy,
        Self::CircuitOpen,
        Self::HalfOpen,
    ];

    /// The label in log, metric and status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Maint => "maint",
            Self::Unhealthy => "unhealthy",
            Self::CircuitOpen => "circuit_open",
            Self::HalfOpen => "half_open",
            Self::ForcedOpen => "forced_open",
            Self::Leaving => "leaving",
        }
    }

    /// Reasons that a pool may overlook when too few backends are left.
    pub const BY_HEALTH: u8 =
        Self::Unhealthy as u8 | Self::CircuitOpen as u8 | Self::HalfOpen as u8;

    /// Reasons to take nobody new that leave sticky clients where they are.
    pub const BY_DRAINING: u8 = Self::Drain as u8 | Self::Leaving as u8;

    /// Reasons that are its circuit's.
    pub const BY_CIRCUIT: u8 =
        Self::CircuitOpen as u8 | Self::HalfOpen as u8 | Self::ForcedOpen as u8;
}

/// What an orchestrator says of a backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// The pod's name.
    pub name: Option<Box<str>>,
    /// The machine that it runs on.
    pub node: Option<Box<str>>,
    /// The zone of that.
    pub zone: Option<Box<str>>,
}

/// One instance of a service in a pool.
#[derive(Debug)]
pub struct Backend {
    /// Where it listens.
    pub address: SocketAddr,
    /// The address as text: its name in logs and metrics.
    pub name: Box<str>,
    /// What names it in sticky clients' tokens.
    pub tag: u64,
    /// What an orchestrator says of it, if one does.
    pub pod: Option<Arc<Pod>>,
    /// What is known of it.
    pub state: BackendState,
}

/// What is known of a backend; shared by all workers, kept over reloads.
#[derive(Debug, Default)]
pub struct BackendState {
    in_flight: AtomicU32,
    out: AtomicU8,
    /// Its circuit.
    pub breaker: Breaker,
    /// Since when it takes traffic, in microseconds: slow start counts from here. Zero: since
    /// ever.
    since: AtomicU64,
    /// How fast it answers.
    pub latency: Latency,
    /// How fast and how well it answered in the last minute.
    pub window: Window,
    /// Handles of its metrics.
    pub metrics: BackendMetrics,
}

impl BackendState {
    /// A backend that nobody uses yet.
    #[must_use]
    pub fn new(metrics: BackendMetrics) -> Self {
        Self { metrics, ..Self::default() }
    }

    /// Requests it is working on, over all workers.
    /// `races`: relaxed; a stale count only skews one choice.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Takes a place unless `limit` are taken: exact over all workers.
    pub(super) fn enter(&self, limit: u32) -> bool {
        let more = |count: u32| (count < limit).then(|| count + 1);
        self.in_flight.fetch_update(Ordering::AcqRel, Ordering::Relaxed, more).is_ok()
    }

    /// Gives a place back.
    pub(super) fn leave(&self) {
        let before = self.in_flight.fetch_sub(1, Ordering::AcqRel);
        debug_assert!(before > 0, "a place that was never taken");
    }

    /// Why it takes no new traffic: bits of [`Out`]. Zero: it does.
    #[must_use]
    pub fn out(&self) -> u8 {
        self.out.load(Ordering::Relaxed)
    }

    /// The most telling reason why it takes no new traffic, if there is one.
    #[must_use]
    pub fn why_out(&self) -> Option<Out> {
        let out = self.out();
        Out::ALL.into_iter().find(|why| out & *why as u8 != 0)
    }

    /// Sets or clears a reason. Whether that changed anything.
    pub fn mark(&self, why: Out, holds: bool) -> bool {
        let bit = why as u8;
        let before = match holds {
            true => self.out.fetch_or(bit, Ordering::AcqRel),
            false => self.out.fetch_and(!bit, Ordering::AcqRel),
        };
        (before & bit != 0) != holds
    }

    /// Marks it as its circuit is.
    /// `races`: a circuit does not change meanwhile, so the last mark is of its last state.
    pub(super) fn mark_circuit(&self) {
        self.breaker.history(|_| {
            let kind = self.breaker.kind();
            // First what holds, so that it is never open and not marked.
            if kind == Kind::Open {
                self.mark(Out::CircuitOpen, true);
            }
            self.mark(Out::HalfOpen, kind == Kind::HalfOpen);
            self.mark(Out::CircuitOpen, kind == Kind::Open);
        });
    }

    /// Since when it takes traffic; `None`: since ever.
    #[must_use]
    pub fn since(&self) -> Option<Moment> {
        match self.since.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(Moment::from_micros(micros)),
        }
    }

    /// It takes traffic from `now` on.
    pub fn begin(&self, now: Moment) {
        self.since.store(now.as_micros().max(1), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_and_given_back() {
        let state = BackendState::default();
        assert!(state.enter(2) && state.enter(2) && !state.enter(2));
        assert_eq!(state.in_flight(), 2);
        state.leave();
        assert!(state.enter(2));
    }

    #[test]
    fn reasons_add_up_and_the_most_telling_is_named() {
        let state = BackendState::default();
        assert!(state.mark(Out::Unhealthy, true) && !state.mark(Out::Unhealthy, true));
        assert!(state.mark(Out::Drain, true));
        assert_eq!(state.why_out(), Some(Out::Drain));
        assert!(state.mark(Out::Drain, false));
        assert_eq!(state.why_out(), Some(Out::Unhealthy));
        assert!(state.mark(Out::Unhealthy, false));
        assert_eq!((state.why_out(), state.out()), (None, 0));
    }
}
