//! 6 · Pool: the backends of one service, and which of them takes the next attempt.
//!
//! A pool is compiled by the control plane and shared by all workers. The choice
//! itself is an algorithm's (`balance/`); the pool leaves out what was tried already.

pub mod backend;

pub use backend::{Backend, BackendState, InFlight};

use crate::data::balance::{Algorithm, Choice};
use crate::observe::metrics::Series;
use crate::types::ids::PoolId;
use crossbeam_utils::CachePadded;
use prometheus::IntCounter;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use super::outcome::Outcome;
use super::upstream::Wire;

/// Time limits on the backend's side. All are set; none is infinite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To get a connection.
    pub connect: Duration,
    /// From the request's last byte to the answer's head.
    pub first_byte: Duration,
    /// Between two reads or writes of a body.
    pub between_bytes: Duration,
    /// A kept connection unused for so long is closed.
    pub idle: Duration,
}

/// Turns taken in a pool; kept over reloads.
pub type Turn = Arc<CachePadded<AtomicUsize>>;

/// The backends of one service.
pub struct Pool {
    /// Its name.
    pub id: PoolId,
    /// Its backends, in the order of the config. May be empty.
    pub backends: Vec<Arc<Backend>>,
    /// How it chooses.
    pub algorithm: &'static Algorithm,
    /// Further attempts after a failed connect.
    pub connect_retries: u8,
    /// Time limits.
    pub timeouts: Timeouts,
    /// How its backends are spoken to.
    pub wire: Arc<Wire>,
    /// Turns taken: what the sequence algorithms count on.
    pub turn: Turn,
    /// Its series, as long as there is the pool.
    pub held: Vec<Arc<Series>>,
    /// `vanne_attempts_total` of this pool, in the order of [`Outcome::ALL`].
    pub attempts: [IntCounter; Outcome::ALL.len()],
}

impl Pool {
    /// The backend for the next attempt, or `None` when none is left.
    /// `tried`: backends that this request has tried already.
    /// Cost: the algorithm's; no allocation, no lock.
    pub fn pick(&self, tried: &[Arc<Backend>]) -> Option<Arc<Backend>> {
        let index = (self.algorithm.pick)(self, Choice { tried })?;
        self.backends.get(index).cloned()
    }

    /// Counts an attempt's outcome.
    pub fn count(&self, outcome: Outcome) {
        let index = Outcome::ALL.iter().position(|&o| o == outcome);
        if let Some(counter) = index.and_then(|i| self.attempts.get(i)) {
            counter.inc();
        }
    }
}
