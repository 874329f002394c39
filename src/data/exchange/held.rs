//! Requests that wait before they go on: for what limits say, or until it is known who sends them.

use super::kept_head::KeptHead;
use super::limiting::Round;
use super::{Action, Exchange, Phase};
use crate::data::effects::Effect;
use crate::data::identity::Question;
use crate::data::snapshot::Route;
use std::sync::Arc;
use std::time::Instant;
use vanne_filters::RequestHead;

/// A request that waits.
pub(super) struct Held {
    head: KeptHead,
    /// What the listener made of its target, if backends get that.
    other_target: Option<Box<[u8]>>,
    until: Until,
}

/// What a request waits for.
pub(super) enum Until {
    /// What limits say, or that there is enough.
    Limits(Round),
    /// That it is known who sends it.
    Known(Arc<Question>),
}

impl Exchange {
    /// Waits for what `effect` brings; the request goes on then on its `route`, as it was.
    pub(super) fn hold(
        &mut self,
        (head, other_target): (&RequestHead<'_>, Option<&[u8]>),
        route: Arc<Route>,
        until: Until,
        effect: Effect,
    ) -> Action {
        self.enter(route);
        let (head, other_target) = (KeptHead::of(head), other_target.map(Box::from));
        self.hold_on(Box::new(Held { head, other_target, until }), effect)
    }

    fn hold_on(&mut self, held: Box<Held>, effect: Effect) -> Action {
        self.held = Some(held);
        self.phase = Phase::Suspended;
        Action::Wait(effect)
    }

    /// What an effect brings is here.
    pub(super) fn on_resumed(&mut self, now: Instant) -> Action {
        let held = self.on_held_over(now).or_else(|| self.on_inspection_over(now));
        held.unwrap_or_else(|| self.attempt(now))
    }

    /// Goes on with the request that waited, if it did.
    fn on_held_over(&mut self, now: Instant) -> Option<Action> {
        let held = self.held.take()?;
        let route = Arc::clone(self.route.as_ref()?);
        let (head, target) = (held.head.head(), held.other_target.as_deref());
        Some(match &held.until {
            Until::Known(question) => self.on_answered((&head, target), question, route, now),
            Until::Limits(round) => match self.on_waited(*round, now) {
                Ok(Some(effect)) => self.hold_on(held, effect),
                Ok(None) => self.on_passed(*round, (&head, target), route, now),
                Err(refusal) => self.refuse(refusal, now),
            },
        })
    }
}
