//! 8 · Upstream: the backend's side of a request.

pub mod attempt;
pub mod forward;
pub mod retry;
pub mod wire;

pub use attempt::{Attempt, AttemptRecord, Fault};
pub use retry::{On, Retries};
pub use wire::{Protocol, Tls, Wire};
