//! Rate limits of an exchange: whether it may go on, how long it waits, what its client is told.

use super::Exchange;
use crate::data::effects::Effect;
use crate::data::rate_limit::at_once::Turn;
use crate::data::rate_limit::part::Asker;
use crate::data::rate_limit::{Asked, Limited, RouteLimits, Said, Tell};
use crate::data::refusal::Refusal;
use crate::data::snapshot::Route;
use http::{HeaderName, header};
use std::sync::Arc;
use std::time::Instant;
use vanne_filters::edits::Draft;
use vanne_filters::{FieldList, HeadEdits, RequestHead};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LEFT: HeaderName = HeaderName::from_static("ratelimit");

/// When limits are asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Round {
    /// Before anybody asks who sends the request: those that need not know.
    Anybody,
    /// Once that is known.
    Users,
}

/// What rate limits say of a request.
#[derive(Default)]
pub(super) struct Limits {
    /// What came of each [`Round`].
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
    /// Asks those limits of `route` that are due in this `round`. What the request has to wait for,
    /// if anything.
    #[inline]
    pub(super) fn ask_limits(
        &mut self,
        round: Round,
        head: &RequestHead<'_>,
        route: &Route,
        now: Instant,
    ) -> Result<Option<Effect>, Refusal> {
        let limits = match round {
            Round::Anybody => &route.limits,
            Round::Users => &route.user_limits,
        };
        if limits.is_empty() { Ok(None) } else { self.ask((round, limits), head, route, now) }
    }

    fn ask(
        &mut self,
        (round, limits): (Round, &RouteLimits),
        head: &RequestHead<'_>,
        route: &Route,
        now: Instant,
    ) -> Result<Option<Effect>, Refusal> {
        let (address, proof) = (self.sender(), self.identified.proof.as_deref());
        let asker = Asker { head, address, route: &route.id, proof };
        if let Some(limit) = &limits.at_once {
            let Some(turn) = limit.enter(asker) else {
                return Err(self.turn_away(Refusal::TooManyAtOnce, now));
            };
            self.limits.turn = Some(turn);
        }
        // What is paid in the first round goes back if the second refuses.
        let may_return = matches!(round, Round::Anybody) && !route.user_limits.is_empty();
        if let Some(asked) = self.limits.asked.get_mut(round as usize) {
            asked.ask(&limits.rates, asker, may_return, now);
        }
        self.wait_for_limits(round, now)
    }

    /// What the request has to wait for after what limits said in this `round`.
    fn wait_for_limits(&mut self, round: Round, now: Instant) -> Result<Option<Effect>, Refusal> {
        let Some(asked) = self.limits.asked.get(round as usize) else { return Ok(None) };
        if let Some(pending) = &asked.pending {
            self.limits.stage = Stage::Asked;
            return Ok(Some(Effect::Answer(Arc::clone(&pending.answer))));
        }
        match asked.limited.as_ref().map(|limited| (limited.said, limited.wait)) {
            Some((Said::Refused, _)) => Err(self.turn_away(Refusal::RateLimited, now)),
            Some((Said::Delayed, wait)) => {
                self.limits.stage = Stage::Held;
                Ok(Some(Effect::Pause(wait)))
            }
            Some((Said::Passed | Said::Shadowed, _)) | None => Ok(None),
        }
    }

    /// What limits of this `round` made the request wait for has come.
    pub(super) fn on_waited(
        &mut self,
        round: Round,
        now: Instant,
    ) -> Result<Option<Effect>, Refusal> {
        if std::mem::take(&mut self.limits.stage) != Stage::Asked {
            return Ok(None);
        }
        if let Some(asked) = self.limits.asked.get_mut(round as usize) {
            asked.resume(now);
        }
        self.wait_for_limits(round, now)
    }

    /// One limit refuses it: it pays none.
    fn turn_away(&mut self, refusal: Refusal, now: Instant) -> Refusal {
        self.limits.give_back(now);
        refusal
    }

    /// It is refused or gone while limits make it wait: others need not wait for it.
    pub(super) fn leave_limits(&mut self, now: Instant) {
        self.held = None;
        if std::mem::take(&mut self.limits.stage) != Stage::None {
            self.limits.give_back(now);
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
            edits.set(POLICY, &limited.limit.policy);
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
