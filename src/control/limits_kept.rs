//! What outlives a reload of limits: buckets, leases, requests under way, how backends did.
//!
//! Something stays while what it is of does: its name, and what tells its clients apart.

use super::redis::Redis;
use crate::data::rate_limit::RateLimit;
use crate::data::rate_limit::adapting::Adapting;
use crate::data::rate_limit::at_once::AtOnce;
use crate::data::rate_limit::part::Part;
use crate::data::rate_limit::shared::{Bridge, Shared};
use crate::observe::metrics::{Metrics, RATE_LIMIT_ADAPTED, Watched};
use crate::types::ids::{LimitId, ListenerId, RouteId};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use vanne_filters::rate_limit::{Leases, Secret, Strain, Table};

/// How often limits adapt.
const ADAPT_EVERY: Duration = Duration::from_secs(1);
/// Addresses that connected of late which a listener remembers at least.
const CONNECTIONS_KEYS: usize = 100_000;

/// What is kept of limits.
#[derive(Default)]
pub struct LimitsKept {
    /// Buckets, and whom each is of.
    buckets: HashMap<LimitId, (Box<[Part]>, Arc<Table>)>,
    /// The same of limits that replicas share, and what keys are made with.
    shared: HashMap<LimitId, SharedKept>,
    at_once: HashMap<RouteId, (Box<[Part]>, Arc<AtOnce>)>,
    connections: HashMap<ListenerId, Arc<Table>>,
    adapting: HashMap<LimitId, Adapted>,
    adapted: Option<Instant>,
    /// The limits of the config that is compiled, and of the one in use.
    compiled: Vec<Arc<RateLimit>>,
    in_use: Vec<Arc<RateLimit>>,
}

/// A limit that replicas share: whom its buckets are of, and what keys are made with.
type SharedKept = (Box<[Part]>, Secret, Arc<Shared>);

/// A limit that adapts.
struct Adapted {
    strain: Strain,
    adapting: Arc<Adapting>,
    _gauge: Option<Watched>,
}

impl LimitsKept {
    /// The buckets of a rate limit, as they were if they are of the same, or new.
    pub fn buckets(&mut self, limit: &LimitId, of: &[Part], keys_max: u32) -> Arc<Table> {
        let keys_max = usize::try_from(keys_max).unwrap_or(usize::MAX);
        match self.buckets.get(limit) {
            Some((parts, table)) if **parts == *of && table.keys_max() == keys_max => {
                Arc::clone(table)
            }
            _ => {
                let table = Arc::new(Table::new(keys_max));
                self.buckets.insert(limit.clone(), (of.into(), Arc::clone(&table)));
                table
            }
        }
    }

    /// The buckets of a rate limit that replicas share through `redis`, as they were or new.
    pub fn shared(
        &mut self,
        limit: &LimitId,
        of: &[Part],
        (keys_max, secret): (u32, Secret),
        redis: &Redis,
        new: impl FnOnce(Table, Leases, Arc<Bridge>) -> Shared,
    ) -> Arc<Shared> {
        let keys_max = usize::try_from(keys_max).unwrap_or(usize::MAX);
        match self.shared.get(limit) {
            Some((parts, with, shared))
                if **parts == *of && *with == secret && shared.own.keys_max() == keys_max =>
            {
                Arc::clone(shared)
            }
            _ => {
                let own = Table::with_secret(keys_max, secret);
                let shared = new(own, Leases::new(keys_max), redis.bridge()).known();
                self.shared.insert(limit.clone(), (of.into(), secret, Arc::clone(&shared)));
                shared
            }
        }
    }

    /// Requests of a route under way, as they are if they are told apart the same way.
    pub fn at_once(&mut self, route: &RouteId, of: &[Part]) -> Arc<AtOnce> {
        match self.at_once.get(route) {
            Some((parts, at_once)) if **parts == *of => Arc::clone(at_once),
            _ => {
                let at_once = Arc::new(AtOnce::default());
                self.at_once.insert(route.clone(), (of.into(), Arc::clone(&at_once)));
                at_once
            }
        }
    }

    /// Who connected of late to a listener.
    pub fn connections(&mut self, listener: &ListenerId) -> Arc<Table> {
        let new = || Arc::new(Table::new(CONNECTIONS_KEYS));
        Arc::clone(self.connections.entry(listener.clone()).or_insert_with(new))
    }

    /// How the backends behind a limit do.
    pub fn adapting(
        &mut self,
        limit: &LimitId,
        strain: Strain,
        metrics: &Arc<Metrics>,
    ) -> Arc<Adapting> {
        let new = || {
            let adapting = Arc::<Adapting>::default();
            let weak = Arc::downgrade(&adapting);
            let share = move || Some(f64::from(weak.upgrade()?.permille()) / 1000.0);
            let gauge = metrics.watch(&RATE_LIMIT_ADAPTED, [limit.as_str()], share);
            Adapted { strain, adapting, _gauge: gauge }
        };
        let adapted = self.adapting.entry(limit.clone()).or_insert_with(new);
        adapted.strain = strain;
        Arc::clone(&adapted.adapting)
    }

    /// Lets in more or less, each second. To be called more often than that.
    pub fn adapt(&mut self, now: Instant) {
        if self.adapted.is_some_and(|last| now.duration_since(last) < ADAPT_EVERY) {
            return;
        }
        self.adapted = Some(now);
        self.adapting.values().for_each(|one| one.adapting.step(&one.strain));
        self.turn(now);
    }

    /// A config has these limits.
    pub fn compiled(&mut self, limits: impl Iterator<Item = Arc<RateLimit>>) {
        self.compiled = limits.collect();
    }

    /// The config that was compiled last is in use from `now` on: buckets fill as it says.
    pub fn commit(&mut self, now: Instant) {
        self.in_use = std::mem::take(&mut self.compiled);
        self.turn(now);
    }

    fn turn(&self, now: Instant) {
        self.in_use.iter().for_each(|limit| limit.turn(now));
    }

    /// Forgets what nobody uses.
    pub fn forget(&mut self) {
        self.buckets.retain(|_, (_, table)| Arc::strong_count(table) > 1);
        self.shared.retain(|_, (_, _, shared)| Arc::strong_count(shared) > 1);
        self.at_once.retain(|_, (_, at_once)| Arc::strong_count(at_once) > 1);
        self.connections.retain(|_, table| Arc::strong_count(table) > 1);
        self.adapting.retain(|_, one| Arc::strong_count(&one.adapting) > 1);
    }
}
