//! A backend's connection for an engine that reads answers itself: it reads none that our own
//! codec would refuse.
//!
//! It serves one request. What the backend says is checked as the lanes check it, before it may
//! be read: a head once it is whole, a body as it comes; an answer is followed by the end of
//! the stream, whatever else has come. An engine that asks for more after the end gives the
//! connection back, and it is kept as one of the lanes' own.

use super::input::Input;
use super::lane::Stop;
use super::link::{self, Link, Offer};
use super::passing::Passing;
use super::reply_head::ReplyHead;
use crate::data::upstream::{Attempt, Fault};
use crate::types::clock;
use std::io;
use std::task::{Context, Poll, ready};
use tokio::io::ReadBuf;

/// What is read at once. The engine keeps up to ten such parts of an answer that its client does
/// not take.
const PART_BYTES_MAX: usize = 16 * 1024;

/// What an answer is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// A head is due: informational or final.
    Head,
    /// So many bytes of an informational head were not read yet.
    Informational(usize),
    /// The same of a final one, or of one that opens a tunnel.
    Final(usize),
    /// What follows it.
    Body,
}

/// A connection whose answer is checked.
pub struct Checked {
    /// Gone when it was given back.
    link: Option<Link>,
    attempt: Attempt,
    is_to_head: bool,
    input: Input,
    at: At,
    head: ReplyHead,
    passing: Passing,
    /// Whoever wrote the request says that it may carry another one, as far as he knows.
    is_given_back: bool,
    /// He will write no more.
    is_shut: bool,
}

impl Checked {
    /// A connection for `attempt`, kept or new, and whether it was used before. The request will
    /// be HEAD, or not.
    ///
    /// # Errors
    /// When there is none in time, or the backend chose HTTP/2: the attempt is then for another
    /// engine.
    pub async fn connect(
        attempt: Attempt,
        is_to_head: bool,
        offer: Offer,
    ) -> Result<(Self, bool), Stop> {
        let (link, is_reused) = link::obtain(&attempt, offer, clock::now()).await?;
        let checked = Self {
            link: Some(link),
            attempt,
            is_to_head,
            input: Input::default(),
            at: At::Head,
            head: ReplyHead::default(),
            passing: Passing::Done,
            is_given_back: false,
            is_shut: false,
        };
        Ok((checked, is_reused))
    }

    /// How many bytes may be read now: 0 at the end of the answer.
    fn poll_checked(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Fault>> {
        loop {
            let count = self.look()?;
            if count > 0 || self.is_over() {
                return Poll::Ready(Ok(count));
            }
            let link = self.link.as_mut().ok_or(Fault::Internal)?;
            match ready!(self.input.poll_fill_some(cx, link, PART_BYTES_MAX)) {
                Ok(0) if self.at == At::Body && self.passing == Passing::UntilClose => {
                    self.passing = Passing::Done;
                }
                Ok(0) | Err(_) => return Poll::Ready(Err(self.input.closed())),
                Ok(_) => {}
            }
        }
    }

    fn is_over(&self) -> bool {
        self.at == At::Body && self.passing == Passing::Done
    }

    /// How many of the bytes that are here may be read.
    fn look(&mut self) -> Result<usize, Fault> {
        match self.at {
            At::Head => self.look_at_head(),
            At::Informational(left) | At::Final(left) => Ok(left),
            // Chunks pass as they came, and their trailers with them.
            At::Body => self.passing.look(&mut self.input, &mut Vec::new()),
        }
    }

    fn look_at_head(&mut self) -> Result<usize, Fault> {
        let Some(length) = self.head.read(&self.input, self.is_to_head)? else { return Ok(0) };
        let index = &self.head.index;
        self.at = match index.status {
            101 => At::Final(length),
            100..=199 => At::Informational(length),
            _ => At::Final(length),
        };
        self.passing = match index.status {
            // Bytes of a tunnel are nobody's but the two ends' own.
            101 => Passing::UntilClose,
            _ => Passing::of(index.body),
        };
        Ok(length)
    }

    /// So many bytes were read.
    fn pass(&mut self, count: usize) {
        self.input.consume(count);
        self.at = match self.at {
            At::Informational(left) if left > count => At::Informational(left - count),
            At::Informational(_) | At::Head => At::Head,
            At::Final(left) if left > count => At::Final(left - count),
            At::Final(_) => At::Body,
            At::Body => {
                self.passing.passed(count);
                At::Body
            }
        };
    }

    /// Whether the connection may carry another request.
    fn is_clean(&self) -> bool {
        let index = &self.head.index;
        let is_whole = self.is_over() && self.input.bytes().is_empty();
        self.is_given_back && !self.is_shut && is_whole && index.keeps_alive && index.status != 101
    }

    /// Reads what of the answer is sound; nothing at its end.
    ///
    /// # Errors
    /// When what comes is no answer, or is none before its end. It stays so.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<(), Fault>> {
        let is_asked_again = self.is_over();
        let count = ready!(self.poll_checked(cx))?.min(buf.remaining());
        self.is_given_back |= is_asked_again;
        buf.put_slice(self.input.bytes().get(..count).unwrap_or_default());
        self.pass(count);
        Poll::Ready(Ok(()))
    }

    /// Writes of the request: how many bytes left.
    ///
    /// # Errors
    /// When the backend takes no more.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.link()?.poll_write(cx, &[io::IoSlice::new(bytes)])
    }

    /// Sees to it that what was written has left.
    ///
    /// # Errors
    /// When the backend takes no more.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.link()?.poll_flush(cx)
    }

    /// Says that nothing more will come: the connection is of no further use.
    ///
    /// # Errors
    /// When it is gone.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_shut = true;
        self.link()?.poll_shutdown(cx)
    }

    fn link(&mut self) -> io::Result<&mut Link> {
        self.link.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for Checked {
    fn drop(&mut self) {
        if self.is_clean()
            && let Some(link) = self.link.take()
        {
            link::keep(&self.attempt, link, clock::now());
        }
    }
}
