//! 1 · A client's connection: its socket, and the request it carries.
//!
//! The socket belongs to the connection, not to the engine that serves a request: an
//! engine that is dropped in the middle (a deadline, a panic) leaves the socket here,
//! and an answer can still be written. Reads go through a gate, so that an engine gets
//! the bytes of its request and none of the next one's; writes are collected and leave
//! together when the request waits for something.
//!
//! All of it is used by one task on one thread.

use super::body_ahead::{Ahead, BodyAhead, Wanted};
use super::carrier::{Carrier, Cell};
use super::client::is_trusted;
use super::client_io::ClientIo;
use super::registry::{Bell, Woken};
use super::transport::Transport;
use super::{Client, LocalListener, Place, Slot};
use crate::data::exchange::{Running, Waiting};
use crate::data::finish::Traffic;
use crate::data::upstream::Fault;
use crate::types::own::Own;
use crate::wire::request::Body;
use std::cell::RefMut;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncWrite, ReadBuf};

/// The listener's rules, as the connection saw them last.
struct Known {
    rules: LocalListener,
    version: usize,
}

impl Known {
    fn of(slot: &Slot) -> Self {
        // The version first: rules that are newer than it are only asked for once more.
        let version = slot.version();
        Self { rules: slot.rules(), version }
    }
}

/// A client's connection.
pub struct Connection {
    /// Who is at the other end.
    pub client: Arc<Client>,
    /// Woken when the process changes how it treats connections.
    pub bell: Bell,
    /// Its peer is blocked.
    is_barred: AtomicBool,
    place: Place,
    rules: Own<Known>,
    fd: RawFd,
    io: Own<ClientIo>,
    /// The request it carries now, if any.
    pub cell: Cell,
}

impl Connection {
    /// The connection on `stream`, at its place among the listener's.
    #[must_use]
    pub fn new(stream: Transport, client: Client, place: Place) -> Self {
        let fd = stream.socket().as_raw_fd();
        Self {
            rules: Own::new(Known::of(place.slot())),
            client: Arc::new(client),
            bell: Bell::default(),
            is_barred: AtomicBool::default(),
            place,
            fd,
            io: Own::new(ClientIo::new(stream)),
            cell: Cell::default(),
        }
    }

    /// The socket's number, for logs and for the engine's bookkeeping.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.fd
    }

    /// The listener's rules that hold now, to look at.
    pub fn present_rules(&self) -> RefMut<'_, LocalListener> {
        let mut known = self.rules.get();
        if known.version != self.place.slot().version() {
            *known = Known::of(self.place.slot());
        }
        RefMut::map(known, |known| &mut known.rules)
    }

    /// The number of bytes for the next request starts anew.
    pub fn begin(&self, running: Running) {
        let mut io = self.io.get();
        (io.traffic, io.back) = (Traffic::default(), None);
        self.cell.begin(running);
    }

    // -- the socket --

    /// The socket, for as long as one poll. Never held over a wait.
    pub(in crate::data) fn io(&self) -> RefMut<'_, ClientIo> {
        self.io.get()
    }

    /// Reads what has come into the look-ahead. `Ready(0)` at the end of the stream.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn poll_ahead(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.io.get().poll_ahead(cx)
    }

    /// Looks at what has been read ahead.
    pub fn with_ahead<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T {
        look(self.io.get().unread())
    }

    /// Encodes what is unsafe in the target of the head of `length` bytes that has been read
    /// ahead. Whether there is another target now, and so another head.
    #[cold]
    pub fn encode_target(&self, length: usize) -> bool {
        self.present_rules().paths.encodes_unsafe && self.io.get().encode_target(length)
    }

    /// Lets an engine read a head of `length` bytes and no more, and drops what it says
    /// until it has taken it. `body` follows the head.
    pub fn open_head(&self, length: usize, body: Body) {
        self.io.get().open_head(length, body);
    }

    /// Reads through the gate. At a closed gate this waits for the client to leave.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.io.get().poll_read(cx, buf)
    }

    /// Takes `parts` for the client; they leave at the latest with the next
    /// [`poll_flush`](Self::poll_flush).
    ///
    /// # Errors
    /// When the socket fails.
    pub fn poll_write(
        &self,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.io.get().poll_write(cx, parts)
    }

    /// Whether bytes are encrypted on the wire.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.io.get().stream.is_tls()
    }

    /// Whether the client agreed by ALPN to speak HTTP/2.
    #[must_use]
    pub fn is_http2_agreed(&self) -> bool {
        self.io.get().stream.is_http2_agreed()
    }

    /// Replaces what was collected and not yet written: an answer of ours takes the
    /// place of what an engine had begun.
    pub fn replace_out(&self, bytes: Vec<u8>) {
        let mut io = self.io.get();
        (io.out, io.back) = (bytes, None);
    }

    /// Whether nothing was written for the present request.
    #[must_use]
    pub fn is_unanswered(&self) -> bool {
        let io = self.io.get();
        io.traffic.bytes_out == 0 && io.out.is_empty()
    }

    /// Closes our half: the client sees the end after all that was written.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io.get().stream).poll_shutdown(cx)
    }

    /// Reads and forgets. `Ready` at the end of the stream.
    pub fn poll_drain(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut io = self.io.get();
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
        let io = self.io.get();
        if let Err(error) =
            socket2::SockRef::from(io.stream.socket()).set_linger(Some(std::time::Duration::ZERO))
        {
            tracing::debug!(%error, "connection cannot be reset");
        }
    }
}

