//! Limits that several replicas share: what data hands over to those who speak with the store.
//!
//! The data plane never speaks with the store itself. It leaves an [`Order`] in a bounded channel
//! and goes on: with leases at once, exactly after an [`Answer`] that it waits for a bounded time.
//! An order for which there is no room is not given, and what it is about is decided here.

use crate::observe::metrics::Counter;
use crate::types::clock;
use crate::types::ids::LimitId;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc};
use vanne_filters::rate_limit::{
    Ask, Buckets, Key, Leases, Pass, Quota, Refused, Table, Take, Terms, Tick,
};

/// Orders that may wait. More are not given.
const ORDERS_MAX: usize = 16_384;

/// How things are with the store, and the way to it. Outlives reloads.
pub struct Bridge {
    orders: mpsc::Sender<Order>,
    is_up: AtomicBool,
    /// Replicas that share, this one included.
    replicas: AtomicU32,
    /// How long an answer is waited for, in microseconds.
    patience_us: AtomicU64,
    /// Limits that are shared, as long as somebody has them.
    shared: Mutex<Vec<Weak<Shared>>>,
}

impl Bridge {
    /// A way, and where it leads to.
    #[must_use]
    pub fn new() -> (Arc<Self>, mpsc::Receiver<Order>) {
        let (orders, ordered) = mpsc::channel(ORDERS_MAX);
        let bridge = Self {
            orders,
            is_up: AtomicBool::new(false),
            replicas: AtomicU32::new(1),
            patience_us: AtomicU64::new(0),
            shared: Mutex::default(),
        };
        (Arc::new(bridge), ordered)
    }

    /// How things are now. Relaxed: what changes this moment may be seen the next.
    #[must_use]
    pub fn terms(&self) -> Terms {
        Terms { replicas: self.replicas(), is_up: self.is_up.load(Ordering::Relaxed) }
    }

    /// Whether the store is there.
    pub fn set_up(&self, is_up: bool) {
        self.is_up.store(is_up, Ordering::Relaxed);
    }

    /// How many replicas share.
    pub fn set_replicas(&self, count: u32) {
        self.replicas.store(count.max(1), Ordering::Relaxed);
    }

    /// How many share, as far as is known.
    #[must_use]
    pub fn replicas(&self) -> u32 {
        self.replicas.load(Ordering::Relaxed)
    }

    /// How long an answer is waited for.
    pub fn set_patience(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.patience_us.store(micros, Ordering::Relaxed);
    }

    /// The limits that are shared now.
    #[must_use]
    pub fn shared(&self) -> Vec<Arc<Shared>> {
        let mut known = self.shared.lock();
        known.retain(|one| one.strong_count() > 0);
        known.iter().filter_map(Weak::upgrade).collect()
    }

    /// Orders the answer about `levels`; `None`: there is no room for it.
    #[must_use]
    pub fn ask(&self, levels: Vec<Exact>) -> Option<Arc<Answer>> {
        let patience = Duration::from_micros(self.patience_us.load(Ordering::Relaxed));
        let answer = Arc::new(Answer { said: OnceLock::new(), told: Notify::new(), patience });
        let order = Order::Take(levels, Arc::clone(&answer));
        self.orders.try_send(order).ok().map(|()| answer)
    }
}

/// How exactly a limit is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Each request asks the store, and waits for its answer.
    Exact,
    /// Each replica decides by itself, from what it has leased.
    Leased,
}

/// What came of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// There was enough, or some.
    Enough,
    /// There was not.
    Empty,
    /// No answer, or none that makes sense.
    Failed,
}

impl Told {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Enough, Self::Empty, Self::Failed];

    /// The label in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enough => "enough",
            Self::Empty => "empty",
            Self::Failed => "failed",
        }
    }
}

/// The buckets of a limit that replicas share. Outlives reloads.
pub struct Shared {
    /// The limit.
    pub id: LimitId,
    /// What its buckets are like, as the config in use has it.
    pub quota: ArcSwap<Quota>,
    /// What this replica has for itself.
    pub own: Table,
    /// What it knows of the shared ones.
    pub leases: Leases,
    /// The way to them.
    pub bridge: Arc<Bridge>,
    /// `vanne_rate_limit_shared_total`, in the order of [`Told::ALL`].
    pub counts: [Counter; Told::ALL.len()],
}

