//! Ports from the system that nobody else gets.
//!
//! A port is bound and held, but not listened on: the process under test may still listen on it
//! (both set SO_REUSEADDR), connecting to it is refused until then, and the system gives it to
//! nobody else, neither to listen nor to connect from.

use socket2::{Domain, Socket, Type};
use std::net::{Ipv4Addr, SocketAddr};

/// A port that is held until this is dropped.
#[derive(Debug)]
pub(crate) struct Port {
    /// Its address, on loopback.
    pub(crate) address: SocketAddr,
    _socket: Socket,
}

impl Port {
    /// A port that nobody uses. Connections to it are refused.
    pub(crate) fn take() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM.cloexec(), None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        Self { address, _socket: socket }
    }
}

/// An address where connecting takes for ever: its queue is full, so the system drops whatever
/// asks for a connection.
#[derive(Debug)]
pub(crate) struct BlackHole {
    /// The address.
    pub(crate) address: SocketAddr,
    _sockets: Vec<Socket>,
}

impl BlackHole {
    /// Listens with the shortest queue there is and fills it.
    pub(crate) fn open() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM.cloexec(), None).unwrap();
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let mut sockets = vec![listener];
        loop {
            assert!(sockets.len() < 64, "the queue of {address} does not fill");
            let socket = Socket::new(Domain::IPV4, Type::STREAM.cloexec(), None).unwrap();
            let is_full = socket.connect_timeout(&address.into(), super::ms(100)).is_err();
            sockets.push(socket);
            if is_full {
                return Self { address, _sockets: sockets };
            }
        }
    }
}
