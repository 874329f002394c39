//! 3 · Rate limits: how much of what may come in how much time.
//!
//! The arithmetic is `vanne_filters::rate_limit`; here is whose bucket a request takes from,
//! what becomes of it where there is too little, and what its client is told.

pub mod adapting;
pub mod at_once;
pub mod part;
mod paying;
pub mod shared;

use super::outcome::Outcome;
use crate::observe::metrics::Counter;
use crate::types::ids::LimitId;
use adapting::Adapting;
use arrayvec::ArrayVec;
use at_once::AtOnceLimit;
use http::HeaderValue;
use part::{Asker, Part};
use shared::{Answer, Shared, Sharing, tick};
use std::sync::Arc;
use std::time::{Duration, Instant};
use vanne_filters::rate_limit::{
    Ask, Buckets, Key, Level, Quota, Refused, Table, Take, Tick, take_all,
};

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

/// What a request has paid, where that may change afterwards.
pub struct Paid {
    limit: Arc<RateLimit>,
    key: Key,
    cost: u32,
}

/// What came of asking.
#[derive(Default)]
pub struct Asked {
    /// What limits say, if more than that it may pass.
    pub limited: Option<Limited>,
    /// What the request has paid, where that may change.
    pub paid: Vec<Paid>,
    /// What is still to be asked elsewhere.
    pub pending: Option<Pending>,
}

/// What shared buckets are asked about.
pub struct Pending {
    /// The answer to wait for.
    pub answer: Arc<Answer>,
    levels: Vec<(Arc<RateLimit>, Key, u32)>,
}

/// What limits say to a request, if not just that it passes.
pub struct Limited {
    /// The limit that says so: the first that refuses, or else the one with the least left.
    pub limit: Arc<RateLimit>,
    /// What it says.
    pub said: Said,
    /// What is left in its bucket.
    pub left: u32,
    /// In what time there is enough; zero if there is.
    pub wait: Duration,
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

    /// Whether a request waits for what the store says.
    fn waits(&self) -> bool {
        match &self.limit.store {
            Store::Shared(shared, Sharing::Exact) => shared.bridge.terms().is_up,
            _ => false,
        }
    }
}

impl RateLimit {
    fn key(&self, asker: Asker<'_>) -> Key {
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

    /// Counts what it said.
    fn count(&self, said: Said) {
        if let Some(count) = self.counts.get(said as usize) {
            count.inc();
        }
    }

    /// Counts what it said to a request that passes, and tells it if there is more to say.
    fn passes(self: &Arc<Self>, is_tightest: bool, left: u32, wait: Duration) -> Option<Limited> {
        let waits = is_tightest && wait > Duration::ZERO;
        let said = if waits { Said::Delayed } else { Said::Passed };
        self.count(said);
        let tells = waits || (is_tightest && self.tell == Tell::Always);
        tells.then(|| Limited { limit: Arc::clone(self), said, left, wait })
    }

    fn refuses(self: &Arc<Self>, no: Refused) -> Limited {
        self.count(Said::Refused);
        let (left, wait) = (no.left, no.retry_after);
        Limited { limit: Arc::clone(self), said: Said::Refused, left, wait }
    }

    /// Asks a limit that refuses nobody. What it would have said, if it would have refused.
    fn ask_shadow(self: &Arc<Self>, (asker, cost): (Asker<'_>, u32), now: Tick) -> Option<Limited> {
        let quota = self.quota_now();
        let take = Take { quota: &quota, cost, patience: Duration::ZERO };
        let said = self.buckets().take(self.key(asker), now, take, |ask| self.tell(&quota, ask));
        self.count(if said.is_err() { Said::Shadowed } else { Said::Passed });
        let no = said.err()?;
        let limit = Arc::clone(self);
        Some(Limited { limit, said: Said::Shadowed, left: no.left, wait: no.retry_after })
    }
}

/// Asks all `limits` for a request that comes at `now`: it takes from all, or from none.
/// `may_wait`: the request can wait for what the store says; if not, limits that are exact are as
/// good as leased ones.
/// Cost: a hash and a short lock for each limit; no allocation, but where the store is asked or an
/// answer says what a request has cost.
#[must_use]
pub fn ask(limits: &[Counting], asker: Asker<'_>, may_wait: bool, now: Instant) -> Asked {
    let (now, method) = (tick(now), asker.head.method);
    let is_shadow = |one: &&Counting| one.limit.action == Action::Shadow;
    let waits = |one: &&Counting| may_wait && one.waits();
    let real = || limits.iter().filter(|one| !is_shadow(one)).take(LIMITS_MAX);
    let here = || real().filter(|one| !waits(one));
    let quotas: ArrayVec<Quota, LIMITS_MAX> = here().map(|one| one.limit.quota_now()).collect();
    let level = |(one, quota): (&'_ Counting, &'_ Quota)| Paying {
        key: one.limit.key(asker),
        cost: one.cost(method),
        quota: *quota,
    };
    let paying: ArrayVec<Paying, LIMITS_MAX> = here().zip(&quotas).map(level).collect();
    let levels: ArrayVec<Level<'_>, LIMITS_MAX> =
        here().zip(&paying).map(|(one, paying)| paying.level(&one.limit)).collect();
    let tell = |at, ask| {
        if let (Some(one), Some(quota)) = (here().nth(at), quotas.get(at)) {
            one.limit.tell(quota, ask);
        }
    };
    let passed = match take_all(&levels, now, tell) {
        Ok(passed) => passed,
        Err((at, no)) => {
            let limited = here().nth(at).map(|one| one.limit.refuses(no));
            return Asked { limited, ..Asked::default() };
        }
    };
    let mut asked = Asked::default();
    for (at, one) in here().enumerate() {
        let told = one.limit.passes(at == passed.at, passed.left, passed.wait);
        asked.limited = told.or(asked.limited);
    }
    let is_open = real().any(|one| waits(&one) || one.limit.cost_header.is_some());
    if is_open {
        let paid = here().zip(&paying).map(|(one, paying)| paying.paid(&one.limit));
        asked.paid = paid.collect();
        let elsewhere = real()
            .filter(waits)
            .map(|one| (Arc::clone(&one.limit), one.limit.key(asker), one.cost(method)));
        asked.pend(elsewhere.collect(), now);
    }
    for one in limits.iter().filter(is_shadow) {
        asked.limited = one.limit.ask_shadow((asker, one.cost(method)), now).or(asked.limited);
    }
    asked
}

/// An attempt of a request that `limits` count has ended.
pub fn note(limits: &[Counting], outcome: Outcome, first_byte: Option<Duration>) {
    for adapting in limits.iter().filter_map(|one| one.limit.adapting.as_ref()) {
        adapting.note(outcome, first_byte);
    }
}

/// What a request pays at one level.
struct Paying {
    key: Key,
    cost: u32,
    quota: Quota,
}

impl Paying {
    fn level<'a>(&'a self, limit: &'a RateLimit) -> Level<'a> {
        let take = Take { quota: &self.quota, cost: self.cost, patience: limit.patience() };
        Level { buckets: limit.buckets(), key: self.key, take }
    }

    fn paid(&self, limit: &Arc<RateLimit>) -> Paid {
        Paid { limit: Arc::clone(limit), key: self.key, cost: self.cost }
    }
}
