//! Answers that a route gives itself: redirects and fixed ones. They are no refusals: the
//! config wants them.

use super::{Action, Answer, Exchange, Phase};
use crate::data::grpc;
use crate::data::target::{FixedAnswer, Redirect};
use http::{HeaderValue, header};
use std::time::Instant;
use vanne_filters::{Asked, RequestHead};

impl Exchange {
    /// Answers with `redirect` for the request with this `head`.
    pub(super) fn redirect_by(
        &mut self,
        redirect: &Redirect,
        head: &RequestHead<'_>,
        now: Instant,
    ) -> Action {
        let to = match redirect.location(head, self.is_https()) {
            Ok(to) => to,
            Err(refusal) => return self.refuse(refusal, now),
        };
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        let fields = vec![(header::LOCATION, to), (header::CONTENT_TYPE, text)];
        let body = super::answer::line(redirect.status, "redirect", self.id);
        self.answer_by(&FixedAnswer { status: redirect.status, fields, body }, now)
    }

    /// Answers with `fixed`; a call gets what its status means in gRPC.
    pub(super) fn answer_by(&mut self, fixed: &FixedAnswer, now: Instant) -> Action {
        self.end_with(fixed.status, now);
        let asked = Asked { is_https: self.is_https() };
        let chain = self.route.as_ref().map(|route| &route.chain);
        let Some(call) = self.facts.as_mut().and_then(|facts| facts.call.as_mut()) else {
            return Action::Answer(Answer::of(fixed, self.id, asked, chain));
        };
        let body = super::answer::line(fixed.status, "answer", self.id);
        let plain = FixedAnswer { status: fixed.status, fields: Vec::new(), body };
        let status = grpc::of_http(fixed.status);
        call.status = Some(status);
        self.status = Some(200);
        Action::Answer(Answer::of(&plain, self.id, asked, chain).to_call(status))
    }

    /// Ends the request: an answer of ours with this status is all that is still to come.
    pub(super) fn end_with(&mut self, status: u16, now: Instant) {
        self.phase = Phase::Ended;
        self.status = Some(status);
        self.is_head_sent = true;
        self.progress = now;
        self.waiting = super::Waiting::Client;
    }
}
