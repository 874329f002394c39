//! The backend's answer on its way to a client of HTTP/1: heads, body, or a tunnel.

use super::heads::{write_field, write_fields};
use super::input::Input;
use super::lane::{Stop, report};
use super::link::Link;
use super::passing::Passing;
use super::reply_head::ReplyHead;
use crate::data::exchange::{Action, Event, Exchange};
use crate::data::listener::client_io::ClientIo;
use crate::data::listener::connection::Connection;
use crate::data::upstream::Fault;
use std::io;
use std::task::{Context, Poll, ready};
use vanne_filters::Version;

/// What an answer is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// A head is due: informational or final.
    #[default]
    Head,
    /// Its body.
    Body,
    /// Bytes go both ways.
    Tunnel,
}

/// An answer on its way.
#[derive(Default)]
pub(super) struct Answering {
    at: At,
    head: ReplyHead,
    passing: Passing,
    /// The client's end of a tunnel has ended, and the backend was told.
    is_client_done: bool,
    /// The client's connection may carry another request.
    pub(super) keeps_client: bool,
    /// So may the backend's.
    pub(super) keeps_backend: bool,
}

impl Answering {
    /// Forgets the last answer, all but its memory.
    pub(super) fn renew(&mut self) {
        let mut head = std::mem::take(&mut self.head);
        head.renew();
        *self = Self { head, ..Self::default() };
    }

    /// Whether bytes go both ways now.
    pub(super) fn is_tunnel(&self) -> bool {
        self.at == At::Tunnel
    }

