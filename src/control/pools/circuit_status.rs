//! Circuit status: what there is to tell of circuits.

use super::status::OverrideStatus;
use super::{ChangeError, Listed, Plan, Pools};
use crate::data::breaker::{Breaker, CallWindow, Change, Kind, Sums};
use crate::data::outcome::Outcome;
use crate::data::pool::Out;
use crate::observe::audit_log::AuditLine;
use crate::types::clock;
use crate::types::moment::Moment;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// A circuit, as it is in this process: each replica has its own.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CircuitStatus {
    /// Its pool.
    pub pool: String,
    /// Its backend.
    pub backend: String,
    /// `closed`, `open`, `half_open`, `forced_open` or `forced_closed`.
    pub state: &'static str,
    /// What opened it, if it is open or half open; what would have, if the guard keeps it
    /// closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<&'static str>,
    /// For how long it is still open, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<f64>,
    /// Whether it would be open, but for the guard.
    pub guarded: bool,
    /// Calls in its window.
    pub calls: u32,
    /// Those of them that failed, as far as failures count.
    pub failures: u32,
    /// Calls that took too long.
    pub slow: u32,
    /// Failures since the last call that did not fail.
    pub failures_in_a_row: u32,
    /// What an operator said of it.
    #[serde(rename = "override", skip_serializing_if = "Option::is_none")]
    pub set: Option<OverrideStatus>,
}

/// A circuit with all there is to tell of it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CircuitDetail {
    /// How it is.
    #[serde(flatten)]
    pub circuit: CircuitStatus,
    /// The share of failures in its window, if there are calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_rate: Option<f64>,
    /// The share of slow calls in its window, if there are calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_rate: Option<f64>,
    /// The calls in its window, by outcome.
    pub window: BTreeMap<&'static str, u32>,
    /// All attempts since its backend came, by outcome.
    pub attempts: BTreeMap<&'static str, u64>,
    /// Probes under way, while it is half open.
    pub probes: u64,
    /// Probes that succeeded, while it is half open.
    pub probes_succeeded: u64,
    /// Openings without a good time between them.
    pub repeats: u32,
    /// The share of the pool's capacity that it takes away: 0 while it is closed.
    pub capacity_lost: f64,
    /// The same in a word: `High` from a half on, `Medium` from a fifth on, `Low`; `None`.
    pub impact: &'static str,
    /// What it did last, the oldest first; 20 at most.
    pub changes: Vec<ChangeStatus>,
}

/// A change of a circuit.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ChangeStatus {
    /// When.
    pub time: String,
    /// What it was.
    pub from: &'static str,
    /// What it is.
    pub to: &'static str,
    /// Why.
    pub cause: &'static str,
    /// The guard has kept it as it was.
    pub guarded: bool,
}

impl Pools {
    /// All circuits.
    #[must_use]
    pub fn circuits(&self, now: Moment) -> Vec<CircuitStatus> {
        let of = |plan: &Plan| {
            let status = |listed: &Listed| self.circuit(plan, listed, now);
            plan.listed.iter().map(status).collect::<Vec<_>>()
        };
        self.plans.values().flat_map(of).collect()
    }

    /// A circuit with all there is to tell of it.
    ///
    /// # Errors
    /// When there is no such backend.
    pub fn circuit_of(
        &self,
        pool: &str,
        backend: &str,
        now: Moment,
    ) -> Result<CircuitDetail, ChangeError> {
        let address = self.find(pool, backend)?;
        let plan = self.named(pool)?;
        let found = plan.listed.iter().find(|listed| listed.backend.address == address);
        // It was found a moment ago.
        let gone = || ChangeError::Backend(pool.to_owned(), backend.to_owned(), String::new());
        found.map(|listed| self.detail(plan, listed, now)).ok_or_else(gone)
    }

    /// Pool and backend of the circuits that `name` may mean: `POOL/BACKEND`, a pool, of
    /// which all, or a backend in whatever pools.
    #[must_use]
    pub fn circuits_named(&self, name: &str) -> Vec<(String, String)> {
        let (pool, backend) = match name.split_once('/') {
            Some((pool, backend)) => (Some(pool), Some(backend)),
            None if self.named(name).is_ok() => (Some(name), None),
            None => (None, Some(name)),
        };
        let plans = self.plans.values().filter(|plan| pool.is_none_or(|p| p == plan.id.as_str()));
        let names = plans.flat_map(|plan| {
            plan.listed.iter().map(|listed| (plan.id.to_string(), listed.backend.name.to_string()))
        });
        names.filter(|(_, name)| backend.is_none_or(|backend| backend == name)).collect()
    }

