//! 1 · The body of a request, as bytes that are passed on as they are.
//!
//! For an engine that reads heads where they lie: it takes the head, looks at what the gate has
//! let through, and says how much of that has gone on to the backend.

use super::client_io::{ClientIo, Gate};
use crate::wire::chunked::{ChunkScan, InvalidChunks};
use std::io;
use std::ops::Range;
use std::task::{Context, Poll};

/// What ends a body in chunks after the last one, without trailers.
const END: &[u8] = b"\r\n";

impl ClientIo {
    /// The head that was read, while it is kept.
    pub(in crate::data) fn head(&self) -> &[u8] {
        self.ahead.get(..self.head_bytes).unwrap_or_default()
    }

    /// Counts a head that is refused: so much of what is unread, at most.
    pub(in crate::data) fn count_refused(&mut self, bytes_max: usize) {
        self.traffic.bytes_in += self.unread().len().min(bytes_max) as u64;
    }

    /// Takes the head: what is unread from now on follows it.
    pub(in crate::data) fn take_head(&mut self) {
        self.traffic.bytes_in += self.head_bytes as u64;
        self.is_muted = false;
        self.gate = self.body.into();
        self.granted = 0;
        self.take(self.head_bytes);
    }

    /// Lets through what has come of the body.
    ///
    /// # Errors
    /// When its framing is broken.
    pub(in crate::data) fn grant(&mut self) -> Result<(), InvalidChunks> {
        let here = self.unread().len();
        match &mut self.gate {
            Gate::Open => self.granted = here,
            Gate::Limited(left) => {
                self.granted = usize::try_from(*left).map_or(here, |left| left.min(here));
            }
            Gate::Chunked(scan) => {
                let (begin, before) = (self.taken + self.granted, *scan);
                let new = self.ahead.get(begin..).unwrap_or_default();
                let mut length = scan.scan(new)?;
                if scan.is_past_data() {
                    length = self.stop_at_trailers(begin..begin + length, before);
                }
                self.granted += length;
            }
        }
        Ok(())
    }

    /// In these bytes chunks have ended, all but their trailers perhaps: how many of them go on.
    /// `before`: what had scanned all before them.
    fn stop_at_trailers(&mut self, scanned: Range<usize>, before: ChunkScan) -> usize {
        let bytes = self.ahead.get(scanned.clone()).unwrap_or_default();
        let begin = before.up_to_trailers(bytes);
        let (Gate::Chunked(scan), Some((length, at_trailers))) = (self.gate, begin) else {
            return scanned.len();
        };
        if !scan.is_done() {
            // They wait until all of them are there.
            self.gate = Gate::Chunked(at_trailers);
            return length;
        }
        self.gate = Gate::Limited((self.granted + length + END.len()) as u64);
        self.drop_trailers(scanned.start + length..scanned.end);
        length + END.len()
    }

    /// Takes the trailers out of what is unread: nobody who reads heads has looked at them, and
    /// what is said of a sender must not come by them.
    fn drop_trailers(&mut self, trailers: Range<usize>) {
        if self.ahead.get(trailers.clone()) != Some(END) {
            self.traffic.bytes_in += trailers.len().saturating_sub(END.len()) as u64;
            self.ahead.splice(trailers, END.iter().copied());
        }
    }

    /// What the gate has let through and is not passed on yet.
    pub(in crate::data) fn granted(&self) -> &[u8] {
        self.unread().get(..self.granted).unwrap_or_default()
    }

    /// So many of the granted bytes have gone on.
    pub(in crate::data) fn pass(&mut self, count: usize) {
        debug_assert!(count <= self.granted);
        self.granted -= count.min(self.granted);
        if let Gate::Limited(left) = &mut self.gate {
            *left = left.saturating_sub(count as u64);
        }
        self.traffic.bytes_in += count as u64;
        self.take(count);
    }

    /// From now on all that comes is a tunnel's.
    pub(in crate::data) fn open_tunnel(&mut self) {
        self.forget();
        self.gate = Gate::Open;
        self.granted = 0;
    }

    /// Whether all of the body has gone on. A tunnel has no end.
    pub(in crate::data) fn is_body_passed(&self) -> bool {
        self.gate == Gate::Limited(0)
    }

    /// Reads more of the body. `Ready(0)` at the end of the stream.
    pub(in crate::data) fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let read = self.poll_ahead(cx);
        self.is_read_parked |= read.is_pending();
        read
    }
}
