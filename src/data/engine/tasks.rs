//! How many tasks a worker has: shown while it runs.

use crate::observe::metrics::{Metrics, TASKS, Watched};
use tokio::runtime::RuntimeMetrics;

/// Shows the tasks alive in a runtime.
pub(super) fn watch_tasks(
    metrics: &Metrics,
    name: &str,
    runtime: RuntimeMetrics,
) -> Option<Watched> {
    let alive = move || u32::try_from(runtime.num_alive_tasks()).map(f64::from).ok();
    metrics.watch(&TASKS, [name], alive)
}
