//! The end of a request of HTTP/2 that no engine ends: what was held back, or an answer of ours.

use super::drive::{Driven, Timer, drive};
use super::worker::Worker;
use crate::data::exchange::Answer;
use crate::data::listener::carrier::Carrier;
use crate::data::listener::stream::Stream;
use bytes::Bytes;
use h2::Reason;
use http::{Response, StatusCode};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

/// Sends what was held back, for as long as the machine lets the client take.
pub(super) async fn let_go(worker: &Worker, stream: &Arc<Stream>, timer: &mut Timer) {
    let rest = pin!(poll_fn(|cx| stream.poll_flush(cx)));
    let driven = drive(&**stream, &worker.lifecycle, timer, rest).await;
    if !matches!(driven, Driven::Done(Ok(()))) {
        stream.reset(Reason::CANCEL);
    }
}

/// Sends an answer of our own, for as long as the machine lets the client take.
pub(super) async fn send(worker: &Worker, stream: &Arc<Stream>, timer: &mut Timer, answer: Answer) {
    let is_head = stream
        .cell()
        .with_exchange(|exchange| exchange.facts().is_some_and(|facts| facts.method == "HEAD"))
        .unwrap_or(false);
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or_default();
    response.headers_mut().extend(answer.fields);
    let length = answer.body.len();
    if length > 0 {
        response.headers_mut().insert(http::header::CONTENT_LENGTH, length.into());
    }
    stream.drop_held_back();
    let mut body = if is_head { Bytes::new() } else { answer.body };
    if stream.send_head(response, body.is_empty()).is_err() {
        return;
    }
    let mut sending = pin!(poll_fn(|cx| match stream.sent().1 {
        true => Poll::Ready(Ok(())),
        false => stream.poll_send(cx, &mut body, true),
    }));
    let driven = drive(&**stream, &worker.lifecycle, timer, sending.as_mut()).await;
    if !matches!(driven, Driven::Done(Ok(()))) {
        stream.reset(Reason::CANCEL);
    }
    // A client that has not sent all is told that it need not (RFC 9113 §8.1) when the stream
    // is dropped, after the answer has left.
}
