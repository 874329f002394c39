//! What outlives a reload: what is known of backends, pools and listeners that stay.
//!
//! A backend is the same while its pool's name, its address and what its source calls it are: a
//! new pod on the address of an old one is another. One that leaves keeps its record for a while,
//! so that it has it when it comes back.

use super::discovery::Found;
use super::limits_kept::LimitsKept;
use super::pools::BackendGauges;
use super::redis::Redis;
use crate::config;
use crate::data::fallback::store::Store;
use crate::data::identity::{Believed, Identity};
use crate::data::listener::Counts;
use crate::data::listener::blocklist::Blocklist;
use crate::data::overload::InFlight;
use crate::data::pool::sticky::tag_of;
use crate::data::pool::{Backend, BackendMetrics, BackendState, Live};
use crate::data::split::{SplitLive, Weights};
use crate::data::waf::tally::Tally;
use crate::observe::metrics::{BACKEND_IN_FLIGHT, Metrics, Watched};
use crate::types::ids::{IdentityId, ListenerId, PoolId, RouteId, WafId};
use crate::types::moment::Moment;
use aws_lc_rs::error::Unspecified;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use vanne_filters::waf::program::Program;

/// How long the record of a backend that has left is kept.
const GRACE: Duration = Duration::from_secs(60);

/// What outlives a reload.
#[derive(Default)]
pub struct Kept {
    backends: HashMap<(PoolId, SocketAddr), Record>,
    lives: HashMap<PoolId, Arc<Live>>,
    splits: HashMap<RouteId, Arc<SplitLive>>,
    /// Weights of splits in the config that was compiled last.
    weights: Vec<(Arc<SplitLive>, Weights)>,
    counts: HashMap<ListenerId, Arc<Counts>>,
    /// Ways to know who sends a request, and what the config says of them.
    identities: HashMap<IdentityId, (config::Identity, Arc<Identity>)>,
    /// What files say to those in the config that was compiled last.
    believed: Vec<(Arc<Identity>, Believed)>,
    /// What is kept of limits.
    pub limits: LimitsKept,
    /// The connection to Redis, if the config has one.
    pub redis: Redis,
    /// Rules of firewalls by what they were made of, while somebody has them.
    programs: HashMap<u64, Weak<Program>>,
    tallies: HashMap<WafId, Arc<Tally>>,
    changed: Arc<Notify>,
    /// Requests that count for the process' limit, where it has one.
    in_flight: Arc<InFlight>,
    /// Who may not come in.
    blocklist: Arc<Blocklist>,
    /// Good answers of before, if some route gives them.
    fallback_store: Option<Arc<Store>>,
    /// How large it is to be when the config that was compiled last is in use.
    fallback_bytes: u64,
    /// What signs tokens of pools that name no key.
    sticky_key: Option<[u8; 32]>,
}

struct Record {
    backend: Arc<Backend>,
    /// What its source calls it.
    identity: Option<Arc<str>>,
    /// What is shown of it while it is listed.
    gauges: Weak<BackendGauges>,
    /// `vanne_backend_requests_in_flight`: also of one that has left, and ends what it has.
    _in_flight: Option<Watched>,
    /// When it was last used.
    seen: Instant,
}

impl Kept {
    /// A backend, as it was or new, and its gauges. A new one in a pool that is there already
    /// starts slowly.
    pub fn backend(
        &mut self,
        pool: &PoolId,
        found: &Found,
        metrics: &Arc<Metrics>,
        now: Instant,
    ) -> (Arc<Backend>, Arc<BackendGauges>) {
        let (address, identity) = (found.address, &found.identity);
        let known = self.backends.get_mut(&(pool.clone(), address));
        if let Some(record) = known.filter(|record| record.identity == *identity) {
            record.seen = now;
            let gauges = record
                .gauges
                .upgrade()
                .unwrap_or_else(|| Arc::new(BackendGauges::new(metrics, pool, &record.backend)));
            record.gauges = Arc::downgrade(&gauges);
            return (Arc::clone(&record.backend), gauges);
        }
        let name: Box<str> = address.to_string().into();
        let state = BackendState::new(BackendMetrics::new(metrics, pool.as_str(), &name));
        if self.lives.contains_key(pool) {
            state.begin(Moment::of(now));
        }
        let tag = tag_of(pool.as_str(), identity.as_deref().unwrap_or(&name));
        let backend = Arc::new(Backend { address, tag, name, pod: found.pod.clone(), state });
        let gauges = Arc::new(BackendGauges::new(metrics, pool, &backend));
        let shown = Arc::downgrade(&gauges);
        let weak = Arc::downgrade(&backend);
        let in_flight = move || Some(f64::from(weak.upgrade()?.state.in_flight()));
        let labels = [pool.as_str(), &*backend.name];
        let record = Record {
            backend: Arc::clone(&backend),
            identity: identity.clone(),
            gauges: shown,
            _in_flight: metrics.watch(&BACKEND_IN_FLIGHT, labels, in_flight),
            seen: now,
        };
        self.backends.insert((pool.clone(), address), record);
        (backend, gauges)
    }

