//! A request by HTTP/1.1.

use super::connect::{self, Stream};
use super::drive::Driven;
use super::{BODY_MAX, Closing};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::io;

/// The largest head of an answer.
const HEAD_MAX: usize = 64 * 1024;

/// An answer whose head has come.
pub(super) struct Answer {
    pub(super) status: u16,
    body: Incoming,
    /// Dropped, it would end the connection.
    sender: SendRequest<Empty<Bytes>>,
    connection: Driven<Connection<TokioIo<Stream>, Empty<Bytes>>>,
}

/// Sends `request` and waits for the answer's head.
pub(super) async fn ask(
    stream: Stream,
    request: http::Request<Empty<Bytes>>,
) -> Result<Answer, String> {
    let place = "before the answer's head";
    let shake = http1::Builder::new().max_buf_size(HEAD_MAX).handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shake.map_err(|error| words(&error, place))?;
    let mut connection = Driven::new(connection);
    let asked = sender.send_request(request);
    let answer = connection.until(asked).await.map_err(|error| words(&error, place))?;
    Ok(Answer { status: answer.status().as_u16(), body: answer.into_body(), sender, connection })
}

impl Answer {
    /// The body, up to [`BODY_MAX`], and whether that is all of it.
    pub(super) async fn read(&mut self) -> Result<(Vec<u8>, bool), String> {
        let mut body = Vec::new();
        while body.len() < BODY_MAX {
            match self.connection.until(self.body.frame()).await {
                None => return Ok((body, true)),
                Some(Err(error)) => return Err(words(&error, "inside the answer's body")),
                Some(Ok(frame)) => {
                    let data = frame.data_ref().map(Bytes::as_ref).unwrap_or_default();
                    body.extend(data.iter().take(BODY_MAX - body.len()));
                }
            }
        }
        Ok((body, false))
    }

    /// Takes what is left of the body, if it is little, and closes.
    pub(super) fn close(mut self) -> Closing {
        Box::pin(async move {
            drop(self.read().await);
            drop((self.body, self.sender));
            self.connection.close().await;
        })
    }
}

fn words(error: &hyper::Error, place: &str) -> String {
    let below = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    match below {
        Some(below) => connect::words(below, place),
        None if error.is_parse_too_large() => "the answer's head is too large".to_owned(),
        None if error.is_parse() => format!("the answer is not HTTP/1.1: {error}"),
        None if error.is_incomplete_message() || error.is_canceled() || error.is_closed() => {
            format!("connection closed {place}")
        }
        None => format!("connection failed {place}: {error}"),
    }
}
