//! 1 · Listener: where clients come in, and what is checked before anything else.
//!
//! `accept` owns the listening sockets, `connection` a client's connection between
//! and during requests, `blocklist` who may not come in, `places` where addresses are, `admit` the
//! first look at a request's head, `path_policy` that at its path.

pub mod accept;
pub mod admit;
pub mod automatic;
pub mod blocklist;
pub mod body_ahead;
pub mod carrier;
pub mod client;
mod client_body;
pub(in crate::data) mod client_io;
mod client_out;
pub mod connection;
mod connection_rate;
pub mod frame_meter;
pub(in crate::data) mod kept_bytes;
pub mod path_policy;
pub mod places;
pub mod redirect;
pub mod registry;
pub(in crate::data) mod spare;
pub mod stream;
pub mod stream_bytes;
pub mod stream_head;
pub mod tls;
pub mod transport;

use crate::observe::metrics::{
    CONNECTIONS_ACCEPTED, CONNECTIONS_OPEN, CONNECTIONS_REFUSED, Counter, Gauge, HTTP2_FLOODS,
    LISTENER_REQUESTS, Metrics, own_worker,
};
use crate::types::ids::ListenerId;
pub use client::Client;
pub use connection_rate::ConnectionRate;

use super::page::ErrorPages;
use crossbeam_utils::CachePadded;
use frame_meter::Flood;
use ipnet::IpNet;
use parking_lot::Mutex;
use path_policy::PathPolicy;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tls::Terminator;
use vanne_filters::Version;

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

impl Protocols {
    /// What is offered by ALPN, in order of preference.
    #[must_use]
    pub fn alpn(self) -> Vec<Vec<u8>> {
        let h2 = self.http2.then(|| b"h2".to_vec());
        let old = self.http1.then(|| b"http/1.1".to_vec());
        h2.into_iter().chain(old).collect()
    }
}

/// A listener's rules, as one config says them. Immutable.
pub struct Listener {
    /// Its name.
    pub id: ListenerId,
    /// Where it listens.
    pub address: SocketAddr,
    /// Open connections it takes, over all workers.
    pub max_connections: u32,
    /// How often one address may connect, if there is a limit.
    pub connection_rate: Option<ConnectionRate>,
    /// Time limits.
    pub timeouts: Timeouts,
    /// What is spoken here.
    pub protocols: Protocols,
    /// TLS, if it is spoken.
    pub tls: Option<Terminator>,
    /// The port of HTTPS that clients are sent to, if they are.
    pub redirect_to: Option<u16>,
    /// What is done about paths that a backend could read otherwise than the routes do.
    pub paths: PathPolicy,
    /// Networks whose word about the client is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Networks of clients that are told why they got their answer, if they ask.
    pub explain_to: Vec<IpNet>,
    /// Pages for what is refused here.
    pub error_pages: ErrorPages,
    /// Streams that an HTTP/2 connection may have open at once.
    pub http2_streams_max: u32,
    /// What is counted about it; the same over reloads.
    pub counts: Arc<Counts>,
}

/// What is counted about a listener, shared by all workers.
#[derive(Default)]
pub struct Counts {
    /// Connections open now.
    open: AtomicUsize,
    /// `vanne_connections_open`.
    open_gauge: Gauge,
    /// `vanne_connections_accepted_total`.
    pub accepted: Counter,
    /// `vanne_connections_refused_total`: more than `max_connections`.
    pub too_many: Counter,
    /// The same: more often than `connection_rate`.
    pub too_often: Counter,
    /// `vanne_http2_floods_total`, in the order of [`Flood::ALL`].
    floods: [Counter; Flood::ALL.len()],
    /// `vanne_listener_requests_total`, in the order of [`PROTOCOLS`].
    requests: [Counter; PROTOCOLS.len()],
}

/// How requests come, as metrics name it; the last if it cannot be known.
const PROTOCOLS: [&str; 4] = ["http/1.0", "http/1.1", "http/2", "unknown"];

impl Counts {
    /// Nothing so far, for the listener called `name`.
    #[must_use]
    pub fn new(metrics: &Metrics, name: &str) -> Self {
        let mut group = metrics.group();
        Self {
            open: AtomicUsize::new(0),
            open_gauge: group.handle(&CONNECTIONS_OPEN, [name]),
            accepted: group.handle(&CONNECTIONS_ACCEPTED, [name]),
            too_many: group.handle(&CONNECTIONS_REFUSED, [name, "too_many_connections"]),
            too_often: group.handle(&CONNECTIONS_REFUSED, [name, "connection_rate"]),
            floods: Flood::ALL.map(|one| group.handle(&HTTP2_FLOODS, [name, one.as_str()])),
            requests: PROTOCOLS.map(|one| group.handle(&LISTENER_REQUESTS, [name, one])),
        }
    }

