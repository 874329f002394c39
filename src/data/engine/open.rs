//! A new connection: its place, its handshake, and then its requests.

use super::pingora::Engine;
use super::serve;
use super::worker::Worker;
use crate::data::identity::client_certificate::ClientCertificate;
use crate::data::lifecycle::Stage;
use crate::data::listener::blocklist::Met;
use crate::data::listener::client::is_trusted;
use crate::data::listener::connection::Connection;
use crate::data::listener::registry::{Bell, Woken};
use crate::data::listener::tls::{Failure, Terminator};
use crate::data::listener::transport::Transport;
use crate::data::listener::{Client, Place, Slot};
use crate::data::refusal::Refusal;
use crate::types::clock;
use crate::types::moment::Moment;
use crate::types::own::Own;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::net::TcpStream;

/// Serves a connection that is counted as this worker's, unless its peer is blocked.
pub(super) fn take(
    worker: &Arc<Worker>,
    engine: &Arc<Engine>,
    socket: TcpStream,
    address: SocketAddr,
    slot: &Arc<Slot>,
) {
    let rules = slot.rules();
    rules.counts.accepted.inc();
    // Before anything is done for it.
    let now = clock::now();
    if !rules.admits(address.ip(), now) {
        rules.counts.too_often.inc();
        return worker.release();
    }
    let client = Client::new(address, rules.address.port(), rules.tls.is_some());
    if worker.blocklist.turns_away(&client, &rules.trusted_proxies, Moment::of(now)) {
        worker.blocklist.count(Met::Accept);
        return worker.release();
    }
    match (Place::take(slot), rules.tls.is_some()) {
        (Some(place), false) => {
            let connection = Connection::new(Transport::Plain(socket), client, place);
            spawn(worker, engine, Arc::new(connection), None);
        }
        (None, false) => {
            rules.counts.too_many.inc();
            let place = Place::beyond(slot);
            let connection = Connection::new(Transport::Plain(socket), client, place);
            spawn(worker, engine, Arc::new(connection), Some(Refusal::TooManyConnections));
        }
        (Some(place), true) => open_tls(worker, engine, socket, client, place),
        // A handshake only to say no would cost more than the request.
        (None, true) => {
            rules.counts.too_many.inc();
            if let Some(tls) = &rules.tls {
                tls.count(Failure::TooManyConnections);
            }
            worker.release();
        }
    }
}

/// Serves `connection` in a task of its own, or refuses it.
fn spawn(
    worker: &Arc<Worker>,
    engine: &Arc<Engine>,
    connection: Arc<Connection>,
    refusal: Option<Refusal>,
) {
    let entry = worker.enter(Arc::clone(&connection) as Arc<dyn Woken>);
    let (worker, engine) = (Arc::clone(worker), Arc::clone(engine));
    tokio::spawn(async move {
        match refusal {
            None => serve::serve(&worker, &engine, connection).await,
            Some(refusal) => Box::pin(serve::refuse(&worker, connection, refusal)).await,
        }
        worker.release();
        drop(entry);
    });
}

/// Shakes hands in a task of its own, and serves what comes of it in another.
fn open_tls(
    worker: &Arc<Worker>,
    engine: &Arc<Engine>,
    socket: TcpStream,
    mut client: Client,
    place: Place,
) {
    let told = Arc::new(Shaking::new(client.address.ip(), place.slot()));
    let entry = worker.enter(Arc::clone(&told) as Arc<dyn Woken>);
    let (worker, engine) = (Arc::clone(worker), Arc::clone(engine));
    tokio::spawn(async move {
        let rules = place.slot().rules();
        let shaken = match &rules.tls {
            Some(tls) => shake_hands(&worker, tls, &told, socket, client.address).await,
            // A reload has taken TLS away meanwhile: what comes cannot be read.
            None => None,
        };
        match shaken {
            // Blocked meanwhile, it is told nothing.
            Some(_) if told.is_barred() => worker.release(),
            Some(transport) => {
                client.certificate = certificate(&transport);
                let connection = Arc::new(Connection::new(transport, client, place));
                spawn(&worker, &engine, connection, None);
            }
            None => worker.release(),
        }
        drop(entry);
    });
}

/// What the certificate says that the client has shown, if it has: read once for all its requests.
fn certificate(transport: &Transport) -> Option<Box<ClientCertificate>> {
    ClientCertificate::read(transport.certificate()?).map(Box::new)
}

/// A connection that shakes hands.
struct Shaking {
    bell: Bell,
    peer: IpAddr,
    slot: Arc<Slot>,
    /// Its peer is blocked.
    is_barred: Own<bool>,
}

impl Shaking {
    fn new(peer: IpAddr, slot: &Arc<Slot>) -> Self {
        let (bell, is_barred) = (Bell::default(), Own::default());
        Self { bell, peer, slot: Arc::clone(slot), is_barred }
    }

    fn is_barred(&self) -> bool {
        *self.is_barred.get()
    }
}

impl Woken for Shaking {
    fn bell(&self) -> &Bell {
        &self.bell
    }

    fn bar(&self, is_blocked: &dyn Fn(IpAddr) -> bool) -> bool {
        let is_trusted = || is_trusted(self.peer, &self.slot.rules().trusted_proxies);
        let is_barred = is_blocked(self.peer) && !is_trusted();
        *self.is_barred.get() |= is_barred;
        is_barred
    }
}

/// The transport after a handshake; `None` if there was none, or the process cuts all.
async fn shake_hands(
    worker: &Worker,
    tls: &Terminator,
    told: &Shaking,
    socket: TcpStream,
    address: SocketAddr,
) -> Option<Transport> {
    let mut shaking = pin!(tls.accept(socket));
    let shaken = poll_fn(|cx| {
        told.bell.register(cx.waker());
        match shaking.as_mut().poll(cx) {
            Poll::Ready(shaken) => Poll::Ready(Some(shaken)),
            Poll::Pending if told.is_barred() => Poll::Ready(None),
            Poll::Pending if worker.lifecycle.stage() == Stage::Aborting => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    });
    match shaken.await? {
        Ok(stream) => Some(Transport::Tls(Box::new(stream.into()))),
        Err(failure) => {
            tracing::debug!(client = %address, reason = failure.as_str(), "TLS handshake failed");
            None
        }
    }
}
