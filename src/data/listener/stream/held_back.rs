//! The answer of a stream while it may not leave yet: a head, DATA, and trailers.

use super::answer::poll_room;
use super::{StreamIo, list_bytes};
use bytes::{Bytes, BytesMut};
use h2::Reason;
use http::{HeaderMap, Response};
use std::collections::VecDeque;
use std::task::{Context, Poll};

/// Below this size parts go together: many small frames look like a flood.
const SMALL_BYTES: usize = 1024;

/// An answer that is held back, or of which a part was and has not left yet.
pub(super) struct Back {
    head: Option<Response<()>>,
    parts: VecDeque<Bytes>,
    /// Small parts that follow these.
    small: BytesMut,
    /// How long they are together.
    bytes: usize,
    bytes_max: usize,
    trailers: Option<HeaderMap>,
    /// It leaves: what is new has to wait.
    is_leaving: bool,
}

impl Back {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            head: None,
            parts: VecDeque::new(),
            small: BytesMut::new(),
            bytes: 0,
            bytes_max,
            trailers: None,
            is_leaving: false,
        }
    }

    pub(super) fn put_head(&mut self, head: Response<()>) {
        self.head = Some(head);
    }

    pub(super) fn put_trailers(&mut self, trailers: HeaderMap) {
        self.trailers = Some(trailers);
    }

    /// Takes all of `data`, if there is room for it. Else who lets it go wakes.
    pub(super) fn poll_put(&mut self, data: &mut Bytes) -> Poll<()> {
        if self.is_leaving || self.bytes + data.len() > self.bytes_max {
            return Poll::Pending;
        }
        self.bytes += data.len();
        let data = std::mem::take(data);
        if data.len() < SMALL_BYTES {
            self.small.extend_from_slice(&data);
        } else {
            self.put_small();
            self.parts.push_back(data);
        }
        Poll::Ready(())
    }

    fn put_small(&mut self) {
        if !self.small.is_empty() {
            self.parts.push_back(self.small.split().freeze());
        }
    }
}

impl StreamIo {
    /// Whether the client is waited for: what was held back is on its way to it.
    pub(super) fn is_leaving(&self) -> bool {
        self.back.as_ref().is_some_and(|back| back.is_leaving)
    }

    /// Sends what was held back, as far as the client takes it.
    pub(super) fn poll_let_go(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        let Some(back) = &mut self.back else { return Poll::Ready(Ok(())) };
        back.is_leaving = true;
        back.put_small();
        let has_trailers = back.trailers.is_some();
        if let Some(head) = back.head.take() {
            self.traffic.bytes_out += list_bytes(head.headers());
            let is_last = self.is_ended && back.parts.is_empty() && !has_trailers;
            self.send = Some(self.respond.send_response(head, is_last)?);
        }
        let Some(send) = &mut self.send else {
            return Poll::Ready(Err(Reason::INTERNAL_ERROR.into()));
        };
        while let Some(mut data) = back.parts.pop_front() {
            let Poll::Ready(room) = poll_room(send, data.len(), cx) else {
                back.parts.push_front(data);
                self.is_write_parked = true;
                return Poll::Pending;
            };
            let part = data.split_to(room?.min(data.len()));
            self.traffic.bytes_out += part.len() as u64;
            if !data.is_empty() {
                back.parts.push_front(data);
            }
            let is_last = self.is_ended && back.parts.is_empty() && !has_trailers;
            send.send_data(part, is_last)?;
        }
        if let Some(trailers) = back.trailers.take() {
            self.traffic.bytes_out += list_bytes(&trailers);
            send.send_trailers(trailers)?;
        }
        self.back = None;
        // An engine may wait for its turn.
        cx.waker().wake_by_ref();
        Poll::Ready(Ok(()))
    }
}
