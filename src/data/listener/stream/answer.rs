//! What is said on a stream: heads, DATA, trailers, and its end.

use super::{Stream, list_bytes};
use bytes::Bytes;
use h2::{Reason, SendStream};
use http::{HeaderMap, Response};
use std::task::{Context, Poll, ready};

impl Stream {
    /// Sends an informational head (RFC 9110 §15.2).
    ///
    /// # Errors
    /// When the stream is gone.
    pub fn send_informational(&self, head: Response<()>) -> Result<(), h2::Error> {
        self.io.get().respond.send_informational(head)
    }

    /// Sends the final head; `is_last`: nothing follows.
    ///
    /// # Errors
    /// When the stream is gone.
    pub fn send_head(&self, head: Response<()>, is_last: bool) -> Result<(), h2::Error> {
        let io = &mut *self.io.get();
        io.is_ended = is_last;
        if let Some(back) = &mut io.back {
            back.put_head(head);
            return Ok(());
        }
        io.traffic.bytes_out += list_bytes(head.headers());
        io.send = Some(io.respond.send_response(head, is_last)?);
        Ok(())
    }

    /// Sends what is in `data`, as far as the client takes it; `is_last`: nothing follows.
    ///
    /// # Errors
    /// When the stream is gone, or there was no head.
    pub fn poll_send(
        &self,
        cx: &mut Context<'_>,
        data: &mut Bytes,
        is_last: bool,
    ) -> Poll<Result<(), h2::Error>> {
        let io = &mut *self.io.get();
        io.is_write_parked |= io.is_leaving();
        if let Some(back) = &mut io.back {
            ready!(back.poll_put(data));
            io.is_ended |= is_last;
            return Poll::Ready(Ok(()));
        }
        let Some(send) = io.send.as_mut().filter(|_| !io.is_ended) else {
            return Poll::Ready(Err(Reason::INTERNAL_ERROR.into()));
        };
        while !data.is_empty() {
            let Poll::Ready(room) = poll_room(send, data.len(), cx) else {
                io.is_write_parked = true;
                return Poll::Pending;
            };
            let part = data.split_to(room?.min(data.len()));
            io.traffic.bytes_out += part.len() as u64;
            io.is_ended = is_last && data.is_empty();
            send.send_data(part, io.is_ended)?;
        }
        if is_last && !io.is_ended {
            io.is_ended = true;
            send.send_data(Bytes::new(), true)?;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends trailers; nothing follows.
    ///
    /// # Errors
    /// When the stream is gone, or there was no head.
    pub fn send_trailers(&self, trailers: HeaderMap) -> Result<(), h2::Error> {
        let io = &mut *self.io.get();
        io.is_ended = true;
        if let Some(back) = &mut io.back {
            back.put_trailers(trailers);
            return Ok(());
        }
        io.traffic.bytes_out += list_bytes(&trailers);
        match &mut io.send {
            Some(send) => send.send_trailers(trailers),
            None => Err(Reason::INTERNAL_ERROR.into()),
        }
    }

    /// Whether the head of an answer was sent, and whether all of it.
    #[must_use]
    pub fn sent(&self) -> (bool, bool) {
        let io = self.io.get();
        (io.send.is_some() || io.back.is_some(), io.is_ended)
    }

    /// Whether something is held back, or has not left yet.
    #[must_use]
    pub fn is_held_back(&self) -> bool {
        self.io.get().back.is_some()
    }

    /// Forgets what is held back: another answer takes its place.
    pub fn drop_held_back(&self) {
        let io = &mut *self.io.get();
        if io.back.take().is_some() {
            io.is_ended = false;
        }
    }

    /// Ends the stream so that no client takes its answer for whole.
    pub fn reset(&self, reason: Reason) {
        let io = &mut *self.io.get();
        (io.is_ended, io.back) = (true, None);
        match &mut io.send {
            Some(send) => send.send_reset(reason),
            None => io.respond.send_reset(reason),
        }
    }
}

/// How much of `wanted` may be sent now; at least 1.
pub(super) fn poll_room(
    send: &mut SendStream<Bytes>,
    wanted: usize,
    cx: &mut Context<'_>,
) -> Poll<Result<usize, h2::Error>> {
    send.reserve_capacity(wanted);
    while send.capacity() == 0 {
        match ready!(send.poll_capacity(cx)) {
            Some(room) => room?,
            None => return Poll::Ready(Err(Reason::STREAM_CLOSED.into())),
        };
    }
    Poll::Ready(Ok(send.capacity()))
}
