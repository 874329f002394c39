//! Who sends the request of an exchange: whether its route lets them in, what its backend is told
//! of them, and what who is not let in is told.

use super::limiting::Round;
use super::{Action, Exchange};
use crate::data::identity::{Asked, Proof, Question, Shown, Told, proof};
use crate::data::refusal::Refusal;
use crate::data::snapshot::Route;
use crate::data::target::FixedAnswer;
use crate::data::upstream::forward::Sender;
use http::header::WWW_AUTHENTICATE;
use std::sync::Arc;
use std::time::{Instant, UNIX_EPOCH};
use vanne_filters::{HeadEdits, RequestHead};

/// What is known of who sends a request.
#[derive(Default)]
pub(super) struct Identified {
    pub(super) proof: Option<Arc<Proof>>,
    /// Which of the gate's identities refused it.
    refused_by: usize,
    /// What the client is told instead of our own words.
    words: Option<Box<FixedAnswer>>,
}

impl Exchange {
    /// Finds out who sends the request with this `head`, if `route` wants to know. What it has to
    /// wait for, if anything.
    pub(super) fn identify(
        &mut self,
        head: &RequestHead<'_>,
        route: &Route,
        answered: Option<&Question>,
        now: Instant,
    ) -> Result<Option<Arc<Question>>, Refusal> {
        let Some(gate) = &route.gate else { return Ok(None) };
        let since = self.started_wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        let from = Sender { client: &self.client, claim: self.claim.as_ref() };
        let wall = since.as_secs();
        match gate.ask(Shown { head, from, id: self.id, wall, now, answered }) {
            Ok(Asked::Nobody) => Ok(None),
            Ok(Asked::Known(proof)) => {
                self.identified.proof = Some(proof);
                Ok(None)
            }
            Ok(Asked::Wait(question)) => Ok(Some(question)),
            Err((denied, by)) => {
                self.identified.refused_by = by;
                Err(Refusal::Identity(denied))
            }
        }
    }

    /// Goes on with a request whose `question` was answered.
    pub(super) fn on_answered(
        &mut self,
        (head, other_target): (&RequestHead<'_>, Option<&[u8]>),
        question: &Question,
        route: Arc<Route>,
        now: Instant,
    ) -> Action {
        match self.identify(head, &route, Some(question), now) {
            Ok(None) => self.on_round(Round::Users, (head, other_target), route, now),
            // An answer leads to no further question.
            Ok(Some(_)) => self.refuse(Refusal::Internal, now),
            Err(refusal) => {
                self.identified.words = question.words().cloned().map(Box::new);
                self.refuse(refusal, now)
            }
        }
    }

    /// What is answered in the words of the service that refused the request, if one did. A call is
    /// told in gRPC's own way.
    pub(super) fn words_of_service(&mut self) -> Option<FixedAnswer> {
        let is_call = self.facts.as_ref().is_some_and(|facts| facts.call.is_some());
        self.identified.words.take().filter(|_| !is_call).map(|words| *words)
    }

    /// Has the backend told who it is, and by nobody else.
    pub(super) fn tell_identity(&mut self, head: &RequestHead<'_>, route: &Route) {
        proof::take_out(head, &route.own_fields, &mut self.request_edits);
        let (Some(gate), Some(proof)) = (&route.gate, &self.identified.proof) else { return };
        for (name, claim) in &gate.headers {
            proof.tell(claim, name, &mut self.request_edits);
        }
    }

    /// Tells who was not let in how to come in, and no more than that.
    pub(super) fn challenge(&self, edits: &mut HeadEdits) {
        let Some(Refusal::Identity(denied)) = self.refusal else { return };
        let error = match denied.told() {
            Told::Forwarded | Told::Nothing => return,
            Told::How => None,
            Told::Error(error) => Some(error),
        };
        let gate = self.route.as_ref().and_then(|route| route.gate.as_ref());
        for (at, identity) in gate.iter().flat_map(|gate| gate.identities.iter().enumerate()) {
            let error = error.filter(|_| at == self.identified.refused_by);
            let scopes = gate.map(|gate| &*gate.scopes).unwrap_or_default();
            if let Some(challenge) = identity.challenge(error, scopes) {
                edits.add(WWW_AUTHENTICATE, challenge);
            }
        }
    }

    /// Who sends it, if that is known.
    #[must_use]
    pub fn proof(&self) -> Option<&Arc<Proof>> {
        self.identified.proof.as_ref()
    }

    /// The name of who sends it, if that is known.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.proof()?.user.as_deref()
    }
}
