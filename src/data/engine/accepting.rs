//! Accepting: the tasks of a worker that take connections from the listening sockets.

use super::pingora::Engine;
use super::worker::{Worker, place, take_own};
use crate::data::listener::accept::{Acceptor, ListeningSocket};
use std::io;
use std::sync::Arc;

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
    empty(worker, engine, &acceptor);
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

/// Accepts what the kernel has taken for us already.
fn empty(worker: &Arc<Worker>, engine: &Arc<Engine>, acceptor: &Acceptor) {
    use futures::FutureExt;
    while let Some((stream, address)) = tokio::task::unconstrained(acceptor.accept()).now_or_never()
    {
        take_own(worker, engine, stream, address, &acceptor.slot);
    }
}
