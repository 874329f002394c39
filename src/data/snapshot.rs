//! Snapshot: the policy that holds for a request, from its first byte to its last.
//!
//! Control compiles one and publishes it; data only reads. Each worker keeps a
//! reference of its own (a [`Reader`]), so that requests on different workers do
//! not fight over one reference count.

use super::chain::Chain;
use super::edits::RouteEdits;
use super::fallback::Fallbacks;
use super::generation::Generation;
use super::identity::Gate;
use super::listener::blocklist::Blocklist;
use super::log_line::LogPlan;
use super::mirror::Mirror;
use super::overload::{Limit, Priority};
use super::rate_limit::RouteLimits;
use super::route::{RouteMetrics, RouteTable};
use super::target::Target;
use super::waf::Waf;
use crate::types::ids::RouteId;
use crate::types::own::Own;
use arc_swap::{ArcSwap, Cache};
use http::HeaderName;
use std::sync::Arc;
use std::time::Duration;

/// Everything a request's decisions rest on. Immutable.
#[derive(Default)]
pub struct Snapshot {
    /// Which route a request takes.
    pub routes: RouteTable,
    /// Filters for answers to requests that have no route.
    pub default_chain: Chain,
    /// Who may not come in; the same over reloads.
    pub blocklist: Arc<Blocklist>,
    /// What is logged of requests that have no route.
    pub log: Arc<LogPlan>,
    /// Which config this is.
    pub generation: Arc<Generation>,
}

/// A route: match (in the table) → target and rules.
pub struct Route {
    /// Its name.
    pub id: RouteId,
    /// Where its requests go.
    pub target: Target,
    /// What counts its requests, in the order in which they are asked.
    pub limits: RouteLimits,
    /// Who may send its requests; `None`: everybody.
    pub gate: Option<Gate>,
    /// What counts its requests once it is known who sends them.
    pub user_limits: RouteLimits,
    /// Fields that tell backends who sends a request: never taken from clients.
    pub own_fields: Arc<[HeaderName]>,
    /// What its requests are held against.
    pub waf: Option<Arc<Waf>>,
    /// Its filters.
    pub chain: Chain,
    /// What it changes on the way.
    pub edits: RouteEdits,
    /// How important its requests are.
    pub priority: Priority,
    /// How many requests the process takes on at once, if there is a limit.
    pub overload: Option<Arc<Limit>>,
    /// What stands behind its pools.
    pub fallbacks: Fallbacks,
    /// Who gets copies of its requests.
    pub mirror: Option<Arc<Mirror>>,
    /// The longest a request may take, from its first byte to the answer's last.
    pub total: Duration,
    /// The longest a tunnel may be silent.
    pub tunnel_idle: Duration,
    /// What is logged of its requests.
    pub log: Arc<LogPlan>,
    /// Its metrics.
    pub metrics: RouteMetrics,
    /// The config that it is of.
    pub generation: Arc<Generation>,
}

/// Control's end: publishes snapshots.
#[derive(Clone)]
pub struct Publisher(Arc<ArcSwap<Snapshot>>);

impl Publisher {
    /// Publishes a first snapshot.
    #[must_use]
    pub fn new(first: Snapshot) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(first)))
    }

    /// Replaces the snapshot: requests that begin from now on see `next`.
    pub fn publish(&self, next: Snapshot) {
        self.0.store(Arc::new(next));
    }

    /// A reader for one worker: this thread.
    #[must_use]
    pub fn reader(&self) -> Reader {
        let mut published = Cache::new(Arc::clone(&self.0));
        let own = Arc::new(Arc::clone(published.load()));
        Reader(Own::new(Local { published, own }))
    }
}

/// A worker's own reference to a snapshot: cloning it touches no other worker's memory.
pub type LocalSnapshot = Arc<Arc<Snapshot>>;

/// A worker's end: gives the present snapshot.
pub struct Reader(Own<Local>);

struct Local {
    published: Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>,
    own: LocalSnapshot,
}