impl Woken for Connection {
    fn bell(&self) -> &Bell {
        &self.bell
    }

    fn bar(&self, is_blocked: &dyn Fn(IpAddr) -> bool) -> bool {
        let peer = self.client.address.ip();
        let is_trusted = || is_trusted(peer, &self.present_rules().trusted_proxies);
        let is_peer = is_blocked(peer) && !is_trusted();
        let was_barred = self.is_barred.swap(is_peer, Ordering::Relaxed);
        self.cell.bar(is_blocked) || (is_peer && !was_barred)
    }
}

impl Carrier for Connection {
    fn cell(&self) -> &Cell {
        &self.cell
    }

    fn client(&self) -> &Arc<Client> {
        &self.client
    }

    fn is_barred(&self) -> bool {
        self.is_barred.load(Ordering::Relaxed)
    }

    fn slot(&self) -> &Slot {
        self.place.slot()
    }

    fn rules(&self) -> LocalListener {
        LocalListener::clone(&self.present_rules())
    }

    fn before_poll(&self) {
        let mut io = self.io.get();
        io.is_read_parked = false;
        io.is_write_parked = false;
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut io = self.io.get();
        if io.back.is_some() && self.cell.lets_go() {
            io.let_go();
            // An engine may wait for room.
            cx.waker().wake_by_ref();
        }
        io.poll_flush(cx)
    }

    fn hold_back(&self, bytes_max: usize) {
        self.io.get().hold_back(bytes_max);
    }

    fn waiting(&self, is_request_done: bool) -> Waiting {
        self.io.get().waiting(is_request_done)
    }

    fn open_body(&self) -> bool {
        let mut io = self.io.get();
        io.is_muted = false;
        io.gate = io.body.into();
        io.body != Body::None
    }

    fn keep(&self, body_max: usize) {
        self.io.get().keep(body_max);
    }

    fn is_kept(&self) -> bool {
        self.io.get().is_kept()
    }

    fn forget(&self) {
        self.io.get().forget();
    }

    fn rewind(&self) {
        self.io.get().rewind();
    }

    fn poll_body_ahead(
        &self,
        cx: &mut Context<'_>,
        wanted: Wanted,
        ahead: &mut BodyAhead,
    ) -> Poll<Ahead> {
        self.io.get().poll_body_ahead(cx, wanted, ahead)
    }

    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.io.get().poll_gone(cx).map(drop)
    }

    fn open_tunnel(&self) {
        self.io.get().open_tunnel();
    }

    fn body_fault(&self) -> Option<Fault> {
        self.io.get().body_fault.map(Fault::ClientChunks)
    }

    fn traffic(&self) -> Traffic {
        self.io.get().traffic
    }
}
