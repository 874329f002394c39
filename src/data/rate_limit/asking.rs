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
    fn place(&self, wishes: Wishes) -> Place {
        if self.action == Action::Shadow {
            Place::Aside
        } else if wishes.may_wait && self.waits() {
            Place::Elsewhere
        } else {
            Place::Here
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
    pub fn ask(&mut self, limits: &[Counting], asker: Asker<'_>, wishes: Wishes, now: Instant) {
        let now = tick(now);
        let mut taken = ArrayVec::<(Due<'_>, Pass), LIMITS_MAX>::new();
        let mut others = ArrayVec::<(Due<'_>, Place), LIMITS_MAX>::new();
        let here = limits.iter().take(LIMITS_MAX).filter_map(|one| {
            let (due, place) = (Due::of(one, asker), one.limit.place(wishes));
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
        let mut is_open = wishes.may_return;
        for (due, pass) in &taken {
            self.pass(due.limit, *pass);
            is_open |= due.limit.is_open();
        }
        if !others.is_empty() {
            is_open |= self.ask_others(&others, now);
        }
        if is_open {
            self.paid.extend(taken.iter().map(|(due, _)| due.paid()));
        }
    }

    /// Asks those that are not decided here, and those that refuse nobody. Whether an answer is
    /// waited for.
    #[cold]
    fn ask_others(&mut self, others: &[(Due<'_>, Place)], now: Tick) -> bool {
        let of = |place| others.iter().filter(move |one| one.1 == place).map(|(due, _)| due);
        let elsewhere: Vec<Paid> = of(Place::Elsewhere).map(Due::paid).collect();
        let waits = !elsewhere.is_empty();
        if waits {
            self.pend(elsewhere, now);
        }
        of(Place::Aside).for_each(|due| self.try_out(due, now));
        waits
    }

    /// Whether one of them refuses the request.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.limited.as_ref().is_some_and(|limited| limited.said == Said::Refused)
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
        match due.take(now) {
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
