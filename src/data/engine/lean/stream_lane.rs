//! A stream's lane: what one request of HTTP/2 needs on its way to a backend that speaks
//! HTTP/1.1, and how its bytes go.
//!
//! The head is written as HTTP/1.1 has it; a body without a length becomes chunks. The
//! backend's answer becomes a head and DATA again, as fast as the client's windows let it
//! (`stream_answer`).

use super::copy::Copying;
use super::heads::{write_field, write_fields};
use super::input::Input;
use super::lane::{Stop, report};
use super::link::{self, Link, Offer};
use super::stream_answer::Answer;
use crate::data::engine::drive::after_others;
use crate::data::engine::pingora::Served;
use crate::data::exchange::{Action, Event, Exchange};
use crate::data::listener::carrier::Carrier;
use crate::data::listener::stream::Stream;
use crate::data::upstream::{Attempt, Fault};
use crate::types::spare::Spare;
use bytes::{Buf, Bytes};
use http::header;
use http::request::Parts;
use std::future::poll_fn;
use std::io::IoSlice;
use std::task::{Context, Poll, ready};

/// What ends a chunk, and what ends a chunk and the body.
const CHUNK_END: &[u8] = b"\r\n";
const BODY_END: &[u8] = b"\r\n0\r\n\r\n";
const EMPTY_BODY_END: &[u8] = b"0\r\n\r\n";

/// Lanes that a thread keeps for its next requests.
const SPARE_MAX: usize = 256;

thread_local! {
    static SPARE: Spare<Box<StreamLane>> = const { Spare::new(SPARE_MAX) };
}

/// What one request of HTTP/2 needs while it is on its way.
#[derive(Default)]
pub struct StreamLane {
    sending: Sending,
    link: Option<Link>,
    input: Input,
    answer: Answer,
}

/// The request on its way to the backend.
#[derive(Default)]
struct Sending {
    /// The head, or the line before a chunk; as far as it has not left.
    lines: Vec<u8>,
    lines_done: usize,
    data: Bytes,
    /// What follows the data.
    tail: &'static [u8],
    /// The body goes in chunks.
    is_chunked: bool,
    /// Nothing follows what is there.
    is_last: bool,
    /// Nothing more is sent: all was, or the backend takes no more.
    is_over: bool,
    /// The backend has taken all.
    is_whole: bool,
    /// The copy for the route's mirror, while it is made.
    copying: Copying,
}

impl StreamLane {
    /// A lane for a request that begins.
    #[must_use]
    pub fn take() -> Box<Self> {
        SPARE.with(Spare::take).unwrap_or_default()
    }

    /// The request is over: the next one may have the lane.
    pub fn give(mut self: Box<Self>) {
        self.rest();
        SPARE.with(|spare| spare.give(self));
    }

    /// Lets go of what the last attempt left.
    fn rest(&mut self) {
        self.link = None;
        self.input.rest();
        let mut lines = std::mem::take(&mut self.sending.lines);
        lines.clear();
        self.sending = Sending { lines, ..Sending::default() };
        self.answer.renew();
    }

    /// Makes `attempt` for the request with this `head`: what is left to be done then.
    pub async fn attempt(&mut self, stream: &Stream, head: &Parts, attempt: &Attempt) -> Served {
        self.rest();
        let end = self.try_attempt(stream, head, attempt).await;
        let action = match end {
            Ok(()) => match stream.cell().step(Event::Ended) {
                Action::Done => None,
                action => Some(action),
            },
            Err(Stop::Action(action)) => Some(action),
            Err(Stop::Fault(Fault::ClientGone)) => {
                let fault = stream.body_fault().unwrap_or(Fault::ClientGone);
                Some(stream.cell().step(Event::Failed(fault)))
            }
            Err(Stop::Fault(fault)) => Some(stream.cell().step(Event::Failed(fault))),
        };
        self.rest();
        Served { action, is_reusable: false }
    }

    async fn try_attempt(
        &mut self,
        stream: &Stream,
        head: &Parts,
        attempt: &Attempt,
    ) -> Result<(), Stop> {
        stream.keep(attempt.body_max);
        let has_body = stream.open_body();
        let written = stream.cell().with_exchange(|exchange| {
            self.sending.begin(head, has_body, exchange);
        });
        written.ok_or(Fault::Internal)?;
        let (link, is_reused) = link::obtain(attempt, Offer::Http2, stream.cell().now()).await?;
        self.link = Some(link);
        report(stream, Event::Connected { is_reused })?;
        after_others().await;
        poll_fn(|cx| self.poll(cx, stream)).await?;
        let is_clean = self.sending.is_whole && self.input.bytes().is_empty();
        if let Some(link) = self.link.take().filter(|_| is_clean && self.answer.keeps_backend) {
            link::keep(attempt, link, stream.cell().now());
        }
        Ok(())
    }

    /// Moves what can be moved, both ways. `Ready` when the answer is through.
    fn poll(&mut self, cx: &mut Context<'_>, stream: &Stream) -> Poll<Result<(), Stop>> {
        let Self { sending, link, input, answer } = self;
        let link = link.as_mut().ok_or(Fault::Internal)?;
        if !sending.is_over
            && let Poll::Ready(sent) = sending.poll(cx, stream, link)
        {
            sent?;
            sending.is_over = true;
        }
        let answered = answer.poll(cx, stream, link, input);
        if answered.is_pending() && sending.is_over && stream.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(Fault::ClientGone.into()));
        }
        answered
    }
}

