//! Rate limits of an exchange: whether it may go on, how long it waits, what its client is told.

use super::{Action, Exchange, Phase};
use crate::data::effects::Effect;
use crate::data::rate_limit::{self, Asker, Limited, Said, Tell};
use crate::data::refusal::Refusal;
use crate::data::snapshot::Route;
use http::{HeaderName, header};
use std::time::{Duration, Instant};
use vanne_filters::edits::Draft;
use vanne_filters::{HeadEdits, RequestHead};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LEFT: HeaderName = HeaderName::from_static("ratelimit");

/// What rate limits say of a request.
#[derive(Default)]
pub(super) struct Limits {
    /// If they say more than that it may pass.
    limited: Option<Limited>,
    /// They make it wait.
    is_held: bool,
}

impl Exchange {
    /// Asks the limits of `route`.
    pub(super) fn ask_limits(
        &mut self,
        head: &RequestHead<'_>,
        route: &Route,
        now: Instant,
    ) -> Result<(), Refusal> {
        if route.rate_limits.is_empty() {
            return Ok(());
        }
        let asker = Asker { head, address: self.sender(), route: &route.id };
        self.limits.limited = rate_limit::ask(&route.rate_limits, asker, now);
        match &self.limits.limited {
            Some(limited) if limited.said == Said::Refused => Err(Refusal::RateLimited),
            _ => Ok(()),
        }
    }

    /// The first attempt, after what limits make it wait.
    pub(super) fn attempt_in_time(&mut self, now: Instant) -> Action {
        let delay = match &self.limits.limited {
            Some(limited) if limited.said == Said::Delayed => limited.wait,
            _ => return self.first_attempt(now),
        };
        self.limits.is_held = true;
        self.phase = Phase::Suspended;
        Action::Wait(Effect::Pause(delay))
    }

    /// What it waited for has come.
    pub(super) fn on_resumed(&mut self, now: Instant) -> Action {
        if let Some(action) = self.on_inspected(now) {
            return action;
        }
        match std::mem::take(&mut self.limits.is_held) {
            true => self.first_attempt(now),
            false => self.attempt(now),
        }
    }

    /// Says what is left, and when to come again.
    pub(super) fn tell_limits(&self, edits: &mut HeadEdits) {
        let Some(limited) = &self.limits.limited else { return };
        let is_refused = self.refusal == Some(Refusal::RateLimited);
        if is_refused {
            edits.set_written(header::RETRY_AFTER, |value| put(value, seconds(limited.wait)));
        }
        let tells = match limited.limit.tell {
            Tell::Always => true,
            Tell::Never => false,
            Tell::Refused => is_refused,
        };
        if tells {
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
        self.limits.limited.as_ref().filter(|limited| limited.said != Said::Passed)
    }
}

fn put(value: &mut Draft<'_>, number: u64) {
    value.push(itoa::Buffer::new().format(number).as_bytes());
}

/// In whole seconds, rounded up.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}
