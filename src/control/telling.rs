//! Telling: what the reloader tells those who ask, beside what it works with.

use super::admin::tokens::sha256;
use super::pools::PoolSummary;
use super::reload::Reloader;
use crate::config::Loaded;
use crate::observe::metrics::{MetricError, OVERRIDES_ACTIVE, REQUESTS};
use crate::types::ids::PoolId;
use prometheus::IntGauge;
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
    backend: IntGauge,
    log_level: IntGauge,
}

impl Reloader {
    /// All pools in short.
    #[must_use]
    pub fn summaries(&self) -> Vec<PoolSummary> {
        self.pools.summaries(&self.metrics)
    }

    /// Requests that the routes of the config in use have ended since the start.
    #[must_use]
    pub fn requests(&self) -> u64 {
        let routes = self.config.route.iter();
        let labels = routes.flat_map(|route| {
            let pool = route.pool.as_ref().map_or("-", PoolId::as_str);
            ["1xx", "2xx", "3xx", "4xx", "5xx"].map(|class| [route.name.as_str(), pool, class])
        });
        let count = |labels: [&str; 3]| self.metrics.counter(&REQUESTS, &labels).ok();
        labels.filter_map(count).map(|counter| counter.get()).sum()
    }

    /// What counts the changes by operators.
    ///
    /// # Errors
    /// When a metric cannot be made.
    pub fn override_gauges(&self) -> Result<OverrideGauges, MetricError> {
        let gauge = |kind| self.metrics.gauge(&OVERRIDES_ACTIVE, &[kind]);
        Ok(OverrideGauges { backend: gauge("backend")?, log_level: gauge("log_level")? })
    }

    /// Counts the changes by operators that hold now.
    pub fn count_overrides(&self, gauges: &OverrideGauges) {
        let backends = self.pools.overrides().count();
        gauges.backend.set(i64::try_from(backends).unwrap_or(i64::MAX));
        gauges.log_level.set(i64::from(self.log.set().is_some()));
    }
}
