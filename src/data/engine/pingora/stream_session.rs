//! A stream of HTTP/2 as Pingora wants to see it: a session of our own making.
//!
//! Pingora's own session for HTTP/2 does not say for whom it waits, and passes empty DATA
//! frames on as parts of a body, which an HTTP/1 backend gets as stray bytes
//! (cloudflare/pingora#935). This one is a handle: the stream stays with the [`Stream`].

use crate::data::exchange::{Event, Exchange};
use crate::data::listener::carrier::Carrier;
use crate::data::listener::stream::Stream;
use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream as Messages;
use http::{HeaderMap, HeaderName, Method, Response, StatusCode, header};
use pingora_core::protocols::Digest;
use pingora_core::protocols::http::HttpTask;
use pingora_core::protocols::http::custom::CustomMessageWrite;
use pingora_core::protocols::http::custom::server::Session;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

/// Fields that end with an HTTP/1 connection (RFC 9113 §8.2.2).
const NOT_FOR_HTTP2: [HeaderName; 5] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Handle of a stream.
pub(super) struct StreamSession {
    stream: Arc<Stream>,
    request: RequestHeader,
    answered: Option<Box<ResponseHeader>>,
    bytes_read: usize,
    bytes_sent: usize,
}

impl StreamSession {
    pub(super) fn new(stream: Arc<Stream>, request: RequestHeader) -> Self {
        Self { stream, request, answered: None, bytes_read: 0, bytes_sent: 0 }
    }

    fn send_head(&mut self, head: Box<ResponseHeader>, is_last: bool) -> Result<()> {
        if self.answered.is_some() {
            return Ok(());
        }
        let is_switch = head.status == StatusCode::SWITCHING_PROTOCOLS;
        let mut response = Response::from_parts(head.as_owned_parts(), ());
        for name in &NOT_FOR_HTTP2 {
            response.headers_mut().remove(name);
        }
        if is_switch {
            // RFC 8441 §5: a tunnel over a stream is agreed to with 200, without a proof.
            *response.status_mut() = StatusCode::OK;
            response.headers_mut().remove(header::SEC_WEBSOCKET_ACCEPT);
        } else if head.status.is_informational() {
            return self.stream.send_informational(response).map_err(gone_while_writing);
        }
        self.stream.send_head(response, is_last).map_err(gone_while_writing)?;
        if is_switch {
            self.stream.begin_tunnel();
        }
        self.answered = Some(head);
        Ok(())
    }

    async fn send(&mut self, mut data: Bytes, is_last: bool) -> Result<()> {
        self.bytes_sent += data.len();
        if self.stream.sent().1 {
            return Ok(());
        }
        poll_fn(|cx| self.stream.poll_send(cx, &mut data, is_last))
            .await
            .map_err(gone_while_writing)
    }

    fn send_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        if self.stream.sent().1 {
            return Ok(());
        }
        self.stream.send_trailers(trailers).map_err(gone_while_writing)
    }

    /// Whether the task was the last.
    async fn take(&mut self, task: HttpTask) -> Result<bool> {
        match task {
            HttpTask::Header(head, is_last) => self.send_head(head, is_last).map(|()| is_last),
            HttpTask::Body(data, is_last) | HttpTask::UpgradedBody(data, is_last) => {
                if let Some(data) = data.filter(|data| !data.is_empty() || is_last) {
                    self.send(data, is_last).await?;
                }
                Ok(is_last)
            }
            HttpTask::Trailer(trailers) => {
                if let Some(trailers) = trailers {
                    self.send_trailers(*trailers)?;
                }
                Ok(true)
            }
            HttpTask::Done => Ok(true),
            HttpTask::Failed(error) => Err(error),
        }
    }
}

impl StreamSession {
    /// Whether the answer was whole before the request: nothing more is read of that
    /// (RFC 9113 §8.1). Pingora would read to its end; told that there is no more to be had, it
    /// resets the backend's stream.
    fn is_answered(&self) -> bool {
        self.stream.cell().with_exchange(Exchange::is_answered) == Some(true)
    }
}

