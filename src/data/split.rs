//! 5 · Split: which of several pools a request goes to.
//!
//! Weights are read live: whoever moves them need not compile a snapshot. Requests are shared
//! exactly over time: the points that they are placed at (multiples of the golden ratio, a
//! Weyl sequence) fill the weights' parts as evenly as can be. Clients are shared by weighted
//! rendezvous (Schindelhauer and Schomaker 2005): each pool draws a number for the client, the
//! best one has it. So a client stays while the weights stand, every replica decides alike,
//! and when weights move only as many clients move as the weights ask for.

use super::pool::Pool;
use super::pool::hash_key::{HashOn, cookie};
use crate::observe::metrics::Watched;
use crate::types::hash::{mix, stable};
use crate::types::ids::PoolId;
use arc_swap::ArcSwap;
use http::HeaderValue;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use vanne_filters::RequestHead;

/// 2⁶⁴ divided by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
/// How long a client keeps the cookie that names it, in seconds: 30 days.
const COOKIE_SECONDS: u32 = 30 * 86_400;

/// The pools that share a route's requests.
pub struct Split {
    /// The pools, with their names hashed; by name.
    pub pools: Vec<(Arc<Pool>, u64)>,
    /// What is shared.
    pub by: By,
    /// Weights, and what outlives the snapshot.
    pub live: Arc<SplitLive>,
    /// `vanne_split_share` of each pool.
    pub shown: Vec<Watched>,
}

/// What is shared between pools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// Each request.
    Request,
    /// Clients, by what this names.
    Client(HashOn),
    /// Clients, by a cookie of this name that they get.
    Cookie(Box<str>),
}

/// The weights of pools.
pub type Weights = Vec<(PoolId, u32)>;

/// What outlives snapshots of a split.
#[derive(Default)]
pub struct SplitLive {
    turn: AtomicU64,
    weights: ArcSwap<Weights>,
}

/// Which pool it is.
pub struct Chosen {
    /// The pool.
    pub pool: Arc<Pool>,
    /// A cookie that the client is to get.
    pub cookie: Option<HeaderValue>,
}

impl SplitLive {
    /// Sets the weights: they count from the next request on.
    pub fn set(&self, weights: Weights) {
        self.weights.store(Arc::new(weights));
    }

    /// The share that the pool is to get: 0 to 1.
    #[must_use]
    pub fn share(&self, pool: &PoolId) -> Option<f64> {
        let weights = self.weights.load();
        let total: f64 = weights.iter().map(|(_, weight)| f64::from(*weight)).sum();
        let (_, own) = weights.iter().find(|(id, _)| id == pool)?;
        Some(if total > 0.0 { f64::from(*own) / total } else { 0.0 })
    }
}

impl Split {
    /// The pool for a request from `client`; `random` names the client if nothing else does.
    /// `None`: all weights are 0.
    /// Cost: O(pools); allocates for a new cookie only.
    #[must_use]
    pub fn choose(&self, head: &RequestHead<'_>, client: IpAddr, random: u64) -> Option<Chosen> {
        let without = |pool| Chosen { pool, cookie: None };
        match &self.by {
            By::Request => {
                let turn = self.live.turn.fetch_add(1, Ordering::Relaxed);
                self.at(turn.wrapping_mul(GOLDEN)).map(without)
            }
            By::Client(on) => self.of(on.key(head, client)).map(without),
            By::Cookie(name) => {
                let mut key = None;
                cookie(head, name, |value| key = Some(stable(value)));
                match key {
                    Some(key) => self.of(key).map(without),
                    None => self.new_client(name, random),
                }
            }
        }
    }

    fn new_client(&self, name: &str, random: u64) -> Option<Chosen> {
        let value = format!("{random:016x}");
        let pool = self.of(stable(value.as_bytes()))?;
        let text =
            format!("{name}={value}; Path=/; Max-Age={COOKIE_SECONDS}; HttpOnly; SameSite=Lax");
        Some(Chosen { pool, cookie: HeaderValue::from_str(&text).ok() })
    }

    /// The pool in whose part of the whole `point` lies.
    fn at(&self, point: u64) -> Option<Arc<Pool>> {
        let weights = self.live.weights.load();
        let total: u64 = self.weighted(&weights).map(|(_, _, weight)| u64::from(weight)).sum();
        let mut place = (u128::from(point) * u128::from(total)) >> 64;
        for (pool, _, weight) in self.weighted(&weights) {
            match place.checked_sub(weight.into()) {
                Some(rest) => place = rest,
                None => return Some(Arc::clone(pool)),
            }
        }
        None
    }

