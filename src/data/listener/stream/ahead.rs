//! The body of a stream, read ahead.

use super::{Stream, StreamIo};
use crate::data::listener::body_ahead::{Ahead, BodyAhead, Wanted};
use crate::data::listener::carrier::Carrier;
use crate::data::upstream::Fault;
use bytes::Bytes;
use http::{Response, StatusCode};
use std::task::{Context, Poll};

impl Stream {
    /// Reads some more of the body. All of it is kept, to be read once more.
    pub(super) fn poll_ahead(
        &self,
        cx: &mut Context<'_>,
        wanted: Wanted,
        ahead: &mut BodyAhead,
    ) -> Poll<Ahead> {
        let Poll::Ready(read) = self.io.get().poll_part(cx) else {
            if wanted.says_continue && !std::mem::replace(&mut ahead.has_continued, true) {
                self.say_continue();
            }
            return Poll::Pending;
        };
        let data = match read {
            None => return Poll::Ready(Ahead::Whole),
            Some(Ok(data)) => data,
            Some(Err(_)) => {
                let fault = self.body_fault().unwrap_or(Fault::ClientGone);
                return Poll::Ready(Ahead::Fault(fault));
            }
        };
        ahead.body.extend_from_slice(&data);
        let io = &mut *self.io.get();
        let has_room = io.hold_part(data);
        Poll::Ready(match ahead.is_too_long(wanted) {
            true => Ahead::TooLong,
            false if io.is_body_done => Ahead::Whole,
            false if !has_room => Ahead::NoRoom,
            false => Ahead::More,
        })
    }

    /// A client that has left meanwhile is found out by the next read.
    fn say_continue(&self) {
        let mut head = Response::new(());
        *head.status_mut() = StatusCode::CONTINUE;
        if let Err(error) = self.send_informational(head) {
            tracing::debug!(%error, "client not told to go on");
        }
    }
}

impl StreamIo {
    /// Reads the next part, never an empty one.
    pub(super) fn poll_part(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, h2::Error>>> {
        loop {
            let Poll::Ready(read) = self.receive.poll_data(cx) else {
                self.is_read_parked = true;
                return Poll::Pending;
            };
            let data = match read {
                Some(Ok(data)) => data,
                Some(Err(error)) => {
                    // What the library ends, it ends because of what the client sent.
                    self.is_body_malformed |= error.is_library();
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    self.is_body_done = true;
                    return Poll::Ready(None);
                }
            };
            self.receive.flow_control().release_capacity(data.len())?;
            self.traffic.bytes_in += data.len() as u64;
            if !data.is_empty() {
                self.is_body_done = self.receive.is_end_stream();
                return Poll::Ready(Some(Ok(data)));
            }
        }
    }

    /// Keeps a part that no engine has had. Whether there is room for it.
    fn hold_part(&mut self, data: Bytes) -> bool {
        let has_room = self.kept_bytes.grow(data.len());
        self.keeps = self.keeps.map(|most| most.saturating_sub(data.len()));
        self.kept.push(data);
        self.replayed += 1;
        has_room
    }
}
