//! Asking the limits that count a request: it takes from all, or from none.

use super::part::Asker;
use super::shared::{Answer, tick};
use super::{Action, Counting, LIMITS_MAX, Limited, RateLimit, Said, Tell};
use arrayvec::ArrayVec;
use std::sync::Arc;
use std::time::{Duration, Instant};
use vanne_filters::rate_limit::{Key, Level, Pass, Quota, Take, Tick, take_all};

/// What came of asking.
#[derive(Default)]
pub struct Asked {
    /// What limits say, if more than that it may pass: the gravest.
    pub limited: Option<Limited>,
    /// What the tightest of those says which tell it to all.
    pub told: Option<Limited>,
    /// What the request has paid, where that may change.
    pub(super) paid: Vec<Paid>,
    /// What is still to be asked elsewhere.
    pub pending: Option<Pending>,
}

/// What a request has paid, where that may change afterwards.
pub(super) struct Paid {
    pub(super) limit: Arc<RateLimit>,
    pub(super) key: Key,
    pub(super) cost: u32,
}

/// What shared buckets are asked about.
pub struct Pending {
    /// The answer to wait for.
    pub answer: Arc<Answer>,
    pub(super) levels: Vec<Paid>,
}

/// What limits are to reckon with.
#[derive(Clone, Copy, Debug)]
pub struct Wishes {
    /// The request can wait for what the store says; if not, limits that are exact are as good as
    /// leased ones.
    pub may_wait: bool,
    /// Others are asked afterwards: what is paid may have to be given back.
    pub may_return: bool,
}

/// What a request pays at one level.
struct Due<'a> {
    limit: &'a Arc<RateLimit>,
    key: Key,
    cost: u32,
    quota: Quota,
}

impl<'a> Due<'a> {
    fn of(one: &'a Counting, asker: Asker<'_>) -> Self {
        let (limit, cost) = (&one.limit, one.cost(asker.head.method));
        Self { limit, key: limit.key(asker), cost, quota: limit.quota_now() }
    }

    fn level(&self) -> Level<'_> {
        let patience = self.limit.patience();
        let take = Take { quota: &self.quota, cost: self.cost, patience };
        Level { buckets: self.limit.buckets(), key: self.key, take }
    }

    fn paid(&self) -> Paid {
        Paid { limit: Arc::clone(self.limit), key: self.key, cost: self.cost }
    }

    /// Whether what is paid here may change afterwards.
    fn is_open(&self) -> bool {
        self.limit.cost_header.is_some() || matches!(self.limit.action, Action::Delay(_))
    }
}

impl Asked {
    /// Asks all `limits` for a request that comes at `now`: it takes from all, or from none.
    /// Cost: a hash and a short lock for each limit, and another lock where there are several; no
    /// allocation, but where what is paid may change.
    pub fn ask(&mut self, limits: &[Counting], asker: Asker<'_>, wishes: Wishes, now: Instant) {
        let now = tick(now);
        let mut here = ArrayVec::<Due<'_>, LIMITS_MAX>::new();
        let mut elsewhere = Vec::new();
        let mut has_shadows = false;
        for one in limits {
            if one.limit.action == Action::Shadow {
                has_shadows = true;
            } else if wishes.may_wait && one.limit.waits() {
                elsewhere.push(Due::of(one, asker).paid());
            } else if !here.is_full() {
                here.push(Due::of(one, asker));
            }
        }
        if !self.take(&here, now) {
            return;
        }
        if wishes.may_return || !elsewhere.is_empty() || here.iter().any(Due::is_open) {
            self.paid.extend(here.iter().map(Due::paid));
        }
        if !elsewhere.is_empty() {
            self.pend(elsewhere, now);
        }
        if has_shadows {
            let is_shadow = |one: &&Counting| one.limit.action == Action::Shadow;
            limits.iter().filter(is_shadow).for_each(|one| self.try_out(&Due::of(one, asker), now));
        }
    }

    /// Takes what is due. Whether all passes.
    fn take(&mut self, here: &[Due<'_>], now: Tick) -> bool {
        let mut passes = ArrayVec::<Pass, LIMITS_MAX>::new();
        let tell = |at: usize, ask| {
            if let Some(due) = here.get(at) {
                due.limit.tell(&due.quota, ask);
            }
        };
        match take_all(here.iter().map(Due::level), now, |pass| passes.push(pass), tell) {
            Ok(()) => {
                here.iter().zip(&passes).for_each(|(due, pass)| self.pass(due.limit, *pass));
                true
            }
            Err((at, no)) => {
                let refuses =
                    |due: &Due<'_>| due.limit.says(Said::Refused, no.left, no.retry_after);
                self.limited = here.get(at).map(refuses);
                false
            }
        }
    }

    /// It passes this limit.
    pub(super) fn pass(&mut self, limit: &Arc<RateLimit>, Pass { left, wait }: Pass) {
        if wait == Duration::ZERO && limit.tell != Tell::Always {
            return limit.count(Said::Passed);
        }
        let said = if wait > Duration::ZERO { Said::Delayed } else { Said::Passed };
        self.note(limit.says(said, left, wait));
    }

    /// Asks a limit that refuses nobody what it would have said.
    fn try_out(&mut self, due: &Due<'_>, now: Tick) {
        let Level { buckets, key, take } = due.level();
        match buckets.take(key, now, take, |ask| due.limit.tell(&due.quota, ask)) {
            Ok(pass) => self.pass(due.limit, pass),
            Err(no) => self.note(due.limit.says(Said::Shadowed, no.left, no.retry_after)),
        }
    }

    /// Keeps what a limit says, as far as it matters to the request and is for its client.
    fn note(&mut self, says: Limited) {
        if says.limit.tell == Tell::Always {
            let is_tighter = self.told.as_ref().is_none_or(|told| says.is_tighter(told));
            if is_tighter {
                self.told = Some(says.clone());
            }
        }
        let is_graver = self.limited.as_ref().is_none_or(|it| says.weight() > it.weight());
        if says.said != Said::Passed && is_graver {
            self.limited = Some(says);
        }
    }
}
