//! What has come from a backend and is not passed on yet.
//!
//! Room is made once and used again by the next request on the thread; an idle connection has
//! none.

use crate::data::upstream::Fault;
use crate::types::spare::Spare;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::AsyncRead;
use tokio_util::io::poll_read_buf;

/// Bytes that are read at once: an answer of 64 KiB comes with its head.
const INPUT_BYTES: usize = 80 * 1024;
/// Below so much room more is made.
const ROOM_BYTES_MIN: usize = 16 * 1024;
/// Rooms that a thread keeps.
const SPARE_MAX: usize = 32;

thread_local! {
    static SPARE: Spare<BytesMut> = const { Spare::new(SPARE_MAX) };
}

/// Bytes from a backend. Holds no memory while it is at rest.
#[derive(Default)]
pub(super) struct Input(BytesMut);

impl Input {
    /// What is there.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// So many bytes were passed on.
    pub(super) fn consume(&mut self, count: usize) {
        self.0.advance(count.min(self.0.len()));
    }

    /// Takes so many bytes out, without a copy.
    pub(super) fn split(&mut self, count: usize) -> Bytes {
        self.0.split_to(count.min(self.0.len())).freeze()
    }

    /// Reads once. `Ready(0)` at the end of the stream. Never more than about
    /// [`INPUT_BYTES`] are there at once, if what is there is passed on first.
    ///
    /// # Errors
    /// When the connection fails.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
    ) -> Poll<io::Result<usize>> {
        self.make_room();
        let read = poll_read_buf(Pin::new(from), cx, &mut self.0);
        self.rest_while_waiting(&read);
        read
    }

    /// The same for who needs little room: so many bytes are read at most, and while what is there
    /// is passed on, always into the same place.
    ///
    /// # Errors
    /// When the connection fails.
    pub(super) fn poll_fill_some(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        bytes_max: usize,
    ) -> Poll<io::Result<usize>> {
        if !(self.0.is_empty() && self.0.try_reclaim(INPUT_BYTES)) {
            self.make_room();
        }
        let read = poll_read_buf(Pin::new(from), cx, &mut (&mut self.0).limit(bytes_max));
        self.rest_while_waiting(&read);
        read
    }

    fn make_room(&mut self) {
        if self.0.capacity() == 0 {
            self.0 = SPARE.with(Spare::take).unwrap_or_default();
        }
        if self.0.capacity() - self.0.len() < ROOM_BYTES_MIN {
            self.0.reserve(INPUT_BYTES);
        }
    }

    /// Who waits needs no room: the next one that reads finds it warm.
    fn rest_while_waiting<T>(&mut self, read: &Poll<T>) {
        if read.is_pending() && self.0.is_empty() {
            self.rest();
        }
    }

    /// What it means that the connection ended before the answer did.
    pub(super) fn closed(&self) -> Fault {
        match self.0.is_empty() {
            true => Fault::BackendClosed,
            false => Fault::BackendBrokeOff,
        }
    }

    /// Forgets what is there, and gives the room back.
    pub(super) fn rest(&mut self) {
        let mut room = std::mem::take(&mut self.0);
        if room.capacity() > 0 {
            room.clear();
            SPARE.with(|spare| spare.give(room));
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.rest();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test]
    async fn who_needs_little_room_uses_no_more() {
        let (mut from, mut input) = (&[1; 300_000][..], Input::default());
        let mut places = std::collections::BTreeSet::new();
        while poll_fn(|cx| input.poll_fill_some(cx, &mut from, 1000)).await.unwrap() > 0 {
            assert_eq!(input.bytes().len(), 1000);
            places.insert(input.bytes().as_ptr());
            input.consume(400);
            input.consume(600);
        }
        assert_eq!(places.len(), 1);
    }

    #[tokio::test]
    async fn bytes_come_in_order_and_room_is_used_again() {
        let all: Vec<u8> = (0..300_000_u32).map(|at| at.to_le_bytes()[0]).collect();
        let (mut from, mut input, mut got) = (&all[..], Input::default(), Vec::new());
        while poll_fn(|cx| input.poll_fill(cx, &mut from)).await.unwrap() > 0 {
            let part = input.bytes().len().min(50_001);
            got.extend_from_slice(&input.bytes()[..part]);
            input.consume(part);
            assert!(input.0.capacity() <= 2 * INPUT_BYTES);
            got.extend_from_slice(&input.split(usize::MAX));
        }
        assert_eq!(got, all);
        input.rest();
        assert_eq!(input.0.capacity(), 0);
    }
}
