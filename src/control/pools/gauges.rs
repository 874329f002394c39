//! Gauges of pools and backends: what is shown of how they are.

use crate::data::breaker::{Cause, Change};
use crate::data::pool::{Backend, Live, Members};
use crate::observe::metrics::{
    BACKEND_LAST_CHANGE, BACKEND_LATENCY, BACKEND_STATE, BACKEND_UP, BACKEND_WEIGHT,
    CIRCUIT_CHANGES, Counter, Gauge, Metrics, POOL_ACTIVE, POOL_BACKENDS, POOL_PANIC,
    POOL_QUEUE_LENGTH, RETRY_BUDGET, Watched,
};
use crate::types::clock;
use crate::types::ids::PoolId;
use crate::types::moment::Moment;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// The state of a backend that takes new traffic.
pub(super) const UP: &str = "up";

/// Gauges of a backend, as long as it is listed.
pub struct BackendGauges {
    metrics: Arc<Metrics>,
    pool: PoolId,
    backend: Arc<Backend>,
    up: Gauge,
    weight: Gauge,
    last_change: Gauge,
    /// The state that is shown, with its series.
    state: Mutex<Option<(&'static str, Gauge)>>,
    _watched: Option<Watched>,
}

impl BackendGauges {
    /// Those of `backend` in `pool`.
    #[must_use]
    pub fn new(metrics: &Arc<Metrics>, pool: &PoolId, backend: &Arc<Backend>) -> Self {
        let labels = [pool.as_str(), &*backend.name];
        let mut group = metrics.control_group();
        Self {
            up: group.handle(&BACKEND_UP, labels),
            weight: group.handle(&BACKEND_WEIGHT, labels),
            last_change: group.handle(&BACKEND_LAST_CHANGE, labels),
            state: Mutex::default(),
            _watched: watched(metrics, labels, backend),
            metrics: Arc::clone(metrics),
            pool: pool.clone(),
            backend: Arc::clone(backend),
        }
    }

    /// Shows how the backend is, which has this weight now.
    pub fn show(&self, weight: u32) {
        self.weight.set(weight.into());
        let out = self.backend.state.why_out();
        self.up.set(i64::from(out.is_none() && weight > 0));
        let state = out.map_or(UP, |why| why.as_str());
        let mut shown = self.state.lock();
        if shown.as_ref().is_some_and(|(before, _)| *before == state) {
            return;
        }
        let since = clock::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_change.set(since.as_secs().cast_signed());
        let labels = [self.pool.as_str(), &*self.backend.name, state];
        let series = self.metrics.control_group().handle(&BACKEND_STATE, labels);
        series.set(1);
        *shown = Some((state, series));
    }
}

/// Shows what `backend` has seen in the last minute, when somebody looks.
fn watched(metrics: &Metrics, labels: [&str; 2], backend: &Arc<Backend>) -> Option<Watched> {
    const QUANTILES: [&str; 3] = ["0.5", "0.95", "0.99"];
    let weak = Arc::downgrade(backend);
    metrics.watch_each(&BACKEND_LATENCY, &labels, &QUANTILES, move |at| {
        let summary = weak.upgrade()?.state.window.summary(Moment::of(clock::now()))?;
        summary.quantiles.get(at).copied()
    })
}

/// Gauges of a pool.
pub struct PoolGauges {
    backends: Gauge,
    active: Gauge,
    changes: [Counter; Cause::ALL.len()],
    panic: Gauge,
    _watched: Vec<Watched>,
}

impl PoolGauges {
    /// Those of `pool`.
    #[must_use]
    pub fn new(metrics: &Metrics, pool: &PoolId, live: &Arc<Live>) -> Self {
        let labels = [pool.as_str()];
        let mut group = metrics.group();
        let (queue, budget) = (Arc::downgrade(live), Arc::downgrade(live));
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let watched = [
            metrics.watch(&POOL_QUEUE_LENGTH, labels, move || {
                Some(queue.upgrade()?.queue.len() as f64)
            }),
            metrics
                .watch(&RETRY_BUDGET, labels, move || Some(budget.upgrade()?.budget.left() as f64)),
        ];
        Self {
            backends: group.handle(&POOL_BACKENDS, labels),
            active: group.handle(&POOL_ACTIVE, labels),
            panic: group.handle(&POOL_PANIC, labels),
            changes: Cause::ALL.map(|cause| {
                group.handle(&CIRCUIT_CHANGES, [pool.as_str(), cause.to(), cause.as_str()])
            }),
            _watched: watched.into_iter().flatten().collect(),
        }
    }

    /// Counts a change of a circuit.
    pub fn count_change(&self, change: &Change) {
        let is_real = !change.is_guarded();
        if let Some(counter) = self.changes.get(change.cause as usize).filter(|_| is_real) {
            counter.inc();
        }
    }

    /// Shows who is in the pool now.
    pub fn show(&self, members: &Members) {
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.backends.set(count(members.all.len()));
        self.active.set(count(members.active.len()));
        self.panic.set(members.is_panic().into());
    }
}
