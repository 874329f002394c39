//! What an operator sees: metrics and the access log.
//!
//! Both are written by the data plane through handles that were resolved before the
//! request came; neither ever blocks it.

pub mod access_log;
pub mod metrics;
pub mod sessions;
