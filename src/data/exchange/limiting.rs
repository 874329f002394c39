//! Rate limits of an exchange: whether it may go on, how long it waits, what its client is told.

use super::{Action, Exchange, Phase};
use crate::data::effects::Effect;
use crate::data::rate_limit::at_once::Turn;
use crate::data::rate_limit::part::Asker;
use crate::data::rate_limit::{Asked, Limited, RouteLimits, Said, Tell, Wishes};
use crate::data::refusal::Refusal;
use crate::data::snapshot::Route;
use crate::data::target::Target;
use http::{HeaderName, header};
use std::sync::Arc;
use std::time::Instant;
use vanne_filters::edits::Draft;
use vanne_filters::{FieldList, HeadEdits, RequestHead};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LEFT: HeaderName = HeaderName::from_static("ratelimit");

/// What rate limits say of a request.
#[derive(Default)]
pub(super) struct Limits {
    /// What came of asking those that need not know who sends it, and then the others.
    asked: [Asked; 2],
    /// What it waits for.
    stage: Stage,
    /// It counts among its client's requests.
    turn: Option<Turn>,
}

/// What a request waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Something else, or nothing.
    #[default]
    None,
    /// What shared buckets say.
    Asked,
    /// That there is enough.
    Held,
}

impl Limits {
    /// Of what was said the one that counts.
    fn gravest(&self) -> Option<&Limited> {
        let all = self.asked.iter().filter_map(|asked| asked.limited.as_ref());
        all.reduce(|one, other| if other.weight() > one.weight() { other } else { one })
    }

    /// Of what is for all clients the one that says most.
    fn tightest(&self) -> Option<&Limited> {
        let all = self.asked.iter().filter_map(|asked| asked.told.as_ref());
        all.reduce(|one, other| if other.is_tighter(one) { other } else { one })
    }

    /// The request is not served: what it has paid is given back.
    fn give_back(&mut self, now: Instant) {
        self.asked.iter_mut().for_each(|asked| asked.give_back(now));
    }
}

impl Exchange {
    /// Asks those limits of `route` that need not know who sends the request.
    pub(super) fn ask_limits(
        &mut self,
        head: &RequestHead<'_>,
        route: &Route,
        now: Instant,
    ) -> Result<(), Refusal> {
        self.ask_these((0, &route.limits), head, route, now)
    }

    /// Asks those limits of `route` that want to know who sends the request.
    pub(super) fn ask_user_limits(
        &mut self,
        head: &RequestHead<'_>,
        route: &Route,
        now: Instant,
    ) -> Result<(), Refusal> {
        self.ask_these((1, &route.user_limits), head, route, now)
    }

    #[inline]
    fn ask_these(
        &mut self,
        (turn, limits): (usize, &RouteLimits),
        head: &RequestHead<'_>,
        route: &Route,
        now: Instant,
    ) -> Result<(), Refusal> {
        if limits.is_empty() { Ok(()) } else { self.ask_some((turn, limits), head, route, now) }
    }

    fn ask_some(
        &mut self,
        (turn, limits): (usize, &RouteLimits),
        head: &RequestHead<'_>,
        route: &Route,
        now: Instant,
    ) -> Result<(), Refusal> {
        let (address, proof) = (self.sender(), self.identified.proof.as_deref());
        let asker = Asker { head, address, route: &route.id, proof };
        if let Some(limit) = &limits.at_once {
            let Some(turn) = limit.enter(asker) else {
                return Err(self.turn_away(Refusal::TooManyAtOnce, now));
            };
            self.limits.turn = Some(turn);
        }
        let wishes = Wishes {
            may_wait: matches!(route.target, Target::Pool(_) | Target::Split(_)),
            may_return: turn == 0 && !route.user_limits.is_empty(),
        };
        if let Some(asked) = self.limits.asked.get_mut(turn) {
            asked.ask(&limits.rates, asker, wishes, now);
        }
        self.check_limits(now)
    }

    fn check_limits(&mut self, now: Instant) -> Result<(), Refusal> {
        if self.limits.asked.iter().any(Asked::is_refused) {
            return Err(self.turn_away(Refusal::RateLimited, now));
        }
        Ok(())
    }

    /// One limit refuses it: it pays none.
    fn turn_away(&mut self, refusal: Refusal, now: Instant) -> Refusal {
        self.limits.give_back(now);
        refusal
    }

    /// The first attempt, after what limits make it wait.
    pub(super) fn attempt_in_time(&mut self, now: Instant) -> Action {
        let pending = self.limits.asked.iter().find_map(|asked| asked.pending.as_ref());
        let effect = if let Some(pending) = pending {
            self.limits.stage = Stage::Asked;
            Effect::Answer(Arc::clone(&pending.answer))
        } else {
            match self.limits.gravest() {
                Some(limited) if limited.said == Said::Delayed => {
                    let wait = limited.wait;
                    self.limits.stage = Stage::Held;
                    Effect::Pause(wait)
                }
                _ => return self.first_attempt(now),
            }
        };
        self.phase = Phase::Suspended;
        Action::Wait(effect)
    }

    /// It is refused or gone while limits make it wait: others need not wait for it.
    pub(super) fn leave_limits(&mut self, now: Instant) {
        if std::mem::take(&mut self.limits.stage) != Stage::None {
            self.limits.give_back(now);
        }
    }

    /// What it waited for has come.
    pub(super) fn on_resumed(&mut self, now: Instant) -> Action {
        if let Some(action) = self.on_answered(now).or_else(|| self.on_inspection_over(now)) {
            return action;
        }
        match std::mem::take(&mut self.limits.stage) {
            Stage::None => self.attempt(now),
            Stage::Held => self.first_attempt(now),
            Stage::Asked => {
                let pending = self.limits.asked.iter_mut().find(|asked| asked.pending.is_some());
                if let Some(asked) = pending {
                    asked.resume(now);
                }
                match self.check_limits(now) {
                    Ok(()) => self.attempt_in_time(now),
                    Err(refusal) => self.refuse(refusal, now),
                }
            }
        }
    }

    /// The head of its final answer may say what came of a call, and what it has cost.
    pub(super) fn note_final(&mut self, fields: &dyn FieldList, now: Instant) {
        self.note_call_status(fields);
        for asked in &mut self.limits.asked {
            asked.pay(fields, now);
        }
    }

    /// Says what is left, and when to come again.
    pub(super) fn tell_limits(&self, edits: &mut HeadEdits) {
        let refusing = match self.refusal {
            Some(Refusal::RateLimited) => self.limits.gravest(),
            _ => None,
        };
        if let Some(limited) = refusing {
            edits.set_written(header::RETRY_AFTER, |value| put(value, seconds(limited.wait)));
        }
        let refusing = refusing.filter(|limited| limited.limit.tell != Tell::Never);
        if let Some(limited) = refusing.or_else(|| self.limits.tightest()) {
            edits.set_if_absent(POLICY, &limited.limit.policy);
            edits.set_written(LEFT, |value| {
                value.push(b"\"");
                value.push(limited.limit.id.as_str().as_bytes());
                value.push(b"\";r=");
                put(value, limited.left.into());
                value.push(b";t=");
                put(value, seconds(limited.wait));
            });
        }
    }

    /// The limit that said more than that it may pass, and what it said.
    #[must_use]
    pub fn limited(&self) -> Option<&Limited> {
        self.limits.gravest()
    }
}

fn put(value: &mut Draft<'_>, number: u64) {
    value.push(itoa::Buffer::new().format(number).as_bytes());
}

/// In whole seconds, rounded up.
fn seconds(time: std::time::Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}
