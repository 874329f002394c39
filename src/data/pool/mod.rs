//! 6 · Pool: the backends of one service, and which of them takes the next attempt.
//!
//! Its rules are compiled with the snapshot; who is in it, and how they are, is read live
//! ([`Live`], [`Members`]). The choice itself is an algorithm's (`balance/`).

pub mod backend;
pub mod circuit;
pub mod guard;
pub mod hash_key;
pub mod latency;
pub mod live;
pub mod members;
pub mod metrics;
mod pace;
pub mod queue;
pub mod sticky;
pub mod window;

pub use backend::{Backend, BackendState, Out, Pod};
pub use circuit::{Settled, Verdict};
pub use guard::{Guard, GuardRules};
pub use hash_key::HashOn;
pub use live::{Live, Picked, Place};
pub use members::{Idle, Member, Members};
pub use metrics::{BackendMetrics, PoolMetrics, Stuck};
pub use queue::{Hopeless, Queue, Ticket};
pub use sticky::Sticky;
pub use window::Window;

use super::overload::Limit;
use super::upstream::{Retries, Wire};
use crate::types::ids::PoolId;
use std::sync::Arc;
use std::time::Duration;

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

/// What happens while all backends are full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueRules {
    /// Requests that may wait.
    pub size: usize,
    /// How long one waits.
    pub timeout: Duration,
}

/// The backends of one service: its rules, and what is shared about it.
pub struct Pool {
    /// Its name.
    pub id: PoolId,
    /// Its members, and what outlives this snapshot.
    pub live: Arc<Live>,
    /// The name of its algorithm.
    pub algorithm: &'static str,
    /// What of a request chooses its backend, where that matters.
    pub hash_on: HashOn,
    /// When requests are tried again.
    pub retries: Retries,
    /// Who may wait while all are full; nobody, if `None`.
    pub queue: Option<QueueRules>,
    /// How many requests it takes on at once, if there is a limit.
    pub overload: Option<Limit>,
    /// How clients come back to the backend that they had, if they do.
    pub sticky: Option<Sticky>,
    /// Time limits.
    pub timeouts: Timeouts,
    /// How its backends are spoken to.
    pub wire: Arc<Wire>,
    /// Handles of its metrics.
    pub metrics: PoolMetrics,
}
