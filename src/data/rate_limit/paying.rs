//! What a request pays after it was asked for: where the store answers, and where its answer says
//! what it has cost.

use super::Store;
use super::shared::{Exact, tick};
use super::{Asked, Paid, Pending, RateLimit};
use std::sync::Arc;
use std::time::{Duration, Instant};
use vanne_filters::FieldList;
use vanne_filters::rate_limit::{Buckets, Key, Level, Quota, Refused, Take, Tick, take_all};

impl Asked {
    /// Has the store asked about `levels`. Where that cannot be, they are decided here.
    pub(super) fn pend(&mut self, levels: Vec<Elsewhere>, now: Tick) {
        let exact = |(limit, key, cost): &Elsewhere| match &limit.store {
            Store::Shared(shared, _) => Some(Exact {
                shared: Arc::clone(shared),
                key: *key,
                quota: limit.quota_now(),
                cost: *cost,
                patience: limit.patience(),
            }),
            Store::Own(_) => None,
        };
        let asked: Vec<Exact> = levels.iter().filter_map(exact).collect();
        let Some(first) = asked.first() else { return };
        let bridge = Arc::clone(&first.shared.bridge);
        match bridge.ask(asked) {
            Some(answer) => self.pending = Some(Pending { answer, levels }),
            None => {
                let said = take_share(&levels, now);
                self.settle(levels, said, now);
            }
        }
    }

    /// What the store said by now, or else what this replica's share says. What the request has to
    /// say of it then is in `limited`.
    pub fn resume(&mut self, now: Instant) {
        let Some(Pending { answer, levels }) = self.pending.take() else { return };
        let now = tick(now);
        let said = match answer.said() {
            Some(Ok((at, pass))) => Ok((at, pass.left, pass.wait)),
            Some(Err(refused)) => Err(refused),
            None => take_share(&levels, now),
        };
        self.settle(levels, said, now);
    }

    /// Counts what `levels` said; refused, what was paid elsewhere is given back.
    fn settle(&mut self, levels: Vec<Elsewhere>, said: Said, now: Tick) {
        match said {
            Ok((tightest, left, wait)) => {
                for (at, (limit, key, cost)) in levels.into_iter().enumerate() {
                    let told = limit.passes(at == tightest, left, wait);
                    self.limited = told.or(self.limited.take());
                    self.paid.push(Paid { limit, key, cost });
                }
            }
            Err((at, no)) => {
                for Paid { limit, key, cost } in self.paid.drain(..) {
                    let quota = limit.quota_now();
                    let take = Take { quota: &quota, cost, patience: limit.patience() };
                    limit.buckets().give_back(key, now, take);
                }
                self.limited = levels.get(at).map(|(limit, ..)| limit.refuses(no));
            }
        }
    }

    /// The answer says what the request has cost: the rest is paid, or given back.
    pub fn pay(&mut self, fields: &dyn FieldList, now: Instant) {
        let now = tick(now);
        for Paid { limit, key, cost } in &mut self.paid {
            let Some(name) = &limit.cost_header else { continue };
            let said = fields.first(name).and_then(|value| std::str::from_utf8(value).ok());
            let Some(whole) = said.and_then(|said| said.trim().parse::<u32>().ok()) else {
                continue;
            };
            let quota = limit.quota_now();
            let take = |cost| Take { quota: &quota, cost, patience: limit.patience() };
            if whole > *cost {
                let tell = |ask| limit.tell(&quota, ask);
                limit.buckets().charge(*key, now, take(whole - *cost), tell);
            } else {
                limit.buckets().give_back(*key, now, take(*cost - whole));
            }
            *cost = whole;
        }
    }
}

/// A level that is kept elsewhere: whose bucket, and what the request costs there.
type Elsewhere = (Arc<RateLimit>, Key, u32);

/// What levels say: the tightest, what is left there, how long to wait.
type Said = Result<(usize, u32, Duration), (usize, Refused)>;

/// What this replica's share of all `levels` says.
fn take_share(levels: &[Elsewhere], now: Tick) -> Said {
    let quotas: Vec<_> = levels.iter().map(|(limit, ..)| limit.quota_now()).collect();
    let levels: Vec<Level<'_>> = levels.iter().zip(&quotas).map(share).collect();
    take_all(&levels, now, |_, _| ()).map(|passed| (passed.at, passed.left, passed.wait))
}

fn share<'a>(((limit, key, cost), quota): (&'a Elsewhere, &'a Quota)) -> Level<'a> {
    let take = Take { quota, cost: *cost, patience: limit.patience() };
    Level { buckets: limit.share(), key: *key, take }
}

impl RateLimit {
    /// The buckets, as if the store were away.
    fn share(&self) -> Buckets<'_> {
        match &self.store {
            Store::Own(_) => self.buckets(),
            Store::Shared(shared, _) => shared.share(),
        }
    }
}
