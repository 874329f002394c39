//! 1 · A client's socket: reads through a gate.
//!
//! The gate lets an engine read the bytes of its request and none of the next one's. What
//! is written is in `client_out`.
//! Says whether it is the client that is waited for; decides nothing.

use super::client_out::Back;
use super::kept_bytes::KeptBytes;
use super::spare;
use super::transport::Transport;
use crate::data::exchange::Waiting;
use crate::data::finish::Traffic;
use crate::wire::chunked::{ChunkScan, InvalidChunks};
use crate::wire::request::Body;
use crate::wire::unsafe_target::encoded_in_head;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// Bytes read ahead of the request that is being served, at most.
const AHEAD_BYTES_MAX: usize = 64 * 1024;

/// How much of what the client sends belongs to the present request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// This many bytes more.
    Limited(u64),
    /// A chunked body, to its end.
    Chunked(ChunkScan),
    /// All: a tunnel.
    Open,
}

impl From<Body> for Gate {
    fn from(body: Body) -> Self {
        match body {
            Body::None => Self::Limited(0),
            Body::Length(length) => Self::Limited(length),
            Body::Chunked => Self::Chunked(ChunkScan::default()),
        }
    }
}

/// A client's socket and what is on its way through it.
pub(in crate::data) struct ClientIo {
    pub(super) stream: Transport,
    /// Read from the socket.
    pub(super) ahead: Vec<u8>,
    /// How much of that an engine has had: it is kept to be read once more.
    pub(super) taken: usize,
    /// How much of the request may be kept, head and all. `None`: something was not.
    keeps: Option<usize>,
    /// The part of it that is of the body.
    kept: KeptBytes,
    /// What of the body was read ahead to be looked at.
    pub(super) held: KeptBytes,
    /// How long the request's head is.
    pub(super) head_bytes: usize,
    /// How much of what is unread the gate has let through.
    pub(super) granted: usize,
    pub(in crate::data) out: Vec<u8>,
    /// What may not leave yet.
    pub(super) back: Option<Back>,
    pub(super) gate: Gate,
    /// What the gate becomes when the head was taken.
    pub(super) body: Body,
    pub(super) body_fault: Option<InvalidChunks>,
    pub(super) is_at_eof: bool,
    /// Writes go nowhere: the engine may not speak yet.
    pub(super) is_muted: bool,
    pub(super) is_read_parked: bool,
    pub(super) is_write_parked: bool,
    pub(super) traffic: Traffic,
}

impl ClientIo {
    /// The socket of a connection that has sent nothing yet.
    pub(super) fn new(stream: Transport) -> Self {
        Self {
            stream,
            ahead: Vec::new(),
            taken: 0,
            keeps: None,
            kept: KeptBytes::default(),
            held: KeptBytes::default(),
            head_bytes: 0,
            out: Vec::new(),
            back: None,
            gate: Gate::Limited(0),
            body: Body::None,
            granted: 0,
            body_fault: None,
            is_at_eof: false,
            is_muted: false,
            is_read_parked: false,
            is_write_parked: false,
            traffic: Traffic::default(),
        }
    }

    /// For whom an engine waits that was just polled. Once the request is done, a read
    /// only watches for the client to leave.
    pub(super) fn waiting(&self, is_request_done: bool) -> Waiting {
        if self.is_write_parked || (self.is_read_parked && !is_request_done) {
            Waiting::Client
        } else {
            Waiting::Backend
        }
    }

    /// What was read ahead and nobody had yet.
    pub(super) fn unread(&self) -> &[u8] {
        self.ahead.get(self.taken..).unwrap_or_default()
    }

    /// Encodes what is unsafe in the target of an unread head of `length` bytes.
    pub(super) fn encode_target(&mut self, length: usize) -> bool {
        let head = self.unread().get(..length).unwrap_or_default();
        let Some((at, target)) = encoded_in_head(head) else { return false };
        self.ahead.splice(self.taken + at.start..self.taken + at.end, target);
        true
    }

    /// An engine may read a head of `length` bytes and no more; what it says is dropped until
    /// it has taken it. `body` follows the head.
    pub(super) fn open_head(&mut self, length: usize, body: Body) {
        self.forget();
        self.held.clear();
        self.head_bytes = length;
        self.keeps = Some(usize::MAX);
        self.body = body;
        self.close_to_head();
    }

    fn close_to_head(&mut self) {
        self.gate = Gate::Limited(self.head_bytes as u64);
        self.granted = 0;
        self.body_fault = None;
        self.is_muted = true;
    }

    /// Up to `body_max` bytes of the body are kept.
    pub(super) fn keep(&mut self, body_max: usize) {
        self.keeps = self.keeps.map(|_| self.head_bytes.saturating_add(body_max));
        self.check_kept();
    }

    /// Whether all that was taken is kept.
    pub(in crate::data) fn is_kept(&self) -> bool {
        self.keeps.is_some()
    }

