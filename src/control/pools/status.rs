//! Status: what there is to tell of pools and their backends.

use super::gauges::UP;
use super::producers::SourceReport;
use super::{ChangeError, Listed, Plan, Pools};
use crate::data::pool::{Idle, Members};
use crate::types::moment::Moment;
use schemars::JsonSchema;
use serde::Serialize;

/// A pool, as it is.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PoolStatus {
    /// Its name.
    pub pool: String,
    /// How it chooses.
    pub algorithm: &'static str,
    /// Backends that new traffic is spread over.
    pub active: usize,
    /// Why there are none, if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<&'static str>,
    /// Whether too few are healthy, so that health is overlooked.
    pub panic: bool,
    /// Whether the backups are in use.
    pub backup: bool,
    /// Requests that wait for a place.
    pub queued: usize,
    /// Where its backends come from, besides the config.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceStatus>,
    /// Its backends.
    pub backends: Vec<BackendStatus>,
}

/// A source of backends, as it is.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SourceStatus {
    /// Its kind.
    pub source: &'static str,
    /// How many backends it knows.
    pub backends: usize,
    /// Why these are what it said last, and not what it says now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale: Option<String>,
    /// What else is to be known about them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A backend, as it is.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct BackendStatus {
    /// Its name: its address.
    pub backend: String,
    /// `up`, or why it takes no new traffic.
    pub state: &'static str,
    /// The pod that it is, if it is one of Kubernetes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// The machine that the pod runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The zone of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Its weight.
    pub weight: u32,
    /// Requests it is working on.
    pub in_flight: u32,
    /// How many it may work on at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_requests: Option<u32>,
    /// How fast it answers, in milliseconds (peak EWMA), if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f32>,
    /// Attempts that ended in the last minute, but for those that say nothing of it.
    pub attempts: f64,
    /// The share of these that failed, if there were any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_rate: Option<f64>,
    /// Times to the answer that 50, 95 and 99 of a hundred of these did not exceed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percentiles_ms: Option<Percentiles>,
    /// What its last check said, if it is checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
    /// It is used when none of the others can be.
    pub backup: bool,
    /// What an operator said of it.
    #[serde(rename = "override", skip_serializing_if = "Option::is_none")]
    pub set: Option<OverrideStatus>,
}

/// Times in milliseconds, within 3 %.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Percentiles {
    /// Half of all took no longer.
    pub p50: f64,
    /// 95 of a hundred took no longer.
    pub p95: f64,
    /// 99 of a hundred took no longer.
    pub p99: f64,
}

/// What an operator said of a backend.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct OverrideStatus {
    /// Who.
    pub owner: String,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For how long still.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
}

impl Pools {
    /// The pool called `name`, as it is at `now`.
    ///
    /// # Errors
    /// When there is none.
    pub fn status_of(&self, name: &str, now: Moment) -> Result<PoolStatus, ChangeError> {
        Ok(self.pool_status(self.named(name)?, now))
    }

    pub(super) fn source_status(&self, plan: &Plan) -> Vec<SourceStatus> {
        let status = |report: SourceReport| SourceStatus {
            source: report.name,
            backends: report.backends,
            stale: report.stale,
            note: report.note,
        };
        self.producers.iter().flat_map(|all| all.sources(&plan.id)).map(status).collect()
    }

    /// What the last check of a backend said.
    pub(super) fn last_check(&self, plan: &Plan, listed: &Listed) -> Option<String> {
        let check = plan.check.as_ref()?;
        let report = self.producers.as_ref()?.report(listed.backend.address, check.id)?;
        report.last.as_ref().map(|last| last.reason.clone())
    }

    fn pool_status(&self, plan: &Plan, now: Moment) -> PoolStatus {
        let members = plan.live.members();
        PoolStatus {
            pool: plan.id.to_string(),
            algorithm: plan.algorithm.name,
            active: members.active.len(),
            idle: idle(&members),
            panic: members.is_panic(),
            backup: members.is_backup,
            queued: plan.live.queue.len(),
            sources: self.source_status(plan),
            backends: plan.listed.iter().map(|one| self.backend_status(plan, one, now)).collect(),
        }
    }

    fn backend_status(&self, plan: &Plan, listed: &Listed, now: Moment) -> BackendStatus {
        let state = &listed.backend.state;
        let key = (plan.id.clone(), listed.backend.address);
        let left = |until: Moment| until.since(now).as_secs();
        let last_minute = state.window.summary(now);
        let pod = listed.backend.pod.as_deref();
        let text = |part: Option<&Box<str>>| part.map(ToString::to_string);
        BackendStatus {
            backend: listed.backend.name.to_string(),
            state: state.why_out().map_or(UP, |why| why.as_str()),
            pod: text(pod.and_then(|pod| pod.name.as_ref())),
            node: text(pod.and_then(|pod| pod.node.as_ref())),
            zone: text(pod.and_then(|pod| pod.zone.as_ref())),
            weight: listed.weight(),
            in_flight: state.in_flight(),
            max_requests: (listed.limit < u32::MAX).then_some(listed.limit),
            latency_ms: state.latency.known(now).map(|known| known.seconds * 1000.0),
            attempts: last_minute.map_or(0.0, |it| rounded(it.attempts)),
            error_rate: last_minute.map(|it| rounded(it.errors / it.attempts)),
            percentiles_ms: last_minute.map(|it| {
                let [p50, p95, p99] = it.quantiles.map(|seconds| rounded(seconds * 1000.0));
                Percentiles { p50, p95, p99 }
            }),
            check: self.last_check(plan, listed),
            backup: listed.is_backup,
            set: self.overrides.get(&key).map(|set| OverrideStatus {
                owner: set.owner.clone(),
                reason: set.reason.clone(),
                seconds_left: set.until.map(left),
            }),
        }
    }
}

/// To three digits behind the point: more say nothing.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

/// Why nobody takes new traffic, if nobody does.
pub(super) fn idle(members: &Members) -> Option<&'static str> {
    match members.idle {
        _ if !members.active.is_empty() => None,
        Idle::Empty => Some("empty"),
        Idle::Withdrawn => Some("withdrawn"),
        Idle::Unhealthy => Some("unhealthy"),
        Idle::NoWeight => Some("no_weight"),
    }
}
