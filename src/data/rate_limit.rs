//! 3 · Rate limits: how much of what may come in how much time.
//!
//! The arithmetic is `vanne_filters::rate_limit`; here is whose bucket a request takes from,
//! what becomes of it where there is too little, and what its client is told.

pub mod adapting;
mod asking;
pub mod at_once;
pub mod part;
mod paying;
pub mod shared;

pub use asking::{Asked, Pending};

use super::outcome::Outcome;
use crate::observe::metrics::Counter;
use crate::types::ids::LimitId;
use adapting::Adapting;
use at_once::AtOnceLimit;
use http::HeaderValue;
use part::{Asker, Part};
use shared::{Shared, Sharing, tick};
use std::sync::Arc;
use std::time::{Duration, Instant};
use vanne_filters::rate_limit::{Ask, Buckets, Key, Pass, Quota, Refused, Table, Take, Tick};

/// Limits that a route may have.
pub const LIMITS_MAX: usize = 8;

/// What becomes of a request that finds too little.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is refused.
    Reject,
    /// It waits, up to so long.
    Delay(Duration),
    /// It passes all the same.
    Shadow,
}

/// Which answers tell what is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tell {
    /// All.
    Always,
    /// None.
    Never,
    /// Those that refuse.
    Refused,
}

/// What came of asking a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// There was enough.
    Passed,
    /// It waits.
    Delayed,
    /// It is refused.
    Refused,
    /// It passes, and would not have.
    Shadowed,
}

impl Said {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Passed, Self::Delayed, Self::Refused, Self::Shadowed];

    /// The label in metrics and log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Delayed => "delayed",
            Self::Refused => "refused",
            Self::Shadowed => "shadowed",
        }
    }
}

/// A limit of the config.
pub struct RateLimit {
    /// Its name.
    pub id: LimitId,
    /// What tells clients apart; nothing: they share one bucket.
    pub parts: Box<[Part]>,
    /// How much is allowed.
    pub quota: Quota,
    /// What a request costs.
    pub cost: u32,
    /// What one with this method costs instead.
    pub method_costs: Box<[(Box<str>, u32)]>,
    /// The field of the answer that says what the request has cost, in lower case.
    pub cost_header: Option<Box<str>>,
    /// How the backends behind it do, where that changes how much is let in.
    pub adapting: Option<Arc<Adapting>>,
    /// What becomes of one that finds too little.
    pub action: Action,
    /// Which answers tell what is left.
    pub tell: Tell,
    /// `RateLimit-Policy`: what is allowed, in words of the draft.
    pub policy: HeaderValue,
    /// The buckets. They outlive reloads.
    pub store: Store,
    /// `vanne_rate_limit_total`, in the order of [`Said::ALL`].
    pub counts: [Counter; Said::ALL.len()],
}

/// Where the buckets of a limit are.
pub enum Store {
    /// Here.
    Own(Arc<Table>),
    /// Elsewhere, for all replicas.
    Shared(Arc<Shared>, Sharing),
}

/// A limit that counts a route's requests.
pub struct Counting {
    /// The limit.
    pub limit: Arc<RateLimit>,
    /// What a request costs here, whatever the limit says.
    pub cost: Option<u32>,
}

/// What counts a route's requests, of what is asked at the same time.
#[derive(Default)]
pub struct RouteLimits {
    /// How often they may come, in the order in which that is asked.
    pub rates: Box<[Counting]>,
    /// How many of one client may be under way.
    pub at_once: Option<AtOnceLimit>,
}

/// What a limit says to a request.
#[derive(Clone)]
pub struct Limited {
    /// The limit that says so.
    pub limit: Arc<RateLimit>,
    /// What it says.
    pub said: Said,
    /// What is left in its bucket.
    pub left: u32,
    /// In what time there is enough; zero if there is.
    pub wait: Duration,
}

impl RouteLimits {
    /// Nothing is counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rates.is_empty() && self.at_once.is_none()
    }
}

impl Counting {
    /// What a request of this method costs.
    fn cost(&self, method: &str) -> u32 {
        let of_method = || {
            let mut costs = self.limit.method_costs.iter();
            costs.find(|(name, _)| **name == *method).map(|(_, cost)| *cost)
        };
        self.cost.or_else(of_method).unwrap_or(self.limit.cost)
    }
}