impl Sending {
    /// Writes the head that the backend gets.
    fn begin(&mut self, head: &Parts, has_body: bool, exchange: &Exchange) {
        let (lines, edits) = (&mut self.lines, exchange.request_edits());
        lines.extend_from_slice(head.method.as_str().as_bytes());
        lines.push(b' ');
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        let target = edits.target().unwrap_or(target.as_bytes());
        lines.extend_from_slice(target);
        lines.extend_from_slice(b" HTTP/1.1\r\n");
        write_fields(lines, &head.headers, edits);
        self.is_chunked = has_body && !head.headers.contains_key(header::CONTENT_LENGTH);
        if self.is_chunked {
            write_field(lines, b"transfer-encoding", b"chunked");
        }
        lines.extend_from_slice(b"\r\n");
        self.is_last = !has_body;
        self.copying = Copying::begin(exchange, head.method.as_str(), target, &head.headers, edits);
    }

    /// Sends what there is of the request. `Ready` when nothing more is to be sent.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        stream: &Stream,
        link: &mut Link,
    ) -> Poll<Result<(), Stop>> {
        loop {
            if !ready!(self.poll_out(cx, link)) {
                // It may have answered all the same, before it had all.
                return Poll::Ready(Ok(()));
            }
            if self.is_last {
                self.is_whole = true;
                self.copying.send(stream.cell());
                return link.poll_flush(cx).map(|_flushed| Ok(()));
            }
            let flushed = link.poll_flush(cx);
            let Poll::Ready(read) = stream.poll_data(cx) else {
                drop(flushed);
                return Poll::Pending;
            };
            let data = read.transpose().map_err(|_error| Fault::ClientGone)?;
            self.copying.push(data.as_deref().unwrap_or_default());
            self.frame(data, stream.is_request_read());
            let (is_last, is_kept) = (self.is_last, stream.is_kept());
            report(stream, Event::RequestBody { is_last, is_kept })?;
        }
    }

    /// Sends what is there. `Ready(false)`: the backend takes no more.
    fn poll_out(&mut self, cx: &mut Context<'_>, link: &mut Link) -> Poll<bool> {
        loop {
            let lines = self.lines.get(self.lines_done..).unwrap_or_default();
            let parts = [lines, &self.data, self.tail].map(IoSlice::new);
            if parts.iter().all(|part| part.is_empty()) {
                return Poll::Ready(true);
            }
            match ready!(link.poll_write(cx, &parts)) {
                Ok(count) => self.advance(count),
                Err(_) => return Poll::Ready(false),
            }
        }
    }

    /// So many bytes have left.
    fn advance(&mut self, count: usize) {
        let of_lines = count.min(self.lines.len() - self.lines_done);
        self.lines_done += of_lines;
        let of_data = (count - of_lines).min(self.data.len());
        self.data.advance(of_data);
        self.tail = self.tail.get(count - of_lines - of_data..).unwrap_or_default();
    }

    /// Takes the next part of the body, `None` after the last one; `is_last`: nothing follows.
    fn frame(&mut self, data: Option<Bytes>, is_last: bool) {
        self.lines.clear();
        self.lines_done = 0;
        self.is_last = is_last || data.is_none();
        let data = data.unwrap_or_default();
        if self.is_chunked {
            if !data.is_empty() {
                self.lines.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
            }
            self.tail = match (data.is_empty(), self.is_last) {
                (false, false) => CHUNK_END,
                (false, true) => BODY_END,
                (true, true) => EMPTY_BODY_END,
                (true, false) => b"",
            };
        }
        self.data = data;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What leaves when `parts` come, so many bytes at a time; the last part is the end.
    fn sent(is_chunked: bool, parts: &[&'static str], step: usize) -> String {
        let (mut sending, mut out) = (Sending { is_chunked, ..Sending::default() }, Vec::new());
        for (at, part) in parts.iter().enumerate() {
            let is_last = at + 1 == parts.len();
            let data = (!part.is_empty()).then(|| Bytes::from_static(part.as_bytes()));
            sending.frame(data, is_last);
            let all = [&sending.lines, &sending.data[..], sending.tail].concat();
            let mut left = all.len();
            while left > 0 {
                let count = step.min(left);
                sending.advance(count);
                left -= count;
                let unsent = sending.lines.len() - sending.lines_done;
                assert_eq!(unsent + sending.data.len() + sending.tail.len(), left);
            }
            assert_eq!(sending.is_last, is_last);
            out.extend_from_slice(&all);
        }
        String::from_utf8(out).unwrap().replace("\r\n", "|")
    }

    #[test]
    fn a_body_without_a_length_becomes_chunks() {
        for step in [1, 2, 3, 100] {
            assert_eq!(
                sent(true, &["abc", "0123456789abcdef", ""], step),
                "3|abc|10|0123456789abcdef|0||"
            );
            assert_eq!(sent(true, &["abc", "d"], step), "3|abc|1|d|0||");
            assert_eq!(sent(true, &[""], step), "0||");
            assert_eq!(sent(false, &["abc", "d"], step), "abcd");
        }
    }
}
