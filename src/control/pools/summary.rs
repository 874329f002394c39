//! Summary: a pool in short. Made without looking at each backend for long: it is asked for
//! every second by those who watch.

use super::status::SourceStatus;
use super::{Plan, Pools};
use crate::data::pool::Out;
use schemars::JsonSchema;
use serde::Serialize;

/// Backends that are out and told of one by one; `GET …/backends?state=out` tells of all.
const OUT_MAX: usize = 20;

/// A pool in short.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PoolSummary {
    /// Its name.
    pub pool: String,
    /// How it chooses.
    pub algorithm: &'static str,
    /// Its backends.
    pub backends: usize,
    /// Those of them that nothing keeps from new traffic.
    pub up: usize,
    /// Backends that new traffic is spread over.
    pub active: usize,
    /// Why there are none, if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<&'static str>,
    /// Whether too few are healthy, so that health is overlooked.
    pub panic: bool,
    /// Whether the backups are in use.
    pub backup: bool,
    /// Backends whose circuits would be open, but for the guard.
    pub guarded: usize,
    /// Requests that wait for a place.
    pub queued: usize,
    /// Requests at its backends.
    pub in_flight: u32,
    /// Attempts at its backends that came to an end, since each of them came.
    pub attempts: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// Where its backends come from, besides the config.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceStatus>,
    /// Backends that are out: the first 20.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub out: Vec<OutBackend>,
}

/// A backend that takes no new traffic.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct OutBackend {
    /// Its name.
    pub backend: String,
    /// Why, in a word.
    pub state: &'static str,
    /// What its last check said, or who took it out and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Pools {
    /// All pools in short.
    #[must_use]
    pub fn summaries(&self) -> Vec<PoolSummary> {
        self.plans.values().map(|plan| self.summary(plan)).collect()
    }

    fn summary(&self, plan: &Plan) -> PoolSummary {
        let members = plan.live.members();
        let is_up =
            |listed: &&super::Listed| listed.backend.state.out() == 0 && listed.weight() > 0;
        let is_guarded = |listed: &&super::Listed| listed.backend.state.breaker.is_guarded();
        let counts = plan.listed.iter().map(|listed| listed.backend.state.metrics.attempts());
        let (attempts, failures) =
            counts.fold((0, 0), |(all, bad), (more, worse)| (all + more, bad + worse));
        PoolSummary {
            pool: plan.id.to_string(),
            algorithm: plan.algorithm.name,
            backends: plan.listed.len(),
            up: plan.listed.iter().filter(is_up).count(),
            active: members.active.len(),
            idle: super::status::idle(&members),
            panic: members.is_panic(),
            backup: members.is_backup,
            guarded: plan.listed.iter().filter(is_guarded).count(),
            queued: plan.live.queue.len(),
            in_flight: plan.live.in_flight(),
            attempts,
            failures,
            sources: self.source_status(plan),
            out: self.out(plan),
        }
    }

    /// What opened the circuit that keeps a backend out, or who.
    fn why_circuit(&self, plan: &Plan, listed: &super::Listed, state: Out) -> Option<String> {
        if state as u8 & Out::BY_CIRCUIT == 0 {
            return None;
        }
        if let Some(set) = self.forced_at(&plan.id, listed.backend.address) {
            let reason = set.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            return Some(format!("set by {}{reason}", set.owner));
        }
        let cause = listed.backend.state.breaker.history(|history| history.cause);
        cause.map(|cause| cause.as_str().to_owned())
    }

    fn out(&self, plan: &Plan) -> Vec<OutBackend> {
        let out = plan.listed.iter().filter_map(|listed| {
            let state = listed.backend.state.why_out()?;
            let set = self.overrides.get(&(plan.id.clone(), listed.backend.address));
            let said = set.map(|set| {
                let reason = set.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
                format!("set by {}{reason}", set.owner)
            });
            Some(OutBackend {
                backend: listed.backend.name.to_string(),
                state: state.as_str(),
                why: said
                    .or_else(|| self.why_circuit(plan, listed, state))
                    .or_else(|| self.last_check(plan, listed)),
            })
        });
        out.take(OUT_MAX).collect()
    }
}
