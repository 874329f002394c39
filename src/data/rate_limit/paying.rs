//! What a request pays after it was asked for: where the store answers, where its answer says what
//! it has cost, and where it is given back.

use super::asking::{Asked, Others, Paid, Pending};
use super::shared::{Exact, Verdict, tick};
use super::{LIMITS_MAX, Said, Store};
use arrayvec::ArrayVec;
use std::sync::Arc;
use std::time::Instant;
use vanne_filters::FieldList;
use vanne_filters::rate_limit::{Buckets, Level, Pass, Quota, Refused, Take, Tick, take_all};

impl Asked {
    /// Has the store asked about those that are elsewhere. Where that cannot be, they are decided
    /// here.
    pub(super) fn pend(&mut self, others: Others, now: Tick) {
        let exact = |Paid { limit, key, cost }: &Paid| match &limit.store {
            Store::Shared(shared, _) => Some(Exact {
                shared: Arc::clone(shared),
                key: *key,
                quota: limit.quota_now(),
                cost: *cost,
                patience: limit.patience(),
            }),
            Store::Own(_) => None,
        };
        let asked: Vec<Exact> = others.elsewhere.iter().filter_map(exact).collect();
        let Some(first) = asked.first() else { return };
        let bridge = Arc::clone(&first.shared.bridge);
        match bridge.ask(asked) {
            Some(answer) => self.pending = Some(Pending { answer, others }),
            None => {
                let said = take_share(&others.elsewhere, now);
                self.settle(others, said, now);
            }
        }
    }

    /// What the store said by now, or else what this replica's share says. What the request has to
    /// say of it then is in `limited`.
    pub fn resume(&mut self, now: Instant) {
        let Some(Pending { answer, others }) = self.pending.take() else { return };
        let now = tick(now);
        let said = answer.leave().unwrap_or_else(|| take_share(&others.elsewhere, now));
        self.settle(others, said, now);
    }

    /// Counts what those elsewhere said.
    fn settle(&mut self, Others { elsewhere, aside }: Others, said: Verdict, now: Tick) {
        match said {
            Ok(passes) => {
                elsewhere.iter().zip(passes).for_each(|(paid, pass)| self.pass(&paid.limit, pass));
                self.paid.extend(elsewhere);
                self.try_out(aside, now);
            }
            Err((at, no)) => {
                let refuses = |paid: &Paid| paid.limit.says(Said::Refused, no.left, no.retry_after);
                self.limited = elsewhere.get(at).map(refuses);
            }
        }
    }

    /// The request does not take what it has paid for: that is given back.
    pub fn give_back(&mut self, now: Instant) {
        let said = self.pending.take().and_then(|pending| {
            let said = pending.answer.leave()?;
            said.is_ok().then_some(pending.others.elsewhere)
        });
        for Paid { limit, key, cost } in self.paid.drain(..).chain(said.into_iter().flatten()) {
            limit.give_back(key, cost, tick(now));
        }
    }

    /// The answer says what the request has cost: the rest is paid, or given back.
    pub fn pay(&mut self, fields: &dyn FieldList, now: Instant) {
        if self.paid.is_empty() {
            return;
        }
        let now = tick(now);
        for Paid { limit, key, cost } in &mut self.paid {
            let Some(name) = &limit.cost_header else { continue };
            let Some(whole) = fields.first(name).and_then(whole_cost) else { continue };
            if whole > *cost {
                let (quota, more) = (limit.quota_now(), whole - *cost);
                let take = Take { quota: &quota, cost: more, patience: limit.patience() };
                limit.buckets().charge(*key, now, take, |ask| limit.tell(&quota, ask));
            } else {
                limit.give_back(*key, *cost - whole, now);
            }
            *cost = whole;
        }
    }
}

/// What an answer says that the request has cost, in whole numbers.
fn whole_cost(value: &[u8]) -> Option<u32> {
    let digits = value.trim_ascii();
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(digits).ok().filter(|_| is_number)?;
    // More than any bucket holds.
    Some(text.parse().unwrap_or(u32::MAX))
}

/// A level of which this replica goes by its share, as if the store were away.
struct Share<'a>(&'a Paid, Quota);

impl Share<'_> {
    fn buckets(&self) -> Buckets<'_> {
        match &self.0.limit.store {
            Store::Own(table) => Buckets::Own(table),
            Store::Shared(shared, _) => shared.share(),
        }
    }

    fn what(&self) -> Take<'_> {
        Take { quota: &self.1, cost: self.0.cost, patience: self.0.limit.patience() }
    }
}

impl Level for Share<'_> {
    fn take(&self, now: Tick) -> Result<Pass, Refused> {
        self.buckets().take(self.0.key, now, self.what(), |_| ())
    }

    fn give_back(&self, now: Tick) {
        self.buckets().give_back(self.0.key, now, self.what());
    }
}

/// What this replica's share of all `levels` says.
fn take_share(levels: &[Paid], now: Tick) -> Verdict {
    let shares = levels.iter().map(|paid| Share(paid, paid.limit.quota_now()));
    let mut taken = ArrayVec::<_, LIMITS_MAX>::new();
    take_all(shares, now, &mut taken).map_err(|(at, _, no)| (at, no))?;
    Ok(taken.iter().map(|(_, pass)| *pass).collect())
}
