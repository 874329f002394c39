//! Answers that a route gives itself, and what a route adds to every answer.
//!
//! Redirects and fixed answers are no refusals: the config wants them.

use super::{Action, Answer, Exchange, Phase};
use crate::data::edits::Values;
use crate::data::grpc;
use crate::data::route::RouteTable;
use crate::data::snapshot::Route;
use crate::data::target::{FixedAnswer, Redirect};
use crate::data::upstream::forward::REQUEST_ID;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;
use vanne_filters::{Asked, FieldList, HeadEdits, RequestHead, ResponseHead};

/// The status of an answer to a preflight.
const NO_CONTENT: u16 = 204;

/// The route of a request. A preflight goes by that of the request it asks about (Fetch §3.2.2), if
/// pages of other origins may ask that one; it says the method in a field.
pub(super) fn route<'t>(
    routes: &'t RouteTable,
    head: &RequestHead<'_>,
    sender: IpAddr,
) -> Option<&'t Arc<Route>> {
    if head.method == "OPTIONS"
        && let Some(method) = asked_about(head)
        && let Some(route) = routes.find(&RequestHead { method, ..*head }, sender)
        && route.chain.wants_origin()
    {
        return Some(route);
    }
    routes.find(head, sender)
}

/// The method of the request that a preflight asks about.
fn asked_about<'a>(head: &RequestHead<'a>) -> Option<&'a str> {
    head.fields.first(header::ORIGIN.as_str())?;
    let method = head.fields.first(header::ACCESS_CONTROL_REQUEST_METHOD.as_str())?;
    std::str::from_utf8(method).ok()
}

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
        let edits = self.own_edits(fixed, now);
        let Some(call) = self.facts.as_mut().and_then(|facts| facts.call.as_mut()) else {
            return Action::Answer(Answer::of(fixed, &edits));
        };
        let body = super::answer::line(fixed.status, "answer", self.id);
        let plain = FixedAnswer { status: fixed.status, fields: Vec::new(), body };
        let status = grpc::of_http(fixed.status);
        call.status = Some(status);
        self.status = Some(200);
        Action::Answer(Answer::of(&plain, &edits).to_call(status))
    }

    /// What is changed in an answer of ours.
    pub(super) fn own_edits(&self, fixed: &FixedAnswer, now: Instant) -> HeadEdits {
        let mut edits = HeadEdits::new();
        edits.set(REQUEST_ID, self.id.to_hex());
        self.tell_fallback(&mut edits);
        self.tell_retry(&mut edits);
        self.tell_limits(&mut edits);
        self.challenge(&mut edits);
        let fields = OwnFields(&fixed.fields);
        self.edit_answer(&ResponseHead { status: fixed.status, fields: &fields }, &mut edits);
        self.explain(&mut edits, now);
        edits
    }

    /// Adds what filters and edits change in the head of an answer, a backend's or ours.
    pub(super) fn edit_answer(&self, head: &ResponseHead<'_>, edits: &mut HeadEdits) {
        let asked = self.asked();
        let Some(route) = &self.route else {
            if let Some(snapshot) = &self.snapshot {
                snapshot.default_chain.on_response(asked, head, edits);
            }
            return;
        };
        route.chain.on_response(asked, head, edits);
        // Informational answers are no answers yet.
        if !(100..200).contains(&head.status) || head.status == 101 {
            let authority = self.texts.authority();
            let values = Values { client: self.sender(), authority, id: self.id };
            route.edits.on_response(values, edits);
        }
    }

    /// What filters of answers know of the request.
    pub(super) fn asked(&self) -> Asked<'_> {
        Asked {
            is_https: self.is_https(),
            origin: self.texts.origin(),
            is_preflight: self.texts.is_preflight,
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
        self.texts.is_preflight = true;
        self.enter(Arc::clone(route));
        let fixed = FixedAnswer { status: NO_CONTENT, fields, body: Bytes::new() };
        Some(self.answer_by(&fixed, now))
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

/// The fields of an answer of ours, before anything is changed in them.
struct OwnFields<'a>(&'a [(HeaderName, HeaderValue)]);

impl FieldList for OwnFields<'_> {
    fn each(&self, visit: &mut dyn FnMut(&[u8], &[u8])) {
        for (name, value) in self.0 {
            visit(name.as_str().as_bytes(), value.as_bytes());
        }
    }

    fn first(&self, name: &str) -> Option<&[u8]> {
        let is_it = |(field, _): &&(HeaderName, HeaderValue)| field == name;
        self.0.iter().find(is_it).map(|(_, value)| value.as_bytes())
    }
}
