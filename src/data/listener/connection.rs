//! 1 · A client's connection: its socket, and the request it carries.
//!
//! The socket belongs to the connection, not to the engine that serves a request: an
//! engine that is dropped in the middle (a deadline, a panic) leaves the socket here,
//! and an answer can still be written. Reads go through a gate, so that an engine gets
//! the bytes of its request and none of the next one's; writes are collected and leave
//! together when the request waits for something.
//!
//! All of it is used by one task on one thread; the locks are never contended.

use super::carrier::{Carrier, Cell};
use super::client_io::ClientIo;
use super::registry::Woken;
use super::transport::Transport;
use super::{Client, Place, Slot};
use crate::data::exchange::{Exchange, Waiting};
use crate::data::finish::Traffic;
use crate::data::upstream::Fault;
use crate::wire::request::Body;
use futures::task::AtomicWaker;
use parking_lot::{Mutex, MutexGuard};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
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
    /// The request it carries now, if any.
    pub cell: Cell,
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
            cell: Cell::default(),
        }
    }

    /// The socket's number, for logs and for the engine's bookkeeping.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.fd
    }

    /// The number of bytes for the next request starts anew.
    pub fn begin(&self, exchange: Exchange) {
        self.io.lock().traffic = Traffic::default();
        self.cell.begin(exchange);
    }

    // -- the socket --

    /// The socket, for as long as one poll. Never held over a wait.
    pub(in crate::data) fn io(&self) -> MutexGuard<'_, ClientIo> {
        self.io.lock()
    }

    /// Reads what has come into the look-ahead. `Ready(0)` at the end of the stream.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn poll_ahead(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.io.lock().poll_ahead(cx)
    }

    /// Looks at what has been read ahead.
    pub fn with_ahead<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T {
        look(self.io.lock().unread())
    }

    /// Lets an engine read a head of `length` bytes and no more, and drops what it says
    /// until it has taken it. `body` follows the head.
    pub fn open_head(&self, length: usize, body: Body) {
        self.io.lock().open_head(length, body);
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

    /// Writes `parts` to the socket at once.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn poll_write_through(
        &self,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io.lock().stream).poll_write_vectored(cx, parts)
    }

    /// Whether bytes are encrypted on the wire.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.io.lock().stream.is_tls()
    }

    /// Whether the client agreed by ALPN to speak HTTP/2.
    #[must_use]
    pub fn is_http2_agreed(&self) -> bool {
        self.io.lock().stream.is_http2_agreed()
    }

    /// Replaces what was collected and not yet written: an answer of ours takes the
    /// place of what an engine had begun.
    pub fn replace_out(&self, bytes: Vec<u8>) {
        self.io.lock().out = bytes;
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
        loop {
            io.discard();
            match ready!(io.poll_ahead(cx)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
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

impl Woken for Connection {
    fn waker(&self) -> &AtomicWaker {
        &self.waker
    }
}

impl Carrier for Connection {
    fn cell(&self) -> &Cell {
        &self.cell
    }

    fn client(&self) -> &Arc<Client> {
        &self.client
    }

    fn slot(&self) -> &Slot {
        self.place.slot()
    }

    fn before_poll(&self) {
        let mut io = self.io.lock();
        io.is_read_parked = false;
        io.is_write_parked = false;
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.lock().poll_flush(cx)
    }

    fn waiting(&self, is_request_done: bool) -> Waiting {
        self.io.lock().waiting(is_request_done)
    }

    fn open_body(&self) -> bool {
        let mut io = self.io.lock();
        io.is_muted = false;
        io.gate = io.body.into();
        io.body != Body::None
    }

    fn keep(&self, body_max: usize) {
        self.io.lock().keep(body_max);
    }

    fn is_kept(&self) -> bool {
        self.io.lock().is_kept()
    }

    fn forget(&self) {
        self.io.lock().forget();
    }

    fn rewind(&self) {
        self.io.lock().rewind();
    }

    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.io.lock().poll_gone(cx).map(drop)
    }

    fn open_tunnel(&self) {
        self.io.lock().open_tunnel();
    }

    fn body_fault(&self) -> Option<Fault> {
        self.io.lock().body_fault.map(Fault::ClientChunks)
    }

    fn traffic(&self) -> Traffic {
        self.io.lock().traffic
    }
}
