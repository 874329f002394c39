//! What filters know of who asks, and the answer to a request that only asks whether another one
//! may be made.

use super::{Action, Exchange};
use crate::data::snapshot::Route;
use crate::data::target::FixedAnswer;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Instant;
use vanne_filters::{Asked, RequestHead};

/// The status of an answer to a preflight.
const NO_CONTENT: u16 = 204;

impl Exchange {
    /// What filters of answers know of the request.
    pub(super) fn asked(&self) -> Asked<'_> {
        Asked {
            is_https: self.is_https(),
            origin: self.texts.origin(),
            is_preflight: self.is_preflight,
        }
    }

    /// Remembers what the filters of `route` want to know of the head.
    pub(super) fn note_origin(&mut self, head: &RequestHead<'_>, route: &Route) {
        if route.chain.wants_origin() {
            self.texts.note_origin(head.fields);
        }
    }

    /// Answers for `route` if the request is a preflight. Such a one never carries credentials, so
    /// nothing that could ask for them comes before.
    pub(super) fn answer_preflight(
        &mut self,
        head: &RequestHead<'_>,
        route: &Arc<Route>,
        now: Instant,
    ) -> Option<Action> {
        let fields = route.chain.preflight(head)?;
        self.is_preflight = true;
        self.enter(Arc::clone(route));
        let fixed = FixedAnswer { status: NO_CONTENT, fields, body: Bytes::new() };
        Some(self.answer_by(&fixed, now))
    }
}