    /// What is kept is there to be read once more.
    pub(super) fn rewind(&mut self) {
        self.traffic.bytes_in = self.traffic.bytes_in.saturating_sub(self.taken as u64);
        self.taken = 0;
        self.kept.clear();
        self.out.clear();
        self.back = None;
        self.close_to_head();
    }

    /// Forgets what was taken: it is not needed any more.
    pub(in crate::data) fn forget(&mut self) {
        self.keeps = None;
        self.kept.clear();
        self.ahead.drain(..self.taken.min(self.ahead.len()));
        self.taken = 0;
        if self.ahead.is_empty() {
            self.held.clear();
            // An idle connection holds no buffer.
            spare::give(std::mem::take(&mut self.ahead));
        }
    }

    /// Forgets all that was read.
    pub(super) fn discard(&mut self) {
        self.taken = self.ahead.len();
        self.forget();
    }

    /// Takes `count` bytes of what was read, and keeps no more of it than may be.
    pub(super) fn take(&mut self, count: usize) {
        let in_body = (self.taken + count).saturating_sub(self.taken.max(self.head_bytes));
        self.taken += count;
        if self.keeps.is_some() && in_body > 0 && !self.kept.grow(in_body) {
            self.keeps = Some(0);
        }
        self.check_kept();
    }

    fn check_kept(&mut self) {
        let is_too_much = self.keeps.is_some_and(|most| self.taken > most);
        if is_too_much || (self.keeps.is_none() && self.taken == self.ahead.len()) {
            self.forget();
        }
    }

    pub(super) fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        thread_local! {
            /// Where reads land while nobody knows how much will come.
            static SCRATCH: std::cell::RefCell<Vec<u8>> =
                std::cell::RefCell::new(vec![0; 16 * 1024]);
        }
        if self.is_at_eof {
            return Poll::Ready(Ok(0));
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buf = ReadBuf::new(scratch);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf))?;
            let read = buf.filled();
            self.is_at_eof = read.is_empty();
            if self.ahead.capacity() == 0 {
                self.ahead = spare::take();
            }
            self.ahead.extend_from_slice(read);
            Poll::Ready(Ok(read.len()))
        })
    }

    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = match self.gate {
            Gate::Limited(0) => return self.poll_gone(cx),
            Gate::Limited(left) => usize::try_from(left).unwrap_or(usize::MAX).min(buf.remaining()),
            Gate::Chunked(_) | Gate::Open => buf.remaining(),
        };
        if self.unread().is_empty() && matches!(self.gate, Gate::Chunked(_)) {
            let read = self.poll_ahead(cx)?;
            self.is_read_parked |= read.is_pending();
            ready!(read);
        }
        let read = if self.unread().is_empty() && !self.is_at_eof {
            ready!(self.poll_fresh(cx, room, buf))?
        } else {
            self.take_ahead(room, buf)?
        };
        if let Gate::Limited(left) = &mut self.gate {
            *left = left.saturating_sub(read as u64);
        }
        self.traffic.bytes_in += read as u64;
        Poll::Ready(Ok(()))
    }

    /// Reads up to `room` bytes from the socket.
    fn poll_fresh(
        &mut self,
        cx: &mut Context<'_>,
        room: usize,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        let before = buf.filled().len();
        let stream = Pin::new(&mut self.stream);
        let polled = if room == buf.remaining() {
            stream.poll_read(cx, buf)
        } else {
            let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
            let polled = stream.poll_read(cx, &mut part);
            let read = part.filled().len();
            buf.advance(read);
            polled
        };
        self.is_read_parked |= polled.is_pending();
        ready!(polled)?;
        let fresh = buf.filled().get(before..).unwrap_or_default();
        let read = fresh.len();
        if self.keeps.is_some() {
            self.ahead.extend_from_slice(fresh);
            self.take(read);
        }
        Poll::Ready(Ok(read))
    }

    /// Hands on what was read ahead, as far as it belongs to the request.
    fn take_ahead(&mut self, room: usize, buf: &mut ReadBuf<'_>) -> io::Result<usize> {
        let unread = self.ahead.get(self.taken..).unwrap_or_default();
        let mut bytes = unread.get(..room.min(unread.len())).unwrap_or_default();
        if let Gate::Chunked(scan) = &mut self.gate {
            let scanned = scan.scan(bytes);
            self.body_fault = scanned.err();
            let length = scanned.map_err(|_fault| io::ErrorKind::InvalidData)?;
            bytes = bytes.get(..length).unwrap_or_default();
            if scan.is_done() {
                self.gate = Gate::Limited(0);
            }
        }
        buf.put_slice(bytes);
        let read = bytes.len();
        self.take(read);
        Ok(read)
    }

    /// What comes now is for later, and only the client's leaving matters.
    pub(in crate::data) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.unread().len() < AHEAD_BYTES_MAX {
            let read = ready!(self.poll_ahead(cx))?;
            if read == 0 && self.unread().is_empty() {
                return Poll::Ready(Ok(()));
            }
            if read == 0 {
                break;
            }
        }
        Poll::Pending
    }
}