impl Limited {
    /// What counts more when several limits say something: a refusal, then the longer wait.
    #[must_use]
    pub fn weight(&self) -> (u8, Duration) {
        match self.said {
            Said::Refused => (3, Duration::ZERO),
            Said::Delayed => (2, self.wait),
            Said::Shadowed => (1, Duration::ZERO),
            Said::Passed => (0, Duration::ZERO),
        }
    }

    /// Less is left here, or what is missing comes later.
    #[must_use]
    pub fn is_tighter(&self, other: &Self) -> bool {
        (self.wait, other.left) > (other.wait, self.left)
    }
}

impl RateLimit {
    fn key(&self, asker: Asker<'_>) -> Key {
        if self.parts.is_empty() {
            return Key::ALL;
        }
        self.own().key_of(|hasher| self.parts.iter().for_each(|part| part.write(asker, hasher)))
    }

    /// Buckets of this replica.
    fn own(&self) -> &Table {
        match &self.store {
            Store::Own(table) => table,
            Store::Shared(shared, _) => &shared.own,
        }
    }

    fn buckets(&self) -> Buckets<'_> {
        match &self.store {
            Store::Own(table) => Buckets::Own(table),
            Store::Shared(shared, _) => shared.buckets(),
        }
    }

    /// How much is allowed now.
    #[must_use]
    pub fn quota_now(&self) -> Quota {
        match &self.adapting {
            None => self.quota,
            Some(adapting) => self.quota.slowed(adapting.permille()),
        }
    }

    /// Whether requests wait for what the store says. For a limit that refuses nobody they do not.
    fn waits(&self) -> bool {
        match &self.store {
            Store::Shared(shared, Sharing::Exact) if self.action != Action::Shadow => {
                shared.bridge.terms().is_up
            }
            _ => false,
        }
    }

    fn patience(&self) -> Duration {
        match self.action {
            Action::Delay(most) => most,
            Action::Reject | Action::Shadow => Duration::ZERO,
        }
    }

    /// Hands over what others are to be told.
    fn tell(&self, quota: &Quota, ask: Ask) {
        if let Store::Shared(shared, _) = &self.store {
            shared.tell(quota, ask);
        }
    }

    /// Takes `cost` out of the bucket of `key`.
    fn take(&self, key: Key, cost: u32, now: Tick) -> Result<Pass, Refused> {
        let quota = self.quota_now();
        let take = Take { quota: &quota, cost, patience: self.patience() };
        self.buckets().take(key, now, take, |ask| self.tell(&quota, ask))
    }

    /// Counts what it said.
    fn count(&self, said: Said) {
        if let Some(count) = self.counts.get(said as usize) {
            count.inc();
        }
    }

    /// Counts what it said, and says so.
    fn says(self: &Arc<Self>, said: Said, left: u32, wait: Duration) -> Limited {
        self.count(said);
        Limited { limit: Arc::clone(self), said, left, wait }
    }

    /// Puts `cost` back that was taken: where the next request looks for it.
    fn give_back(&self, key: Key, cost: u32, now: Tick) {
        if self.waits() {
            let ask = Ask { key, owed: 0, back: cost, want: 0, least: 1 };
            return self.tell(&self.quota_now(), ask);
        }
        self.put_back(key, cost, now);
    }

    /// Puts `cost` back where it was taken.
    fn put_back(&self, key: Key, cost: u32, now: Tick) {
        let quota = self.quota_now();
        let take = Take { quota: &quota, cost, patience: self.patience() };
        self.buckets().give_back(key, now, take);
    }

    /// Has all buckets counted at the rate of now, whether somebody wants something of them or not.
    pub fn turn(&self, now: Instant) {
        let (now, quota) = (tick(now), self.quota_now());
        match &self.store {
            Store::Own(table) => table.turn(&quota, now),
            Store::Shared(shared, _) => shared.turn(quota, now),
        }
    }
}

/// An attempt of a request that `limits` count has ended.
pub fn note(limits: &[Counting], outcome: Outcome, first_byte: impl Fn() -> Option<Duration>) {
    for adapting in limits.iter().filter_map(|one| one.limit.adapting.as_ref()) {
        adapting.note(outcome, first_byte());
    }
}