impl Reader {
    /// The present snapshot.
    /// Cost: a load, a compare, and a count that only this worker changes.
    #[must_use]
    pub fn load(&self) -> LocalSnapshot {
        let mut local = self.0.get();
        let Local { published, own } = &mut *local;
        let newest = published.load();
        if !Arc::ptr_eq(newest, own) {
            *own = Arc::new(Arc::clone(newest));
        }
        Arc::clone(own)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::data::balance;
    use crate::data::breaker::{Counts, Rules};
    use crate::data::outcome::Category;
    use crate::data::pool::{
        Backend, BackendState, HashOn, Live, Member, Members, Pool, PoolMetrics, QueueRules,
        Timeouts,
    };
    use crate::data::upstream::{On, Retries};
    use crate::types::moment::Moment;
    use std::net::SocketAddr;

    fn numbered(number: u64) -> Snapshot {
        Snapshot { generation: Generation::new(number), ..Default::default() }
    }

    /// A backend on port 9000 and `index`.
    pub(crate) fn backend(index: usize) -> Arc<Backend> {
        let port = u16::try_from(9000 + index).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let state = BackendState::default();
        Arc::new(Backend {
            address,
            name: address.to_string().into(),
            tag: index as u64,
            pod: None,
            state,
        })
    }

    /// Members of these weights that each take `limit` requests.
    pub(crate) fn members_of(algorithm: &str, weights: &[u32], limit: u32) -> Members {
        let member = |(index, &weight): (usize, &u32)| Member {
            backend: backend(index),
            weight,
            pace: weight,
            limit,
            is_backup: false,
        };
        let all: Vec<Member> = weights.iter().enumerate().map(member).collect();
        let algorithm = balance::by_name(algorithm).unwrap();
        let plan = (!all.is_empty()).then(|| (algorithm, (algorithm.plan)(&all, None)));
        let is_limited = limit < u32::MAX;
        Members { active: all.clone(), all, plan, is_limited, ..Members::default() }
    }

    /// A pool with members of these weights and short time limits.
    pub(crate) fn pool_with(algorithm: &str, weights: &[u32]) -> Pool {
        let live = Arc::new(Live::new(Arc::default()));
        live.publish(members_of(algorithm, weights, u32::MAX), Moment::default());
        Pool {
            id: "pool".parse().unwrap(),
            live,
            algorithm: balance::by_name(algorithm).unwrap().name,
            hash_on: HashOn::Address,
            retries: Retries {
                attempts: 1,
                on: vec![On::Reset, On::Timeout],
                budget: 200,
                floor: 1000,
                backoff: Duration::from_millis(25),
                backoff_max: Duration::from_millis(250),
                body_max: 1024,
            },
            queue: Some(QueueRules { size: 10, timeout: Duration::from_secs(3) }),
            overload: None,
            sticky: None,
            timeouts: Timeouts {
                connect: Duration::from_secs(1),
                first_byte: Duration::from_secs(10),
                between_bytes: Duration::from_secs(5),
                idle: Duration::from_secs(60),
            },
            wire: Arc::default(),
            metrics: PoolMetrics::default(),
        }
    }

    /// The users' rules of a circuit.
    pub(crate) fn rules() -> Rules {
        Rules {
            calls_max: 100,
            age_max: None,
            calls_min: 10,
            failures: 5,
            failure_rate: 5000,
            slow_over: Duration::from_secs(5),
            slow_rate: 5000,
            open_for: Duration::from_secs(60),
            backoff: 1,
            open_for_max: Duration::from_secs(600),
            jitter: 0,
            probes_max: 3,
            successes: 3,
            counts: Counts::of(Category::ALL),
        }
    }

    /// A pool of `size` equal backends.
    pub(crate) fn pool_of(size: usize) -> Pool {
        pool_with("round-robin", &vec![1; size])
    }

    /// The same, each with `limit` places.
    pub(crate) fn limited_pool(size: usize, limit: u32) -> Pool {
        let pool = pool_of(size);
        pool.live.publish(members_of("round-robin", &vec![1; size], limit), Moment::default());
        pool
    }

    /// A route to `pool` without filters.
    pub(crate) fn route_to(pool: Pool, name: &str) -> Arc<Route> {
        Arc::new(Route {
            id: name.parse().unwrap(),
            target: Target::Pool(Arc::new(pool)),
            limits: RouteLimits::default(),
            gate: None,
            user_limits: RouteLimits::default(),
            own_fields: Arc::default(),
            waf: None,
            chain: Chain::default(),
            edits: RouteEdits::default(),
            priority: Priority::default(),
            overload: None,
            fallbacks: Fallbacks::default(),
            mirror: None,
            total: Duration::from_secs(100),
            tunnel_idle: Duration::from_secs(50),
            log: Arc::default(),
            generation: Generation::new(1),
            metrics: RouteMetrics::default(),
        })
    }

    /// A route with an empty pool.
    pub(crate) fn route_named(name: &str) -> Arc<Route> {
        route_to(pool_of(0), name)
    }

    #[test]
    fn a_reader_sees_what_was_published_last_and_keeps_what_it_took() {
        let publisher = Publisher::new(numbered(1));
        let reader = publisher.reader();
        let first = reader.load();
        assert!(Arc::ptr_eq(&first, &reader.load()));
        publisher.publish(numbered(2));
        assert_eq!((first.generation.number, reader.load().generation.number), (1, 2));
    }
}
