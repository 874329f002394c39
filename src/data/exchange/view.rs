//! What others may look at in an exchange.

use super::{Exchange, Facts, Phase, Texts};
use crate::data::mirror::Mirror;
use crate::data::pool::Pool;
use crate::data::refusal::Refusal;
use crate::data::snapshot::Route;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use vanne_filters::HeadEdits;

impl Exchange {
    /// Edits for the request's head, per attempt the same.
    #[must_use]
    pub fn request_edits(&self) -> &HeadEdits {
        &self.request_edits
    }

    /// Edits for the answer's head that came last.
    #[must_use]
    pub fn response_edits(&self) -> &HeadEdits {
        &self.response_edits
    }

    /// What the client asked for; `None` while its head is not whole.
    #[must_use]
    pub fn facts(&self) -> Option<&Facts> {
        self.facts.as_ref()
    }

    /// What is remembered of its heads as text.
    #[must_use]
    pub fn texts(&self) -> &Texts {
        &self.texts
    }

    /// The mirror that gets a copy of the request, unless it has one already. A tunnel has none.
    #[must_use]
    pub fn mirror(&self) -> Option<&Arc<Mirror>> {
        let mirror = self.route.as_ref()?.mirror.as_ref()?;
        let is_due = !self.is_websocket && !self.is_mirrored.load(Ordering::Relaxed);
        (is_due && mirror.takes(self.id.as_random())).then_some(mirror)
    }

    /// Notes that a copy is being sent; `false` if that was noted before.
    #[must_use]
    pub fn claim_mirror(&self) -> bool {
        !self.is_mirrored.swap(true, Ordering::Relaxed)
    }

    /// The route taken, if any.
    #[must_use]
    pub fn route(&self) -> Option<&Arc<Route>> {
        self.route.as_ref()
    }

    /// The pool that its attempts went to last, if any.
    #[must_use]
    pub fn pool(&self) -> Option<&Arc<Pool>> {
        self.pool.as_ref()
    }

    /// Status of the answer; `None` if there was none.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// Why Vanne ended it, or `None` if it ended by itself.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    /// Whether the request is over: nothing but an answer of ours may be under way.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// Whether it waits for something else than a message: nobody looks at the client.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        matches!(self.phase, Phase::Suspended | Phase::Queued)
    }

    /// Whether the answer was whole before the request was: nothing more of that is needed.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.is_answered
    }

    /// Whether the client has sent its whole request.
    #[must_use]
    pub fn is_request_done(&self) -> bool {
        self.request_done
    }
}
