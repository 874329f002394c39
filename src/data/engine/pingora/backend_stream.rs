//! A backend's connection as Pingora wants to see it: one of our own, whose answer was checked.
//!
//! Pingora's parser makes good what is wrong with an answer (bare line ends, two framings,
//! chunks and trailers that are none) before a hook hears of it, so it gets no such answer. Its
//! pool is for sockets of its own; ours go back to the worker's other kept ones.

use crate::data::engine::lean::{Checked, Offer, Stop};
use crate::data::upstream::{Attempt, Fault};
use async_trait::async_trait;
use pingora_core::connectors::l4::Connect;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora_error::{Error, ErrorType, Result};
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What Pingora cannot tell of a connection that is not its own.
#[derive(Default)]
pub(super) struct Report {
    /// What went wrong first.
    fault: OnceLock<Fault>,
    is_reused: OnceLock<bool>,
    /// The attempt, if it cannot be made like this.
    again: OnceLock<Attempt>,
}

impl Report {
    /// What went wrong first, if anything.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault.get().copied()
    }

    /// Whether the connection was used before.
    pub(super) fn is_reused(&self) -> bool {
        self.is_reused.get() == Some(&true)
    }

    /// The attempt, if the backend chose HTTP/2 only now: then it has to be made once more.
    pub(super) fn again(&self) -> Option<&Attempt> {
        self.again.get()
    }

    fn note<T>(&self, result: Result<T, Fault>) -> Option<T> {
        result.map_err(|fault| self.fault.get_or_init(|| fault)).ok()
    }
}

/// How a connection is had for one attempt.
pub(super) struct Connecting {
    /// The attempt.
    pub(super) attempt: Attempt,
    /// Whether the request is HEAD.
    pub(super) is_to_head: bool,
    /// Where the rest is told.
    pub(super) report: Arc<Report>,
}

impl fmt::Debug for Connecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connecting({})", self.attempt.backend.address)
    }
}

#[async_trait]
impl Connect for Connecting {
    async fn connect(&self, _: &SocketAddr) -> Result<Stream> {
        let attempt = self.attempt.clone();
        let connected = Checked::connect(attempt, self.is_to_head, Offer::Http2).await;
        let connected = connected.or_else(|stop| match stop {
            Stop::Fault(fault) => self.report.note(Err(fault)).ok_or(()),
            Stop::Action(_) => {
                self.report.again.get_or_init(|| self.attempt.clone());
                Err(())
            }
        });
        let (checked, is_reused) =
            connected.map_err(|()| Error::new_up(ErrorType::ConnectError))?;
        self.report.is_reused.get_or_init(|| is_reused);
        let report = Arc::clone(&self.report);
        let stream = BackendStream { address: self.attempt.backend.address, checked, report };
        Ok(VirtualSocketStream::new(Box::new(stream)).into())
    }
}

/// A connection whose answer is checked.
struct BackendStream {
    address: std::net::SocketAddr,
    checked: Checked,
    report: Arc<Report>,
}

impl fmt::Debug for BackendStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BackendStream({})", self.address)
    }
}

impl VirtualSocket for BackendStream {
    /// Nothing: it was set up when it was made.
    fn set_socket_option(&self, _: VirtualSockOpt) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for BackendStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = ready!(this.checked.poll_read(cx, buf));
        Poll::Ready(this.report.note(read).ok_or_else(|| io::ErrorKind::InvalidData.into()))
    }
}

impl AsyncWrite for BackendStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().checked.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().checked.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().checked.poll_shutdown(cx)
    }
}
