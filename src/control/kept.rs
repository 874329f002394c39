//! What outlives a reload: what is known of backends, pools and listeners that stay.
//!
//! A backend is the same while its pool's name and its address are. One that leaves keeps its
//! record for a while, so that it has it when it comes back.

use super::compile::CompileError;
use crate::data::listener::Counts;
use crate::data::pool::sticky::tag_of;
use crate::data::pool::{Backend, BackendState, Live};
use crate::data::split::{SplitLive, Weights};
use crate::observe::metrics::{
    BACKEND_IN_FLIGHT, CONNECTIONS_ACCEPTED, CONNECTIONS_OPEN, MetricError, Metrics,
};
use crate::types::ids::{ListenerId, PoolId, RouteId};
use crate::types::moment::Moment;
use aws_lc_rs::error::Unspecified;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

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
    changed: Arc<Notify>,
    /// What signs tokens of pools that name no key.
    sticky_key: Option<[u8; 32]>,
}

struct Record {
    backend: Arc<Backend>,
    /// When it was last used.
    seen: Instant,
}

impl Kept {
    /// A backend, as it was or new. A new one in a pool that is there already starts slowly.
    ///
    /// # Errors
    /// When its metric cannot be made.
    pub fn backend(
        &mut self,
        pool: &PoolId,
        address: SocketAddr,
        metrics: &Arc<Metrics>,
        now: Instant,
    ) -> Result<Arc<Backend>, MetricError> {
        if let Some(record) = self.backends.get_mut(&(pool.clone(), address)) {
            record.seen = now;
            return Ok(Arc::clone(&record.backend));
        }
        let name: Box<str> = address.to_string().into();
        let labels = [pool.as_str(), &name];
        let held = metrics.hold(&BACKEND_IN_FLIGHT, &labels);
        let gauge = metrics.gauge(&BACKEND_IN_FLIGHT, &labels)?;
        let state = BackendState::new(gauge, Some(held));
        if self.lives.contains_key(pool) {
            state.begin(Moment::of(now));
        }
        let backend = Arc::new(Backend { address, tag: tag_of(pool.as_str(), &name), name, state });
        let record = Record { backend: Arc::clone(&backend), seen: now };
        self.backends.insert((pool.clone(), address), record);
        Ok(backend)
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
    }

    /// The config that was compiled last is in use from now on.
    pub fn commit(&mut self) {
        for (live, weights) in self.weights.drain(..) {
            live.set(weights);
        }
    }

    /// Told when something happens to a backend of any pool.
    #[must_use]
    pub fn changed(&self) -> Arc<Notify> {
        Arc::clone(&self.changed)
    }

    /// The counts of a listener, as they were or new.
    ///
    /// # Errors
    /// When a metric cannot be made.
    pub fn counts(
        &mut self,
        listener: &ListenerId,
        metrics: &Arc<Metrics>,
    ) -> Result<Arc<Counts>, CompileError> {
        if let Some(counts) = self.counts.get(listener) {
            return Ok(Arc::clone(counts));
        }
        let labels = [listener.as_str()];
        let counts = Arc::new(Counts::new(
            metrics.gauge(&CONNECTIONS_OPEN, &labels)?,
            metrics.counter(&CONNECTIONS_ACCEPTED, &labels)?,
            vec![
                metrics.hold(&CONNECTIONS_OPEN, &labels),
                metrics.hold(&CONNECTIONS_ACCEPTED, &labels),
            ],
        ));
        self.counts.insert(listener.clone(), Arc::clone(&counts));
        Ok(counts)
    }

    /// Forgets what nobody has used for a while. To be called now and then: what is used when
    /// this is called counts as used until then.
    pub fn forget(&mut self, now: Instant) {
        self.backends.retain(|_, record| {
            if Arc::strong_count(&record.backend) > 1 {
                record.seen = now;
            }
            now.duration_since(record.seen) < GRACE
        });
        self.lives.retain(|_, live| Arc::strong_count(live) > 1);
        self.splits.retain(|_, live| Arc::strong_count(live) > 1);
        self.counts.retain(|_, counts| Arc::strong_count(counts) > 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_that_comes_back_in_time_has_its_record() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let (pool, address) = ("app".parse().unwrap(), ([127, 0, 0, 1], 9000).into());
        let mut kept = Kept::default();
        let begin = crate::types::clock::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let first = kept.backend(&pool, address, &metrics, begin).unwrap();
        let known = Arc::downgrade(&first);
        // However long it was there, the time counts from when it left.
        kept.forget(at(1000));
        drop(first);
        kept.forget(at(1059));
        let again = kept.backend(&pool, address, &metrics, at(1059)).unwrap();
        assert!(known.ptr_eq(&Arc::downgrade(&again)));
        kept.forget(at(1059));
        drop(again);
        let shown = || String::from_utf8(metrics.render().unwrap()).unwrap();
        assert!(shown().contains("vanne_backend_requests_in_flight{"));
        kept.forget(at(1119));
        assert!(known.upgrade().is_none());
        assert!(!shown().contains("vanne_backend_requests_in_flight{"));
    }
}
