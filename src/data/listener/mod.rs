//! 1 · Listener: where clients come in, and what is checked before anything else.
//!
//! `accept` owns the listening sockets, `connection` a client's connection between
//! and during requests, `admit` the first look at a request's head.

pub mod accept;
pub mod admit;
pub mod carrier;
mod client_io;
pub mod connection;
pub mod registry;
pub mod stream;
pub mod stream_head;
pub mod transport;

use crate::types::ids::ListenerId;
use http::HeaderValue;
use prometheus::{IntCounter, IntGauge};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Time limits on the client's side. All are set; none is infinite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From a request's first byte to the end of its head; bytes do not restart it.
    pub head: Duration,
    /// A connection that waits for its next request for so long is closed.
    pub idle: Duration,
    /// Between two reads of a body from the client, or writes to it.
    pub between_bytes: Duration,
}

/// The versions of HTTP that a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocols {
    /// HTTP/1.0 and HTTP/1.1.
    pub http1: bool,
    /// HTTP/2: by ALPN on TLS, by prior knowledge in plain text.
    pub http2: bool,
}

/// A listener's rules and counts, shared by all workers.
pub struct Listener {
    /// Its name.
    pub id: ListenerId,
    /// Where it listens.
    pub address: SocketAddr,
    /// Open connections it takes, over all workers.
    pub max_connections: u32,
    /// Time limits.
    pub timeouts: Timeouts,
    /// What is spoken here.
    pub protocols: Protocols,
    /// Streams that an HTTP/2 connection may have open at once.
    pub http2_streams_max: u32,
    /// Connections open now.
    pub open: AtomicUsize,
    /// `vanne_connections_open`.
    pub open_gauge: IntGauge,
    /// `vanne_connections_accepted_total`.
    pub accepted: IntCounter,
}

/// A place among a listener's open connections. Gives it back when dropped.
pub struct Place(Arc<Listener>);

impl Place {
    /// Takes a place, or `None` when `max_connections` are open.
    #[must_use]
    pub fn take(listener: &Arc<Listener>) -> Option<Self> {
        let open = listener.open.fetch_add(1, Ordering::Relaxed);
        if open >= usize::try_from(listener.max_connections).unwrap_or(usize::MAX) {
            listener.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        listener.open_gauge.inc();
        Some(Self(Arc::clone(listener)))
    }

    /// A place beyond `max_connections`, for a connection that is only told so.
    #[must_use]
    pub fn beyond(listener: &Arc<Listener>) -> Self {
        listener.open.fetch_add(1, Ordering::Relaxed);
        listener.open_gauge.inc();
        Self(Arc::clone(listener))
    }

    /// The listener.
    #[must_use]
    pub fn listener(&self) -> &Arc<Listener> {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.open_gauge.dec();
    }
}

/// Who is at the other end of a client connection. Made once per connection.
pub struct Client {
    /// Its address.
    pub address: SocketAddr,
    /// The address as the value of `X-Forwarded-For`.
    pub forwarded_for: HeaderValue,
    /// The port it came in by, as the value of `X-Forwarded-Port`.
    pub forwarded_port: HeaderValue,
}

impl Client {
    /// The client at `address`, which came in by `port`.
    #[must_use]
    pub fn new(address: SocketAddr, port: u16) -> Self {
        let ip = address.ip().to_canonical();
        Self {
            address: SocketAddr::new(ip, address.port()),
            // The text of an address is always a header value.
            forwarded_for: HeaderValue::from_str(&ip.to_string())
                .unwrap_or(HeaderValue::from_static("unknown")),
            forwarded_port: HeaderValue::from(port),
        }
    }
}
