//! 1 · The bytes of an HTTP/2 connection, for whoever reads its frames.
//!
//! A meter looks at them as they pass. Once it has found a flood nothing more is read. What is
//! written is collected, over the streams: the library would write each DATA frame by itself.
//! Whoever drives it sees to it that it leaves.

use super::carrier::Carrier;
use super::connection::Connection;
use super::frame_meter::FrameMeter;
use crate::types::clock;
use crate::types::own::Own;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// An HTTP/2 connection's bytes: those of the socket, those read ahead first.
pub struct StreamBytes {
    connection: Arc<Connection>,
    meter: Arc<Own<FrameMeter>>,
}

impl StreamBytes {
    /// The bytes of `connection`, which `meter` looks at.
    #[must_use]
    pub fn new(connection: Arc<Connection>, meter: Arc<Own<FrameMeter>>) -> Self {
        Self { connection, meter }
    }

    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = &written {
            self.meter.get().wrote(*count);
        }
        written
    }
}

impl tokio::io::AsyncRead for StreamBytes {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.meter.get().found().is_some() {
            // Nobody is woken: who polls looks at the meter next.
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(self.connection.poll_read(cx, buf))?;
        let read = buf.filled().get(before..).unwrap_or_default();
        self.meter.get().read(read, clock::now());
        Poll::Ready(Ok(()))
    }
}

impl tokio::io::AsyncWrite for StreamBytes {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.wrote(self.connection.poll_write(cx, &[io::IoSlice::new(bytes)]))
    }

    fn poll_write_vectored(
        self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.wrote(self.connection.poll_write(cx, parts))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Nothing: the library asks for it after each frame.
    fn poll_flush(self: std::pin::Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.connection.poll_flush(cx))?;
        self.connection.poll_shutdown(cx)
    }
}
