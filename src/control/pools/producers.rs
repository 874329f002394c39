//! Producers: who tells of backends without being asked: sources and checks.
//!
//! Sources run for as long as what a pool says of them stays the same; probes for as long as
//! some pool checks that address that way. What they said last is kept, so that a reload does
//! not forget it.

use super::members::Plan;
use crate::control::discovery::{self, Found, Origin, Pushed, Shared, Source, State};
use crate::control::health::{CheckId, Finding, Prober, Report, Target, Verdict};
use crate::observe::metrics::{Gauge, Metrics, SOURCE_BACKENDS, SOURCE_STALE};
use crate::types::ids::PoolId;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::mpsc;

/// How much may be pushed and not yet looked at.
const WAITING_MAX: usize = 1024;

/// Sources and probes of the pools in use.
pub struct Producers {
    sources: BTreeMap<PoolId, Sources>,
    prober: Prober,
    pushing: mpsc::Sender<Pushed>,
    /// What sources have in common.
    shared: Shared,
    metrics: Arc<Metrics>,
}

/// What is told: to be read by who owns the pools.
pub struct Told {
    /// What sources found.
    pub found: mpsc::Receiver<Pushed>,
    /// What probes found.
    pub checked: mpsc::Receiver<Finding>,
}

/// The sources of one pool.
struct Sources {
    origin: Origin,
    running: Vec<Running>,
}

struct Running {
    source: Source,
    backends: Vec<Found>,
    /// Why what is known may be old, if it may.
    stale: Option<String>,
    /// What else is to be known about them.
    note: Option<String>,
    /// Whether it has told of a list.
    has_list: bool,
    /// `vanne_source_backends`.
    known: Gauge,
    /// `vanne_source_stale`.
    is_stale: Gauge,
}

impl Running {
    /// A source of `pool` that has not told anything yet.
    fn new(pool: &PoolId, source: Source, metrics: &Metrics) -> Self {
        let (labels, mut group) = ([pool.as_str(), source.name], metrics.group());
        Self {
            known: group.handle(&SOURCE_BACKENDS, labels),
            is_stale: group.handle(&SOURCE_STALE, labels),
            source,
            backends: Vec::new(),
            stale: None,
            note: None,
            has_list: false,
        }
    }
}

impl Running {
    /// Until it tells something the list of the one before it stands: no pool is empty only
    /// because it was said anew where its backends come from.
    fn take_over(&mut self, old: Option<&Sources>) {
        let mut before = old.iter().flat_map(|old| &old.running);
        if let Some(before) = before.find(|before| before.source.name == self.source.name) {
            self.backends.clone_from(&before.backends);
            self.stale.clone_from(&before.stale);
        }
    }
}

/// What there is to tell of a source.
pub struct SourceReport {
    /// Its kind.
    pub name: &'static str,
    /// How many backends it knows.
    pub backends: usize,
    /// Why what is known may be old, if it may.
    pub stale: Option<String>,
    /// What else is to be known about them.
    pub note: Option<String>,
}

impl Producers {
    /// Nobody yet. To be called on the runtime that they are to run on.
    #[must_use]
    pub fn new(rng: fastrand::Rng, metrics: &Arc<Metrics>) -> (Self, Told) {
        let (pushing, found) = mpsc::channel(WAITING_MAX);
        let (findings, checked) = mpsc::channel(WAITING_MAX);
        let prober = Prober::new(findings, rng, metrics);
        let sources = BTreeMap::new();
        let (metrics, shared) = (Arc::clone(metrics), Shared::new(metrics));
        let producers = Self { sources, prober, pushing, shared, metrics };
        (producers, Told { found, checked })
    }

