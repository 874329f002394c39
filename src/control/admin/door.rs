//! Doors: where the admin API is reached, a unix socket and an address, and who comes in.
//!
//! Each door takes so many connections at once, and closes one on which nothing comes for a
//! while: whoever opens connections and says nothing does not keep others out for long.

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

/// Connections that are open at one door at most; others wait to be accepted.
const CONNECTIONS_MAX: usize = 64;
/// How long nothing may come on a connection that is read from.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Pause after a connection could not be accepted: the system lacks something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The file of the admin socket. It goes when this is dropped.
pub struct SocketFile {
    path: PathBuf,
}

impl SocketFile {
    /// Listens at `path`. A socket that a process has left there is replaced.
    ///
    /// # Errors
    /// When something else is there, a process listens there, or it cannot be made.
    pub fn bind(path: &Path) -> io::Result<(Self, Door)> {
        match std::fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "not a socket"));
            }
            Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "a process listens there"));
            }
            Ok(_) => std::fs::remove_file(path)?,
            Err(_) => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok((Self { path: path.to_owned() }, Door::new(Listening::Socket(listener))))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "admin socket not removed");
        }
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A process of this user, by the socket; `None` if the system does not say which.
    Socket(Option<u32>),
    /// Somebody at this address.
    Address(IpAddr),
}

/// A place that is listened at.
pub struct Door {
    listening: Listening,
    places: Arc<Semaphore>,
}

enum Listening {
    Socket(UnixListener),
    Address(TcpListener),
}

impl Door {
    /// Listens on `address`.
    ///
    /// # Errors
    /// When the system does not let us.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        Ok(Self::new(Listening::Address(TcpListener::bind(address).await?)))
    }

    fn new(listening: Listening) -> Self {
        Self { listening, places: Arc::new(Semaphore::new(CONNECTIONS_MAX)) }
    }

    async fn next(&self) -> io::Result<(Stream, Peer)> {
        Ok(match &self.listening {
            Listening::Socket(listener) => {
                let (stream, _) = listener.accept().await?;
                let user = stream.peer_cred().ok().map(|credentials| credentials.uid());
                (Stream::Socket(stream), Peer::Socket(user))
            }
            Listening::Address(listener) => {
                let (stream, peer) = listener.accept().await?;
                (Stream::Address(stream), Peer::Address(peer.ip().to_canonical()))
            }
        })
    }
}

impl Listener for Door {
    type Io = Connection;
    type Addr = Peer;

    async fn accept(&mut self) -> (Connection, Peer) {
        loop {
            // Never closed, so there is always a place sooner or later.
            let place = Arc::clone(&self.places).acquire_owned().await.ok();
            match self.next().await {
                Ok((stream, peer)) => {
                    let silence = Box::pin(sleep(SILENCE_MAX));
                    return (Connection { stream, silence, _place: place }, peer);
                }
                Err(error) => {
                    tracing::warn!(%error, "admin: connection not accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Peer> {
        Ok(match &self.listening {
            Listening::Socket(_) => Peer::Socket(None),
            Listening::Address(listener) => Peer::Address(listener.local_addr()?.ip()),
        })
    }
}

impl Connected<IncomingStream<'_, Door>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        *stream.remote_addr()
    }
}

enum Stream {
    Socket(UnixStream),
    Address(TcpStream),
}

/// A connection that came in, with its place.
pub struct Connection {
    stream: Stream,
    silence: Pin<Box<Sleep>>,
    _place: Option<OwnedSemaphorePermit>,
}

/// Calls a method of whichever stream it is.
macro_rules! stream {
    ($connection:expr, $stream:ident => $call:expr) => {
        match &mut $connection.stream {
            Stream::Socket($stream) => $call,
            Stream::Address($stream) => $call,
        }
    };
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Poll::Ready(read) = stream!(this, s => Pin::new(s).poll_read(context, buffer)) {
            this.silence.set(sleep(SILENCE_MAX));
            return Poll::Ready(read);
        }
        ready!(this.silence.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        stream!(self, s => Pin::new(s).poll_write(context, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        stream!(self, s => Pin::new(s).poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        stream!(self, s => Pin::new(s).poll_shutdown(context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_for_a_while_loses_the_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let (file, mut door) = SocketFile::bind(&path).unwrap();
        let mut client = UnixStream::connect(&path).await.unwrap();
        let (mut connection, peer) = door.accept().await;
        assert_eq!(peer, Peer::Socket(Some(rustix::process::getuid().as_raw())));
        assert_eq!(door.places.available_permits(), CONNECTIONS_MAX - 1);
        client.write_all(b"x").await.unwrap();
        assert_eq!(connection.read_u8().await.unwrap(), b'x');
        let error = connection.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(connection);
        assert_eq!(door.places.available_permits(), CONNECTIONS_MAX);
        drop(file);
        assert!(!path.exists());
    }
}
