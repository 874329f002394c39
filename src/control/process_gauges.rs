//! What is shown of the process as a whole.

use crate::data::generation::{Alive, Generations};
use crate::observe::metrics::{
    ACTIVE_SESSIONS, BUILD_INFO, GENERATIONS_ALIVE, Metrics, TASKS, Watched,
};
use crate::types::clock;
use crate::types::moment::Moment;
use std::sync::Arc;
use tokio::runtime::Handle;

/// What holds a generation: its label, and how many.
type HeldBy = (&'static str, fn(Alive) -> i64);

/// What may hold a generation.
const HELD_BY: [HeldBy; 3] = [
    ("current", |alive| alive.current),
    ("requests", |alive| alive.requests),
    ("tunnels", |alive| alive.tunnels),
];

/// Shows it as long as what is returned is held. To be called on control's runtime.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
pub fn watch(metrics: &Arc<Metrics>, generations: &Arc<Generations>) -> Vec<Watched> {
    let (weak, control) = (Arc::downgrade(metrics), Handle::current().metrics());
    let sessions = metrics.watch(&ACTIVE_SESSIONS, [], move || {
        Some(weak.upgrade()?.sessions.count(Moment::of(clock::now())) as f64)
    });
    let tasks = metrics.watch(&TASKS, ["control"], move || Some(control.num_alive_tasks() as f64));
    let build = metrics.watch(&BUILD_INFO, [env!("CARGO_PKG_VERSION")], || Some(1.0));
    let alive =
        HELD_BY.map(|(held_by, count)| {
            let generations = Arc::clone(generations);
            metrics.watch(&GENERATIONS_ALIVE, [held_by], move || {
                Some(count(generations.alive()) as f64)
            })
        });
    let own = [sessions, tasks, build].into_iter().chain(alive).flatten();
    own.chain(metrics.watch_allocator()).collect()
}
