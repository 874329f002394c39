//! The backend's answer on its way to a client of HTTP/2: a head, DATA, and trailers if there are
//! any.

use super::heads::{Name, each_field};
use super::input::Input;
use super::lane::{Stop, report};
use super::link::Link;
use super::passing::Passing;
use super::reply_head::ReplyHead;
use super::trailers::{Trailers, for_http2};
use crate::data::exchange::{Action, Event, Exchange};
use crate::data::listener::carrier::Carrier;
use crate::data::listener::stream::Stream;
use crate::data::upstream::Fault;
use crate::data::upstream::forward::REQUEST_ID;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use std::task::{Context, Poll, ready};

/// Fields that end with an HTTP/1 connection (RFC 9113 §8.2.2).
const NOT_FOR_HTTP2: [&str; 5] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

/// The answer on its way to the client.
#[derive(Default)]
pub(super) struct Answer {
    head: ReplyHead,
    is_begun: bool,
    passing: Passing,
    unsent: Bytes,
    trailers: Trailers,
    /// The backend's connection may carry another request.
    pub(super) keeps_backend: bool,
}

impl Answer {
    /// Forgets the last answer, all but its memory.
    pub(super) fn renew(&mut self) {
        let mut head = std::mem::take(&mut self.head);
        head.renew();
        *self = Self { head, ..Self::default() };
    }

    /// Passes on what comes. `Ready` when the answer is through.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        stream: &Stream,
        link: &mut Link,
        input: &mut Input,
    ) -> Poll<Result<(), Stop>> {
        loop {
            let is_whole = match self.is_begun {
                false => self.look_at_head(stream, input)?,
                true => match ready!(self.poll_body(cx, stream, input))? {
                    true => return Poll::Ready(Ok(())),
                    false => false,
                },
            };
            if is_whole {
                continue;
            }
            let read = ready!(input.poll_fill(cx, link));
            self.head.record(stream, input, *read.as_ref().unwrap_or(&0));
            match (read, self.is_begun) {
                (Ok(0), true) if self.passing == Passing::UntilClose => {
                    self.passing = Passing::Done;
                }
                (Ok(0) | Err(_), _) => return Poll::Ready(Err(input.closed().into())),
                (Ok(_), false) => {}
                (Ok(_), true) => report(stream, Event::ResponseBody)?,
            }
        }
    }

    /// Passes on a head that is whole. `false`: more has to come.
    fn look_at_head(&mut self, stream: &Stream, input: &mut Input) -> Result<bool, Stop> {
        let is_head =
            |exchange: &Exchange| exchange.facts().is_some_and(|facts| facts.method == "HEAD");
        let is_to_head = stream.cell().with_exchange(is_head).ok_or(Fault::Internal)?;
        let Some(length) = self.head.read(input, is_to_head)? else { return Ok(false) };
        let head = input.bytes().get(..length).unwrap_or_default();
        let fields = self.head.index.fields(head);
        match stream.cell().step(Event::Response(self.head.index.head(&fields))) {
            Action::Continue => {}
            // Tunnels go another way.
            Action::Tunnel => return Err(Fault::Internal.into()),
            action => return Err(Stop::Action(action)),
        }
        let made = stream.cell().with_exchange(|exchange| {
            Some((self.response(head, exchange)?, exchange.is_recording()))
        });
        let (response, is_recorded) = made.flatten().ok_or(Fault::BackendMalformed)?;
        self.head.is_recorded = is_recorded;
        if response.status().is_informational() {
            stream.send_informational(response).map_err(|_gone| Fault::ClientGone)?;
        } else {
            self.is_begun = true;
            self.keeps_backend = self.head.index.keeps_alive;
            self.passing = Passing::new(self.head.index.body, false);
            stream.begin_answer();
            let is_last = self.passing == Passing::Done;
            stream.send_head(response, is_last).map_err(|_gone| Fault::ClientGone)?;
        }
        input.consume(length);
        self.head.record(stream, input, input.bytes().len());
        Ok(true)
    }

    /// The head that the client gets.
    fn response(&self, head: &[u8], exchange: &Exchange) -> Option<Response<()>> {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(self.head.index.status).ok()?;
        let map = response.headers_mut();
        map.reserve(16);
        let mut is_whole = true;
        each_field(self.head.index.fields(head), exchange.response_edits(), |name, value| {
            let name = match name {
                Name::Line(line) => {
                    map.append(line.name.clone(), line.value.clone());
                    return;
                }
                Name::Came(name) if is_not_for_http2(name) => return,
                Name::Came(name) => HeaderName::from_bytes(name).ok(),
                Name::Ours(name) => Some(name.clone()),
            };
            match name.zip(HeaderValue::from_bytes(value).ok()) {
                Some((name, mut value)) => {
                    // Other in each answer: in the table of the client's names and values it
                    // would take the place of something that comes again (RFC 7541 §6.2.3).
                    value.set_sensitive(name == REQUEST_ID);
                    map.append(name, value);
                }
                None => is_whole = false,
            }
        });
        is_whole.then_some(response)
    }

    /// Takes what is there of the body, to be sent.
    fn take_part(&mut self, input: &mut Input) -> Result<(), Fault> {
        let lines = &mut self.trailers.lines;
        let length = self.passing.look(input, lines)?;
        self.unsent = input.split(length);
        self.passing.passed(length);
        if self.passing != Passing::Done {
            // What frames the end may be here already.
            self.passing.look(input, lines)?;
        }
        Ok(())
    }

    /// Ends the answer with its trailers, if any of them may be said in HTTP/2.
    fn send_trailers(&mut self, stream: &Stream) -> Result<(), Stop> {
        let fields = self.trailers.read()?;
        report(stream, Event::ResponseTrailers(&fields))?;
        let map = for_http2(fields)?;
        if map.is_empty() {
            self.trailers = Trailers::default();
            return Ok(());
        }
        stream.send_trailers(map).map_err(|_gone| Fault::ClientGone.into())
    }

    /// Passes on what is there of the body. `Ready(true)` at its end, `Ready(false)` when more
    /// has to come.
    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        stream: &Stream,
        input: &mut Input,
    ) -> Poll<Result<bool, Stop>> {
        loop {
            if self.unsent.is_empty() && self.passing != Passing::Done {
                self.take_part(input)?;
            }
            let is_done = self.passing == Passing::Done;
            let is_last = is_done && !self.trailers.are_there();
            if self.unsent.is_empty() && (!is_done || stream.sent().1) {
                return Poll::Ready(Ok(is_done));
            }
            if self.unsent.is_empty() && !is_last {
                self.send_trailers(stream)?;
                continue;
            }
            let sent = ready!(stream.poll_send(cx, &mut self.unsent, is_last));
            sent.map_err(|_gone| Fault::ClientGone)?;
        }
    }
}

/// Whether the field ends with an HTTP/1 connection.
pub(super) fn is_not_for_http2(name: &[u8]) -> bool {
    NOT_FOR_HTTP2.iter().any(|not| name.eq_ignore_ascii_case(not.as_bytes()))
}
