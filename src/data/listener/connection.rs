//! 1 · A client's connection: its socket, and the request it carries.
//!
//! The socket belongs to the connection, not to the engine that serves a request: an
//! engine that is dropped in the middle (a deadline, a panic) leaves the socket here,
//! and an answer can still be written. Reads go through a gate, so that an engine gets
//! the bytes of its request and none of the next one's; writes are collected and leave
//! together when the request waits for something.
//!
//! All of it is used by one task on one thread; the locks are never contended.

use super::client_io::{ClientIo, Gate};
use super::transport::Transport;
use super::{Client, Listener, Place};
use crate::data::exchange::{Action, Event, Exchange};
use crate::data::finish::Traffic;
use crate::types::clock;
use crate::wire::request::Body;
use futures::task::AtomicWaker;
use parking_lot::Mutex;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tokio::io::{AsyncWrite, ReadBuf};

/// A client's connection.
pub struct Connection {
    /// Who is at the other end.
    pub client: Arc<Client>,
    /// Woken when the process changes how it treats connections.
    pub waker: AtomicWaker,
    place: Place,
    fd: RawFd,
    io: Mutex<ClientIo>,
    exchange: Mutex<Option<Box<Exchange>>>,
    now: Mutex<Instant>,
    settled: Mutex<Option<Action>>,
}

impl Connection {
    /// The connection on `stream`, at its place among the listener's.
    #[must_use]
    pub fn new(stream: Transport, client: Client, place: Place) -> Self {
        let fd = stream.socket().as_raw_fd();
        Self {
            client: Arc::new(client),
            waker: AtomicWaker::new(),
            place,
            fd,
            io: Mutex::new(ClientIo::new(stream)),
            exchange: Mutex::new(None),
            now: Mutex::new(clock::now()),
            settled: Mutex::new(None),
        }
    }

    /// Where it came in.
    #[must_use]
    pub fn listener(&self) -> &Arc<Listener> {
        self.place.listener()
    }

    /// The socket's number, for logs and for the engine's bookkeeping.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.fd
    }

    // -- the request --

    /// Begins a request.
    pub fn begin(&self, exchange: Exchange) {
        self.io.lock().traffic = Traffic::default();
        *self.settled.lock() = None;
        *self.exchange.lock() = Some(Box::new(exchange));
    }

    /// Ends the request and gives it back, with what went over the wire for it.
    pub fn end(&self) -> Option<(Box<Exchange>, Traffic)> {
        let exchange = self.exchange.lock().take()?;
        Some((exchange, self.io.lock().traffic))
    }

    /// Reports `event` to the request's machine, at the time of the present wake-up.
    /// Without a request there is nothing to do but to cut.
    pub fn step(&self, event: Event<'_>) -> Action {
        let now = *self.now.lock();
        self.exchange.lock().as_mut().map_or(Action::Cut, |exchange| exchange.step(event, now))
    }

    /// Tells the machine for whom the engine waits now, and asks until when. `None`
    /// without a request.
    pub fn park(&self) -> Option<Instant> {
        let mut exchange = self.exchange.lock();
        let exchange = exchange.as_mut()?;
        let waiting = self.io.lock().waiting(exchange.is_request_done());
        if exchange.waiting() != waiting {
            exchange.step(Event::Parked(waiting), *self.now.lock());
        }
        Some(exchange.deadline())
    }

    /// When the present wake-up began: the clock is read once for all that it brings.
    #[must_use]
    pub fn now(&self) -> Instant {
        *self.now.lock()
    }

    /// Keeps what the machine decided while the engine could only stop: the first counts.
    pub fn settle(&self, action: Action) {
        self.settled.lock().get_or_insert(action);
    }

    /// Whether something was settled.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.settled.lock().is_some()
    }

    /// Takes what was settled.
    pub fn take_settled(&self) -> Option<Action> {
        self.settled.lock().take()
    }

    /// Looks at the request, if there is one.
    pub fn with_exchange<T>(&self, look: impl FnOnce(&Exchange) -> T) -> Option<T> {
        self.exchange.lock().as_deref().map(look)
    }

    // -- the socket --

    /// Reads what has come into the look-ahead. `Ready(0)` at the end of the stream.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn poll_ahead(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.io.lock().poll_ahead(cx)
    }

    /// Looks at what has been read ahead.
    pub fn with_ahead<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T {
        look(&self.io.lock().ahead)
    }

    /// Lets an engine read a head of `length` bytes and no more, and drops what it says
    /// until it has taken it. `body` follows the head.
    pub fn open_head(&self, length: usize, body: Body) {
        let mut io = self.io.lock();
        io.gate = Gate::Limited(length as u64);
        io.body = body;
        io.is_body_malformed = false;
        io.is_muted = true;
    }

    /// The engine has taken the head: it may read the body, and speak. What follows.
    pub fn open_body(&self) -> Body {
        let mut io = self.io.lock();
        io.is_muted = false;
        io.gate = io.body.into();
        io.body
    }

    /// Lets an engine read all that comes: the connection is a tunnel.
    pub fn open_tunnel(&self) {
        self.io.lock().gate = Gate::Open;
    }

    /// Whether the framing of the request's body was broken.
    #[must_use]
    pub fn is_body_malformed(&self) -> bool {
        self.io.lock().is_body_malformed
    }

    /// Reads through the gate. At a closed gate this waits for the client to leave.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.io.lock().poll_read(cx, buf)
    }

    /// Takes bytes for the client; they leave at the latest with the next
    /// [`poll_flush`](Self::poll_flush).
    ///
    /// # Errors
    /// When the socket fails.
    pub fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.io.lock().poll_write(cx, bytes)
    }

    /// Writes out what was collected.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.lock().poll_flush(cx)
    }

    /// Replaces what was collected and not yet written: an answer of ours takes the
    /// place of what an engine had begun.
    pub fn replace_out(&self, bytes: Vec<u8>) {
        self.io.lock().out = bytes;
    }

    /// Before an engine is polled: a wake-up begins, and nobody is known to wait.
    pub fn before_poll(&self) {
        *self.now.lock() = clock::now();
        let mut io = self.io.lock();
        io.is_read_parked = false;
        io.is_write_parked = false;
    }

    /// Whether nothing was written for the present request.
    #[must_use]
    pub fn is_unanswered(&self) -> bool {
        let io = self.io.lock();
        io.traffic.bytes_out == 0 && io.out.is_empty()
    }

    /// Closes our half: the client sees the end after all that was written.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io.lock().stream).poll_shutdown(cx)
    }

    /// Reads and forgets. `Ready` at the end of the stream.
    pub fn poll_drain(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut io = self.io.lock();
        io.ahead.clear();
        loop {
            match ready!(io.poll_ahead(cx)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => io.ahead.clear(),
            }
        }
    }

    /// Makes closing a reset, so that an answer which ends with the connection is not
    /// taken for whole.
    pub fn reset_on_close(&self) {
        let io = self.io.lock();
        if let Err(error) =
            socket2::SockRef::from(io.stream.socket()).set_linger(Some(std::time::Duration::ZERO))
        {
            tracing::debug!(%error, "connection cannot be reset");
        }
    }
}
