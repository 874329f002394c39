//! Pingora's engine: frames messages, keeps connections of HTTP/2 to backends, streams both ways.
//!
//! One per worker, so that its connections stay on the worker's thread. It gets the
//! client's bytes through a [`ClientStream`], those of a backend that speaks HTTP/1.1 after they
//! were checked (`backend_stream`), and reports what
//! happens through [`Hooks`]; it holds no rules of ours.

mod backend_stream;
mod context;
pub mod faults;
pub mod heads;
pub mod hooks;
mod peer;
mod rest;
pub mod stream;
mod stream_session;

use crate::data::exchange::{Action, Event, Exchange};
use crate::data::lifecycle::Lifecycle;
use crate::data::listener::carrier::{Carrier, Cell};
use crate::data::listener::connection::Connection;
use crate::data::listener::stream::Stream;
use crate::data::refusal::Refusal;
use crate::wire::invalid_head::InvalidHead;
use hooks::{CARRIER, Hooks};
use pingora_core::apps::HttpServerApp;
use pingora_core::protocols::http::ServerSession;
use pingora_core::server::ShutdownWatch;
use pingora_core::server::configuration::ServerConf;
use pingora_http::RequestHeader;
use pingora_proxy::HttpProxy;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use stream::ClientStream;
use stream_session::StreamSession;
use tokio::sync::watch;

/// Attempts Pingora may make for one request: more than the machine ever asks for.
const ATTEMPTS_MAX: usize = 32;

/// One worker's engine.
pub struct Engine {
    proxy: Arc<HttpProxy<Hooks>>,
    shutdown: ShutdownWatch,
    /// Dropping it would tell Pingora to shut down; we say ourselves when.
    _shutdown_sender: watch::Sender<bool>,
}

/// What came of a request.
pub struct Served {
    /// What is left to do, if the machine ended the request.
    pub action: Option<Action>,
    /// Whether the client's connection may carry another request.
    pub is_reusable: bool,
}

impl Engine {
    /// An engine that keeps `idle_connections` to backends for reuse.
    #[must_use]
    pub fn new(lifecycle: Arc<Lifecycle>, idle_connections: usize) -> Self {
        let conf = ServerConf {
            threads: 1,
            upstream_keepalive_pool_size: idle_connections,
            max_retries: ATTEMPTS_MAX,
            ..ServerConf::default()
        };
        let mut proxy = HttpProxy::new(Hooks::new(lifecycle), Arc::new(conf));
        proxy.handle_init_modules();
        // CONNECT gets the same answer as anything else that is refused: ours.
        let mut options = pingora_core::apps::HttpServerOptions::default();
        options.allow_connect_method_proxying = true;
        proxy.server_options = Some(options);
        let (sender, shutdown) = watch::channel(false);
        Self { proxy: Arc::new(proxy), shutdown, _shutdown_sender: sender }
    }

    /// Serves the request whose head `connection` holds. Boxed: an idle connection
    /// must not hold room for it.
    #[must_use]
    pub fn serve(&self, connection: Arc<Connection>) -> Serving {
        let stream = ClientStream(Arc::clone(&connection));
        self.process(connection, move || {
            let mut session = ServerSession::new_http1(Box::new(stream));
            // Time is the machine's matter.
            session.set_keepalive(Some(0));
            session
        })
    }

    /// Serves the request of one HTTP/2 stream. What is left of the head goes back to the stream.
    #[must_use]
    pub fn serve_stream(&self, stream: Arc<Stream>, head: RequestHeader) -> Serving {
        let session = StreamSession::new(Arc::clone(&stream), head);
        self.process(stream, move || ServerSession::new_custom(Box::new(session)))
    }

    /// `session` is made inside the future: it is large, and moving it costs.
    fn process(
        &self,
        carrier: Arc<dyn Carrier>,
        session: impl FnOnce() -> ServerSession + Send + 'static,
    ) -> Serving {
        let (proxy, shutdown) = (Arc::clone(&self.proxy), self.shutdown.clone());
        Box::pin(CARRIER.scope(Arc::clone(&carrier), async move {
            let reused = proxy.process_new_http(session(), &shutdown).await;
            Served { action: left_to_do(carrier.cell()), is_reusable: reused.is_some() }
        }))
    }
}

/// A request being served by an engine.
pub type Serving = Pin<Box<dyn Future<Output = Served> + Send>>;

fn left_to_do(cell: &Cell) -> Option<Action> {
    if let Some(action) = cell.take_settled() {
        return Some(action);
    }
    let (is_ended, has_head) =
        cell.with_exchange(|exchange| (Exchange::is_ended(exchange), exchange.facts().is_some()))?;
    match (is_ended, has_head) {
        (true, _) => None,
        // Pingora could not read the head, and said so to a muted stream.
        (false, false) => Some(cell.step(Event::Aborted(Refusal::Head(InvalidHead::Malformed)))),
        (false, true) => Some(cell.step(Event::Aborted(Refusal::Internal))),
    }
}
