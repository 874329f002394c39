//! Accepting: the tasks of a worker that take connections from the listening sockets, and
//! give each to the worker with the fewest.

use super::open::take;
use super::pingora::Engine;
use super::worker::{Mailbox, Message, Worker, receive};
use crate::data::listener::Slot;
use crate::data::listener::accept::{Acceptor, ListeningSocket};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// An acceptor, and the task that accepts from it.
pub(super) type Accepting = (Arc<Acceptor>, tokio::task::JoinHandle<()>);

/// Stops accepting; what the kernel has accepted already is served.
pub(super) async fn stop_accepting(
    worker: &Arc<Worker>,
    engine: &Arc<Engine>,
    (acceptor, task): Accepting,
) {
    task.abort();
    // The task holds the socket: it must be gone before the queue can be emptied for good.
    drop(task.await);
    acceptor.empty(|stream, address| take_own(worker, engine, stream, address, &acceptor.slot));
}

/// Accepts on `sockets`, each in a task of its own.
///
/// # Errors
/// When a socket cannot be used here.
pub(super) fn start_accepting(
    worker: &Arc<Worker>,
    engine: &Arc<Engine>,
    sockets: &[Arc<ListeningSocket>],
) -> io::Result<Vec<Accepting>> {
    let start = |socket: &Arc<ListeningSocket>| {
        let acceptor = Arc::new(socket.acceptor()?);
        let (worker, engine) = (Arc::clone(worker), Arc::clone(engine));
        let task = tokio::spawn(accept_all(worker, engine, Arc::clone(&acceptor)));
        Ok((acceptor, task))
    };
    sockets.iter().map(start).collect()
}

async fn accept_all(worker: Arc<Worker>, engine: Arc<Engine>, acceptor: Arc<Acceptor>) {
    loop {
        let (stream, address) = acceptor.accept().await;
        place(&worker, &engine, stream, address, &acceptor.slot);
    }
}

/// Gives a new connection to the worker with the fewest; to this one among equals.
fn place(
    worker: &Arc<Worker>,
    engine: &Arc<Engine>,
    stream: TcpStream,
    address: SocketAddr,
    slot: &Arc<Slot>,
) {
    let load = |mailbox: &Mailbox| mailbox.load.load(Ordering::Relaxed);
    let own = worker.peers.get(worker.index).map_or(0, load);
    let idlest = worker.peers.iter().filter(|peer| load(peer) < own).min_by_key(|peer| load(peer));
    let Some(peer) = idlest else {
        return take_own(worker, engine, stream, address, slot);
    };
    match stream.into_std() {
        Ok(stream) => {
            peer.load.fetch_add(1, Ordering::Relaxed);
            let message = Message::Serve(stream, address, Arc::clone(slot));
            if let Err(mpsc::error::SendError(message)) = peer.sender.send(message) {
                // That worker has ended: the connection stays here.
                peer.load.fetch_sub(1, Ordering::Relaxed);
                worker.count();
                receive(worker, engine, message);
            }
        }
        Err(error) => tracing::error!(%error, "connection not handed over"),
    }
}

/// Serves a new connection here.
fn take_own(
    worker: &Arc<Worker>,
    engine: &Arc<Engine>,
    stream: TcpStream,
    address: SocketAddr,
    slot: &Arc<Slot>,
) {
    worker.count();
    take(worker, engine, stream, address, slot);
}
