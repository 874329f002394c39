//! Members: from who is listed and how they are to what the data plane reads.
//!
//! New traffic goes to the first of these that has somebody: the backends that are open and
//! have a weight; the backups; with a panic threshold that is not reached, all that no
//! operator took out; nobody, for a reason that is named.

use super::circuits::Circuits;
use super::gauges::{BackendGauges, PoolGauges};
use crate::config;
use crate::control::discovery::{Found, Origin};
use crate::control::health::{Check, Finding, Verdict};
use crate::data::balance::Algorithm;
use crate::data::breaker::Cause;
use crate::data::pool::{Backend, Idle, Live, Member, Members, Out};
use crate::types::ids::PoolId;
use crate::types::moment::Moment;
use std::sync::Arc;
use std::time::Duration;

/// Steps in which a backend that starts slowly comes up to its weight.
const STEPS: u32 = 10;

/// Backends that are left out, of which it is told; more are counted.
const LEFT_OUT_NAMED: usize = 8;

/// A backend as it is listed.
#[derive(Clone)]
pub struct Listed {
    /// The backend.
    pub backend: Arc<Backend>,
    /// Its weight.
    pub weight: u32,
    /// The weight that an operator gave it instead.
    pub overridden: Option<u32>,
    /// Requests that it may work on at once.
    pub limit: u32,
    /// It is used when none of the others can be.
    pub is_backup: bool,
    /// Its source says that it ends.
    pub is_leaving: bool,
    /// What is shown of how it is.
    pub gauges: Arc<BackendGauges>,
}

impl Listed {
    /// Its share of new traffic: an operator's word, or else its weight.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.overridden.unwrap_or(self.weight)
    }
}

/// What a pool's members are compiled from.
pub struct Plan {
    /// The pool.
    pub id: PoolId,
    /// Where its members are published.
    pub live: Arc<Live>,
    /// Who is listed, in that order: what the config names, then what sources found.
    pub listed: Vec<Listed>,
    /// What the config names.
    pub fixed: Vec<Found>,
    /// Requests that a backend may work on at once if nothing else is said.
    pub limit: u32,
    /// Where others come from.
    pub origin: Origin,
    /// Whether the process is not started before these have told of it.
    pub is_required: bool,
    /// How they are checked, if they are.
    pub check: Option<Arc<Check>>,
    /// How it chooses.
    pub algorithm: &'static Algorithm,
    /// The most load that one may have, in hundredths of the mean.
    pub load_max: Option<u32>,
    /// Over how long a backend comes up to its weight.
    pub slow_start: Option<Duration>,
    /// The smallest share that has to be healthy, in ten-thousandths.
    pub panic_below: u16,
    /// What is shown of how it is.
    pub gauges: PoolGauges,
    /// What the circuits of its backends go by.
    pub circuits: Circuits,
    /// Who is an outlier, if they are compared.
    pub outliers: Option<config::Outliers>,
}

impl Plan {
    /// Publishes the members as they are now.
    pub fn publish(&self, now: Moment) {
        let before = self.live.members();
        let next = members(self, self.live.version(), now);
        self.report(&before, &next);
        drop(before);
        self.live.publish(next, now);
    }

    /// Says in log and metrics what has changed.
    fn report(&self, before: &Members, next: &Members) {
        for listed in &self.listed {
            listed.gauges.show(listed.weight());
        }
        self.gauges.show(next);
        let (pool, active, of) = (&self.id, next.active.len(), next.all.len());
        if next.is_panic() && !before.is_panic() {
            tracing::warn!(%pool, active, "too few backends are healthy: health is overlooked");
        }
        if next.is_backup && !before.is_backup {
            tracing::warn!(%pool, active, "no backend left: the backups are used");
        }
        let was_idle = before.active.is_empty() && before.version > 0;
        match (next.active.is_empty(), was_idle) {
            (true, false) => {
                tracing::warn!(%pool, of, why = ?next.idle, "no backend takes traffic")
            }
            (false, true) => tracing::info!(%pool, active, of, "backends take traffic again"),
            _ => {}
        }
    }

    /// The backends that are listed.
    #[must_use]
    pub fn backends(&self) -> Vec<Arc<Backend>> {
        self.listed.iter().map(|listed| Arc::clone(&listed.backend)).collect()
    }

