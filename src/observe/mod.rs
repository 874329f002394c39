//! What an operator sees: metrics and logs.
//!
//! Metrics and the access log are written by the data plane through handles that were
//! resolved before the request came; neither ever blocks it. The audit log is control's.

pub mod access_log;
pub mod audit_log;
pub mod metrics;
pub mod sessions;
