//! Workers: one thread, one runtime, one engine each.
//!
//! A worker accepts connections and serves those it has; what reaches it from outside
//! comes through its mailbox: a connection that another worker accepted, or word that
//! the stage of the process has changed.

use super::accepting::{Accepting, start_accepting, stop_accepting};
use super::lean;
use super::open::take;
use super::pingora::Engine;
use super::tasks::watch_tasks;
use crate::data::finish::RequestMetrics;
use crate::data::lifecycle::{Lifecycle, Stage};
use crate::data::listener::Slot;
use crate::data::listener::accept::ListeningSocket;
use crate::data::listener::blocklist::{Blocklist, Met};
use crate::data::listener::registry::{Entry, Registry, Woken};
use crate::data::snapshot::{Publisher, Reader};
use crate::data::waf;
use crate::observe::access_log::{AccessLog, LogRing};
use crate::observe::metrics::{
    Counter, Gauge, Metrics, PANICS, REQUESTS_IN_FLIGHT, count_as_worker,
};
use crate::types::clock;
use crate::types::moment::Moment;
use crate::types::own::Own;
use crate::types::request_id::RequestId;
use crossbeam_utils::CachePadded;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// Polls of tasks before sockets are looked at again, while there are tasks to poll. A request
/// takes five: so those of up to a hundred connections are read before anybody writes.
const POLLS_MAX: u32 = 512;
/// How long it is waited for workers to close a socket.
const UNLISTEN_MAX: Duration = Duration::from_secs(1);

/// What one worker's requests need.
pub struct Worker {
    /// The present policy.
    pub snapshots: Reader,
    /// The process' stage.
    pub lifecycle: Arc<Lifecycle>,
    /// What its requests are counted by.
    pub metrics: RequestMetrics,
    /// `vanne_requests_in_flight`.
    pub in_flight: Gauge,
    /// `vanne_panics_total`.
    pub panics: Counter,
    /// The worker's end of the access log.
    pub log: Option<LogRing>,
    /// The same of the firewalls' log.
    pub waf_log: Option<LogRing>,
    /// Whether the lean engine is used where it can be.
    pub is_lean: bool,
    /// Who may not come in.
    pub blocklist: Arc<Blocklist>,
    registry: Arc<Registry>,
    rng: Own<fastrand::Rng>,
    pub(super) peers: Arc<[Mailbox]>,
    pub(super) index: usize,
}

impl Worker {
    /// Worker `index`: this thread.
    fn new(setup: &Setup, lifecycle: Arc<Lifecycle>, peers: Arc<[Mailbox]>, index: usize) -> Self {
        Self {
            snapshots: setup.publisher.reader(),
            lifecycle,
            metrics: RequestMetrics::new(&setup.metrics),
            in_flight: setup.metrics.handle(&REQUESTS_IN_FLIGHT, []),
            panics: setup.metrics.handle(&PANICS, []),
            log: setup.access_log.ring(index),
            waf_log: setup.waf_log.ring(index),
            is_lean: setup.is_lean,
            blocklist: Arc::clone(&setup.blocklist),
            registry: Arc::default(),
            rng: Own::new(fastrand::Rng::new()),
            peers,
            index,
        }
    }

    /// An id for a new request.
    pub fn next_request_id(&self) -> RequestId {
        RequestId::next(&mut self.rng.get())
    }
}

/// What a worker is told.
pub(super) enum Message {
    /// Serve this connection, which another worker accepted.
    Serve(std::net::TcpStream, SocketAddr, Arc<Slot>),
    /// Accept here too.
    Listen(Arc<ListeningSocket>),
    /// Accept here no longer, and drop the sender then.
    Unlisten(Arc<Slot>, std::sync::mpsc::Sender<Infallible>),
    /// The stage, a slot or the config has changed.
    Look,
    /// Addresses were blocked: end what they have open.
    Bar,
}

/// How others reach a worker.
pub(super) struct Mailbox {
    pub(super) sender: mpsc::UnboundedSender<Message>,
    /// Connections it has: what a new one is placed by.
    pub(super) load: CachePadded<AtomicUsize>,
}

