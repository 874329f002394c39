//! 1 · The body of a request, read ahead: for whoever has to see it before a backend does.
//!
//! What was read stays where it is, for the engine that sends the request. Who looks gets a copy
//! without the framing of chunks.

use super::client_io::{ClientIo, Gate};
use crate::data::upstream::Fault;
use crate::wire::chunked::ChunkScan;
use crate::wire::request::Body;
use std::task::{Context, Poll, ready};

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What is wanted of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// No more of it than that.
    pub bytes_max: usize,
    /// The client waits to be told to go on (RFC 9110 §10.1.1).
    pub says_continue: bool,
}

/// How far the reading is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ahead {
    /// Some more is there.
    More,
    /// All is there.
    Whole,
    /// It is longer than wanted: the first part is there.
    TooLong,
    /// As much is held of all requests together as may be.
    NoRoom,
    /// It ended badly.
    Fault(Fault),
}

/// A body that is being read ahead.
#[derive(Debug, Default)]
pub struct BodyAhead {
    /// What was read.
    pub body: Vec<u8>,
    /// How much of what the gate has let through was looked at.
    looked: usize,
    chunks: ChunkScan,
    /// The client was told to go on.
    pub has_continued: bool,
}

impl BodyAhead {
    /// Takes what is new of `granted`.
    fn take(&mut self, granted: &[u8], is_chunked: bool) {
        let part = granted.get(self.looked..).unwrap_or_default();
        self.looked = granted.len();
        if !is_chunked {
            return self.body.extend_from_slice(part);
        }
        let Self { body, chunks, .. } = self;
        let read = chunks.each_data(part, |data| body.extend_from_slice(data));
        debug_assert!(read.is_ok(), "it was checked when it was granted");
    }

    /// Whether there is more than `wanted`: that is cut off, but for a byte that tells of it.
    pub fn is_too_long(&mut self, wanted: Wanted) -> bool {
        let is_too_long = self.body.len() > wanted.bytes_max;
        self.body.truncate(wanted.bytes_max.saturating_add(1));
        is_too_long
    }
}

impl ClientIo {
    /// Reads some more of the body whose head was taken.
    pub(super) fn poll_body_ahead(
        &mut self,
        cx: &mut Context<'_>,
        wanted: Wanted,
        ahead: &mut BodyAhead,
    ) -> Poll<Ahead> {
        if let Err(fault) = self.grant() {
            return Poll::Ready(Ahead::Fault(Fault::ClientChunks(fault)));
        }
        ahead.take(self.granted(), self.body == Body::Chunked);
        let is_whole = self.gate == Gate::Limited(self.granted as u64);
        let end = match (ahead.is_too_long(wanted), is_whole) {
            (true, _) => Ahead::TooLong,
            (false, true) => Ahead::Whole,
            (false, false) => return self.poll_some_ahead(cx, wanted, ahead),
        };
        // The next engine begins with nothing to be written.
        match ready!(self.poll_flush(cx)) {
            Ok(()) => Poll::Ready(end),
            Err(_) => Poll::Ready(Ahead::Fault(Fault::ClientGone)),
        }
    }

    fn poll_some_ahead(
        &mut self,
        cx: &mut Context<'_>,
        wanted: Wanted,
        ahead: &mut BodyAhead,
    ) -> Poll<Ahead> {
        let Poll::Ready(read) = self.poll_body(cx) else {
            if wanted.says_continue && !std::mem::replace(&mut ahead.has_continued, true) {
                self.collecting().extend_from_slice(CONTINUE);
            }
            return Poll::Pending;
        };
        Poll::Ready(match read {
            Ok(count) if count > 0 && self.held.grow(count) => Ahead::More,
            Ok(count) if count > 0 => Ahead::NoRoom,
            _ => Ahead::Fault(Fault::ClientGone),
        })
    }
}
