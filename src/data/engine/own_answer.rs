//! Answers of our own, as bytes: the same for every engine and every refusal.

use crate::data::exchange::Answer;
use crate::data::refusal::phrase;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use std::time::SystemTime;

/// What the answer's framing depends on.
#[derive(Clone, Copy, Debug)]
pub struct Framing {
    /// The request was HEAD: no body is sent.
    pub is_head: bool,
    /// The connection is closed afterwards.
    pub is_last: bool,
}

/// The bytes of `answer` as HTTP/1.1, with Date (RFC 9110 §6.6.1), Content-Length and
/// Connection.
#[must_use]
pub fn bytes(answer: &Answer, framing: Framing, wall: SystemTime) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    let line = format!("HTTP/1.1 {} {}\r\n", answer.status, phrase(answer.status));
    out.extend_from_slice(line.as_bytes());
    for (name, value) in &answer.fields {
        field(&mut out, name.as_str(), value.as_bytes());
    }
    // An answer of before has its own.
    let is_dated = answer.fields.iter().any(|(name, _)| *name == http::header::DATE);
    if let Some(date) = http_date(wall).filter(|_| !is_dated) {
        field(&mut out, "date", date.as_bytes());
    }
    // RFC 9110 §8.6: what has no body by its status has no length either.
    if !matches!(answer.status, 204 | 304) {
        field(&mut out, "content-length", answer.body.len().to_string().as_bytes());
    }
    field(&mut out, "connection", if framing.is_last { b"close" } else { b"keep-alive" });
    out.extend_from_slice(b"\r\n");
    if !framing.is_head {
        out.extend_from_slice(&answer.body);
    }
    out
}

fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn http_date(wall: SystemTime) -> Option<String> {
    let time = Timestamp::try_from(wall).ok()?;
    DateTimePrinter::new().timestamp_to_rfc9110_string(&time).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_answer_is_framed_and_dated() {
        let answer = Answer { status: 502, fields: vec![], body: "gone\n".into() };
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let framing = Framing { is_head: false, is_last: true };
        let text = String::from_utf8(bytes(&answer, framing, wall)).unwrap();
        assert_eq!(
            text,
            "HTTP/1.1 502 Bad Gateway\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             content-length: 5\r\nconnection: close\r\n\r\ngone\n"
        );
        let head = Framing { is_head: true, is_last: false };
        assert!(bytes(&answer, head, wall).ends_with(b"keep-alive\r\n\r\n"));
        let none = Answer { status: 204, fields: vec![], body: "".into() };
        assert!(!String::from_utf8(bytes(&none, head, wall)).unwrap().contains("content-length"));
    }
}