    fn circuit(&self, plan: &Plan, listed: &Listed, now: Moment) -> CircuitStatus {
        let breaker = &listed.backend.state.breaker;
        let forced = self.forced_at(&plan.id, listed.backend.address);
        let window = breaker.window();
        let sums = window.as_ref().map(|window| window.sums(now)).unwrap_or_default();
        let (cause, until) = breaker.history(|history| {
            let guarded = history.changes.iter().rev().find(|change| change.is_guarded());
            let guarded = guarded.filter(|_| breaker.is_guarded()).map(|change| change.cause);
            (history.cause.or(guarded), history.until)
        });
        CircuitStatus {
            pool: plan.id.to_string(),
            backend: listed.backend.name.to_string(),
            state: forced.map_or(breaker.kind().as_str(), |forced| forced.as_str()),
            cause: cause.map(|cause| cause.as_str()),
            seconds_left: until.map(|until| rounded(until.since(now).as_secs_f64())),
            guarded: breaker.is_guarded(),
            calls: sums.calls,
            failures: sums.failures,
            slow: sums.slow,
            failures_in_a_row: window.as_ref().map_or(0, |window| window.row().failures),
            set: forced.map(|set| OverrideStatus {
                owner: set.owner.clone(),
                reason: set.reason.clone(),
                seconds_left: set.until.map(|until| until.since(now).as_secs()),
            }),
        }
    }

    fn detail(&self, plan: &Plan, listed: &Listed, now: Moment) -> CircuitDetail {
        let state = &listed.backend.state;
        let breaker = &state.breaker;
        let window = breaker.window();
        let sums = window.as_ref().map(|window| window.sums(now)).unwrap_or_default();
        let lost = capacity_lost(plan, listed);
        let attempts = state.metrics.attempts_by_outcome();
        let (repeats, changes) = breaker.history(|history| {
            let shown = history.changes.iter().map(|change| shown(change, now)).collect();
            (history.repeats, shown)
        });
        CircuitDetail {
            circuit: self.circuit(plan, listed, now),
            failure_rate: rate(sums.failures, sums),
            slow_rate: rate(sums.slow, sums),
            window: window.map(|window| by_outcome(&window, now)).unwrap_or_default(),
            attempts: attempts.filter(|(_, n)| *n > 0).map(|(o, n)| (o.as_str(), n)).collect(),
            probes: half_open(breaker, breaker.probes()),
            probes_succeeded: half_open(breaker, breaker.successes()),
            repeats,
            capacity_lost: rounded(lost),
            impact: impact(lost),
            changes,
        }
    }
}

/// `count`, if the circuit is half open.
fn half_open(breaker: &Breaker, count: u64) -> u64 {
    if breaker.kind() == Kind::HalfOpen { count } else { 0 }
}

fn rate(count: u32, sums: Sums) -> Option<f64> {
    (sums.calls > 0).then(|| rounded(f64::from(count) / f64::from(sums.calls)))
}

fn by_outcome(window: &CallWindow, now: Moment) -> BTreeMap<&'static str, u32> {
    let mut counts = BTreeMap::new();
    for outcome in window.outcomes(now).map(Outcome::as_str) {
        *counts.entry(outcome).or_default() += 1;
    }
    counts
}

/// The share of the pool's weights that the circuit takes away.
fn capacity_lost(plan: &Plan, listed: &Listed) -> f64 {
    let all: f64 = plan.listed.iter().map(|one| f64::from(one.weight())).sum();
    let is_out = listed.backend.state.out() & Out::BY_CIRCUIT != 0;
    if is_out && all > 0.0 { f64::from(listed.weight()) / all } else { 0.0 }
}

fn impact(lost: f64) -> &'static str {
    match lost {
        0.5.. => "High",
        0.2.. => "Medium",
        _ if lost > 0.0 => "Low",
        _ => "None",
    }
}

fn shown(change: &Change, now: Moment) -> ChangeStatus {
    ChangeStatus {
        time: AuditLine::timestamp(clock::wall() - now.since(change.at)),
        from: change.from.as_str(),
        to: change.to.as_str(),
        cause: change.cause.as_str(),
        guarded: change.is_guarded(),
    }
}

fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impact_is_a_word_for_a_share() {
        let words = [0.0, 0.01, 0.2, 0.49, 0.5, 1.0].map(impact);
        assert_eq!(words, ["None", "Low", "Medium", "Medium", "High", "High"]);
    }
}
