//! A lane: what one request of HTTP/1 needs while it is on its way, and how its bytes go.
//!
//! The head is read where it lies ([`Lane::poll_head`]); then there are attempts, each with a
//! connection to a backend ([`Lane::attempt`]). Both directions go on at once: the request's
//! body to the backend, and whatever the backend says to the client.

use super::answer::Answering;
use super::copy::Copying;
use super::heads::write_fields;
use super::input::Input;
use super::link::{self, Link, Offer};
use crate::data::engine::drive::{after_others, begins_anew};
use crate::data::engine::pingora::Served;
use crate::data::exchange::{Action, Event, Exchange};
use crate::data::lifecycle::Lifecycle;
use crate::data::listener::carrier::{Carrier, is_ending};
use crate::data::listener::client_io::ClientIo;
use crate::data::listener::connection::Connection;
use crate::data::refusal::Refusal;
use crate::data::upstream::{Attempt, Fault};
use crate::types::spare::Spare;
use crate::wire::head_scan::{HeadScan, Scan};
use crate::wire::invalid_head::InvalidHead;
use crate::wire::request::{Body, RequestIndex};
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

/// Lanes that a thread keeps for its next requests.
const SPARE_MAX: usize = 256;

thread_local! {
    static SPARE: Spare<Box<Lane>> = const { Spare::new(SPARE_MAX) };
}

/// What one request needs while it is on its way.
#[derive(Default)]
pub struct Lane {
    /// How far the head was looked at.
    scan: HeadScan,
    /// The request's head.
    request: RequestIndex,
    /// The head for the backend, as far as it has not left.
    out: Vec<u8>,
    out_done: usize,
    /// Nothing more is sent to the backend: all was, or it takes no more.
    is_sent: bool,
    /// The backend has taken all.
    is_whole: bool,
    link: Option<Link>,
    /// The copy for the route's mirror, while it is made.
    copying: Copying,
    pub(super) input: Input,
    pub(super) answering: Answering,
}

/// Why an attempt ended before its answer did.
pub enum Stop {
    /// The machine wants something else.
    Action(Action),
    /// Something failed.
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Lane {
    /// A lane for a request that begins.
    #[must_use]
    pub fn take() -> Box<Self> {
        SPARE.with(Spare::take).unwrap_or_default()
    }

    /// The request is over: the next one may have the lane.
    pub fn give(mut self: Box<Self>) {
        self.scan = HeadScan::default();
        self.rest();
        SPARE.with(|spare| spare.give(self));
    }

    /// Lets go of what the last attempt left.
    fn rest(&mut self) {
        (self.link, self.copying) = (None, Copying::default());
        self.input.rest();
        self.out.clear();
        (self.out_done, self.is_sent, self.is_whole) = (0, false, false);
        self.answering.renew();
    }

    /// Reads until the head is whole, and reports it: what is to be done.
    pub fn poll_head(&mut self, connection: &Connection, cx: &mut Context<'_>) -> Poll<Action> {
        loop {
            if let Some(action) = self.look_at_head(connection) {
                return Poll::Ready(action);
            }
            let read = ready!(connection.poll_ahead(cx));
            if !read.is_ok_and(|count| count > 0) {
                return Poll::Ready(connection.cell.step(Event::Aborted(Refusal::ClientGone)));
            }
        }
    }

    /// What is to be done, if the head is whole or will never be.
    fn look_at_head(&mut self, connection: &Connection) -> Option<Action> {
        let scanned = connection.with_ahead(|ahead| self.scan.scan(ahead));
        let refusal = match scanned {
            Scan::Partial => return None,
            Scan::Complete(length) => {
                let head =
                    |ahead: &[u8]| self.request.read(ahead.get(..length).unwrap_or_default());
                match connection.with_ahead(head) {
                    Err(InvalidHead::MalformedTarget) if connection.encode_target(length) => {
                        self.scan = HeadScan::default();
                        return self.look_at_head(connection);
                    }
                    Ok(()) => return Some(self.begin(connection, length)),
                    Err(fault) => Refusal::Head(fault),
                }
            }
            Scan::Malformed => Refusal::Head(InvalidHead::BareLineEnd),
            Scan::TooLarge => Refusal::HeadTooLarge,
        };
        connection.io().count_refused(match scanned {
            Scan::Complete(length) => length,
            _ => usize::MAX,
        });
        Some(connection.cell.step(Event::Aborted(refusal)))
    }

    /// Reports the head, and takes it. A body that is wrong already is not passed on at all.
    fn begin(&self, connection: &Connection, length: usize) -> Action {
        connection.open_head(length, self.request.body);
        let mut io = connection.io();
        let fields = self.request.fields(io.head());
        let head = self.request.head(io.head(), &fields);
        let has_body = self.request.body != Body::None;
        let action = connection.cell.step(Event::Request { head, has_body });
        io.take_head();
        match io.grant() {
            Err(fault) if begins_anew(&action) => {
                connection.cell.step(Event::Failed(Fault::ClientChunks(fault)))
            }
            _ => action,
        }
    }

    /// Makes `attempt`: what is left to be done then.
    pub async fn attempt(
        &mut self,
        connection: &Connection,
        lifecycle: &Lifecycle,
        attempt: &Attempt,
    ) -> Served {
        self.rest();
        let end = self.try_attempt(connection, lifecycle, attempt).await;
        let action = match end {
            Ok(()) => match connection.cell.step(Event::Ended) {
                Action::Done => None,
                action => Some(action),
            },
            Err(Stop::Action(action)) => Some(action),
            Err(Stop::Fault(fault)) => Some(connection.cell.step(Event::Failed(fault))),
        };
        let is_reusable = self.answering.keeps_client;
        self.rest();
        Served { action, is_reusable }
    }

    async fn try_attempt(
        &mut self,
        connection: &Connection,
        lifecycle: &Lifecycle,
        attempt: &Attempt,
    ) -> Result<(), Stop> {
        self.take_request(connection, attempt)?;
        let (link, is_reused) = link::obtain(attempt, Offer::Http2, connection.cell.now()).await?;
        self.link = Some(link);
        report(connection, Event::Connected { is_reused })?;
        after_others().await;
        poll_fn(|cx| self.poll(cx, connection, lifecycle)).await?;
        let is_clean = self.is_whole && self.input.bytes().is_empty();
        if let Some(link) = self.link.take().filter(|_| is_clean && self.answering.keeps_backend) {
            link::keep(attempt, link, connection.cell.now());
        }
        Ok(())
    }

    /// Takes the request's head, and writes the one that the backend gets.
    fn take_request(&mut self, connection: &Connection, attempt: &Attempt) -> Result<(), Stop> {
        connection.keep(attempt.body_max);
        let mut io = connection.io();
        let written = connection.cell.with_exchange(|exchange| {
            self.write_request(io.head(), exchange);
        });
        written.ok_or(Fault::Internal)?;
        io.take_head();
        Ok(())
    }

    fn write_request(&mut self, head: &[u8], exchange: &Exchange) {
        let (request, out, edits) = (&self.request, &mut self.out, exchange.request_edits());
        let (method, fields) = (request.method(head), request.fields(head));
        let target = edits.target().unwrap_or_else(|| request.target(head));
        out.extend_from_slice(method.as_bytes());
        out.push(b' ');
        out.extend_from_slice(target);
        out.extend_from_slice(b" HTTP/1.1\r\n");
        write_fields(out, request.fields(head), edits);
        out.extend_from_slice(b"\r\n");
        self.copying = Copying::begin(exchange, method, target, fields, edits);
    }

    /// Moves what can be moved, both ways. `Ready` when the answer is through.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        connection: &Connection,
        lifecycle: &Lifecycle,
    ) -> Poll<Result<(), Stop>> {
        let io = &mut *connection.io();
        let Some(mut link) = self.link.take() else {
            return Poll::Ready(Err(Fault::Internal.into()));
        };
        let end =
            self.poll_both(cx, connection, io, &mut link, || is_ending(connection, lifecycle));
        self.link = Some(link);
        end
    }

