//! 1 · The bytes of an HTTP/2 connection, for whoever reads its frames.

use super::carrier::Carrier;
use super::connection::Connection;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// An HTTP/2 connection's bytes: those of the socket, those read ahead first.
pub struct StreamBytes(pub Arc<Connection>);

impl tokio::io::AsyncRead for StreamBytes {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.poll_read(cx, buf)
    }
}

impl tokio::io::AsyncWrite for StreamBytes {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write_through(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write_through(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(cx)
    }

    fn poll_shutdown(self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.0.poll_flush(cx))?;
        self.0.poll_shutdown(cx)
    }
}