impl Shared {
    /// Makes a limit known to those who look after what is shared.
    #[must_use]
    pub fn known(self) -> Arc<Self> {
        let (bridge, shared) = (Arc::clone(&self.bridge), Arc::new(self));
        bridge.shared.lock().push(Arc::downgrade(&shared));
        shared
    }

    /// What its buckets are like.
    #[must_use]
    pub fn quota(&self) -> Quota {
        **self.quota.load()
    }

    /// The buckets, as things are now.
    #[must_use]
    pub fn buckets(&self) -> Buckets<'_> {
        self.buckets_on(self.bridge.terms())
    }

    /// The buckets, as if the store were away.
    #[must_use]
    pub fn share(&self) -> Buckets<'_> {
        self.buckets_on(Terms { is_up: false, ..self.bridge.terms() })
    }

    fn buckets_on(&self, terms: Terms) -> Buckets<'_> {
        Buckets::Shared { own: &self.own, leases: &self.leases, terms }
    }

    /// Has all buckets counted at the rate of `quota`, of which this replica has its share.
    pub fn turn(&self, quota: Quota, now: Tick) {
        self.quota.store(Arc::new(quota));
        self.leases.turn(&quota, now);
        self.own.turn(&quota.share(self.bridge.replicas(), 1), now);
    }

    /// Hands over what is to be told. Where there is no room, it is told another time.
    pub fn tell(self: &Arc<Self>, quota: &Quota, ask: Ask) {
        let order = Order::Lease(Arc::clone(self), *quota, ask);
        if self.bridge.orders.try_send(order).is_err() {
            self.leases.untold(ask);
        }
    }

    /// Counts what came of an order.
    pub fn count(&self, told: Told) {
        if let Some(count) = self.counts.get(told as usize) {
            count.inc();
        }
    }
}

/// What is to be done with shared buckets.
pub enum Order {
    /// Tell and ask this, and have the leases hear the answer.
    Lease(Arc<Shared>, Quota, Ask),
    /// Take from all of these or from none, and answer.
    Take(Vec<Exact>, Arc<Answer>),
}

/// What a request is to take out of one shared bucket.
pub struct Exact {
    /// Whose buckets.
    pub shared: Arc<Shared>,
    /// Which.
    pub key: Key,
    /// What it is like.
    pub quota: Quota,
    /// How much.
    pub cost: u32,
    /// How long the request would wait.
    pub patience: Duration,
}

impl Exact {
    /// What is taken.
    #[must_use]
    pub fn take(&self) -> Take<'_> {
        Take { quota: &self.quota, cost: self.cost, patience: self.patience }
    }
}

/// What levels said, in the order of what was asked: what each did, or the place of the one that
/// refuses, and what that said.
pub type Verdict = Result<Vec<Pass>, (usize, Refused)>;

/// An answer that a request waits for, but not for ever.
pub struct Answer {
    /// What was said; `None`: the request does not wait for it any more.
    said: OnceLock<Option<Verdict>>,
    told: Notify,
    patience: Duration,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("said", &self.said.get()).finish_non_exhaustive()
    }
}

impl Answer {
    /// The answer is this. Whether the request still waits for it.
    #[must_use]
    pub fn tell(&self, said: Verdict) -> bool {
        // Told once: by the one who has the order.
        let is_heard = self.said.set(Some(said)).is_ok();
        if is_heard {
            self.told.notify_one();
        }
        is_heard
    }

    /// There is none to come.
    pub fn give_up(&self) {
        self.told.notify_one();
    }

    /// Waits until it is there, or for as long as it may take.
    pub async fn wait(&self) {
        // What comes of it is looked up afterwards.
        drop(tokio::time::timeout(self.patience, self.told.notified()).await);
    }

    /// The request does not wait any longer: what the answer is, if it came.
    #[must_use]
    pub fn leave(&self) -> Option<Verdict> {
        self.said.get_or_init(|| None).clone()
    }
}

/// `now`, as buckets have it.
#[must_use]
pub fn tick(now: Instant) -> Tick {
    Tick::after(now.saturating_duration_since(clock::epoch()))
}
