//! A request by HTTP/2.
//!
//! By the `h2` crate itself, not by the library above it, whose connections need tasks of their
//! own that a check which is dropped would leave behind.

use super::connect::{self, Stream};
use super::drive::Driven;
use super::{BODY_MAX, Closing};
use bytes::Bytes;
use h2::RecvStream;
use h2::client::{Builder, Connection, SendRequest};
use http::HeaderMap;

/// The largest head of an answer.
const HEAD_MAX: u32 = 64 * 1024;
/// Bytes that may be on their way to us.
const WINDOW: u32 = 128 * 1024;

/// An answer whose head has come.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    body: RecvStream,
    /// Dropped, it would end the connection.
    sender: SendRequest<Bytes>,
    connection: Driven<Connection<Stream>>,
}

/// Sends `request` with `body` and waits for the answer's head.
pub(super) async fn ask(
    stream: Stream,
    request: http::Request<()>,
    body: Option<Bytes>,
) -> Result<Answer, String> {
    let said = |error: h2::Error| words(&error, "before the answer's head");
    let mut builder = Builder::new();
    builder.enable_push(false).max_header_list_size(HEAD_MAX);
    builder.initial_window_size(WINDOW).initial_connection_window_size(WINDOW);
    let (sender, connection) = builder.handshake::<_, Bytes>(stream).await.map_err(said)?;
    let mut connection = Driven::new(connection);
    let mut sender = connection.until(sender.ready()).await.map_err(said)?;
    let (answer, mut sending) = sender.send_request(request, body.is_none()).map_err(said)?;
    if let Some(body) = body {
        sending.send_data(body, true).map_err(said)?;
    }
    let answer = connection.until(answer).await.map_err(said)?;
    let (head, body) = answer.into_parts();
    Ok(Answer { status: head.status.as_u16(), headers: head.headers, body, sender, connection })
}

impl Answer {
    /// The body, up to [`BODY_MAX`], and whether that is all of it.
    pub(super) async fn read(&mut self) -> Result<(Vec<u8>, bool), String> {
        let said = |error: h2::Error| words(&error, "inside the answer's body");
        let mut body = Vec::new();
        while body.len() < BODY_MAX {
            match self.connection.until(self.body.data()).await {
                None => return Ok((body, true)),
                Some(data) => {
                    let data = data.map_err(said)?;
                    self.body.flow_control().release_capacity(data.len()).map_err(said)?;
                    body.extend(data.iter().take(BODY_MAX - body.len()));
                }
            }
        }
        Ok((body, false))
    }

    /// What comes after a body that was read as a whole.
    pub(super) async fn trailers(&mut self) -> Result<HeaderMap, String> {
        let trailers = self.connection.until(self.body.trailers()).await;
        let said = |error: h2::Error| words(&error, "before the answer's end");
        Ok(trailers.map_err(said)?.unwrap_or_default())
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

fn words(error: &h2::Error, place: &str) -> String {
    let reason =
        || error.reason().map_or_else(|| error.to_string(), |reason| format!("{reason:?}"));
    match error.get_io() {
        Some(below) => connect::words(below, place),
        None if error.is_library() => format!("the answer is not HTTP/2: {}", reason()),
        None if error.is_go_away() => format!("connection refused by GOAWAY: {}", reason()),
        None if error.is_reset() => format!("request refused by RST_STREAM: {}", reason()),
        None => format!("connection failed {place}: {error}"),
    }
}
