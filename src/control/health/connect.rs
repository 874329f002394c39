//! A connection to a backend, for one check.
//!
//! Each check opens its own and closes it: a connection that is open already says nothing about
//! whether the backend takes new ones, and outlives a process behind a balancer of its own, a
//! changed firewall and an expired certificate.

use super::check::Check;
use super::tls;
use parking_lot::Mutex;
use rustix::io::Errno;
use rustls::pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A connection, with TLS or not.
pub(super) type Stream = Box<dyn ReadWrite>;

/// Bytes both ways.
pub(super) trait ReadWrite: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ReadWrite for T {}

/// Why a check did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The backend is to blame, or the way to it.
    Backend(String),
    /// We are: nothing is known about the backend.
    Own(String),
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self::Backend(why)
    }
}

/// What a check waits for just now: says where it was when its time was over.
pub(super) struct Stage(Mutex<&'static str>);

impl Stage {
    /// Nothing was begun.
    pub(super) fn new() -> Self {
        Self(Mutex::new("connecting"))
    }

    /// From now on it waits for this.
    pub(super) fn enter(&self, what: &'static str) {
        *self.0.lock() = what;
    }

    /// What it waits for.
    pub(super) fn now(&self) -> &'static str {
        *self.0.lock()
    }
}

/// Connects to `address`, and shakes hands if the check speaks TLS.
pub(super) async fn connect(
    check: &Check,
    address: SocketAddr,
    stage: &Stage,
) -> Result<Stream, Failure> {
    let stream = TcpStream::connect(address).await.map_err(|error| failure(&error))?;
    // Where it cannot be had, the check is only slower.
    drop(stream.set_nodelay(true));
    let Some(tls) = &check.tls else { return Ok(Box::new(stream)) };
    stage.enter("in the TLS handshake");
    let name = tls.name.clone().unwrap_or_else(|| ServerName::from(address.ip()));
    let connector = TlsConnector::from(tls.config.clone());
    let stream =
        connector.connect(name.clone(), stream).await.map_err(|error| tls::words(&error, &name))?;
    if check.is_http2() && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err("tls: the backend does not agree to h2 (ALPN)".to_owned().into());
    }
    Ok(Box::new(stream))
}

fn failure(error: &io::Error) -> Failure {
    const OURS: [Errno; 5] =
        [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL];
    let is_ours = Errno::from_io_error(error).is_some_and(|errno| OURS.contains(&errno));
    let why = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connect: reset".to_owned(),
        io::ErrorKind::HostUnreachable => "connect: no route to the host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "connect: no route to the network".to_owned(),
        io::ErrorKind::TimedOut => "connect: the system gave up".to_owned(),
        _ => format!("connect: {error}"),
    };
    if is_ours { Failure::Own(format!("not checked: {why}")) } else { Failure::Backend(why) }
}

/// An error of a connection that was open, in words.
pub(super) fn words(error: &io::Error, place: &str) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionReset => format!("connection reset {place}"),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => {
            format!("connection closed {place}")
        }
        _ => format!("connection failed {place}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_lack_is_not_the_backends_fault() {
        let fails = |errno: Errno| failure(&io::Error::from_raw_os_error(errno.raw_os_error()));
        assert_eq!(fails(Errno::CONNREFUSED), Failure::Backend("connect: refused".into()));
        assert!(
            matches!(fails(Errno::HOSTUNREACH), Failure::Backend(why) if why.contains("route"))
        );
        for errno in [Errno::MFILE, Errno::ADDRNOTAVAIL] {
            assert!(matches!(fails(errno), Failure::Own(why) if why.starts_with("not checked")));
        }
    }
}
