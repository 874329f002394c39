//! Asking the limits that count a request: it takes from all, or from none.

use super::part::Asker;
use super::shared::{Answer, tick};
use super::{Action, Counting, LIMITS_MAX, Limited, RateLimit, Said, Tell};
use arrayvec::ArrayVec;
use std::sync::Arc;
use std::time::{Duration, Instant};
use vanne_filters::rate_limit::{Key, Level, Pass, Refused, Tick, take_all};

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
    pub(super) others: Others,
}

/// Limits that are asked after those that decide at once.
pub(super) struct Others {
    /// Those whose buckets are elsewhere.
    pub(super) elsewhere: Vec<Paid>,
    /// Those that refuse nobody: asked once it may pass all others.
    pub(super) aside: Vec<Paid>,
}

/// Where a limit is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Here, before the request goes on.
    Here,
    /// Where the buckets are; the request waits for the answer.
    Elsewhere,
    /// Here, once the request may pass: it refuses nobody.
    Aside,
}

impl RateLimit {
    fn place(&self) -> Place {
        match self.action {
            Action::Shadow => Place::Aside,
            _ if self.waits() => Place::Elsewhere,
            _ => Place::Here,
        }
    }

    /// Whether what is paid here may change afterwards.
    fn is_open(&self) -> bool {
        self.cost_header.is_some() || matches!(self.action, Action::Delay(_))
    }
}

/// What a request pays at one level.
struct Due<'a> {
    limit: &'a Arc<RateLimit>,
    key: Key,
    cost: u32,
}

impl Level for Due<'_> {
    #[inline]
    fn take(&self, now: Tick) -> Result<Pass, Refused> {
        self.limit.take(self.key, self.cost, now)
    }

    fn give_back(&self, now: Tick) {
        self.limit.put_back(self.key, self.cost, now);
    }
}

impl<'a> Due<'a> {
    fn of(one: &'a Counting, asker: Asker<'_>) -> Self {
        let (limit, cost) = (&one.limit, one.cost(asker.head.method));
        Self { limit, key: limit.key(asker), cost }
    }

    fn paid(&self) -> Paid {
        Paid { limit: Arc::clone(self.limit), key: self.key, cost: self.cost }
    }
}

impl Asked {
    /// Asks all `limits` for a request that comes at `now`: it takes from all, or from none.
    /// Cost: a hash and a short lock for each limit; no allocation, but where what is paid may change.
    /// `may_return`: what it pays goes back if others refuse it, who are asked afterwards.
    pub fn ask(&mut self, limits: &[Counting], asker: Asker<'_>, may_return: bool, now: Instant) {
        let now = tick(now);
        let mut taken = ArrayVec::<(Due<'_>, Pass), LIMITS_MAX>::new();
        let mut others = ArrayVec::<(Due<'_>, Place), LIMITS_MAX>::new();
        let here = limits.iter().take(LIMITS_MAX).filter_map(|one| {
            let (due, place) = (Due::of(one, asker), one.limit.place());
            if place != Place::Here {
                others.push((due, place));
                return None;
            }
            Some(due)
        });
        if let Err((_, Due { limit, .. }, no)) = take_all(here, now, &mut taken) {
            self.limited = Some(limit.says(Said::Refused, no.left, no.retry_after));
            return;
        }
        let mut is_open = may_return;
        for (due, pass) in &taken {
            self.pass(due.limit, *pass);
            is_open |= due.limit.is_open();
        }
        if is_open || !others.is_empty() {
            self.paid.extend(taken.iter().map(|(due, _)| due.paid()));
        }
        if !others.is_empty() {
            self.ask_others(&others, now);
        }
    }

    /// Asks those that are not decided here, and those that refuse nobody.
    #[cold]
    fn ask_others(&mut self, others: &[(Due<'_>, Place)], now: Tick) {
        let of = |place| {
            let there = others.iter().filter(move |one| one.1 == place);
            there.map(|(due, _)| due.paid()).collect::<Vec<_>>()
        };
        let (elsewhere, aside) = (of(Place::Elsewhere), of(Place::Aside));
        match elsewhere.is_empty() {
            true => self.try_out(aside, now),
            false => self.pend(Others { elsewhere, aside }, now),
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

    /// Asks limits that refuse nobody what they would have said.
    pub(super) fn try_out(&mut self, aside: Vec<Paid>, now: Tick) {
        for paid in aside {
            match paid.limit.take(paid.key, paid.cost, now) {
                Ok(pass) => {
                    self.pass(&paid.limit, pass);
                    self.paid.push(paid);
                }
                Err(no) => self.note(paid.limit.says(Said::Shadowed, no.left, no.retry_after)),
            }
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
