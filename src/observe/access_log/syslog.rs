//! Lines to a syslog server: RFC 5424 messages in datagrams, or counted by octets over TCP.
//!
//! The socket is made when there is something to say and made anew after an error, TCP at
//! most once a second; what is to be said meanwhile is lost and counted by the caller.

use super::Target;
use super::sink::{Failure, Patience};
use crate::types::clock;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Facility `local0`, severity `info` (RFC 5424 §6.2.1).
const PRIORITY: u8 = 16 * 8 + 6;
/// Time to connect by TCP.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// Between two tries to reach a server.
const PAUSE: Duration = Duration::from_secs(1);

/// Where the server is.
enum Place {
    Unix(PathBuf),
    Udp(String),
    Tcp(String),
}

/// A way to the server.
enum Way {
    Unix(UnixDatagram),
    Udp(UdpSocket),
    Tcp(TcpStream),
}

/// A syslog server.
pub struct Syslog {
    place: Place,
    way: Option<Way>,
    /// When the server was last not there.
    missed: Option<Instant>,
    /// What names us in every message: between its time and its text.
    who: String,
    message: Vec<u8>,
}

impl Syslog {
    /// The server of `target`, if it is one.
    pub(super) fn new(target: &Target) -> Option<Self> {
        let place = match target {
            Target::SyslogUnix(path) => Place::Unix(path.clone()),
            Target::SyslogUdp(place) => Place::Udp(place.clone()),
            Target::SyslogTcp(place) => Place::Tcp(place.clone()),
            Target::Nothing | Target::Stdout | Target::File(_) => return None,
        };
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let is_plain = |c: char| c.is_ascii_graphic();
        let host: String = name.chars().filter(|c| is_plain(*c)).take(255).collect();
        let host = if host.is_empty() { "-" } else { &host };
        let who = format!(" {host} vanne {} access - ", std::process::id());
        Some(Self { place, way: None, missed: None, who, message: Vec::new() })
    }

    /// Sends each line of `batch` as a message.
    pub(super) fn write(&mut self, batch: &[u8], patience: &mut Patience) -> Result<(), Failure> {
        let time = jiff::Timestamp::try_from(clock::wall()).unwrap_or_default();
        let start = format!("<{PRIORITY}>1 {time:.6}{}", self.who);
        let (mut rest, mut lines_lost, mut last) = (batch, 0, None);
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, later) = rest.split_at_checked(end).unwrap_or_default();
            match self.send(&start, line, patience) {
                Ok(()) => {}
                // Without a server the rest need not be tried.
                Err(error) if self.way.is_none() => {
                    let rest = Failure::of(error, rest);
                    return Err(Failure { lines_lost: lines_lost + rest.lines_lost, ..rest });
                }
                Err(error) => {
                    lines_lost += 1;
                    last = Some(error);
                }
            }
            rest = later.get(1..).unwrap_or_default();
        }
        last.map_or(Ok(()), |error| Err(Failure { error, lines_lost }))
    }

    /// Sends one message; a socket that turns out broken is made anew once.
    fn send(&mut self, start: &str, line: &[u8], patience: &mut Patience) -> io::Result<()> {
        self.message.clear();
        if let Place::Tcp(_) = self.place {
            self.message.extend_from_slice(format!("{} ", start.len() + line.len()).as_bytes());
        }
        self.message.extend_from_slice(start.as_bytes());
        self.message.extend_from_slice(line);
        let was_there = self.way.is_some();
        match self.try_send(patience) {
            Err(error)
                if was_there && self.way.is_none() && error.kind() != io::ErrorKind::TimedOut =>
            {
                self.try_send(patience)
            }
            result => result,
        }
    }

    fn try_send(&mut self, patience: &mut Patience) -> io::Result<()> {
        let mut way = match self.way.take() {
            Some(way) => way,
            None => self.find()?,
        };
        let sent = way.send(&self.message, patience);
        // Too long for a datagram is not the server's fault.
        let is_broken = |error: &io::Error| {
            error.raw_os_error() != Some(rustix::io::Errno::MSGSIZE.raw_os_error())
        };
        if !sent.as_ref().is_err_and(is_broken) {
            self.way = Some(way);
        }
        sent
    }

    fn find(&mut self) -> io::Result<Way> {
        let now = clock::now();
        if self.missed.is_some_and(|missed| now.duration_since(missed) < PAUSE) {
            return Err(io::Error::new(
                io::ErrorKind::NotConnected,
                "the syslog server is not there",
            ));
        }
        let found = self.place.connect();
        self.missed = found.is_err().then_some(now);
        found
    }
}

impl Place {
    fn connect(&self) -> io::Result<Way> {
        match self {
            Self::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                socket.set_nonblocking(true)?;
                Ok(Way::Unix(socket))
            }
            Self::Udp(place) => {
                let server = resolve(place)?;
                let own: SocketAddr = match server {
                    SocketAddr::V4(_) => ([0; 4], 0).into(),
                    SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
                };
                let socket = UdpSocket::bind(own)?;
                socket.connect(server)?;
                socket.set_nonblocking(true)?;
                Ok(Way::Udp(socket))
            }
            Self::Tcp(place) => {
                let stream = TcpStream::connect_timeout(&resolve(place)?, CONNECT_MAX)?;
                stream.set_nonblocking(true)?;
                Ok(Way::Tcp(stream))
            }
        }
    }
}

fn resolve(place: &str) -> io::Result<SocketAddr> {
    let none = || io::Error::new(io::ErrorKind::NotFound, format!("{place} has no address"));
    place.to_socket_addrs()?.next().ok_or_else(none)
}

impl Way {
    fn send(&mut self, message: &[u8], patience: &mut Patience) -> io::Result<()> {
        let mut rest = message;
        loop {
            let sent = match self {
                Self::Unix(socket) => socket.send(rest),
                Self::Udp(socket) => socket.send(rest),
                Self::Tcp(stream) => stream.write(rest),
            };
            match sent {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait(patience)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    fn wait(&self, patience: &mut Patience) -> io::Result<()> {
        match self {
            Self::Unix(socket) => patience.wait(socket.as_fd()),
            Self::Udp(socket) => patience.wait(socket.as_fd()),
            Self::Tcp(stream) => patience.wait(stream.as_fd()),
        }
    }
}