    /// Runs the sources that `plans` name, and no others.
    pub fn source<'a>(&mut self, plans: impl Iterator<Item = &'a Plan>) {
        let mut before = std::mem::take(&mut self.sources);
        for plan in plans.filter(|plan| plan.origin != Origin::default()) {
            let (kept, old) = match before.remove(&plan.id) {
                Some(kept) if kept.origin == plan.origin => (Some(kept), None),
                old => (None, old),
            };
            let sources = kept.unwrap_or_else(|| {
                let start = |source| Running::new(&plan.id, source, &self.metrics);
                let running = discovery::start(&plan.origin, &self.pushing, &self.shared);
                let mut running: Vec<Running> = running.into_iter().map(start).collect();
                running.iter_mut().for_each(|one| one.take_over(old.as_ref()));
                Sources { origin: plan.origin.clone(), running }
            });
            self.sources.insert(plan.id.clone(), sources);
        }
    }

    /// Checks the backends that `plans` list, and no others.
    pub fn check<'a>(&mut self, plans: impl Iterator<Item = &'a Plan> + Clone) {
        let targets = plans.filter_map(|plan| Some((plan, plan.check.as_ref()?)));
        let targets: Vec<Target> = targets
            .flat_map(|(plan, check)| {
                let target = |address| Target { address, check: Arc::clone(check) };
                plan.listed.iter().map(move |listed| target(listed.backend.address))
            })
            .collect();
        self.prober.set(targets);
    }

    /// Keeps what a source pushed. Gives its pool, if it is of one still.
    pub fn keep(&mut self, pushed: Pushed) -> Option<PoolId> {
        let Pushed { source, update } = pushed;
        let has_list = update.has_list();
        let of = |running: &&mut Running| running.source.id == source;
        let (id, running) = self
            .sources
            .iter_mut()
            .find_map(|(id, sources)| Some((id.clone(), sources.running.iter_mut().find(of)?)))?;
        let (name, count) = (running.source.name, update.backends.len());
        running.backends = update.backends;
        running.has_list |= has_list;
        if update.note.is_some() && running.note != update.note {
            let note = update.note.as_deref().unwrap_or_default();
            tracing::warn!(pool = %id, source = name, note, "about backends found");
        }
        running.note = update.note;
        running.stale = match update.state {
            State::Fresh => {
                tracing::info!(pool = %id, source = name, backends = count, "backends found");
                None
            }
            State::Stale { reason, .. } => {
                tracing::warn!(pool = %id, source = name, backends = count, %reason,
                    "backends not found, the last ones stay");
                Some(reason)
            }
        };
        running.known.set(i64::try_from(count).unwrap_or(i64::MAX));
        running.is_stale.set(running.stale.is_some().into());
        Some(id)
    }

    /// The verdict on a backend, if there is one.
    #[must_use]
    pub fn verdict(&self, address: SocketAddr, check: CheckId) -> Option<Verdict> {
        self.prober.report(address, check)?.tally.verdict
    }

    /// What is known of a check, if it runs.
    #[must_use]
    pub fn report(&self, address: SocketAddr, check: CheckId) -> Option<Arc<Report>> {
        self.prober.report(address, check)
    }

    /// What the sources of a pool found.
    pub fn found(&self, id: &PoolId) -> impl Iterator<Item = &Found> {
        let running = self.sources.get(id).map(|sources| sources.running.as_slice());
        running.unwrap_or_default().iter().flat_map(|running| &running.backends)
    }

    /// What there is to tell of the sources of a pool.
    pub fn sources(&self, id: &PoolId) -> impl Iterator<Item = SourceReport> {
        let running = self.sources.get(id).map(|sources| sources.running.as_slice());
        running.unwrap_or_default().iter().map(|running| SourceReport {
            name: running.source.name,
            backends: running.backends.len(),
            stale: running.stale.clone(),
            note: running.note.clone(),
        })
    }

    /// Whether each source of a pool has told of a list.
    #[must_use]
    pub fn has_lists(&self, id: &PoolId) -> bool {
        let running = self.sources.get(id).map(|sources| sources.running.as_slice());
        running.unwrap_or_default().iter().all(|running| running.has_list)
    }
}
