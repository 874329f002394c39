//! The control plane: what happens in the background, on a runtime of its own.
//!
//! It compiles the config into what the data plane reads, answers probes and scrapes,
//! and ends the process. It may be slow or fail; traffic goes on.

pub mod access_log;
pub mod admin;
pub mod blocklist;
pub mod certs;
mod client_tls;
pub mod compile;
pub mod config_gauges;
mod content;
pub mod deep;
pub mod discovery;
pub mod drain;
pub mod health;
pub mod identity;
pub mod kept;
mod limits_kept;
pub mod listeners;
pub mod log_level;
pub mod own_headers;
pub mod pools;
pub mod probe;
pub mod process_gauges;
pub mod redis;
pub mod reload;
pub mod report;
pub mod starting;
pub mod steer;
mod task;
pub mod telling;
pub mod wafs;
pub mod watch;
mod wire;