    /// Takes in what a probe found.
    pub fn judge(&self, finding: &Finding, now: Moment) {
        let is_down = finding.verdict == Verdict::Down;
        let backends = self.listed.iter().map(|listed| &listed.backend);
        for backend in backends.filter(|backend| backend.address == finding.address) {
            let (pool, reason) = (&self.id, &finding.reason);
            if !backend.state.mark(Out::Unhealthy, is_down) {
                continue;
            }
            if is_down {
                tracing::warn!(%pool, backend = %backend.name, %reason, "backend is down");
            } else {
                tracing::info!(%pool, backend = %backend.name, %reason, "backend is up");
                // It was gone, and is there again: whatever opened its circuit, probes may try.
                self.live.half_open(backend, Cause::CheckPassed, now);
                backend.state.begin(now);
            }
            self.live.touch();
        }
    }

    /// Whether some backend comes up to its weight just now.
    #[must_use]
    pub fn is_starting(&self, now: Moment) -> bool {
        self.listed.iter().any(|listed| step(&listed.backend, self.slow_start, now) < STEPS)
    }
}

/// The members of `plan` at `now`.
#[must_use]
pub fn members(plan: &Plan, version: u64, now: Moment) -> Members {
    let is_starting = plan.is_starting(now);
    let member = |listed: &Listed| {
        let weight = listed.weight();
        let step = if is_starting { step(&listed.backend, plan.slow_start, now) } else { 1 };
        Member {
            backend: Arc::clone(&listed.backend),
            weight,
            pace: weight * step,
            limit: listed.limit,
            is_backup: listed.is_backup,
        }
    };
    let all: Vec<Member> = plan.listed.iter().map(member).collect();
    let mut next = Members {
        version,
        is_limited: all.iter().any(|member| member.limit < u32::MAX),
        ..choose(&all, plan.panic_below)
    };
    let mut tags: Vec<_> = (0..).zip(&all).map(|(at, m)| (m.backend.tag, at)).collect();
    tags.sort_unstable();
    next.tags = tags.into();
    next.probing = probing(&all, &next);
    next.left_out = left_out(&all, &next);
    next.all = all;
    if !next.active.is_empty() {
        let work = (plan.algorithm.plan)(&next.active, plan.load_max);
        next.plan = Some((plan.algorithm, work));
    }
    next
}

/// Who of `all` takes new traffic, and why nobody does.
fn choose(all: &[Member], panic_below: u16) -> Members {
    let open = |overlooked: u8, is_backup: bool| -> Vec<Member> {
        let takes = |member: &&Member| {
            member.is_backup == is_backup
                && member.weight > 0
                && member.backend.state.out() & !overlooked == 0
        };
        all.iter().filter(takes).cloned().collect()
    };
    let primary = || all.iter().filter(|member| !member.is_backup);
    let healthy = primary().filter(|m| m.backend.state.out() & Out::BY_HEALTH == 0).count();
    let is_panic = healthy * 10_000 < primary().count() * usize::from(panic_below);
    let overlooked = if is_panic { Out::BY_HEALTH } else { 0 };
    let active = open(overlooked, false);
    if !active.is_empty() {
        return Members { active, overlooked, ..Members::default() };
    }
    let backup = open(0, true);
    if !backup.is_empty() {
        return Members { active: backup, is_backup: true, ..Members::default() };
    }
    let withdrawn = Out::BY_DRAINING | Out::Maint as u8;
    let stays = |member: &&Member| member.backend.state.out() & withdrawn == 0;
    let idle = match () {
        () if all.is_empty() => Idle::Empty,
        () if !all.iter().any(|member| stays(&member)) => Idle::Withdrawn,
        () if all.iter().filter(stays).all(|member| member.weight == 0) => Idle::NoWeight,
        () => Idle::Unhealthy,
    };
    Members { idle, ..Members::default() }
}

/// Who of `all` may have probes: of the backups those that would be used.
fn probing(all: &[Member], next: &Members) -> Vec<Member> {
    let takes = |member: &&Member| {
        (next.is_backup || !member.is_backup || next.active.is_empty())
            && member.weight > 0
            && member.backend.state.out() & !next.overlooked & !(Out::HalfOpen as u8) == 0
            && member.backend.state.out() & Out::HalfOpen as u8 != 0
    };
    all.iter().filter(takes).cloned().collect()
}

/// Who of `all` is not active, and why; `None` if all are.
fn left_out(all: &[Member], next: &Members) -> Option<Arc<str>> {
    let why = |member: &Member| match member.backend.state.why_out() {
        Some(_) if next.is_open(member) => None,
        Some(why) => Some(why.as_str()),
        None if member.weight == 0 => Some("weight_0"),
        None => None,
    };
    let is_due = |member: &&Member| next.is_backup || !member.is_backup;
    let mut out = all.iter().filter(is_due).filter_map(|member| Some((member, why(member)?)));
    let named = out.by_ref().take(LEFT_OUT_NAMED);
    let mut text =
        named.map(|(m, why)| format!("{} {why}", m.backend.name)).collect::<Vec<_>>().join(", ");
    match out.count() {
        0 => {}
        more => text.push_str(&format!(", {more} more")),
    }
    (!text.is_empty()).then(|| text.into())
}

