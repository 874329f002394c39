//! Answers of our own: what a client gets when there is none from a backend.
//!
//! One line of text, or a problem as JSON (RFC 9457) for who asks for JSON, with the reason and
//! the request's id; the security headers of the route, and no hint at addresses or versions.
//! Engines write it as any other answer.

use crate::data::refusal::{Refusal, phrase};
use crate::data::target::FixedAnswer;
use crate::types::request_id::RequestId;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use vanne_filters::{Edit, HeadEdits};

/// A whole answer. Date, Connection and Content-Length are the engine's.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The header fields.
    pub fields: Vec<(HeaderName, HeaderValue)>,
    /// The body. Not sent in answer to HEAD.
    pub body: Bytes,
}

impl Answer {
    /// What says `refusal` where no page does: one line of text.
    pub(super) fn line_for(refusal: Refusal, id: RequestId) -> FixedAnswer {
        let status = refusal.row().status;
        let body = line(status, refusal.told(), id);
        FixedAnswer { status, fields: own_fields("text/plain; charset=utf-8"), body }
    }

    /// The same for who asks for JSON: a problem (RFC 9457 §3), whose status is all of its type.
    pub(super) fn problem_for(refusal: Refusal, id: RequestId) -> FixedAnswer {
        let (status, reason) = (refusal.row().status, refusal.told());
        // Phrases, reasons and ids have nothing in them that JSON escapes.
        let title = phrase(status);
        let body = format!(
            "{{\"type\":\"about:blank\",\"title\":\"{title}\",\"status\":{status},\
             \"reason\":\"{reason}\",\"request_id\":\"{id}\"}}\n"
        );
        FixedAnswer { status, fields: own_fields("application/problem+json"), body: body.into() }
    }

    /// The answer `fixed`, with these `edits`.
    #[must_use]
    pub fn of(fixed: &FixedAnswer, edits: &HeadEdits) -> Self {
        let FixedAnswer { status, mut fields, body } = fixed.clone();
        apply(edits, &mut fields);
        Self { status, fields, body }
    }

    /// The same as a redirect to this address.
    #[must_use]
    pub fn to_redirect(mut self, status: u16, to: HeaderValue, id: RequestId) -> Self {
        self.fields.push((header::LOCATION, to));
        Self { status, body: line(status, Refusal::HttpsRedirect.reason(), id), ..self }
    }

    /// The same for a gRPC call: its status and reason in the head, and no body.
    #[must_use]
    pub fn to_call(mut self, status: u32) -> Self {
        let reason = HeaderValue::from_bytes(self.body.trim_ascii_end());
        self.fields.retain(|(name, _)| *name != header::CONTENT_TYPE && *name != header::ALLOW);
        self.fields.extend([
            (header::CONTENT_TYPE, HeaderValue::from_static("application/grpc")),
            (HeaderName::from_static("grpc-status"), status.into()),
        ]);
        // Our reasons are plain ASCII: nothing in them needs the message's %-encoding.
        let message = HeaderName::from_static("grpc-message");
        self.fields.extend(reason.ok().map(|reason| (message, reason)));
        Self { status: 200, body: Bytes::new(), ..self }
    }
}

fn own_fields(content_type: &'static str) -> Vec<(HeaderName, HeaderValue)> {
    vec![
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ]
}

/// The body of an answer that says no more than why.
pub(super) fn line(status: u16, reason: &str, id: RequestId) -> Bytes {
    format!("{status} {}: {reason} (request {id})\n", phrase(status)).into()
}

fn apply(edits: &HeadEdits, fields: &mut Vec<(HeaderName, HeaderValue)>) {
    for edit in edits {
        match edit {
            Edit::Add(name, value) => fields.extend(field(name, value)),
            Edit::Line(line) => fields.push((line.name.clone(), line.value.clone())),
            Edit::Remove(name) => fields.retain(|(field, _)| field != name),
            Edit::Set(name, value) => {
                fields.retain(|(field, _)| field != name);
                fields.extend(field(name, value));
            }
            Edit::SetIfAbsent(name, value) => {
                if !fields.iter().any(|(field, _)| field == name) {
                    fields.extend(field(name, value));
                }
            }
        }
    }
}

/// Values of edits are fit for a field: it is always there.
fn field(name: &HeaderName, value: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    Some((name.clone(), HeaderValue::from_bytes(value).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_names_its_reason_and_request_and_is_edited() {
        let id = RequestId::next(&mut fastrand::Rng::with_seed(1));
        let mut edits = HeadEdits::new();
        edits.set_if_absent(header::X_FRAME_OPTIONS, "DENY");
        edits.set(header::CACHE_CONTROL, "private");
        edits.add(header::CACHE_CONTROL, "max-age=0");
        edits.remove(header::CONTENT_TYPE);
        let answer = Answer::of(&Answer::line_for(Refusal::ConnectRefused, id), &edits);
        assert_eq!(answer.status, 502);
        assert_eq!(answer.body, format!("502 Bad Gateway: connect_refused (request {id})\n"));
        let has = |name: &HeaderName| answer.fields.iter().any(|(field, _)| field == name);
        assert!(has(&header::X_FRAME_OPTIONS) && !has(&header::CONTENT_TYPE));
        assert_eq!(answer.fields.len(), 3);
    }
}