    /// What is shared about a pool, as it was or new.
    pub fn live(&mut self, pool: &PoolId) -> Arc<Live> {
        let new = || Arc::new(Live::new(Arc::clone(&self.changed)));
        Arc::clone(self.lives.entry(pool.clone()).or_insert_with(new))
    }

    /// A key of the process' own that signs sticky clients' tokens.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn sticky_key(&mut self) -> Result<[u8; 32], Unspecified> {
        if let Some(key) = self.sticky_key {
            return Ok(key);
        }
        let mut key = [0; 32];
        aws_lc_rs::rand::fill(&mut key)?;
        self.sticky_key = Some(key);
        Ok(key)
    }

    /// With this list of who may not come in.
    #[must_use]
    pub fn with_blocklist(self, blocklist: Arc<Blocklist>) -> Self {
        Self { blocklist, ..self }
    }

    /// Who may not come in.
    #[must_use]
    pub fn blocklist(&self) -> Arc<Blocklist> {
        Arc::clone(&self.blocklist)
    }

    /// Requests that count for the process' limit.
    #[must_use]
    pub fn in_flight(&self) -> Arc<InFlight> {
        Arc::clone(&self.in_flight)
    }

    /// Good answers of before, as they are or none yet. The size counts when the config is in
    /// use.
    pub fn fallback_store(&mut self, bytes_max: u64) -> Arc<Store> {
        self.fallback_bytes = bytes_max;
        let new = || Arc::new(Store::new(bytes_max));
        Arc::clone(self.fallback_store.get_or_insert_with(new))
    }

    /// What is shared about the split of a route, as it was or new. The weights count when
    /// the config is in use.
    pub fn split(&mut self, route: &RouteId, weights: Weights) -> Arc<SplitLive> {
        let live = Arc::clone(self.splits.entry(route.clone()).or_default());
        self.weights.push((Arc::clone(&live), weights));
        live
    }

    /// A config is compiled anew: what the last one wanted does not count.
    pub fn begin(&mut self) {
        self.weights.clear();
        self.believed.clear();
    }

    /// The config that was compiled last is in use from now on.
    pub fn commit(&mut self) {
        for (live, weights) in self.weights.drain(..) {
            live.set(weights);
        }
        for (identity, believed) in self.believed.drain(..) {
            identity.believe(believed);
        }
        if let Some(store) = &self.fallback_store {
            store.resize(self.fallback_bytes);
        }
    }

    /// Told when something happens to a backend of any pool.
    #[must_use]
    pub fn changed(&self) -> Arc<Notify> {
        Arc::clone(&self.changed)
    }

    /// The counts of a listener, as they were or new.
    pub fn counts(&mut self, listener: &ListenerId, metrics: &Metrics) -> Arc<Counts> {
        if let Some(counts) = self.counts.get(listener) {
            return Arc::clone(counts);
        }
        let counts = Arc::new(Counts::new(metrics, listener.as_str()));
        self.counts.insert(listener.clone(), Arc::clone(&counts));
        counts
    }

    /// A way to know who sends a request, as it was if the config says the same of it, or `new`.
    /// What files say counts when the config is in use.
    pub fn identity(
        &mut self,
        id: &IdentityId,
        config: &config::Identity,
        believed: Believed,
        new: impl FnOnce() -> Identity,
    ) -> Arc<Identity> {
        let identity = match self.identities.get(id) {
            Some((known, identity)) if known == config => Arc::clone(identity),
            _ => {
                let identity = Arc::new(new());
                self.identities.insert(id.clone(), (config.clone(), Arc::clone(&identity)));
                identity
            }
        };
        self.believed.push((Arc::clone(&identity), believed));
        identity
    }

    /// The rules made of what `number` stands for, as they are or made by `make`.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn program<E>(
        &mut self,
        number: u64,
        make: impl FnOnce() -> Result<Program, E>,
    ) -> Result<Arc<Program>, E> {
        if let Some(program) = self.programs.get(&number).and_then(Weak::upgrade) {
            return Ok(program);
        }
        let program = Arc::new(make()?);
        self.programs.insert(number, Arc::downgrade(&program));
        Ok(program)
    }

    /// What is known of matches of a firewall, as it was or nothing yet.
    pub fn tally(&mut self, waf: &WafId) -> Arc<Tally> {
        Arc::clone(self.tallies.entry(waf.clone()).or_default())
    }

    /// The same, if anything is known.
    #[must_use]
    pub fn known_tally(&self, waf: &WafId) -> Option<&Arc<Tally>> {
        self.tallies.get(waf)
    }

    /// Forgets what nobody has used for a while. To be called now and then: what is used when
    /// this is called counts as used until then.
    pub fn forget(&mut self, now: Instant) {
        self.backends.retain(|_, record| {
            // Its gauges hold it too: who is listed has them.
            if Arc::strong_count(&record.backend) > 1 {
                record.seen = now;
            }
            now.duration_since(record.seen) < GRACE
        });
        // A table that was large once need not stay so.
        self.backends.shrink_to(self.backends.len() * 2);
        self.lives.retain(|_, live| Arc::strong_count(live) > 1);
        self.splits.retain(|_, live| Arc::strong_count(live) > 1);
        self.fallback_store.take_if(|store| Arc::strong_count(store) == 1);
        self.programs.retain(|_, program| program.strong_count() > 0);
        self.tallies.retain(|_, tally| Arc::strong_count(tally) > 1);
        self.counts.retain(|_, counts| Arc::strong_count(counts) > 1);
        self.identities.retain(|_, (_, identity)| Arc::strong_count(identity) > 1);
        self.limits.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_that_comes_back_in_time_has_its_record() {
        let metrics = Arc::new(Metrics::new(1).unwrap());
        let (pool, found) = ("app".parse().unwrap(), Found::at(([127, 0, 0, 1], 9000).into()));
        let mut kept = Kept::default();
        let begin = crate::types::clock::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let first = kept.backend(&pool, &found, &metrics, begin);
        let known = Arc::downgrade(&first.0);
        // However long it was there, the time counts from when it left.
        kept.forget(at(1000));
        drop(first);
        kept.forget(at(1059));
        let again = kept.backend(&pool, &found, &metrics, at(1059));
        assert!(known.ptr_eq(&Arc::downgrade(&again.0)));
        kept.forget(at(1059));
        drop(again);
        let shown = || metrics.render().unwrap();
        assert!(shown().contains("vanne_backend_requests_total{"));
        kept.forget(at(1119));
        assert!(known.upgrade().is_none());
        assert!(!shown().contains("vanne_backend_requests_total{"));
    }

    #[test]
    fn a_new_pod_on_an_old_address_begins_anew() {
        let metrics = Arc::new(Metrics::new(1).unwrap());
        let pool = "app".parse().unwrap();
        let mut kept = Kept::default();
        let mut pod = |uid: &str| {
            let at = Found::at(([10, 0, 0, 1], 80).into());
            let found = Found { identity: Some(uid.into()), ..at };
            kept.backend(&pool, &found, &metrics, crate::types::clock::now()).0
        };
        let (first, same, other) = (pod("a"), pod("a"), pod("b"));
        assert!(Arc::ptr_eq(&first, &same) && !Arc::ptr_eq(&first, &other));
        assert_ne!(first.tag, other.tag, "clients of the first do not belong to the other");
    }
}
