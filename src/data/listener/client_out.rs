//! 1 · What goes out to a client: collected, so that a head and the first of its body leave
//! in one call, and those of several streams.

use super::client_io::ClientIo;
use super::spare;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;

/// Bytes of an answer that are collected before they are written, at most.
const OUT_BYTES_MAX: usize = 16 * 1024;
/// Parts that are written in one call.
const WRITE_PARTS_MAX: usize = 8;

/// What may not leave yet.
pub(super) struct Back {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl Back {
    fn has_room(&self, count: usize) -> bool {
        self.bytes.len() + count <= self.bytes_max
    }
}

impl ClientIo {
    /// What comes for the client from now on is held back, up to so many bytes.
    pub(in crate::data) fn hold_back(&mut self, bytes_max: usize) {
        self.back = Some(Back { bytes: Vec::new(), bytes_max });
    }

    /// What was held back may leave.
    pub(super) fn let_go(&mut self) {
        let Some(Back { mut bytes, .. }) = self.back.take() else { return };
        if self.out.is_empty() {
            spare::give(std::mem::replace(&mut self.out, bytes));
        } else {
            self.out.append(&mut bytes);
        }
    }

    /// What is collected for the client, to add to.
    pub(in crate::data) fn collecting(&mut self) -> &mut Vec<u8> {
        match &mut self.back {
            Some(back) => &mut back.bytes,
            None => {
                if self.out.capacity() == 0 {
                    self.out = spare::take();
                }
                &mut self.out
            }
        }
    }

    /// Collects `parts`, for which there must be [room](Self::poll_room).
    pub(in crate::data) fn collect(&mut self, parts: &[&[u8]]) {
        let out = self.collecting();
        parts.iter().for_each(|part| out.extend_from_slice(part));
    }

    /// Makes room for `count` bytes more.
    ///
    /// # Errors
    /// When the client takes nothing any more.
    pub(in crate::data) fn poll_room(
        &mut self,
        cx: &mut Context<'_>,
        count: usize,
    ) -> Poll<io::Result<()>> {
        match &self.back {
            Some(back) if back.has_room(count) => Poll::Ready(Ok(())),
            // Who lets it go wakes.
            Some(_) => Poll::Pending,
            None if self.out.len() + count <= OUT_BYTES_MAX => Poll::Ready(Ok(())),
            None => self.poll_flush(cx),
        }
    }

    /// Takes `parts` for the client: collects them, if there is room, else writes them.
    ///
    /// # Errors
    /// When the client takes nothing any more.
    pub(in crate::data) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = parts.iter().map(|part| part.len()).sum();
        if self.is_muted {
            return Poll::Ready(Ok(length));
        }
        if self.back.as_ref().is_some_and(|back| !back.has_room(length)) {
            // Who lets it go wakes.
            return Poll::Pending;
        }
        if self.back.is_some() || self.out.len() + length <= OUT_BYTES_MAX {
            let out = self.collecting();
            parts.iter().for_each(|part| out.extend_from_slice(part));
            return Poll::Ready(Ok(length));
        }
        // What was collected and what is new leave in one call.
        let mut all = [io::IoSlice::new(&self.out); 1 + WRITE_PARTS_MAX];
        all.iter_mut().skip(1).zip(parts).for_each(|(place, part)| *place = *part);
        let all = all.get(..=parts.len()).unwrap_or(&all);
        let Poll::Ready(written) = Pin::new(&mut self.stream).poll_write_vectored(cx, all)? else {
            self.is_write_parked = true;
            return Poll::Pending;
        };
        self.traffic.bytes_out += written as u64;
        let of_collected = written.min(self.out.len());
        self.out.drain(..of_collected);
        if !self.out.is_empty() {
            // Not even that left: the socket is full, and what is new has not begun.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let of_new = written - of_collected;
        if of_new > 0 {
            return Poll::Ready(Ok(of_new));
        }
        // All of the collected and none of the new: there is room for some of it now.
        let first = parts.iter().find(|part| !part.is_empty()).map_or(&[][..], |part| part);
        let room = first.len().min(OUT_BYTES_MAX);
        self.out.extend_from_slice(first.get(..room).unwrap_or_default());
        Poll::Ready(Ok(room))
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut out = std::mem::take(&mut self.out);
        let mut done = 0;
        let result = loop {
            let rest = out.get(done..).unwrap_or_default();
            if rest.is_empty() {
                // TLS may still hold what it took.
                let flushed = Pin::new(&mut self.stream).poll_flush(cx);
                self.is_write_parked |= flushed.is_pending();
                break flushed;
            }
            match self.poll_socket_write(cx, rest) {
                Ok(Poll::Ready(0)) => break Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(Poll::Ready(count)) => done += count,
                Ok(Poll::Pending) => break Poll::Pending,
                Err(error) => break Poll::Ready(Err(error)),
            }
        };
        self.traffic.bytes_out += done as u64;
        out.drain(..done);
        if out.is_empty() {
            spare::give(out);
        } else {
            self.out = out;
        }
        result
    }

    fn poll_socket_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<Poll<usize>> {
        match Pin::new(&mut self.stream).poll_write(cx, bytes) {
            Poll::Pending => {
                self.is_write_parked = true;
                Ok(Poll::Pending)
            }
            Poll::Ready(result) => result.map(Poll::Ready),
        }
    }
}
