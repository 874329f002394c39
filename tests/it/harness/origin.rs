//! Backends that do as a script says.
//!
//! A script is an async function of one connection: it reads requests and sends bytes, right or
//! wrong. Every request's head is kept for the test to look at, and how the proxy ended the
//! connection if the script looked.

use super::ports::Port;
use super::wire::{Body, End, Head, Wire};
use super::{eventually, eventually_async, sha256};
use parking_lot::Mutex;
use std::future::Future;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

/// A backend. It goes when it is dropped, with all its connections.
pub(crate) struct Origin {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    connections: usize,
    requests: Vec<Head>,
    ends: Vec<(End, Instant)>,
    news: Vec<String>,
}

/// One connection to a backend, with what it is told.
pub(crate) struct Conn {
    wire: Wire,
    seen: Arc<Mutex<Seen>>,
    /// Which of the backend's connections it is: 0 for the first.
    pub(crate) index: usize,
}

/// A whole request.
pub(crate) struct Request {
    /// Its head.
    pub(crate) head: Head,
    /// Its body.
    pub(crate) body: Body,
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Origin {
    /// A backend that runs `script` for each connection. The connection is closed when the
    /// script ends.
    pub(crate) async fn start<F>(script: impl Fn(Conn) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::listening(TcpListener::bind("127.0.0.1:0").await.unwrap(), script)
    }

    /// A backend on this port that answers every request with 200 and this body: one that comes
    /// back to where it was.
    pub(crate) async fn on(port: &Port, body: &str) -> Self {
        let answer: Arc<str> = ok(body).into();
        let listener = eventually_async("the port is free", async || {
            TcpListener::bind(port.address).await.ok()
        })
        .await;
        Self::listening(listener, move |mut conn| {
            let answer = Arc::clone(&answer);
            async move {
                while conn.request().await.is_some() {
                    conn.send(answer.as_bytes()).await;
                }
            }
        })
    }

    fn listening<F>(listener: TcpListener, script: impl Fn(Conn) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        let accepting = tokio::spawn(async move {
            let mut scripts = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let index = {
                    let mut seen = shared.lock();
                    seen.connections += 1;
                    seen.connections - 1
                };
                let seen = Arc::clone(&shared);
                scripts.spawn(script(Conn { wire: Wire::new(stream), seen, index }));
                while let Some(ended) = scripts.try_join_next() {
                    ended.unwrap();
                }
            }
        });
        Self { address, seen, accepting }
    }

    /// Answers every request with `answer`, byte for byte, and keeps the connection.
    pub(crate) async fn answering(answer: impl Into<String>) -> Self {
        let answer: Arc<str> = answer.into().into();
        Self::start(move |mut conn| {
            let answer = Arc::clone(&answer);
            async move {
                while conn.request().await.is_some() {
                    conn.send(answer.as_bytes()).await;
                }
            }
        })
        .await
    }

    /// Answers every request with 200 and this body.
    pub(crate) async fn fixed(body: &str) -> Self {
        Self::answering(ok(body)).await
    }

    /// Answers every request with the length and SHA-256 of its body: `LENGTH HASH`.
    pub(crate) async fn hashing() -> Self {
        Self::start(|mut conn| async move {
            while let Some(request) = conn.request().await {
                let bytes = &request.body.bytes;
                conn.send(ok(&format!("{} {}", bytes.len(), sha256(bytes)))).await;
            }
        })
        .await
    }

    /// Reads a request and says nothing; notes how and when the proxy leaves.
    pub(crate) async fn silent() -> Self {
        Self::start(|mut conn| async move {
            if conn.request().await.is_some() {
                conn.note_end().await;
            }
        })
        .await
    }

    /// Sends this after a request and then nothing; notes how and when the proxy leaves.
    pub(crate) async fn stalling_after(part: &str) -> Self {
        let part: Arc<str> = part.into();
        Self::start(move |mut conn| {
            let part = Arc::clone(&part);
            async move {
                if conn.request().await.is_some() {
                    conn.send(part.as_bytes()).await;
                    conn.note_end().await;
                }
            }
        })
        .await
    }

    /// Connections it has got.
    pub(crate) fn connections(&self) -> usize {
        self.seen.lock().connections
    }

    /// Heads of the requests it has got, in order.
    pub(crate) fn requests(&self) -> Vec<Head> {
        self.seen.lock().requests.clone()
    }

    /// The head of the only request it has got.
    pub(crate) fn only_request(&self) -> Head {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests[0].clone()
    }

    /// How many requests it has got, if all came on one connection.
    pub(crate) fn only_connection_requests(&self) -> usize {
        assert_eq!(self.connections(), 1, "connections");
        self.requests().len()
    }

    /// How many connections the proxy has ended, of those whose script looked.
    pub(crate) fn ends(&self) -> usize {
        self.seen.lock().ends.len()
    }

    /// Waits until the proxy has ended a connection: how and when.
    pub(crate) async fn first_end(&self) -> (End, Instant) {
        let look = || self.seen.lock().ends.first().copied();
        eventually("the backend's connection ends", look).await
    }

    /// Waits until it has got `count` requests.
    pub(crate) async fn has_got(&self, count: usize) {
        let look = || (self.seen.lock().requests.len() >= count).then_some(());
        eventually("the request reaches the backend", look).await;
    }

    /// Waits until a script says this.
    pub(crate) async fn says(&self, news: &str) {
        let look = || self.seen.lock().news.iter().any(|said| said == news).then_some(());
        eventually(news, look).await;
    }
}

impl Conn {
    /// The next request; `None` if the connection ends first.
    pub(crate) async fn request(&mut self) -> Option<Request> {
        let head = self.request_head().await?;
        let body = self.wire.body(head.request_framing()).await;
        Some(Request { head, body })
    }

    /// The next request's head.
    pub(crate) async fn request_head(&mut self) -> Option<Head> {
        let head = self.wire.head_whenever().await?;
        self.seen.lock().requests.push(head.clone());
        Some(head)
    }

    /// Waits for the end of the connection and notes it.
    pub(crate) async fn note_end(&mut self) {
        let end = self.wire.end_whenever().await;
        self.seen.lock().ends.push((end, Instant::now()));
    }

    /// Tells the test something.
    pub(crate) fn say(&self, news: &str) {
        self.seen.lock().news.push(news.to_owned());
    }

    /// Ends the connection by a reset.
    pub(crate) fn reset(self) {
        self.wire.reset();
    }
}

impl Deref for Conn {
    type Target = Wire;
    fn deref(&self) -> &Wire {
        &self.wire
    }
}

impl DerefMut for Conn {
    fn deref_mut(&mut self) -> &mut Wire {
        &mut self.wire
    }
}

/// An answer 200 with this body.
pub(crate) fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