    /// The pool that draws the best number for `key`.
    fn of(&self, key: u64) -> Option<Arc<Pool>> {
        let weights = self.live.weights.load();
        let score = |name: u64, weight: u32| {
            #[expect(clippy::cast_precision_loss, reason = "53 of 64 random bits are enough")]
            let drawn = (mix(key ^ name) as f64 + 1.0) / (u64::MAX as f64 + 2.0);
            -drawn.ln() / f64::from(weight)
        };
        let best = self
            .weighted(&weights)
            .filter(|(_, _, weight)| *weight > 0)
            .map(|(pool, name, weight)| (pool, score(name, weight)))
            .min_by(|(_, a), (_, b)| a.total_cmp(b));
        best.map(|(pool, _)| Arc::clone(pool))
    }

    fn weighted<'a>(
        &'a self,
        weights: &'a [(PoolId, u32)],
    ) -> impl Iterator<Item = (&'a Arc<Pool>, u64, u32)> {
        self.pools.iter().map(|(pool, name)| {
            let weight = weights.iter().find(|(id, _)| *id == pool.id).map_or(0, |(_, w)| *w);
            (pool, *name, weight)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::snapshot::tests::pool_of;
    use vanne_filters::{FieldSlice, Version};

    fn split(by: By, weights: &[(&str, u32)]) -> Split {
        let pool = |name: &str| {
            let pool = Pool { id: name.parse().unwrap(), ..pool_of(1) };
            (Arc::new(pool), stable(name.as_bytes()))
        };
        let split = Split {
            pools: weights.iter().map(|(name, _)| pool(name)).collect(),
            by,
            live: Arc::default(),
            shown: Vec::new(),
        };
        set(&split, weights);
        split
    }

    fn set(split: &Split, weights: &[(&str, u32)]) {
        split.live.set(weights.iter().map(|(name, w)| (name.parse().unwrap(), *w)).collect());
    }

    fn chosen(split: &Split, fields: &[(&str, &str)], random: u64) -> Option<Chosen> {
        let fields = FieldSlice(fields);
        let head = RequestHead::new("GET", b"/", Version::Http11, &fields);
        split.choose(&head, [192, 0, 2, 1].into(), random)
    }

    fn name(chosen: Option<Chosen>) -> String {
        chosen.unwrap().pool.id.to_string()
    }

    #[test]
    fn requests_are_shared_exactly_over_time() {
        let split = split(By::Request, &[("a", 90), ("b", 10)]);
        let mut of_b = 0_i32;
        for number in 1..=100_000 {
            of_b += i32::from(name(chosen(&split, &[], 0)) == "b");
            assert!((of_b - number / 10).abs() <= 4, "{of_b} of {number}");
        }
    }

    /// The pool of each of 20,000 clients.
    fn clients(split: &Split) -> Vec<String> {
        let of = |number: u64| {
            let value = number.to_string();
            name(chosen(split, &[("x-user", value.as_str())], 0))
        };
        (0..20_000).map(of).collect()
    }

    #[test]
    fn clients_stay_while_weights_stand_and_only_those_move_that_have_to() {
        let split = split(By::Client(HashOn::Header("x-user".into())), &[("a", 90), ("b", 10)]);
        let before = clients(&split);
        assert_eq!(before, clients(&split));
        let of_b = before.iter().filter(|pool| *pool == "b").count();
        assert!((1900..2100).contains(&of_b), "{of_b}");
        set(&split, &[("a", 75), ("b", 25)]);
        let after = clients(&split);
        let moved = before.iter().zip(&after).filter(|(a, b)| a != b);
        assert!(moved.clone().all(|(from, to)| from == "a" && to == "b"));
        assert!((2800..3200).contains(&moved.count()));
        set(&split, &[("a", 0), ("b", 25)]);
        assert!(clients(&split).iter().all(|pool| pool == "b"));
    }

    #[test]
    fn a_client_without_the_cookie_gets_one_that_leads_to_the_same_pool() {
        let split = split(By::Cookie("side".into()), &[("a", 1), ("b", 1)]);
        for random in 0..100 {
            let first = chosen(&split, &[], mix(random)).unwrap();
            let cookie = first.cookie.as_ref().unwrap().to_str().unwrap().to_owned();
            let pair = cookie.split(';').next().unwrap();
            let again = chosen(&split, &[("cookie", pair)], 0).unwrap();
            assert!(again.cookie.is_none() && again.pool.id == first.pool.id);
        }
    }

    #[test]
    fn without_weights_there_is_no_pool() {
        for by in [By::Request, By::Client(HashOn::Address)] {
            assert!(chosen(&split(by, &[("a", 0)]), &[], 0).is_none());
        }
    }
}
