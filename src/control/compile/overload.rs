//! Overload: limits of requests under way, from the config.

use crate::config;
use crate::data::overload::{InFlight, Limit, Priority};
use crate::observe::metrics::{Metrics, SHED};
use std::sync::Arc;
use std::time::Duration;

/// The limit that `config` sets of the pool called `pool`, or of the process if it is `-`.
pub(in crate::control) fn limit(
    config: &config::Overload,
    pool: &str,
    in_flight: Arc<InFlight>,
    metrics: &Metrics,
) -> Limit {
    let mut group = metrics.group();
    Limit {
        in_flight,
        most: config.max_in_flight,
        retry_after: whole_seconds(config.retry_after.as_duration()).into(),
        shed: Priority::ALL.map(|priority| group.handle(&SHED, [pool, priority.as_str()])),
    }
}

/// The class of a route.
pub(super) fn priority(config: Option<config::Priority>) -> Priority {
    match config {
        Some(config::Priority::High) => Priority::High,
        Some(config::Priority::Low) => Priority::Low,
        Some(config::Priority::Normal) | None => Priority::Normal,
    }
}

/// A time as `Retry-After` says it: in whole seconds, rounded up.
pub(super) fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}
