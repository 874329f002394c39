//! What is remembered of a request's head: copied, since the head does not live so long.

use super::Exchange;
use crate::data::grpc;
use crate::data::listener::admit;
use http::Method;
use std::time::Duration;
use vanne_filters::{FieldList, RequestHead, Version};

/// What the log and the end of a request tell of its head.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The method.
    pub method: Method,
    /// The authority the client asked for, if any.
    pub host: Option<String>,
    /// The raw target.
    pub target: String,
    /// The client's version.
    pub version: Version,
    /// Whether the client wants to keep its connection (RFC 9112 §9.3).
    pub wants_keep_alive: bool,
    /// What there is to say of a gRPC call, if it is one.
    pub call: Option<Call>,
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
    /// What there is to remember of `head`.
    #[must_use]
    pub fn of(head: &RequestHead<'_>) -> Self {
        let call = || Call { timeout: grpc::timeout(head.fields), status: None };
        Self {
            method: Method::from_bytes(head.method.as_bytes()).unwrap_or_default(),
            host: head.authority.map(text),
            target: text(head.target),
            version: head.version,
            wants_keep_alive: admit::wants_keep_alive(head),
            call: grpc::is_call(head).then(call),
        }
    }
}

impl Exchange {
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

/// Bytes from the wire as text for the log; what is not UTF-8 is marked.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
