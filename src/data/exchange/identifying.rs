//! Who sends the request of an exchange: whether its route lets them in, what its backend is told
//! of them, and what who is not let in is told.

use super::Exchange;
use crate::data::identity::{Proof, Told, proof};
use crate::data::refusal::Refusal;
use crate::data::snapshot::Route;
use http::header::WWW_AUTHENTICATE;
use std::sync::Arc;
use std::time::UNIX_EPOCH;
use vanne_filters::{HeadEdits, RequestHead};

/// What is known of who sends a request.
#[derive(Default)]
pub(super) struct Identified {
    proof: Option<Arc<Proof>>,
    /// Which of the gate's identities refused it.
    refused_by: usize,
}

impl Exchange {
    /// Finds out who sends the request with this `head`, if `route` wants to know.
    pub(super) fn identify(
        &mut self,
        head: &RequestHead<'_>,
        route: &Route,
    ) -> Result<(), Refusal> {
        let Some(gate) = &route.gate else { return Ok(()) };
        let since = self.started_wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        match gate.ask(head, since.as_secs()) {
            Ok(proof) => {
                self.identified.proof = proof;
                Ok(())
            }
            Err((denied, by)) => {
                self.identified.refused_by = by;
                Err(Refusal::Identity(denied))
            }
        }
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
            Told::Nothing => return,
            Told::How => None,
            Told::Error(error) => Some(error),
        };
        let gate = self.route.as_ref().and_then(|route| route.gate.as_ref());
        for (at, identity) in gate.iter().flat_map(|gate| gate.identities.iter().enumerate()) {
            let error = error.filter(|_| at == self.identified.refused_by);
            let scopes = gate.map(|gate| &*gate.scopes).unwrap_or_default();
            edits.add(WWW_AUTHENTICATE, identity.challenge(error, scopes));
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
