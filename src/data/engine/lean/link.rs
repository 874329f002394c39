//! A connection to a backend: a socket, plain or inside TLS.

use super::lane::Stop;
use super::{agreed, idle};
use crate::data::exchange::Action;
use crate::data::listener::accept;
use crate::data::listener::transport::Transport;
use crate::data::upstream::wire::Client;
use crate::data::upstream::{Attempt, Fault, Protocol as Spoken};
use crate::types::clock;
use rustls::pki_types::ServerName;
use socket2::{Domain, Protocol, Socket, Type};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A connection to a backend.
pub(super) struct Link {
    transport: Transport,
}

/// What may be offered to a backend that is asked by ALPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// HTTP/1.1 alone.
    Http1,
    /// HTTP/2 as well, where the pool leaves the choice to its backends.
    Http2,
}

/// A connection that is being made.
struct Connecting {
    socket: Option<TcpStream>,
}

impl Connecting {
    /// Begins to connect for `attempt`. The runtime must be entered.
    ///
    /// # Errors
    /// When there is no socket, or no way there.
    fn begin(attempt: &Attempt) -> Result<Self, Fault> {
        let address = attempt.backend.address;
        let begun = || {
            let kind = Type::STREAM.nonblocking().cloexec();
            let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
            accept::set_up(&socket)?;
            match socket.connect(&address.into()) {
                Err(error)
                    if error.raw_os_error()
                        != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) =>
                {
                    Err(error)
                }
                _ => TcpStream::from_std(socket.into()),
            }
        };
        begun().map(|socket| Self { socket: Some(socket) }).map_err(|error| fault_of(&error))
    }

    /// `Ready` when there is a connection, or none.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<TcpStream, Fault>> {
        let Some(socket) = &self.socket else { return Poll::Ready(Err(Fault::Internal)) };
        let ready = ready!(socket.poll_write_ready(cx));
        let error = ready.and_then(|()| socket.take_error());
        Poll::Ready(match error {
            Ok(None) => self.socket.take().ok_or(Fault::Internal),
            Ok(Some(error)) | Err(error) => Err(fault_of(&error)),
        })
    }
}

/// A connection for `attempt`, which begins `now`: kept or new, and whether it was used before.
///
/// # Errors
/// When there is none in time. When the backend chose HTTP/2: the same attempt is then what is
/// to be done, by another engine.
pub(super) async fn obtain(
    attempt: &Attempt,
    offer: Offer,
    now: Instant,
) -> Result<(Link, bool), Stop> {
    let kept = poll_fn(|cx| Poll::Ready(idle::take(attempt, now, cx))).await;
    match kept {
        Some(link) => Ok((link, true)),
        // Boxed: those that find one kept have no room for this.
        None => Box::pin(connect(attempt, offer)).await.map(|link| (link, false)),
    }
}

/// Keeps `link`, which has served `attempt`, for another request.
pub(super) fn keep(attempt: &Attempt, link: Link, now: Instant) {
    idle::put(attempt, link, now);
}

async fn connect(attempt: &Attempt, offer: Offer) -> Result<Link, Stop> {
    let mut connecting = Connecting::begin(attempt)?;
    let made = async {
        let socket = poll_fn(|cx| connecting.poll(cx)).await?;
        let transport = match &attempt.wire.tls {
            None => Transport::Plain(socket),
            Some(tls) => shake_hands(&tls.client, attempt, socket, offer).await?,
        };
        Ok(Link { transport })
    };
    let made = tokio::time::timeout(attempt.connect_timeout, made).await;
    let link = made.unwrap_or(Err(Fault::ConnectTimeout))?;
    if link.transport.is_http2_agreed() {
        agreed::note_http2(attempt);
        return Err(Stop::Action(Action::Attempt(attempt.clone())));
    }
    Ok(link)
}

/// TLS on `socket`.
async fn shake_hands(
    client: &Client,
    attempt: &Attempt,
    socket: TcpStream,
    offer: Offer,
) -> Result<Transport, Fault> {
    let address = attempt.backend.address.ip();
    let name = client.name.clone().unwrap_or_else(|| ServerName::IpAddress(address.into()));
    let connector = TlsConnector::from(Arc::clone(&client.config));
    let leaves_choice = offer == Offer::Http2 && attempt.wire.protocol == Spoken::Agreed;
    let shaken = match leaves_choice && agreed::may_be_http2(attempt, clock::now()) {
        true => {
            connector
                .with_alpn(vec![b"h2".to_vec(), b"http/1.1".to_vec()])
                .connect(name, socket)
                .await
        }
        false => connector.connect(name, socket).await,
    };
    match shaken {
        Ok(stream) => Ok(Transport::Tls(Box::new(stream.into()))),
        Err(error) => {
            tracing::warn!(backend = %attempt.backend.name, %error, "TLS handshake failed");
            agreed::forget(attempt);
            Err(Fault::TlsFailed)
        }
    }
}

/// Why there is no connection.
fn fault_of(error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Fault::ConnectRefused,
        io::ErrorKind::TimedOut => Fault::ConnectTimeout,
        _ => Fault::ConnectFailed,
    }
}

impl Link {
    /// Whether nothing has come since its last answer: neither its end nor anything else.
    /// Cost: no system call unless something came.
    pub(super) fn is_quiet(&mut self, cx: &mut Context<'_>) -> bool {
        let mut byte = [0];
        Pin::new(&mut self.transport).poll_read(cx, &mut ReadBuf::new(&mut byte)).is_pending()
    }

    /// Writes `parts` in one call: how many bytes left.
    ///
    /// # Errors
    /// When the backend takes no more.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let transport = Pin::new(&mut self.transport);
        let mut filled = parts.iter().filter(|part| !part.is_empty());
        let written = match (filled.next(), filled.next()) {
            (Some(only), None) => transport.poll_write(cx, only),
            _ => transport.poll_write_vectored(cx, parts),
        };
        match ready!(written)? {
            0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            count => Poll::Ready(Ok(count)),
        }
    }

    /// Sees to it that what was written has left.
    ///
    /// # Errors
    /// When the backend takes no more.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    /// Says that nothing more will come.
    ///
    /// # Errors
    /// When the connection is gone.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }
}

impl AsyncRead for Link {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_read(cx, buf)
    }
}
