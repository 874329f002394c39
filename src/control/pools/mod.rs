//! Pools: who is in each of them now, joined from what is configured, found, checked and said
//! by operators, and published for the data plane to read.
//!
//! A pool is compiled anew when something happened to it (`Live::touch`), when the time of an
//! open circuit is over, and while a backend starts slowly. Owned by one task, so nothing here
//! runs beside itself.

mod behind;
mod circuit_status;
mod circuits;
mod compile;
mod forced;
mod gauges;
mod members;
mod outliers;
mod overrides;
mod producers;
mod status;
mod summary;

pub use circuit_status::{CircuitDetail, CircuitStatus};
pub use compile::{Compiled, compile};
pub use forced::{Forced, Order, Said};
pub use gauges::BackendGauges;
pub use members::{Listed, Plan, members};
pub use overrides::{Change, ChangeError, Override, Standing};
pub use producers::{Producers, Told};
pub use status::{BackendStatus, OverrideStatus, PoolStatus, SourceStatus};
pub use summary::{OutBackend, PoolSummary};

use super::compile::Means;
use super::discovery::Pushed;
use super::health::{Finding, Verdict};
use super::starting::Starting;
use crate::data::pool::{Backend, Out};
use crate::observe::metrics::Metrics;
use crate::types::ids::PoolId;
use crate::types::moment::Moment;
use circuits::Telling;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How often members that start slowly get more.
const SLOW_START_STEP: Duration = Duration::from_millis(500);

/// The pools of the config in use.
#[derive(Default)]
pub struct Pools {
    plans: BTreeMap<PoolId, Plan>,
    /// What operators said of backends.
    overrides: BTreeMap<(PoolId, SocketAddr), Override>,
    /// What the start waits for.
    pub starting: Arc<Starting>,
    /// Who tells of backends, once the process runs.
    producers: Option<Producers>,
    /// What operators said of circuits.
    forced: BTreeMap<(PoolId, SocketAddr), Forced>,
    /// How much was told of circuits in the log.
    telling: Telling,
    /// When slow starts are looked at again.
    next_step: Moment,
    /// When backends are compared again.
    next_compare: Moment,
}

impl Pools {
    /// Has sources and probes run from now on, on this runtime. Gives what they tell.
    pub fn run(&mut self, rng: fastrand::Rng, metrics: &Arc<Metrics>) -> Told {
        let (producers, told) = Producers::new(rng, metrics);
        let producers = self.producers.insert(producers);
        producers.source(self.plans.values());
        producers.check(self.plans.values());
        told
    }

    /// Uses `plans` from now on: publishes the members of each.
    pub fn apply(&mut self, plans: Vec<Plan>, means: &mut Means<'_>) {
        let next = plans.into_iter().map(|plan| (plan.id.clone(), plan)).collect();
        let before: BTreeMap<PoolId, Plan> = std::mem::replace(&mut self.plans, next);
        let now = Moment::of(means.now);
        let gone = before.values().filter(|plan| !self.plans.contains_key(&plan.id));
        gone.for_each(|plan| plan.retire_circuits(now));
        if let Some(producers) = &mut self.producers {
            producers.source(self.plans.values());
        }
        self.await_required();
        for id in self.plans.keys().cloned().collect::<Vec<_>>() {
            let listed = before.get(&id).map(Plan::backends).unwrap_or_default();
            self.list(&id, &listed, means);
            self.enforce(&id, Moment::of(means.now));
        }
        self.check();
    }

    /// Says which pools the start waits for.
    fn await_required(&self) {
        let required = |id: &PoolId| self.plans.get(id).is_some_and(|plan| plan.is_required);
        match &self.producers {
            None => {
                let ids = self.plans.keys().filter(|id| required(id)).cloned();
                self.starting.wait_for(ids.collect());
            }
            Some(producers) => {
                self.starting.retain(|id| required(id) && !producers.has_lists(id));
            }
        }
    }

    /// Takes in what a source found.
    pub fn found(&mut self, pushed: Pushed, means: &mut Means<'_>) {
        let keep = |producers: &mut Producers| producers.keep(pushed);
        let Some(id) = self.producers.as_mut().and_then(keep) else { return };
        self.await_required();
        let listed = self.plans.get(&id).map(Plan::backends).unwrap_or_default();
        self.list(&id, &listed, means);
        self.check();
        self.enforce(&id, Moment::of(means.now));
    }

    /// Takes in what a probe found.
    pub fn checked(&self, finding: &Finding, now: Moment) {
        for plan in self.plans.values() {
            if plan.check.as_ref().is_some_and(|check| check.id == finding.check) {
                plan.judge(finding, now);
            }
        }
    }

    /// Lists what the config names and what sources found. `before`: who was listed.
    fn list(&mut self, id: &PoolId, before: &[Arc<Backend>], means: &mut Means<'_>) {
        let Some(plan) = self.plans.get_mut(id) else { return };
        let Some(producers) = &self.producers else {
            return plan.configure_circuits(before, Moment::of(means.now));
        };
        let mut entries = plan.fixed.clone();
        entries.extend(producers.found(id).cloned());
        plan.listed = compile::listed(id, &entries, plan.limit, means);
        plan.configure_circuits(before, Moment::of(means.now));
        for listed in &plan.listed {
            let backend = &listed.backend;
            backend.state.mark(Out::Leaving, listed.is_leaving);
            // Until the first result of a new check the last one of the old stands.
            let is_down = match &plan.check {
                None => Some(false),
                Some(check) => {
                    producers.verdict(backend.address, check.id).map(|v| v == Verdict::Down)
                }
            };
            if let Some(is_down) = is_down {
                backend.state.mark(Out::Unhealthy, is_down);
            }
        }
    }

    /// Has the backends that are listed checked, and no others.
    fn check(&mut self) {
        if let Some(producers) = &mut self.producers {
            producers.check(self.plans.values());
        }
    }

    /// Does what is due: lets probes try open circuits, and publishes what has changed.
    /// Gives when it is to be called again, unless something happens before.
    pub fn tend(&mut self, now: Moment) -> Option<Moment> {
        let is_step = now >= self.next_step;
        if is_step {
            self.next_step = now.after(SLOW_START_STEP);
        }
        let mut next = [self.expire(now), self.expire_forced(now)].into_iter().flatten().min();
        self.compare(now);
        for plan in self.plans.values() {
            let due = plan.tend_circuits(self.producers.as_ref(), &mut self.telling, now);
            let is_starting = plan.is_starting(now);
            if plan.live.is_stale() || (is_starting && is_step) {
                plan.publish(now);
            }
            let step = is_starting.then_some(self.next_step);
            next = [next, due, step].into_iter().flatten().min();
        }
        let compare = self.has_outliers().then_some(self.next_compare);
        [next, compare, self.telling.close(now)].into_iter().flatten().min()
    }

    /// Compares backends with each other, when it is time.
    fn compare(&mut self, now: Moment) {
        if now >= self.next_compare {
            self.next_compare = now.after(outliers::EVERY);
            self.plans.values().for_each(|plan| plan.compare(now));
        }
    }

    fn has_outliers(&self) -> bool {
        self.plans.values().any(|plan| plan.outliers.is_some())
    }

    /// The pool called `id`.
    #[must_use]
    pub fn plan(&self, id: &PoolId) -> Option<&Plan> {
        self.plans.get(id)
    }
}
