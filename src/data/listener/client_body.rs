//! 1 · The body of a request, as bytes that are passed on as they are.
//!
//! For an engine that reads heads where they lie: it takes the head, looks at what the gate has
//! let through, and says how much of that has gone on to the backend.

use super::client_io::{ClientIo, Gate};
use crate::wire::chunked::InvalidChunks;
use std::io;
use std::task::{Context, Poll};

impl ClientIo {
    /// The head that was read, while it is kept.
    pub(in crate::data) fn head(&self) -> &[u8] {
        self.ahead.get(..self.head_bytes).unwrap_or_default()
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
                let new = self.ahead.get(self.taken + self.granted..).unwrap_or_default();
                self.granted += scan.scan(new)?;
                if scan.is_done() {
                    self.gate = Gate::Limited(self.granted as u64);
                }
            }
        }
        Ok(())
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