/// What workers are started with.
pub struct Setup {
    /// How many.
    pub workers: usize,
    /// Connections to backends that each may keep.
    pub idle_connections: usize,
    /// Whether the lean engine is used where it can be; else all is Pingora's.
    pub is_lean: bool,
    /// Where they accept.
    pub sockets: Vec<Arc<ListeningSocket>>,
    /// What they read.
    pub publisher: Publisher,
    /// Who may not come in.
    pub blocklist: Arc<Blocklist>,
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// The access log, with a ring for each.
    pub access_log: Arc<AccessLog>,
    /// The log of firewalls, the same way.
    pub waf_log: Arc<AccessLog>,
}

/// The running workers.
pub struct Workers {
    lifecycle: Arc<Lifecycle>,
    mailboxes: Arc<[Mailbox]>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts all workers; they accept when this returns.
    ///
    /// # Errors
    /// When a thread or a runtime cannot be made.
    pub fn start(setup: Setup) -> io::Result<Self> {
        let lifecycle = Arc::new(Lifecycle::default());
        let (mailboxes, inboxes): (Vec<_>, Vec<_>) = (0..setup.workers)
            .map(|_| {
                let (sender, inbox) = mpsc::unbounded_channel();
                (Mailbox { sender, load: CachePadded::default() }, inbox)
            })
            .unzip();
        let mailboxes: Arc<[Mailbox]> = mailboxes.into();
        let setup = Arc::new(setup);
        let mut threads = Vec::with_capacity(setup.workers);
        let (report, reports) = std::sync::mpsc::channel();
        for (index, inbox) in inboxes.into_iter().enumerate() {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .event_interval(POLLS_MAX)
                .build()?;
            let name = format!("worker-{index}");
            let tasks = watch_tasks(&setup.metrics, &name, runtime.handle().metrics());
            let (lifecycle, peers) = (Arc::clone(&lifecycle), Arc::clone(&mailboxes));
            let (setup, report) = (Arc::clone(&setup), report.clone());
            threads.push(std::thread::Builder::new().name(name).spawn(move || {
                count_as_worker(index);
                let worker = Arc::new(Worker::new(&setup, lifecycle, peers, index));
                runtime.block_on(run(worker, inbox, setup, report));
                drop(tasks);
            })?);
        }
        drop(report);
        for started in reports.iter().take(threads.len()) {
            started?;
        }
        Ok(Self { lifecycle, mailboxes, threads })
    }

    /// Moves the process to `stage` and tells every worker.
    pub fn advance(&self, stage: Stage) {
        self.lifecycle.advance(stage);
        self.tell(|| Message::Look);
    }

    /// Accepts on `socket` from now on.
    pub fn listen(&self, socket: &Arc<ListeningSocket>) {
        self.tell(|| Message::Listen(Arc::clone(socket)));
    }

    /// Accepts there no longer; what the kernel has accepted already is still served. Waits
    /// until the address is free, but not for long.
    pub fn unlisten(&self, slot: &Arc<Slot>) {
        let (sender, closed) = std::sync::mpsc::channel();
        self.tell(|| Message::Unlisten(Arc::clone(slot), sender.clone()));
        drop(sender);
        if closed.recv_timeout(UNLISTEN_MAX) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!(address = %slot.rules().address, "not closed by all workers yet");
        }
    }

    /// Tells all workers and their connections that something has changed.
    pub fn look(&self) {
        self.tell(|| Message::Look);
    }

    /// Ends what blocked addresses have open.
    pub fn bar(&self) {
        self.tell(|| Message::Bar);
    }

    fn tell(&self, message: impl Fn() -> Message) {
        for mailbox in self.mailboxes.iter() {
            // A worker that is gone has nothing left to be told.
            drop(mailbox.sender.send(message()));
        }
    }

    /// The process' stage, to look at.
    #[must_use]
    pub fn lifecycle(&self) -> Arc<Lifecycle> {
        Arc::clone(&self.lifecycle)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.threads.len()
    }

    /// Connections that are open, over all workers.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.mailboxes.iter().map(|mailbox| mailbox.load.load(Ordering::Relaxed)).sum()
    }

    /// Whether every worker has ended.
    #[must_use]
    pub fn are_ended(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Waits for the workers to end. They do so when they are closing and have no
    /// connection left.
    pub fn join(self) {
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("worker panicked");
            }
        }
    }
}

