//! 3 · Rate limits: how much of what may come in how much time.
//!
//! The arithmetic is `vanne_filters::rate_limit`; here is whose bucket a request takes from,
//! what becomes of it where there is too little, and what its client is told.

use super::identity::Proof;
use super::pool::hash_key::cookie;
use crate::observe::metrics::Counter;
use crate::types::clock;
use crate::types::ids::{LimitId, RouteId};
use arrayvec::ArrayVec;
use http::HeaderValue;
use std::hash::Hasher;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use vanne_filters::RequestHead;
use vanne_filters::rate_limit::{Level, Quota, Table, Take, Tick, take_all};

/// Limits that a route may have.
pub const LIMITS_MAX: usize = 8;

/// One thing that tells clients apart. Names are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The client's address; of IPv6 so many leading bits.
    Address(u8),
    /// The route.
    Route,
    /// Who sends it.
    User,
    /// The value of a cookie.
    Cookie(Box<str>),
    /// The value of a header field.
    Header(Box<str>),
}

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
    /// What becomes of one that finds too little.
    pub action: Action,
    /// Which answers tell what is left.
    pub tell: Tell,
    /// `RateLimit-Policy`: what is allowed, in words of the draft.
    pub policy: HeaderValue,
    /// The buckets. They outlive reloads.
    pub table: Arc<Table>,
    /// `vanne_rate_limit_total`, in the order of [`Said::ALL`].
    pub counts: [Counter; Said::ALL.len()],
}

/// Who asks.
#[derive(Clone, Copy)]
pub struct Asker<'a> {
    /// What it asks for.
    pub head: &'a RequestHead<'a>,
    /// Its address.
    pub address: IpAddr,
    /// Its route.
    pub route: &'a RouteId,
    /// Who sends it, if that is known.
    pub proof: Option<&'a Proof>,
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

impl Limited {
    /// Of what was said first and then the one that counts: a refusal, the longer wait, or the
    /// later.
    #[must_use]
    pub fn graver(first: Option<Self>, then: Option<Self>) -> Option<Self> {
        let rank = |it: &Self| match it.said {
            Said::Refused => (2, Duration::ZERO),
            Said::Delayed => (1, it.wait),
            Said::Passed | Said::Shadowed => (0, Duration::ZERO),
        };
        match (first, then) {
            (Some(first), Some(then)) => {
                Some(if rank(&first) > rank(&then) { first } else { then })
            }
            (first, then) => then.or(first),
        }
    }
}

impl RateLimit {
    /// What a request takes out of which bucket.
    fn level(&self, asker: Asker<'_>) -> Level<'_> {
        let key = self.table.key_of(|hasher| {
            self.parts.iter().for_each(|part| part.write(asker, hasher));
        });
        let patience = match self.action {
            Action::Delay(most) => most,
            Action::Reject | Action::Shadow => Duration::ZERO,
        };
        let take = Take { quota: &self.quota, cost: self.cost, patience };
        Level { table: &self.table, key, take }
    }

    /// Counts what it said.
    fn count(&self, said: Said) {
        if let Some(count) = self.counts.get(said as usize) {
            count.inc();
        }
    }

    /// Asks a limit that refuses nobody. What it would have said, if it would have refused.
    fn ask_shadow(self: &Arc<Self>, asker: Asker<'_>, now: Tick) -> Option<Limited> {
        let refused = take_all(&[self.level(asker)], now).err();
        self.count(if refused.is_some() { Said::Shadowed } else { Said::Passed });
        let (_, no) = refused?;
        let limit = Arc::clone(self);
        Some(Limited { limit, said: Said::Shadowed, left: no.left, wait: no.retry_after })
    }
}

impl Part {
    fn write(&self, asker: Asker<'_>, hasher: &mut dyn Hasher) {
        let Asker { head, address, route, proof } = asker;
        // Each piece begins with a kind and ends with its length: no two lists of pieces are
        // the same bytes.
        let mut put = |kind: u8, piece: &[u8]| {
            hasher.write_u8(kind);
            hasher.write(piece);
            hasher.write_usize(piece.len());
        };
        match self {
            Self::Address(prefix) => put_address(address, *prefix, put),
            Self::Route => put(2, route.as_str().as_bytes()),
            Self::User => match proof.and_then(|proof| Some((&proof.by, proof.user.as_deref()?))) {
                // Two ways to know may have the same name for different people.
                Some((by, user)) => {
                    put(5, by.as_str().as_bytes());
                    put(6, user.as_bytes());
                }
                None => put_address(address, V6_PREFIX, put),
            },
            Self::Header(name) => match head.fields.first(name) {
                Some(value) => put(3, value),
                None => put_address(address, V6_PREFIX, put),
            },
            Self::Cookie(name) => {
                let mut is_there = false;
                cookie(head, name, |value| {
                    is_there = true;
                    put(4, value);
                });
                if !is_there {
                    put_address(address, V6_PREFIX, put);
                }
            }
        }
    }
}

/// What of an IPv6 address counts where a field is not there.
const V6_PREFIX: u8 = 64;

fn put_address(address: IpAddr, prefix: u8, mut put: impl FnMut(u8, &[u8])) {
    match address.to_canonical() {
        IpAddr::V4(address) => put(0, &address.octets()),
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or_default();
            put(1, &(address.to_bits() & mask).to_be_bytes());
        }
    }
}

/// Asks all `limits` for a request that comes at `now`: it takes from all, or from none. `None`:
/// it passes, and there is nothing to tell.
/// Cost: a hash and a short lock for each limit; no allocation.
#[must_use]
pub fn ask(limits: &[Arc<RateLimit>], asker: Asker<'_>, now: Instant) -> Option<Limited> {
    let now = Tick::after(now.saturating_duration_since(clock::epoch()));
    let is_shadow = |limit: &&Arc<RateLimit>| limit.action == Action::Shadow;
    let real = || limits.iter().filter(|limit| !is_shadow(limit)).take(LIMITS_MAX);
    let levels: ArrayVec<Level<'_>, LIMITS_MAX> = real().map(|limit| limit.level(asker)).collect();
    let passed = match take_all(&levels, now) {
        Ok(passed) => passed,
        Err((at, no)) => {
            let limit = Arc::clone(real().nth(at)?);
            limit.count(Said::Refused);
            let (left, wait) = (no.left, no.retry_after);
            return Some(Limited { limit, said: Said::Refused, left, wait });
        }
    };
    let mut told = None;
    for (at, limit) in real().enumerate() {
        let waits = at == passed.at && passed.wait > Duration::ZERO;
        let said = if waits { Said::Delayed } else { Said::Passed };
        limit.count(said);
        if waits || (at == passed.at && limit.tell == Tell::Always) {
            let limit = Arc::clone(limit);
            told = Some(Limited { limit, said, left: passed.left, wait: passed.wait });
        }
    }
    for limit in limits.iter().filter(is_shadow) {
        told = limit.ask_shadow(asker, now).or(told);
    }
    told
}
