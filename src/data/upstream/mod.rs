//! 8 · Upstream: the backend's side of a request.

pub mod attempt;
pub mod forward;

pub use attempt::{Attempt, AttemptRecord, Fault};
