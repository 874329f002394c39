//! 1 · Accept: the listening sockets.
//!
//! One socket per listener for the whole process; every worker accepts from it and hands
//! a new connection to the worker with the fewest. A socket is never closed with
//! connections waiting in its queue: it is accepted from until it is empty first.
//! (Measured: closing one of two SO_REUSEPORT listeners reset 23 of 40 that waited.) So that
//! none comes between the last look and the close, the kernel drops new SYNs before: who sends
//! one tries again within a second, and finds the address closed or somebody else's.

use super::{Listener, Slot};
use socket2::{Domain, Protocol, SockAddr, SockFilter, SockRef, Socket, TcpKeepalive, Type};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// Connections the kernel may hold for us until they are accepted.
const BACKLOG: i32 = 4096;
/// Pause after an accept that failed for want of something (file descriptors, memory):
/// trying at once would only burn the CPU that could free it.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A silent connection is probed after so long, and then this often.
const PROBE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15));
/// What was sent and is not acknowledged, or not taken, for so long ends the connection.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(120);

/// Bytes of an answer that the kernel may hold unsent. Without it that is megabytes, and a
/// client that reads slowly but steadily looks like one that reads nothing until a third of
/// them are gone.
const UNSENT_BYTES_MAX: u32 = 128 * 1024;

/// Drops segments that ask for a new connection (SYN without ACK, RFC 9293 §3.5), in the
/// kernel's filter language (classic BPF; the segment begins with its TCP header).
const NO_NEW: [SockFilter; 5] = [
    SockFilter::new(0x30, 0, 0, 13),          // load the byte of flags
    SockFilter::new(0x54, 0, 0, 0b1_0010),    // keep ACK and SYN
    SockFilter::new(0x15, 0, 1, 0b0_0010),    // SYN alone? else skip one
    SockFilter::new(0x06, 0, 0, 0),           // drop
    SockFilter::new(0x06, 0, 0, 0xffff_ffff), // let pass
];

/// What every connection needs, a client's or a backend's: no waiting for more to send, and
/// word when the other side has gone without one. What is set on a listening socket holds for
/// all that are accepted from it.
///
/// # Errors
/// When an option is refused.
pub fn set_up(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&PROBE)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))
}

/// A listening socket.
pub struct ListeningSocket {
    /// The rules for its address.
    pub slot: Arc<Slot>,
    socket: Socket,
}

impl ListeningSocket {
    /// Binds the address of `rules` and listens.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn bind(rules: Listener) -> io::Result<Self> {
        let address = rules.address;
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM.nonblocking().cloexec(),
            Some(Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        set_up(&socket)?;
        socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(Self { slot: Arc::new(Slot::new(rules)), socket })
    }

    /// The same socket for one worker's runtime, which must be entered.
    ///
    /// # Errors
    /// When the descriptor cannot be copied or registered.
    pub fn acceptor(&self) -> io::Result<Acceptor> {
        let socket = TcpListener::from_std(self.socket.try_clone()?.into())?;
        Ok(Acceptor { slot: Arc::clone(&self.slot), socket })
    }
}

/// One worker's end of a listening socket.
pub struct Acceptor {
    /// The rules for its address.
    pub slot: Arc<Slot>,
    socket: TcpListener,
}

impl Acceptor {
    /// The next connection. Failures are logged and waited out.
    pub async fn accept(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.socket.accept().await {
                Ok(accepted) => return accepted,
                Err(error) if is_about_the_connection(&error) => {}
                Err(error) => {
                    tracing::error!(%error, listener = %self.slot.rules().id, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Before it is dropped: nothing new comes to the socket any more, and `take` gets what the
    /// kernel has accepted already. The runtime is not asked, as it may not have heard of it yet.
    pub fn empty(&self, mut take: impl FnMut(TcpStream, SocketAddr)) {
        let socket = SockRef::from(&self.socket);
        if let Err(error) = socket.attach_filter(&NO_NEW) {
            tracing::debug!(%error, "new connections may be reset while the listener closes");
        }
        loop {
            match socket.accept().and_then(adopt) {
                Ok((stream, address)) => take(stream, address),
                Err(error) if is_about_the_connection(&error) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    let listener = self.slot.rules().id.clone();
                    return tracing::error!(%error, %listener, "connections that waited are lost");
                }
            }
        }
    }
}

/// A connection that was accepted beside the runtime, as the runtime's.
fn adopt((socket, address): (Socket, SockAddr)) -> io::Result<(TcpStream, SocketAddr)> {
    socket.set_nonblocking(true)?;
    let address = address.as_socket().ok_or(io::ErrorKind::InvalidInput)?;
    Ok((TcpStream::from_std(socket.into())?, address))
}

/// The connection went before we took it: nothing is wrong with us.
fn is_about_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::listener::tests::plain;
    use std::net::TcpStream as Client;

    fn listening() -> ListeningSocket {
        let mut rules = Arc::into_inner(Arc::into_inner(plain()).unwrap()).unwrap();
        rules.address.set_port(0);
        ListeningSocket::bind(rules).unwrap()
    }

    #[tokio::test]
    async fn what_waits_is_taken_before_the_close_and_nothing_comes_after_it() {
        let socket = listening();
        let address = socket.socket.local_addr().unwrap().as_socket().unwrap();
        let acceptor = socket.acceptor().unwrap();
        // The runtime looks at no socket meanwhile.
        let waiting: Vec<_> = (0..3).map(|_| Client::connect(address).unwrap()).collect();
        let mut taken = Vec::new();
        acceptor.empty(|_, client| taken.push(client));
        let clients: Vec<_> = waiting.iter().map(|one| one.local_addr().unwrap()).collect();
        assert_eq!(taken, clients);
        let late = Client::connect_timeout(&address, Duration::from_millis(100));
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut, "it was let in");
        drop((acceptor, socket));
        let late = Client::connect(address);
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
