//! Cut: connections that a demo backend can reset instead of answering on them.
//!
//! An HTTP library has no way to say "drop this connection", so the socket is wrapped: once
//! its [`Cut`] is pulled, the next write fails and the kernel sends a reset.

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// How long a failed accept (no descriptors left) waits before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Resets its connection once pulled.
#[derive(Clone, Debug, Default)]
pub(super) struct Cut(Arc<AtomicBool>);

impl Cut {
    /// The next write on the connection resets it.
    pub(super) fn pull(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Connected<IncomingStream<'_, CuttableListener>> for Cut {
    fn connect_info(stream: IncomingStream<'_, CuttableListener>) -> Self {
        stream.remote_addr().clone()
    }
}

/// Accepts connections that can be cut.
pub(super) struct CuttableListener(pub(super) TcpListener);

impl Listener for CuttableListener {
    type Io = Cuttable;
    type Addr = Cut;

    async fn accept(&mut self) -> (Cuttable, Cut) {
        loop {
            if let Ok((stream, _)) = self.0.accept().await {
                let cut = Cut::default();
                return (Cuttable { stream, cut: cut.clone() }, cut);
            }
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }

    fn local_addr(&self) -> io::Result<Cut> {
        Ok(Cut::default())
    }
}

/// A connection that can be cut.
pub(super) struct Cuttable {
    stream: TcpStream,
    cut: Cut,
}

impl Cuttable {
    /// The stream, or an error once the connection is to be cut.
    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        if self.cut.0.load(Ordering::Acquire) {
            // Closing without lingering is what makes it a reset.
            socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))?;
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(Pin::new(&mut self.stream))
    }
}

impl AsyncRead for Cuttable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream()?.poll_read(context, into)
    }
}

impl AsyncWrite for Cuttable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(context)
    }
}
