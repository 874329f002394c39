//! `[pool.NAME]`: the backends of one service.

use super::listener::Address;
use crate::types::units::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The backends of one service.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Pool {
    /// How a backend is chosen.
    pub algorithm: AlgorithmName,
    /// The backends: IP addresses and ports, like `["10.0.0.1:8080", "10.0.0.2:8080"]`. An
    /// empty list is allowed: requests then get 503 `no_backend`.
    pub backends: Vec<Address>,
    /// How often a connection that failed is tried again: on another backend while there is
    /// one, else once more on all after 100 ms. Then: 502 `connect_refused` or
    /// `connect_failed`, or 504 `connect_timeout`.
    #[schemars(range(min = 0, max = 10))]
    pub connect_retries: u8,
    /// Time limits on the backend's side.
    pub timeouts: PoolTimeouts,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            algorithm: AlgorithmName::RoundRobin,
            backends: Vec::new(),
            connect_retries: 1,
            timeouts: PoolTimeouts::default(),
        }
    }
}

/// How a backend is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AlgorithmName {
    /// Each in turn.
    RoundRobin,
}

impl AlgorithmName {
    /// As written in config.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
        }
    }
}

/// Time limits on the backend's side.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PoolTimeouts {
    /// How long a connection may take. Then: the next attempt, or 504 `connect_timeout`.
    pub connect: Period,
    /// From the request's last byte to the end of the answer's head. Then: 504
    /// `first_byte_timeout`.
    pub first_byte: Period,
    /// How long the backend may send nothing of a body, or take nothing of a request. Then
    /// the answer is cut, or 504 `backend_stalled`.
    pub between_bytes: Period,
    /// How long an unused connection is kept. Shorter than the backend's own limit is best:
    /// then no request meets a connection that is just being closed.
    pub idle: Period,
}

impl Default for PoolTimeouts {
    fn default() -> Self {
        Self {
            connect: Period::from_secs(5),
            first_byte: Period::from_secs(30),
            between_bytes: Period::from_secs(30),
            idle: Period::from_secs(30),
        }
    }
}