/// How far a backend has come up to its weight, of [`STEPS`].
fn step(backend: &Backend, slow_start: Option<Duration>, now: Moment) -> u32 {
    let (Some(whole), Some(since)) = (slow_start, backend.state.since()) else { return STEPS };
    let share = now.since(since).as_secs_f64() / whole.as_secs_f64();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and STEPS"
    )]
    let step = (share * f64::from(STEPS)).clamp(1.0, f64::from(STEPS)) as u32;
    step
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::balance::by_name;
    use crate::data::snapshot::tests::backend;
    use crate::observe::metrics::Metrics;

    fn plan(weights: &[(u32, bool)], panic_below: u16) -> Plan {
        let metrics = Arc::new(Metrics::new(1).unwrap());
        let (id, live): (PoolId, _) = ("a".parse().unwrap(), Arc::new(Live::new(Arc::default())));
        let listed = |(index, &(weight, is_backup)): (usize, &(u32, bool))| Listed {
            gauges: Arc::new(BackendGauges::new(&metrics, &id, &backend(index))),
            backend: backend(index),
            weight,
            overridden: None,
            limit: u32::MAX,
            is_backup,
            is_leaving: false,
        };
        Plan {
            listed: weights.iter().enumerate().map(listed).collect(),
            fixed: Vec::new(),
            limit: u32::MAX,
            origin: Origin::default(),
            is_required: false,
            check: None,
            algorithm: by_name("weighted").unwrap(),
            load_max: None,
            slow_start: Some(Duration::from_secs(10)),
            panic_below,
            circuits: Circuits::compile(&config::Pool::default(), false),
            outliers: None,
            gauges: PoolGauges::new(&metrics, &id, &live),
            id,
            live,
        }
    }

    fn active(plan: &Plan) -> Result<Vec<u16>, Idle> {
        let members = members(plan, 1, Moment::default());
        match members.active.is_empty() {
            true => Err(members.idle),
            false => Ok(members.active.iter().map(|m| m.backend.address.port() - 9000).collect()),
        }
    }

    #[test]
    fn weights_health_and_operators_say_who_takes_traffic() {
        let plan = plan(&[(1, false), (0, false), (1, false), (1, true)], 0);
        let mark = |index: usize, why, holds| plan.listed[index].backend.state.mark(why, holds);
        assert_eq!(active(&plan), Ok(vec![0, 2]));
        mark(0, Out::Unhealthy, true);
        assert_eq!(active(&plan), Ok(vec![2]));
        mark(2, Out::Drain, true);
        assert_eq!(active(&plan), Ok(vec![3]), "the backup");
        mark(3, Out::Maint, true);
        assert_eq!(active(&plan), Err(Idle::Unhealthy));
        mark(0, Out::Maint, true);
        assert_eq!(active(&plan), Err(Idle::NoWeight));
        mark(1, Out::Maint, true);
        assert_eq!(active(&plan), Err(Idle::Withdrawn));
        assert_eq!(active(&self::plan(&[], 0)), Err(Idle::Empty));
    }

    #[test]
    fn when_too_few_are_healthy_health_is_overlooked() {
        let plan = plan(&[(1, false), (1, false), (1, false), (1, false)], 5000);
        let fail = |index: usize| plan.listed[index].backend.state.mark(Out::CircuitOpen, true);
        fail(0);
        fail(1);
        assert_eq!(active(&plan), Ok(vec![2, 3]), "half are healthy");
        fail(2);
        assert_eq!(active(&plan), Ok(vec![0, 1, 2, 3]));
        plan.listed[3].backend.state.mark(Out::Drain, true);
        assert_eq!(active(&plan), Ok(vec![0, 1, 2]), "what operators say is not overlooked");
    }

    #[test]
    fn a_backend_that_recovers_comes_up_in_steps() {
        let plan = plan(&[(2, false), (2, false)], 0);
        let at = |seconds: u64| Moment::default().after(Duration::from_secs(100 + seconds));
        let paces = |now| {
            let members = members(&plan, 1, now);
            members.active.iter().map(|member| member.pace).collect::<Vec<_>>()
        };
        assert_eq!(paces(at(0)), [2, 2]);
        plan.listed[1].backend.state.begin(at(0));
        assert_eq!(paces(at(0)), [20, 2]);
        assert_eq!(paces(at(5)), [20, 10]);
        assert_eq!(paces(at(10)), [2, 2]);
    }
}
