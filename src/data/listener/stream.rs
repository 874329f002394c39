//! 1 · A stream of an HTTP/2 connection: one request, with its client's side.
//!
//! Reading and writing are polls that note whether it is the client that is waited for.
//! What the `h2` crate sees to is not repeated here: frames, flow control, the states of
//! a stream, content-length against DATA, fields that HTTP/2 forbids (RFC 9113 §8.2.2).

mod ahead;
mod answer;
mod held_back;

use super::body_ahead::{Ahead, BodyAhead, Wanted};
use super::carrier::{Carrier, Cell};
use super::connection::Connection;
use super::kept_bytes::KeptBytes;
use super::registry::{Bell, Woken};
use super::{Client, LocalListener, Slot};
use crate::data::exchange::Waiting;
use crate::data::finish::Traffic;
use crate::data::upstream::Fault;
use crate::types::own::Own;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use held_back::Back;
use http::HeaderMap;
use pingora_http::RequestHeader;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// One stream.
pub struct Stream {
    cell: Cell,
    bell: Bell,
    connection: Arc<Connection>,
    /// Whether it asks for a tunnel: what follows its head is not a body.
    asks_for_tunnel: bool,
    io: Own<StreamIo>,
}

struct StreamIo {
    /// The head, while no engine has it.
    head: Option<RequestHeader>,
    receive: RecvStream,
    /// Parts of the body that an engine has had, to be read once more.
    kept: Vec<Bytes>,
    kept_bytes: KeptBytes,
    /// How many of them the present engine has had.
    replayed: usize,
    /// How much of the body may be kept. `None`: something was not.
    keeps: Option<usize>,
    respond: SendResponse<Bytes>,
    send: Option<SendStream<Bytes>>,
    /// What may not leave yet.
    back: Option<Box<Back>>,
    is_body_done: bool,
    is_body_malformed: bool,
    is_tunnel: bool,
    /// We have said all that we will.
    is_ended: bool,
    is_read_parked: bool,
    is_write_parked: bool,
    traffic: Traffic,
}

impl Stream {
    /// A stream of `connection` whose head, of `head_bytes`, is read.
    #[must_use]
    pub fn new(
        connection: Arc<Connection>,
        receive: RecvStream,
        respond: SendResponse<Bytes>,
        asks_for_tunnel: bool,
        head_bytes: u64,
    ) -> Self {
        let is_body_done = receive.is_end_stream();
        Self {
            cell: Cell::default(),
            bell: Bell::default(),
            connection,
            asks_for_tunnel,
            io: Own::new(StreamIo {
                head: None,
                receive,
                kept: Vec::new(),
                kept_bytes: KeptBytes::default(),
                replayed: 0,
                keeps: Some(usize::MAX),
                respond,
                send: None,
                back: None,
                is_body_done,
                is_body_malformed: false,
                is_tunnel: false,
                is_ended: false,
                is_read_parked: false,
                is_write_parked: false,
                traffic: Traffic { bytes_in: head_bytes, bytes_out: 0 },
            }),
        }
    }

    /// The next part of the body, never an empty one: to HTTP/1 an empty part is the end
    /// of a body, to HTTP/2 it is nothing. `None` at the end.
    ///
    /// # Errors
    /// When the client reset the stream, broke its framing, or is gone.
    pub fn poll_data(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, h2::Error>>> {
        let io = &mut *self.io.get();
        if let Some(data) = io.kept.get(io.replayed).cloned() {
            io.replayed += 1;
            io.is_body_done = io.replayed == io.kept.len() && io.receive.is_end_stream();
            return Poll::Ready(Some(Ok(data)));
        }
        let read = ready!(io.poll_part(cx));
        if let Some(Ok(data)) = &read {
            io.keep_part(data);
        }
        Poll::Ready(read)
    }

    /// Leaves the head for an engine to take.
    pub fn put_head(&self, head: RequestHeader) {
        self.io.get().head = Some(head);
    }

    /// Takes the head, if no engine has it.
    #[must_use]
    pub fn take_head(&self) -> Option<RequestHeader> {
        self.io.get().head.take()
    }

    /// Whether the whole request was read. Of a request for a tunnel the head is all, until
    /// the tunnel is there.
    #[must_use]
    pub fn is_request_read(&self) -> bool {
        let io = self.io.get();
        if self.asks_for_tunnel && !io.is_tunnel { true } else { io.is_body_done }
    }

    /// Whether it asks for a tunnel (RFC 8441).
    #[must_use]
    pub fn asks_for_tunnel(&self) -> bool {
        self.asks_for_tunnel
    }

    /// The head that agrees to a tunnel was sent: what comes now is the tunnel's.
    pub fn begin_tunnel(&self) {
        self.io.get().is_tunnel = true;
    }

    /// Whether bytes go both ways now.
    #[must_use]
    pub fn is_tunnel(&self) -> bool {
        self.io.get().is_tunnel
    }

    /// `Ready` when the client does not want the answer any more.
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let io = &mut *self.io.get();
        match &mut io.send {
            Some(send) => send.poll_reset(cx).map(drop),
            None => io.respond.poll_reset(cx).map(drop),
        }
    }
}