async fn run(
    worker: Arc<Worker>,
    mut inbox: mpsc::UnboundedReceiver<Message>,
    setup: Arc<Setup>,
    report: std::sync::mpsc::Sender<io::Result<()>>,
) {
    let engine = Arc::new(Engine::new(Arc::clone(&worker.lifecycle), setup.idle_connections));
    let keeping = tokio::spawn(lean::keep_connections(setup.idle_connections));
    let mut accepting = match start_accepting(&worker, &engine, &setup.sockets) {
        Ok(accepting) => accepting,
        Err(error) => return drop(report.send(Err(error))),
    };
    // Nobody listens only if the start was given up meanwhile.
    drop(report.send(Ok(())));
    // The sockets themselves are closed when the last worker has let go of them.
    drop(setup);
    while worker.lifecycle.stage() < Stage::Closing {
        match inbox.recv().await {
            Some(message) => obey(&worker, &engine, &mut accepting, message).await,
            None => return,
        }
    }
    for accepting in accepting {
        stop_accepting(&worker, &engine, accepting).await;
    }
    worker.registry.wake_all();
    while !worker.registry.is_empty() {
        tokio::select! {
            () = worker.registry.emptied() => {}
            message = inbox.recv() => match message {
                Some(message) => receive(&worker, &engine, message),
                None => break,
            },
        }
    }
    // From here on who would hand us a connection serves it himself; what came before is ours.
    inbox.close();
    while let Ok(message) = inbox.try_recv() {
        receive(&worker, &engine, message);
    }
    worker.registry.emptied().await;
    keeping.abort();
    lean::close_connections();
}

/// Does what a worker is told while it accepts.
async fn obey(
    worker: &Arc<Worker>,
    engine: &Arc<Engine>,
    accepting: &mut Vec<Accepting>,
    message: Message,
) {
    match message {
        Message::Listen(socket) => {
            match start_accepting(worker, engine, std::slice::from_ref(&socket)) {
                Ok(started) => accepting.extend(started),
                Err(error) => tracing::error!(%error, "worker cannot accept"),
            }
        }
        Message::Unlisten(slot, closed) => {
            let is_gone = |(acceptor, _): &mut Accepting| Arc::ptr_eq(&acceptor.slot, &slot);
            for gone in accepting.extract_if(.., is_gone).collect::<Vec<_>>() {
                stop_accepting(worker, engine, gone).await;
            }
            drop(closed);
            worker.registry.wake_all();
        }
        message => receive(worker, engine, message),
    }
}

pub(super) fn receive(worker: &Arc<Worker>, engine: &Arc<Engine>, message: Message) {
    match message {
        Message::Serve(stream, address, slot) => match TcpStream::from_std(stream) {
            Ok(stream) => take(worker, engine, stream, address, &slot),
            Err(error) => {
                worker.release();
                tracing::error!(%error, "connection not taken over");
            }
        },
        Message::Look => {
            // Who has nothing to do would else hold an old config.
            drop(worker.snapshots.load());
            waf::memory::forget();
            worker.registry.wake_all();
        }
        Message::Bar => worker.bar(),
        // A worker that closes accepts nowhere.
        Message::Listen(_) | Message::Unlisten(..) => {}
    }
}

impl Worker {
    /// Counts a connection as this worker's.
    pub(super) fn count(&self) {
        if let Some(own) = self.peers.get(self.index) {
            own.load.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Ends what blocked addresses have open.
    fn bar(&self) {
        let now = Moment::of(clock::now());
        let barred = self.registry.bar(&|address| self.blocklist.is_blocked(address, now));
        (0..barred).for_each(|_| self.blocklist.count(Met::Open));
    }

    /// Adds what is to be told of a new stage.
    pub fn enter(&self, told: Arc<dyn Woken>) -> Entry {
        self.registry.enter(told)
    }

    /// Counts a connection no longer as this worker's.
    pub fn release(&self) {
        if let Some(own) = self.peers.get(self.index) {
            own.load.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