impl Drop for StreamSession {
    /// The head goes back to the stream: the request may be another engine's next.
    fn drop(&mut self) {
        if self.stream.cell().with_exchange(Exchange::is_ended) == Some(false)
            && let Ok(empty) = RequestHeader::build_no_case(Method::GET, b"/", None)
        {
            self.stream.put_head(std::mem::replace(&mut self.request, empty));
        }
    }
}

fn gone_while_writing(error: h2::Error) -> Box<Error> {
    Error::because(ErrorType::WriteError, "stream gone while writing", error).into_down()
}

fn no_messages() -> Box<Error> {
    Error::explain(ErrorType::InternalError, "a stream has no messages of its own")
}

#[async_trait]
impl Session for StreamSession {
    fn req_header(&self) -> &RequestHeader {
        &self.request
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        &mut self.request
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        if self.is_answered() {
            return Err(Error::explain(ErrorType::ReadError, "answered").into_down());
        }
        let data = poll_fn(|cx| self.stream.poll_data(cx)).await.transpose().map_err(|error| {
            Error::because(ErrorType::ReadError, "stream gone while reading", error).into_down()
        })?;
        if let Some(data) = &data {
            self.bytes_read += data.len();
        }
        Ok(data)
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        while self.read_body_bytes().await?.is_some() {}
        Ok(())
    }

    async fn write_response_header(&mut self, head: Box<ResponseHeader>, end: bool) -> Result<()> {
        self.send_head(head, end)
    }

    async fn write_response_header_ref(&mut self, head: &ResponseHeader, end: bool) -> Result<()> {
        self.send_head(Box::new(head.clone()), end)
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.send(data, end).await
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.send_trailers(trailers)
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let mut is_ended = false;
        for task in tasks {
            is_ended = self.take(task).await?;
        }
        if is_ended {
            self.finish().await?;
            // The next read of the request ends, if there would be one.
            drop(self.stream.cell().step(Event::Answered));
        }
        Ok(is_ended)
    }

    fn set_read_timeout(&mut self, _: Option<Duration>) {}

    fn get_read_timeout(&self) -> Option<Duration> {
        None
    }

    fn set_write_timeout(&mut self, _: Option<Duration>) {}

    fn get_write_timeout(&self) -> Option<Duration> {
        None
    }

    fn set_total_drain_timeout(&mut self, _: Option<Duration>) {}

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        None
    }

    fn request_summary(&self) -> String {
        format!("{} {}", self.request.method, self.request.uri)
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.answered.as_deref()
    }

    /// Nothing: the stream is ended by whoever serves it, as the machine says.
    async fn shutdown(&mut self, _: u32, _: &str) {}

    fn is_body_done(&mut self) -> bool {
        self.stream.is_request_read()
    }

    async fn finish(&mut self) -> Result<()> {
        match self.stream.sent() {
            (true, false) => self.send(Bytes::new(), true).await,
            _ => Ok(()),
        }
    }

    fn is_body_empty(&mut self) -> bool {
        self.bytes_read == 0 && self.stream.is_request_read()
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        if no_body_expected || self.is_body_done() {
            poll_fn(|cx| self.stream.poll_gone(cx)).await;
            return Err(Error::explain(ErrorType::H2Error, "stream reset").into_down());
        }
        self.read_body_bytes().await
    }

    fn body_bytes_sent(&self) -> usize {
        self.bytes_sent
    }

    fn body_bytes_read(&self) -> usize {
        self.bytes_read
    }

    fn digest(&self) -> Option<&Digest> {
        None
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        None
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        None
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        None
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        Bytes::new()
    }

    /// Nothing: the stream keeps what may be sent once more.
    fn enable_retry_buffering(&mut self) {}

    fn retry_buffer_truncated(&self) -> bool {
        true
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        None
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(
        &mut self,
    ) -> Option<Box<dyn Messages<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>> {
        None
    }

    fn restore_custom_message_reader(
        &mut self,
        _: Box<dyn Messages<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>,
    ) -> Result<()> {
        Err(no_messages())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _: Box<dyn CustomMessageWrite>) -> Result<()> {
        Err(no_messages())
    }

    fn is_upgrade_req(&self) -> bool {
        self.stream.asks_for_tunnel()
    }

    fn was_upgraded(&self) -> bool {
        self.stream.is_tunnel()
    }
}
