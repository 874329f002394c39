//! Asks by gRPC: `grpc.health.v1.Health/Check`, whose two messages have one field each.

use super::check::Check;
use super::connect::Failure;
use super::http::{authority, unsendable};
use super::{AGENT, Asked, Passed, http2};
use bytes::{BufMut, Bytes, BytesMut};
use futures::future::BoxFuture;
use http::header::{CONTENT_TYPE, TE, USER_AGENT};
use http::{HeaderMap, Method};
use std::time::Duration;

/// What every message begins with: whether it is compressed, and its length.
const PREFIX: usize = 5;
/// The status of gRPC for a service that nobody knows.
const NOT_FOUND: u32 = 5;
/// That for a method that nobody knows.
const UNIMPLEMENTED: u32 = 12;

/// The statuses of gRPC, by their number.
const STATUSES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

pub(super) fn ask<'a>(
    check: &'a Check,
    asked: Asked<'a>,
) -> BoxFuture<'a, Result<Passed, Failure>> {
    Box::pin(async move {
        asked.stage.enter("no answer's head");
        let scheme = if check.tls.is_some() { "https" } else { "http" };
        let authority = authority(&check.request, &asked);
        let mut builder = http::Request::builder().method(Method::POST);
        if let Some(headers) = builder.headers_mut() {
            headers.insert(USER_AGENT, AGENT);
            headers.extend(check.request.headers.iter().cloned());
        }
        let request = builder
            .version(http::Version::HTTP_2)
            .uri(format!("{scheme}://{authority}/grpc.health.v1.Health/Check"))
            .header(CONTENT_TYPE, "application/grpc")
            .header(TE, "trailers")
            .header("grpc-timeout", timeout(check.timeout))
            .body(())
            .map_err(unsendable)?;
        let message = message(&check.request.service);
        let mut answer = http2::ask(asked.stream, request, Some(message)).await?;
        judge_head(answer.status, &answer.headers)?;
        // An answer without a message has its status in the head.
        judge_status(&answer.headers, &check.request.service)?;
        asked.stage.enter("in the answer's message");
        let (body, is_whole) = answer.read().await?;
        if !is_whole {
            return Err("the answer's message is too large".to_owned().into());
        }
        let trailers = answer.trailers().await?;
        judge_status(&trailers, &check.request.service)?;
        judge_message(&body)?;
        Ok(Passed { reason: "SERVING".to_owned(), closing: answer.close() })
    })
}

/// At most eight digits and a unit.
fn timeout(timeout: Duration) -> String {
    format!("{}m", timeout.as_millis().min(99_999_999))
}

/// The question: `HealthCheckRequest { string service = 1; }`.
fn message(service: &str) -> Bytes {
    // At most 255 bytes: its length is one byte, or two with the top bit of the first set.
    let mut field = BytesMut::new();
    if !service.is_empty() {
        field.put_u8(0x0a);
        let length = service.len();
        let low = u8::try_from(length & 0x7f).unwrap_or_default();
        match u8::try_from(length >> 7).unwrap_or_default() {
            0 => field.put_u8(low),
            high => field.put_slice(&[low | 0x80, high]),
        }
        field.put_slice(service.as_bytes());
    }
    let mut message = BytesMut::with_capacity(PREFIX + field.len());
    message.put_u8(0);
    message.put_u32(u32::try_from(field.len()).unwrap_or_default());
    message.put(field);
    message.freeze()
}

fn judge_head(status: u16, headers: &HeaderMap) -> Result<(), String> {
    let kind = headers.get(CONTENT_TYPE).map(|kind| kind.as_bytes()).unwrap_or_default();
    match (status, kind.starts_with(b"application/grpc")) {
        (200, true) => Ok(()),
        (200, false) => Err("the answer is not gRPC: its content-type is another".to_owned()),
        (status, _) => Err(format!("the answer is not gRPC: status {status}")),
    }
}

fn judge_status(headers: &HeaderMap, service: &str) -> Result<(), String> {
    let Some(status) = headers.get("grpc-status") else { return Ok(()) };
    let number = status.to_str().ok().and_then(|text| text.parse::<u32>().ok());
    let Some(number) = number else { return Err("grpc-status is no number".to_owned()) };
    let place = usize::try_from(number).unwrap_or(usize::MAX);
    let name = STATUSES.get(place).copied().unwrap_or("unknown");
    match number {
        0 => Ok(()),
        NOT_FOUND => Err(format!("grpc status 5 NOT_FOUND: it does not know {service:?}")),
        UNIMPLEMENTED => {
            Err("grpc status 12 UNIMPLEMENTED: it has no grpc.health.v1.Health".to_owned())
        }
        _ => Err(format!("grpc status {number} {name}")),
    }
}

