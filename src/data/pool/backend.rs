//! One backend, and the part of it that outlives a reload.
//!
//! Data writes the atomics, control reads them. Nothing here decides.

use crate::observe::metrics::Series;
use prometheus::IntGauge;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// One instance of a service.
#[derive(Debug)]
pub struct Backend {
    /// Where it listens.
    pub address: SocketAddr,
    /// The address as text: its name in logs and metrics.
    pub name: Box<str>,
    /// What is counted about it.
    pub state: Arc<BackendState>,
}

/// What is counted about a backend; shared by all workers, kept over reloads.
#[derive(Debug)]
pub struct BackendState {
    in_flight: AtomicU32,
    gauge: IntGauge,
    /// The gauge's series, as long as there is the backend.
    _held: Option<Arc<Series>>,
}

impl BackendState {
    /// A backend that nobody uses yet; `gauge` shows its requests in flight, and is of the
    /// series that is held.
    #[must_use]
    pub fn new(gauge: IntGauge, held: Option<Arc<Series>>) -> Self {
        Self { in_flight: AtomicU32::new(0), gauge, _held: held }
    }

    /// Requests it is working on, over all workers.
    /// `races`: relaxed; a stale count only skews one choice.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }
}

/// A place in a backend's count of requests in flight. Gives it back when dropped,
/// on whatever path the request ends.
#[derive(Debug)]
pub struct InFlight(Arc<BackendState>);

impl InFlight {
    /// Takes a place.
    #[must_use]
    pub fn enter(state: &Arc<BackendState>) -> Self {
        state.in_flight.fetch_add(1, Ordering::Relaxed);
        state.gauge.inc();
        Self(Arc::clone(state))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.0.gauge.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_back_when_dropped() {
        let state = Arc::new(BackendState::new(IntGauge::new("g", "g").unwrap(), None));
        let places: Vec<_> = (0..3).map(|_| InFlight::enter(&state)).collect();
        assert_eq!(state.in_flight(), 3);
        drop(places);
        assert_eq!((state.in_flight(), state.gauge.get()), (0, 0));
    }
}
