//! Telling: what the reloader tells those who ask, beside what it works with.

use super::admin::tokens::sha256;
use super::pools::PoolSummary;
use super::reload::Reloader;
use crate::config::Loaded;
use crate::observe::metrics::{Gauge, OVERRIDES_ACTIVE, REQUESTS};
use serde_json::Value;
use std::time::SystemTime;

/// What there is to tell of the config in use, besides what it says.
#[derive(Clone, Debug)]
pub struct InUse {
    /// The SHA-256 of its file, in hexadecimal digits.
    pub sha256: String,
    /// What stands in the file; secrets are not hidden.
    pub written: Value,
    /// When it was applied.
    pub applied: SystemTime,
}

impl InUse {
    /// What there is to tell of `loaded`, which is applied at `wall`.
    #[must_use]
    pub fn of(loaded: &Loaded, wall: SystemTime) -> Self {
        let text = loaded.warnings.text.as_bytes();
        Self { sha256: sha256(text), written: loaded.written.clone(), applied: wall }
    }
}

/// `vanne_overrides_active`, by kind.
pub struct OverrideGauges {
    backend: Gauge,
    circuit: Gauge,
    log_level: Gauge,
}

impl Reloader {
    /// All pools in short.
    #[must_use]
    pub fn summaries(&self) -> Vec<PoolSummary> {
        self.pools.summaries()
    }

    /// Requests that have ended since the start, of routes that are there still.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.metrics.total(&REQUESTS)
    }

    /// What counts the changes by operators.
    #[must_use]
    pub fn override_gauges(&self) -> OverrideGauges {
        let gauge = |kind| self.metrics.handle(&OVERRIDES_ACTIVE, [kind]);
        OverrideGauges {
            backend: gauge("backend"),
            circuit: gauge("circuit"),
            log_level: gauge("log_level"),
        }
    }

    /// Counts the changes by operators that hold now.
    pub fn count_overrides(&self, gauges: &OverrideGauges) {
        let backends = self.pools.overrides().count();
        gauges.backend.set(i64::try_from(backends).unwrap_or(i64::MAX));
        let circuits = self.pools.forced().count();
        gauges.circuit.set(i64::try_from(circuits).unwrap_or(i64::MAX));
        gauges.log_level.set(i64::from(self.log.set().is_some()));
    }
}