    /// Counts a request that came by this version of HTTP.
    pub fn count_request(&self, version: Option<Version>) {
        let [http10, http11, http2, unknown] = &self.requests;
        match version {
            Some(Version::Http10) => http10.inc(),
            Some(Version::Http11) => http11.inc(),
            Some(Version::Http2) => http2.inc(),
            None => unknown.inc(),
        }
    }

    /// Counts a connection of HTTP/2 that was ended for this.
    pub fn count_flood(&self, flood: Flood) {
        let [frames, resets, library] = &self.floods;
        match flood {
            Flood::Frames => frames.inc(),
            Flood::Resets => resets.inc(),
            Flood::Library => library.inc(),
        }
    }

    /// Connections open now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

/// A worker's own reference to a listener's rules: cloning it touches no other worker's memory.
pub type LocalListener = Arc<Arc<Listener>>;

/// References to a listener's rules that a slot has; workers beyond them share some.
const REFERENCES: usize = 16;

/// An address that is listened on, with the rules that hold for it now.
pub struct Slot {
    rules: [CachePadded<Mutex<LocalListener>>; REFERENCES],
    /// Counts how often they were replaced.
    version: AtomicUsize,
    is_closed: AtomicBool,
}

impl Slot {
    /// A slot with these rules.
    #[must_use]
    pub fn new(rules: Listener) -> Self {
        let rules = Arc::new(rules);
        let own = |_| CachePadded::new(Mutex::new(Arc::new(Arc::clone(&rules))));
        Self {
            rules: std::array::from_fn(own),
            version: AtomicUsize::new(0),
            is_closed: AtomicBool::new(false),
        }
    }

    /// The rules that hold now.
    /// Cost: a lock that hardly anybody else takes, and one atomic addition.
    #[must_use]
    pub fn rules(&self) -> LocalListener {
        let [first, ..] = &self.rules;
        Arc::clone(&self.rules.get(own_worker() % REFERENCES).unwrap_or(first).lock())
    }

    /// From now on these rules hold.
    pub fn replace(&self, rules: Listener) {
        let rules = Arc::new(rules);
        for own in &self.rules {
            *own.lock() = Arc::new(Arc::clone(&rules));
        }
        self.version.fetch_add(1, Ordering::Release);
    }

    /// What changes whenever the rules do.
    #[must_use]
    pub fn version(&self) -> usize {
        self.version.load(Ordering::Acquire)
    }

    /// Nobody listens any more: connections that are left end soon.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    /// Whether nobody listens any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }
}

/// A place among a listener's open connections. Gives it back when dropped.
pub struct Place {
    slot: Arc<Slot>,
    counts: Arc<Counts>,
}

impl Place {
    /// Takes a place, or `None` when `max_connections` are open.
    #[must_use]
    pub fn take(slot: &Arc<Slot>) -> Option<Self> {
        let rules = slot.rules();
        let open = rules.counts.open.fetch_add(1, Ordering::Relaxed);
        if open >= usize::try_from(rules.max_connections).unwrap_or(usize::MAX) {
            rules.counts.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        rules.counts.open_gauge.inc();
        Some(Self { slot: Arc::clone(slot), counts: Arc::clone(&rules.counts) })
    }

    /// A place beyond `max_connections`, for a connection that is only told so.
    #[must_use]
    pub fn beyond(slot: &Arc<Slot>) -> Self {
        let counts = Arc::clone(&slot.rules().counts);
        counts.open.fetch_add(1, Ordering::Relaxed);
        counts.open_gauge.inc();
        Self { slot: Arc::clone(slot), counts }
    }

    /// The slot.
    #[must_use]
    pub fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.counts.open.fetch_sub(1, Ordering::Relaxed);
        self.counts.open_gauge.dec();
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A listener without TLS, rules or trust: head 10 s, idle 60 s, between bytes 30 s.
    pub(crate) fn plain() -> LocalListener {
        let seconds = Duration::from_secs;
        let timeouts =
            Timeouts { head: seconds(10), idle: seconds(60), between_bytes: seconds(30) };
        Arc::new(Arc::new(Listener {
            id: "http".parse().unwrap(),
            address: "127.0.0.1:80".parse().unwrap(),
            max_connections: 10,
            connection_rate: None,
            timeouts,
            protocols: Protocols { http1: true, http2: true },
            tls: None,
            redirect_to: None,
            paths: PathPolicy::default(),
            trusted_proxies: Vec::new(),
            explain_to: Vec::new(),
            error_pages: ErrorPages::default(),
            http2_streams_max: 100,
            counts: Arc::default(),
        }))
    }
}
