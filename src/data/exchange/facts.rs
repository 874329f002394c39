//! What is remembered of a request's head: copied, since the head does not live so long.

use super::Exchange;
use crate::data::grpc;
use crate::data::listener::admit;
use crate::data::log_line::{Captured, LogPlan};
use crate::data::snapshot::{LocalSnapshot, Route};
use http::Method;
use std::sync::Arc;
use std::time::{Duration, Instant};
use vanne_filters::{FieldList, RequestHead, Version};

/// What the log and the end of a request tell of its head, besides its [`Texts`].
#[derive(Clone, Debug)]
pub struct Facts {
    /// The method.
    pub method: Method,
    /// The client's version.
    pub version: Version,
    /// Whether the client wants to keep its connection (RFC 9112 §9.3).
    pub wants_keep_alive: bool,
    /// What there is to say of a gRPC call, if it is one.
    pub call: Option<Call>,
    /// When the head was whole.
    pub since: Instant,
}

/// What is remembered of heads as text, in memory that one request leaves to the next. Empty
/// until the head is whole.
#[derive(Debug, Default)]
pub struct Texts {
    /// The target, the authority, the value of `Accept`, and the origin of the page that asks.
    bytes: Vec<u8>,
    /// Where the target ends.
    target_end: usize,
    /// Where the authority ends.
    authority_end: usize,
    has_authority: bool,
    /// Where the value of `Accept` ends and the origin begins, once that was asked for.
    origin_begin: Option<usize>,
    /// It only asks whether another request may be made, and a filter answers that.
    pub(super) is_preflight: bool,
    /// Fields that the log wants of the request.
    pub captured: Captured,
    /// Fields that the log wants of the head of the backend's answer.
    pub captured_answer: Captured,
}

impl Texts {
    /// Remembers `head`; `plan` says which fields.
    fn fill(&mut self, head: &RequestHead<'_>, plan: Option<&LogPlan>) {
        self.clear();
        self.bytes.extend_from_slice(head.target);
        self.target_end = self.bytes.len();
        self.has_authority = head.authority.is_some();
        self.bytes.extend_from_slice(head.authority.unwrap_or_default());
        self.authority_end = self.bytes.len();
        self.fill_accept(head.fields);
        if let Some(plan) = plan {
            self.captured.fill(&plan.capture.request, head.fields);
        }
    }

    /// Several fields are one list (RFC 9110 §5.3).
    fn fill_accept(&mut self, fields: &dyn FieldList) {
        const ACCEPT: &str = "accept";
        let Some(first) = fields.first(ACCEPT) else { return };
        if fields.count(ACCEPT) == 1 {
            return self.bytes.extend_from_slice(first);
        }
        fields.each(&mut |name, value| {
            if name.eq_ignore_ascii_case(ACCEPT.as_bytes()) {
                [value, b","].iter().for_each(|part| self.bytes.extend_from_slice(part));
            }
        });
    }

    /// The raw target.
    #[must_use]
    pub fn target(&self) -> &[u8] {
        self.bytes.get(..self.target_end).unwrap_or_default()
    }

    /// What the client takes; empty if it does not say.
    pub(super) fn accept(&self) -> &[u8] {
        let end = self.origin_begin.unwrap_or(self.bytes.len());
        self.bytes.get(self.authority_end..end).unwrap_or_default()
    }

    /// Remembers the origin of the page that asks.
    pub(super) fn note_origin(&mut self, fields: &dyn FieldList) {
        if let (Some(origin), 1) = (fields.first("origin"), fields.count("origin")) {
            self.origin_begin = Some(self.bytes.len());
            self.bytes.extend_from_slice(origin);
        }
    }

    /// The origin of the page that asks, if somebody wants to know and the request says one.
    pub(super) fn origin(&self) -> Option<&[u8]> {
        self.bytes.get(self.origin_begin?..)
    }

    /// The authority the client asked for, if any.
    #[must_use]
    pub fn authority(&self) -> Option<&[u8]> {
        self.bytes.get(self.target_end..self.authority_end).filter(|_| self.has_authority)
    }

    /// Forgets all, keeps the memory.
    pub(super) fn clear(&mut self) {
        let Self {
            bytes,
            target_end,
            authority_end,
            has_authority,
            origin_begin,
            is_preflight,
            captured,
            captured_answer,
        } = self;
        bytes.clear();
        (*target_end, *authority_end) = (0, 0);
        (*has_authority, *is_preflight) = (false, false);
        *origin_begin = None;
        captured.clear();
        captured_answer.clear();
    }

    /// Bytes of memory that they hold, used or not.
    pub(super) fn memory_bytes(&self) -> usize {
        let captured = self.captured.memory_bytes() + self.captured_answer.memory_bytes();
        self.bytes.capacity() + captured
    }
}

/// A gRPC call.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// The time that the client gives it.
    pub timeout: Option<Duration>,
    /// Its status, once it is known.
    pub status: Option<u32>,
}

impl Facts {
    /// What there is to remember of `head`, which was whole at `now`.
    #[must_use]
    pub fn of(head: &RequestHead<'_>, now: Instant) -> Self {
        let call = || Call { timeout: grpc::timeout(head.fields), status: None };
        Self {
            method: Method::from_bytes(head.method.as_bytes()).unwrap_or_default(),
            version: head.version,
            wants_keep_alive: admit::wants_keep_alive(head),
            call: grpc::is_call(head).then(call),
            since: now,
        }
    }
}

impl Exchange {
    /// Remembers what there is to remember of the request's head, which was whole at `now`.
    pub(super) fn note_head(&mut self, head: &RequestHead<'_>, now: Instant) {
        self.facts = Some(Facts::of(head, now));
        let plan = plan_of(self.route.as_ref(), self.snapshot.as_ref());
        self.texts.fill(head, plan);
    }

    /// Remembers what the log wants of the head of the backend's answer.
    pub(super) fn capture_answer(&mut self, fields: &dyn FieldList) {
        if let Some(plan) = plan_of(self.route.as_ref(), self.snapshot.as_ref()) {
            self.texts.captured_answer.fill(&plan.capture.response, fields);
        }
    }

    /// What is written about it: by its route, or, while it has none, by the snapshot.
    #[must_use]
    pub fn log_plan(&self) -> Option<&LogPlan> {
        plan_of(self.route.as_ref(), self.snapshot.as_ref())
    }

    /// Remembers the status of a gRPC call, if `fields` of its answer say one.
    pub(super) fn note_call_status(&mut self, fields: &dyn FieldList) {
        if let Some(call) = self.facts.as_mut().and_then(|facts| facts.call.as_mut()) {
            call.status = grpc::status(fields).or(call.status);
        }
    }

    /// The status of a gRPC call, once it is known.
    #[must_use]
    pub fn call_status(&self) -> Option<u32> {
        self.facts.as_ref()?.call?.status
    }
}

fn plan_of<'a>(
    route: Option<&'a Arc<Route>>,
    snapshot: Option<&'a LocalSnapshot>,
) -> Option<&'a LogPlan> {
    let of_route = route.map(|route| &*route.log);
    of_route.or_else(|| snapshot.map(|snapshot| &*snapshot.log))
}
