//! What is remembered of a request's head: copied, since the head does not live so long.

use super::Exchange;
use crate::data::grpc;
use crate::data::listener::admit;
use crate::data::log_line::{Captured, LogPlan};
use http::Method;
use std::time::{Duration, Instant};
use vanne_filters::{FieldList, RequestHead, Version};

/// What the log and the end of a request tell of its head.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The method.
    pub method: Method,
    /// The authority the client asked for, if any.
    pub host: Option<Vec<u8>>,
    /// The raw target.
    pub target: Vec<u8>,
    /// The client's version.
    pub version: Version,
    /// Whether the client wants to keep its connection (RFC 9112 §9.3).
    pub wants_keep_alive: bool,
    /// What there is to say of a gRPC call, if it is one.
    pub call: Option<Call>,
    /// When the head was whole.
    pub since: Instant,
    /// Fields that the log wants of it.
    pub captured: Captured,
    /// Fields that the log wants of the head of the backend's answer.
    pub captured_answer: Captured,
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
    /// What there is to remember of `head`, which was whole at `now`; `plan` says which fields.
    #[must_use]
    pub fn of(head: &RequestHead<'_>, plan: Option<&LogPlan>, now: Instant) -> Self {
        let call = || Call { timeout: grpc::timeout(head.fields), status: None };
        Self {
            method: Method::from_bytes(head.method.as_bytes()).unwrap_or_default(),
            host: head.authority.map(<[u8]>::to_vec),
            target: head.target.to_vec(),
            version: head.version,
            wants_keep_alive: admit::wants_keep_alive(head),
            call: grpc::is_call(head).then(call),
            since: now,
            captured: plan
                .map(|plan| Captured::of(&plan.capture.request, head.fields))
                .unwrap_or_default(),
            captured_answer: Captured::default(),
        }
    }
}

impl Exchange {
    /// Remembers what the log wants of the head of the backend's answer.
    pub(super) fn capture_answer(&mut self, fields: &dyn FieldList) {
        let wanted = self.log_plan().filter(|plan| !plan.capture.response.is_empty());
        let captured = wanted.map(|plan| Captured::of(&plan.capture.response, fields));
        if let (Some(facts), Some(captured)) = (self.facts.as_mut(), captured) {
            facts.captured_answer = captured;
        }
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