    /// Passes on what comes. `Ready` when the answer is through, or the tunnel ended.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        connection: &Connection,
        io: &mut ClientIo,
        link: &mut Link,
        input: &mut Input,
        keeps_client: &mut dyn FnMut() -> bool,
    ) -> Poll<Result<(), Stop>> {
        loop {
            if self.at == At::Tunnel {
                return self.poll_tunnel(cx, connection, io, link, input);
            }
            if self.at == At::Body && ready!(self.passing.poll(cx, input, io))? {
                return Poll::Ready(Ok(()));
            }
            if self.at == At::Head && self.look_at_head(connection, io, input, keeps_client)? {
                continue;
            }
            ready!(self.poll_more(cx, connection, io, link, input))?;
        }
    }

    /// Reads more of the answer.
    fn poll_more(
        &mut self,
        cx: &mut Context<'_>,
        connection: &Connection,
        io: &mut ClientIo,
        link: &mut Link,
        input: &mut Input,
    ) -> Poll<Result<(), Stop>> {
        let read = ready!(input.poll_fill(cx, link));
        self.head.record(connection, input, *read.as_ref().unwrap_or(&0));
        Poll::Ready(match (read, self.at) {
            (Ok(0), At::Head) | (Err(_), _) => Err(input.closed().into()),
            (Ok(0), At::Body | At::Tunnel) => self.passing.end(io).map_err(Stop::from),
            (Ok(_), At::Head) => Ok(()),
            (Ok(_), At::Body | At::Tunnel) => report(connection, Event::ResponseBody),
        })
    }

    /// Passes on a head that is whole. `false`: more has to come.
    fn look_at_head(
        &mut self,
        connection: &Connection,
        io: &mut ClientIo,
        input: &mut Input,
        keeps_client: &mut dyn FnMut() -> bool,
    ) -> Result<bool, Stop> {
        let asked = connection.cell.with_exchange(|exchange| {
            exchange.facts().map(|facts| (facts.method == "HEAD", facts.version))
        });
        let (is_to_head, version) = asked.flatten().ok_or(Fault::Internal)?;
        let Some(length) = self.head.read(input, is_to_head)? else { return Ok(false) };
        let head = input.bytes().get(..length).unwrap_or_default();
        let fields = self.head.index.fields(head);
        let is_tunnel = match connection.cell.step(Event::Response(self.head.index.head(&fields))) {
            Action::Continue => false,
            Action::Tunnel => true,
            action => return Err(Stop::Action(action)),
        };
        let is_informational = (100..200).contains(&self.head.index.status) && !is_tunnel;
        if !is_informational {
            io.forget();
            if let Some(most) = connection.cell.with_exchange(Exchange::held_back).flatten() {
                io.hold_back(most);
            }
            self.keeps_backend = self.head.index.keeps_alive && !is_tunnel;
            self.passing = match is_tunnel {
                true => Passing::UntilClose,
                false => Passing::new(self.head.index.body, version > Version::Http10),
            };
            self.keeps_client = !is_tunnel && self.passing.is_framed() && keeps_client();
            self.at = if is_tunnel { At::Tunnel } else { At::Body };
        }
        // RFC 9110 §15.2: informational answers are not for HTTP/1.0.
        if !is_informational || version > Version::Http10 {
            self.write_head(connection, io, head);
        }
        if is_tunnel {
            io.open_tunnel();
        }
        input.consume(length);
        self.head.record(connection, input, input.bytes().len());
        Ok(true)
    }

    /// Writes the head that the client gets.
    fn write_head(&mut self, connection: &Connection, io: &mut ClientIo, head: &[u8]) {
        let out = io.collecting();
        let status = self.head.index.status;
        let digit = |by: u16| b'0' + u8::try_from(status / by % 10).unwrap_or(0);
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(&[digit(100), digit(10), digit(1), b' ']);
        out.extend_from_slice(self.head.index.reason(head));
        out.extend_from_slice(b"\r\n");
        let records = connection.cell.with_exchange(|exchange| {
            write_fields(out, self.head.index.fields(head), exchange.response_edits());
            exchange.is_recording()
        });
        self.head.is_recorded = records == Some(true);
        if self.at == At::Body {
            if self.passing == Passing::IntoChunks {
                write_field(out, b"transfer-encoding", b"chunked");
            }
            let connection: &[u8] = if self.keeps_client { b"keep-alive" } else { b"close" };
            write_field(out, b"connection", connection);
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Moves bytes both ways. `Ready` when the backend has ended the tunnel.
    fn poll_tunnel(
        &mut self,
        cx: &mut Context<'_>,
        connection: &Connection,
        io: &mut ClientIo,
        link: &mut Link,
        input: &mut Input,
    ) -> Poll<Result<(), Stop>> {
        loop {
            if let Poll::Ready(ended) = self.poll_to_backend(cx, connection, io, link) {
                ended?;
            }
            if ready!(self.passing.poll(cx, input, io))? {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_more(cx, connection, io, link, input))?;
        }
    }

    /// Moves bytes of a tunnel to the backend. `Ready` when the client will send no more.
    fn poll_to_backend(
        &mut self,
        cx: &mut Context<'_>,
        connection: &Connection,
        io: &mut ClientIo,
        link: &mut Link,
    ) -> Poll<Result<(), Stop>> {
        let gone = |_error: io::Error| Stop::from(Fault::BackendClosed);
        while !self.is_client_done {
            io.grant().map_err(|_none| Fault::Internal)?;
            if !io.granted().is_empty() {
                let count = ready!(link.poll_write(cx, &[io::IoSlice::new(io.granted())]));
                io.pass(count.map_err(gone)?);
                report(connection, Event::RequestBody { is_last: false, is_kept: false })?;
                continue;
            }
            if let Poll::Ready(flushed) = link.poll_flush(cx) {
                flushed.map_err(gone)?;
            }
            match ready!(io.poll_body(cx)) {
                Ok(0) => {
                    // Half of it is closed: the backend may still have something to say.
                    ready!(link.poll_shutdown(cx)).map_err(gone)?;
                    self.is_client_done = true;
                }
                Ok(_) => {}
                Err(_) => return Poll::Ready(Err(Fault::ClientGone.into())),
            }
        }
        Poll::Ready(Ok(()))
    }
}