/// The answer: `HealthCheckResponse { ServingStatus status = 1; }`.
fn judge_message(body: &[u8]) -> Result<(), String> {
    let unreadable = || "the answer's message cannot be read".to_owned();
    let (prefix, message) = body.split_at_checked(PREFIX).ok_or_else(unreadable)?;
    let [is_compressed, length @ ..] = prefix else { return Err(unreadable()) };
    let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    if *is_compressed != 0 || length != message.len() {
        return Err(unreadable());
    }
    match serving_status(message).ok_or_else(unreadable)? {
        0 => Err("UNKNOWN".to_owned()),
        1 => Ok(()),
        2 => Err("NOT_SERVING".to_owned()),
        3 => Err("SERVICE_UNKNOWN".to_owned()),
        other => Err(format!("serving status {other}")),
    }
}

/// The field 1 of a message; other fields are skipped.
fn serving_status(mut message: &[u8]) -> Option<u64> {
    let mut status = 0;
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let skipped = match key & 7 {
            0 => {
                let value = varint(&mut message)?;
                if key == 1 << 3 {
                    status = value;
                }
                0
            }
            1 => 8,
            2 => usize::try_from(varint(&mut message)?).ok()?,
            5 => 4,
            _ => return None,
        };
        message = message.get(skipped..)?;
    }
    Some(status)
}

/// A number of seven bits a byte, the lowest first.
fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for place in 0..10 {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f).checked_shl(7 * place)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    #[test]
    fn the_question_has_one_field() {
        assert_eq!(message("").as_ref(), [0; 5]);
        assert_eq!(message("ab").as_ref(), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        let long = message(&"a".repeat(200));
        assert_eq!(&long[..8], [0, 0, 0, 0, 203, 0x0a, 0xc8, 1]);
    }

    #[test]
    fn the_answer_has_one_field() {
        for (body, want) in [
            (vec![0, 0, 0, 0, 2, 8, 1], None),
            (vec![0, 0, 0, 0, 8, 0x12, 1, 7, 0x1d, 1, 2, 3, 4, 8, 1], Some("cannot be read")),
            (vec![0, 0, 0, 0, 10, 0x12, 1, 7, 0x1d, 1, 2, 3, 4, 8, 1], None),
            (vec![0, 0, 0, 0, 0], Some("UNKNOWN")),
            (vec![0, 0, 0, 0, 2, 8, 2], Some("NOT_SERVING")),
            (vec![0, 0, 0, 0, 2, 8, 3], Some("SERVICE_UNKNOWN")),
            (vec![0, 0, 0, 0, 2, 8, 9], Some("serving status 9")),
            (vec![0, 0, 0, 0, 2, 8, 0x81], Some("cannot be read")),
            (vec![0, 0, 0, 0, 2, 0x12, 9], Some("cannot be read")),
            (vec![0, 0, 0, 0, 3, 8, 1], Some("cannot be read")),
            (vec![1, 0, 0, 0, 2, 8, 1], Some("cannot be read")),
            (vec![0, 0], Some("cannot be read")),
            (
                vec![0, 0, 0, 0, 11, 8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255],
                Some("cannot"),
            ),
        ] {
            let said = judge_message(&body).err();
            match want {
                None => assert_eq!(said, None, "{body:?}"),
                Some(want) => assert!(said.unwrap().contains(want), "{body:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn a_message_passes_only_if_it_says_serving(message in vec(any::<u8>(), 0..20)) {
            let length = u8::try_from(message.len()).unwrap();
            let body = [&[0, 0, 0, 0, length], message.as_slice()].concat();
            prop_assert_eq!(judge_message(&body).is_ok(), serving_status(&message) == Some(1));
        }
    }

    #[test]
    fn a_timeout_has_eight_digits_at_most() {
        assert_eq!(timeout(Duration::from_secs(2)), "2000m");
        assert_eq!(timeout(Duration::from_secs(366 * 86_400)), "99999999m");
    }
}
