//! A client of HTTP/2 in plain text, by prior knowledge.

use super::client::is_careful;
use super::in_time;
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use http::{HeaderMap, Request, Response};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// An answer that is whole.
#[derive(Debug)]
pub(crate) struct Answer2 {
    /// The head.
    pub(crate) head: Response<()>,
    /// The body.
    pub(crate) body: Vec<u8>,
    /// The trailers, if any.
    pub(crate) trailers: Option<HeaderMap>,
}

impl Answer2 {
    pub(crate) fn status(&self) -> u16 {
        self.head.status().as_u16()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.headers().get(name).map(|value| value.to_str().unwrap())
    }
}

/// A connection that speaks HTTP/2.
pub(crate) struct Client2 {
    requests: SendRequest<Bytes>,
    /// How the connection ended.
    pub(crate) ended: JoinHandle<Result<(), Arc<h2::Error>>>,
    authority: String,
}

impl Client2 {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::on(TcpStream::connect(address).await.unwrap(), &address.to_string()).await
    }

    /// A connection on `stream`, for requests to `authority`.
    pub(crate) async fn on(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        authority: &str,
    ) -> Self {
        let (requests, connection) = h2::client::handshake(stream).await.unwrap();
        let ended = tokio::spawn(async move { connection.await.map_err(Arc::new) });
        Self { requests, ended, authority: authority.to_owned() }
    }

    /// A request with this method and path, to which fields can be added.
    pub(crate) fn request(&self, method: &str, path: &str) -> http::request::Builder {
        Request::builder().method(method).uri(format!("http://{}{path}", self.authority))
    }

    /// Sends a head; the body is the caller's unless `is_whole`.
    pub(crate) async fn send(
        &mut self,
        request: http::request::Builder,
        is_whole: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let mut ready = in_time("room for a stream", self.requests.clone().ready()).await.unwrap();
        ready.send_request(request.body(()).unwrap(), is_whole).unwrap()
    }

    /// Sends a request without a body, unless the connection is over.
    pub(crate) async fn try_send(
        &mut self,
        request: http::request::Builder,
    ) -> Option<(ResponseFuture, SendStream<Bytes>)> {
        let mut ready = in_time("room for a stream", self.requests.clone().ready()).await.ok()?;
        ready.send_request(request.body(()).unwrap(), true).ok()
    }

    /// Whether the server lets us open tunnels (RFC 8441).
    pub(crate) async fn may_tunnel(&mut self) -> bool {
        let ready = in_time("settings", self.requests.clone().ready()).await.unwrap();
        ready.is_extended_connect_protocol_enabled()
    }

    /// Streams that the server lets us have open.
    pub(crate) fn streams_max(&self) -> usize {
        self.requests.current_max_send_streams()
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer2 {
        let request = self.request("GET", path);
        let (answer, _) = self.send(request, true).await;
        whole(answer).await.unwrap()
    }

    pub(crate) async fn post(&mut self, path: &str, body: &'static str) -> Answer2 {
        let request = self.request("POST", path);
        let (answer, mut stream) = self.send(request, false).await;
        stream.send_data(Bytes::from_static(body.as_bytes()), true).unwrap();
        whole(answer).await.unwrap()
    }
}

/// Reads an answer to its end, or to why it has none.
pub(crate) async fn whole(answer: ResponseFuture) -> Result<Answer2, h2::Error> {
    let (head, mut stream) = in_time("an answer's head", answer).await?.into_parts();
    is_careful(head.status.as_u16(), |name| head.headers.get_all(name).iter().count());
    let mut body = Vec::new();
    while let Some(data) = in_time("an answer's body", stream.data()).await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    let trailers = stream.trailers().await?;
    Ok(Answer2 { head: Response::from_parts(head, ()), body, trailers })
}

/// Sends all of `body` as the server takes it.
pub(crate) async fn upload(stream: &mut SendStream<Bytes>, body: &[u8]) {
    for part in body.chunks(16 * 1024) {
        stream.reserve_capacity(part.len());
        let mut sent = 0;
        while sent < part.len() {
            let room = match stream.capacity() {
                0 => {
                    let room = std::future::poll_fn(|cx| stream.poll_capacity(cx));
                    in_time("room in the window", room).await.unwrap().unwrap()
                }
                room => room,
            };
            let next = part.len().min(sent + room);
            stream.send_data(Bytes::copy_from_slice(&part[sent..next]), false).unwrap();
            sent = next;
        }
    }
    stream.send_data(Bytes::new(), true).unwrap();
}

/// The reason for which an answer has no end.
pub(crate) fn reason(error: &h2::Error) -> Option<Reason> {
    error.reason()
}
