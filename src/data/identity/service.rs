//! A service that is asked by GET, over connections that are kept between two requests.
//!
//! HTTP/1.1, plain or by TLS. Each worker has connections of its own, driven by its own runtime: no
//! request waits for another worker's turn. No redirects, no cookies of its own: what comes back is
//! what the caller makes of it. Answers are bounded, time is the caller's matter.

use crate::data::listener::transport::Transport;
use crate::observe::metrics::own_worker;
use crate::types::clock;
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use crossbeam_utils::CachePadded;
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Uri};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The longest body of an answer that is taken.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// The longest head of an answer.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Workers with connections of their own; those beyond them share some.
const POOLS: usize = 16;
/// Connections that a worker keeps.
const IDLE_MAX: usize = 32;
/// How long a connection is kept that nobody uses.
const IDLE_TIME_MAX: Duration = Duration::from_secs(60);

/// Where a service is.
pub struct Site {
    /// Its name or address, without brackets.
    pub host: Box<str>,
    /// Its port.
    pub port: u16,
    /// What it is asked for in `Host`.
    pub authority: HeaderValue,
    /// What is asked for.
    pub path: PathAndQuery,
    /// The name that it must prove by TLS; `None`: plain text.
    pub name: Option<ServerName<'static>>,
}

/// A service.
pub struct Service {
    site: Site,
    /// Whom to believe that it is who it is.
    tls: ArcSwapOption<ClientConfig>,
    idle: [CachePadded<Mutex<Vec<Kept>>>; POOLS],
}

/// A connection that waits for the next request.
struct Kept {
    sender: Sender,
    since: Instant,
}

type Sender = SendRequest<Empty<Bytes>>;

/// What a service answered.
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The fields.
    pub fields: HeaderMap,
    /// The body; `None`: it is longer than is taken.
    pub body: Option<Bytes>,
}

impl Service {
    /// The service at `site`; nothing is connected yet.
    #[must_use]
    pub fn new(site: Site) -> Self {
        let idle = std::array::from_fn(|_| CachePadded::default());
        Self { site, tls: ArcSwapOption::empty(), idle }
    }

    /// Connections from now on are with who proves by `tls` that it is the one.
    pub fn believe(&self, tls: Arc<ClientConfig>) {
        self.tls.store(Some(tls));
    }

    /// Asks with these fields. A connection that turns out to be closed is replaced by a new one:
    /// to ask twice does no harm.
    ///
    /// # Errors
    /// Why there is no answer, in words.
    pub async fn get(&self, fields: &HeaderMap) -> Result<Reply, String> {
        if let Some(kept) = self.take(clock::now())
            && let Ok(reply) = self.ask(kept, fields).await
        {
            return Ok(reply);
        }
        self.ask(self.connect().await?, fields).await
    }

    async fn ask(&self, mut sender: Sender, fields: &HeaderMap) -> Result<Reply, String> {
        sender.ready().await.map_err(words)?;
        let mut request = http::Request::new(Empty::new());
        *request.uri_mut() = Uri::from(self.site.path.clone());
        *request.headers_mut() = fields.clone();
        request.headers_mut().insert(HOST, self.site.authority.clone());
        let answer = sender.send_request(request).await.map_err(words)?;
        let (head, body) = answer.into_parts();
        let body = match Limited::new(body, BODY_BYTES_MAX).collect().await {
            Ok(body) => Some(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => None,
            Err(error) => return Err(format!("its answer: {error}")),
        };
        if body.is_some() {
            self.keep(sender, clock::now());
        }
        Ok(Reply { status: head.status.as_u16(), fields: head.headers, body })
    }

    async fn connect(&self) -> Result<Sender, String> {
        let Site { host, port, name, .. } = &self.site;
        let connected = TcpStream::connect((&**host, *port)).await;
        let socket = connected.map_err(|error| format!("connect: {error}"))?;
        // Where it cannot be had, it is only slower.
        drop(socket.set_nodelay(true));
        let transport = match name {
            None => Transport::Plain(socket),
            Some(name) => {
                let tls = self.tls.load_full().ok_or("tls: nobody is believed")?;
                let connector = TlsConnector::from(tls);
                let shaken = connector.connect(name.clone(), socket).await;
                let stream = shaken.map_err(|error| format!("tls: {error}"))?;
                Transport::Tls(Box::new(stream.into()))
            }
        };
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_BYTES_MAX);
        let (sender, connection) =
            builder.handshake(TokioIo::new(transport)).await.map_err(words)?;
        // It ends when nobody has its sender any more, or the service closes it.
        tokio::spawn(async move { drop(connection.await) });
        Ok(sender)
    }

    /// A connection that is still good, as far as is known: the one used last.
    fn take(&self, now: Instant) -> Option<Sender> {
        let mut idle = self.own()?.lock();
        while let Some(kept) = idle.pop() {
            let is_fresh = now.saturating_duration_since(kept.since) < IDLE_TIME_MAX;
            if is_fresh && !kept.sender.is_closed() {
                return Some(kept.sender);
            }
        }
        None
    }

    /// Keeps a connection for the next request, and lets go of those that nobody has used for long.
    fn keep(&self, sender: Sender, now: Instant) {
        let Some(idle) = self.own() else { return };
        let mut idle = idle.lock();
        idle.retain(|kept| {
            let is_fresh = now.saturating_duration_since(kept.since) < IDLE_TIME_MAX;
            is_fresh && !kept.sender.is_closed()
        });
        if idle.len() < IDLE_MAX {
            idle.push(Kept { sender, since: now });
        }
    }

    fn own(&self) -> Option<&CachePadded<Mutex<Vec<Kept>>>> {
        self.idle.get(own_worker() % POOLS)
    }
}

fn words(error: hyper::Error) -> String {
    match std::error::Error::source(&error) {
        Some(below) => format!("{error}: {below}"),
        None => error.to_string(),
    }
}