    fn poll_both(
        &mut self,
        cx: &mut Context<'_>,
        connection: &Connection,
        io: &mut ClientIo,
        link: &mut Link,
        is_ending: impl Fn() -> bool,
    ) -> Poll<Result<(), Stop>> {
        if !self.is_sent
            && let Poll::Ready(sent) = self.poll_request(cx, connection, io, link)
        {
            sent?;
            self.is_sent = true;
        }
        let is_whole = self.is_whole;
        let mut keeps_client = || wants_more(connection) && is_whole && !is_ending();
        let answered =
            self.answering.poll(cx, connection, io, link, &mut self.input, &mut keeps_client);
        // In a tunnel the client's end is only half of it.
        let watches_client = self.is_sent && !self.answering.is_tunnel();
        if answered.is_pending() && watches_client && io.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(Fault::ClientGone.into()));
        }
        answered
    }

    /// Sends what there is of the request. `Ready` when nothing more is to be sent.
    fn poll_request(
        &mut self,
        cx: &mut Context<'_>,
        connection: &Connection,
        io: &mut ClientIo,
        link: &mut Link,
    ) -> Poll<Result<(), Stop>> {
        loop {
            io.grant().map_err(Fault::ClientChunks)?;
            let head = self.out.get(self.out_done..).unwrap_or_default();
            let is_all_out = head.is_empty() && io.granted().is_empty();
            self.is_whole = is_all_out && io.is_body_passed();
            if self.is_whole {
                self.copying.send(&connection.cell);
                return link.poll_flush(cx).map(|_flushed| Ok(()));
            }
            if is_all_out {
                ready!(poll_more(cx, io, link))?;
                continue;
            }
            let parts = [io::IoSlice::new(head), io::IoSlice::new(io.granted())];
            let written = ready!(link.poll_write(cx, &parts));
            // Who takes no more may have answered all the same, before it had all.
            let Ok(count) = written else { return Poll::Ready(Ok(())) };
            let of_head = count.min(head.len());
            self.out_done += of_head;
            if count > of_head {
                let part = io.granted().get(..count - of_head).unwrap_or_default();
                self.copying.push_framed(part, self.request.body == Body::Chunked);
                io.pass(count - of_head);
                let (is_last, is_kept) = (io.is_body_passed(), io.is_kept());
                report(connection, Event::RequestBody { is_last, is_kept })?;
            }
        }
    }
}

/// Waits for more of the request's body. What has to leave leaves before.
fn poll_more(cx: &mut Context<'_>, io: &mut ClientIo, link: &mut Link) -> Poll<Result<(), Fault>> {
    // Whoever takes no more is found out by the next write.
    drop(link.poll_flush(cx));
    let read = ready!(io.poll_body(cx));
    Poll::Ready(read.ok().filter(|count| *count > 0).map(drop).ok_or(Fault::ClientGone))
}

/// Reports `event`; whatever is not just to go on stops the attempt.
pub(super) fn report(carrier: &dyn Carrier, event: Event<'_>) -> Result<(), Stop> {
    match carrier.cell().step(event) {
        Action::Continue | Action::Tunnel => Ok(()),
        action => Err(Stop::Action(action)),
    }
}

/// Whether the client wants its connection kept.
fn wants_more(connection: &Connection) -> bool {
    let wants = |exchange: &Exchange| exchange.facts().is_some_and(|facts| facts.wants_keep_alive);
    connection.cell.with_exchange(wants).unwrap_or(false)
}