impl StreamIo {
    fn keep_part(&mut self, data: &Bytes) {
        let Some(most) = self.keeps else { return };
        match most.checked_sub(data.len()) {
            Some(left) if self.kept_bytes.grow(data.len()) => {
                self.keeps = Some(left);
                self.kept.push(data.clone());
                self.replayed += 1;
            }
            _ => self.keep_nothing(),
        }
    }

    fn keep_nothing(&mut self) {
        self.keeps = None;
        // What the present engine has not had yet is still to be read.
        self.kept.drain(..self.replayed.min(self.kept.len()));
        if self.kept.is_empty() {
            self.kept_bytes.clear();
        }
        self.replayed = 0;
    }
}

/// The size of a list of fields, not compressed.
pub(crate) fn list_bytes(fields: &HeaderMap) -> u64 {
    fields.iter().map(|(name, value)| (name.as_str().len() + value.len()) as u64).sum()
}

impl Woken for Stream {
    fn bell(&self) -> &Bell {
        &self.bell
    }

    fn bar(&self, is_blocked: &dyn Fn(IpAddr) -> bool) -> bool {
        self.connection.bar(is_blocked);
        self.cell.bar(is_blocked) || self.connection.is_barred()
    }
}

impl Carrier for Stream {
    fn cell(&self) -> &Cell {
        &self.cell
    }

    fn client(&self) -> &Arc<Client> {
        &self.connection.client
    }

    fn is_barred(&self) -> bool {
        self.connection.is_barred()
    }

    fn slot(&self) -> &Slot {
        self.connection.slot()
    }

    fn rules(&self) -> LocalListener {
        LocalListener::clone(&self.connection.present_rules())
    }

    fn before_poll(&self) {
        let mut io = self.io.get();
        io.is_read_parked = false;
        io.is_write_parked = false;
    }

    /// Frames are written by whoever serves the connection.
    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let io = &mut *self.io.get();
        match io.back.is_some() && self.cell.lets_go() {
            true => io.poll_let_go(cx).map_err(io::Error::other),
            false => Poll::Ready(Ok(())),
        }
    }

    fn hold_back(&self, bytes_max: usize) {
        self.io.get().back = Some(Box::new(Back::new(bytes_max)));
    }

    fn waiting(&self, is_request_done: bool) -> Waiting {
        let io = self.io.get();
        if io.is_write_parked || (io.is_read_parked && !is_request_done) {
            Waiting::Client
        } else {
            Waiting::Backend
        }
    }

    fn open_body(&self) -> bool {
        !self.is_request_read()
    }

    fn keep(&self, body_max: usize) {
        let io = &mut *self.io.get();
        let kept: usize = io.kept.iter().map(Bytes::len).sum();
        match io.keeps.and(body_max.checked_sub(kept)) {
            Some(left) => io.keeps = Some(left),
            None => io.keep_nothing(),
        }
    }

    fn is_kept(&self) -> bool {
        self.io.get().keeps.is_some()
    }

    fn forget(&self) {
        self.io.get().keep_nothing();
    }

    fn rewind(&self) {
        self.drop_held_back();
        let io = &mut *self.io.get();
        io.replayed = 0;
        io.is_body_done = io.kept.is_empty() && io.receive.is_end_stream();
    }

    fn poll_body_ahead(
        &self,
        cx: &mut Context<'_>,
        wanted: Wanted,
        ahead: &mut BodyAhead,
    ) -> Poll<Ahead> {
        self.poll_ahead(cx, wanted, ahead)
    }

    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        Self::poll_gone(self, cx)
    }

    /// Nothing: the tunnel begins when its head was sent.
    fn open_tunnel(&self) {}

    fn body_fault(&self) -> Option<Fault> {
        self.io.get().is_body_malformed.then_some(Fault::ClientMalformed)
    }

    fn traffic(&self) -> Traffic {
        self.io.get().traffic
    }
}
