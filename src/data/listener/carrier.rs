//! 1 · Carrier: what carries a request on the client's side, with the request's machine.
//!
//! HTTP/1 carries one request after the other on a [`Connection`](super::connection), HTTP/2
//! many at once, each on a [`Stream`](super::stream). Whoever drives a request or reports
//! what happened to it sees only this.

use super::body_ahead::{Ahead, BodyAhead, Wanted};
use super::registry::Woken;
use super::{Client, LocalListener, Slot};
use crate::data::effects::Effect;
use crate::data::exchange::{Action, Event, Exchange, Running, Waiting};
use crate::data::finish::Traffic;
use crate::data::lifecycle::{Lifecycle, Stage};
use crate::data::upstream::Fault;
use crate::types::clock;
use crate::types::own::Own;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

/// What carries a request on the client's side. All of it is used by one task on one
/// thread.
pub trait Carrier: Woken {
    /// The request's machine.
    fn cell(&self) -> &Cell;

    /// Who sends it.
    fn client(&self) -> &Arc<Client>;

    /// Whether its connection is to end at once: its peer is blocked.
    fn is_barred(&self) -> bool;

    /// Where it came in.
    fn slot(&self) -> &Slot;

    /// The rules that hold there now.
    fn rules(&self) -> LocalListener;

    /// Before an engine is polled: nobody is known to wait.
    fn before_poll(&self);

    /// Writes out what was collected for the client, and what was held back once that may leave.
    ///
    /// # Errors
    /// When the client cannot be written to any more.
    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// What comes for the client from now on is held back, up to so many bytes: until the machine
    /// lets it go, or another answer takes its place.
    fn hold_back(&self, bytes_max: usize);

    /// For whom an engine waits that was just polled. Once the request is done, a read only
    /// watches for the client to leave.
    fn waiting(&self, is_request_done: bool) -> Waiting;

    /// The engine has taken the head: it may read the body, and speak. Whether there is one.
    fn open_body(&self) -> bool;

    /// The request's head and up to `body_max` bytes of its body are to be kept.
    fn keep(&self, body_max: usize);

    /// Whether all that an engine has had of the request is kept.
    fn is_kept(&self) -> bool;

    /// What is kept of the request goes: it will not be sent once more.
    fn forget(&self);

    /// The head of the final answer is about to be passed on.
    fn begin_answer(&self) {
        self.forget();
        if let Some(bytes_max) = self.cell().with_exchange(Exchange::held_back).flatten() {
            self.hold_back(bytes_max);
        }
    }

    /// What is kept of the request is there to be read once more, by another engine.
    fn rewind(&self);

    /// Reads some more of the request's body ahead, into `ahead`: after its head was taken, and
    /// before an engine has had any of it. What is read is kept, for who reads it once more.
    fn poll_body_ahead(
        &self,
        cx: &mut Context<'_>,
        wanted: Wanted,
        ahead: &mut BodyAhead,
    ) -> Poll<Ahead>;

    /// `Ready` when the client has left, while nobody reads what it sends.
    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// From now on all that comes is a tunnel's.
    fn open_tunnel(&self);

    /// What was wrong with the framing of the request's body, if anything was.
    fn body_fault(&self) -> Option<Fault>;

    /// What went over the wire for the request.
    fn traffic(&self) -> Traffic;
}

/// Whether what carries requests is to end soon: the process drains, nobody listens where it
/// came in any more, or its peer is blocked.
#[must_use]
pub fn is_ending(carrier: &dyn Carrier, lifecycle: &Lifecycle) -> bool {
    lifecycle.stage() > Stage::Serving || carrier.slot().is_closed() || carrier.is_barred()
}

/// A request's machine, and what it decided while nobody could act on it. Without a request
/// there is nothing in it.
pub struct Cell(Own<Inner>);

struct Inner {
    running: Option<Running>,
    now: Instant,
    /// Boxed, as the next: most connections idle most of the time, and never have either.
    settled: Option<Box<Action>>,
    pending: Option<Box<Action>>,
    /// Who sent the request is blocked.
    is_barred: bool,
}

impl Default for Cell {
    fn default() -> Self {
        let now = clock::now();
        let inner = Inner { running: None, now, settled: None, pending: None, is_barred: false };
        Self(Own::new(inner))
    }
}

impl Cell {
    /// Begins a request.
    pub fn begin(&self, running: Running) {
        let mut inner = self.0.get();
        let now = running.started().unwrap_or(inner.now);
        let running = Some(running);
        *inner = Inner { running, now, settled: None, pending: None, is_barred: false };
    }

    /// Ends the request after a last look at it.
    pub fn end(&self, look: impl FnOnce(&Exchange)) {
        let running = self.0.get().running.take();
        if let Some(mut running) = running {
            if let Some(exchange) = running.exchange_mut() {
                exchange.end_inspection();
                look(exchange);
            }
            running.end();
        }
    }

    /// A wake-up begins: the clock is read once for all that it brings.
    pub fn wake_up(&self) {
        self.0.get().now = clock::now();
    }

    /// When the present wake-up began.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.0.get().now
    }

    /// Reports `event` to the request's machine, at the time of the present wake-up.
    /// Without a request there is nothing to do but to cut.
    pub fn step(&self, event: Event<'_>) -> Action {
        let mut inner = self.0.get();
        let now = inner.now;
        let exchange = inner.running.as_mut().and_then(Running::exchange_mut);
        exchange.map_or(Action::Cut, |exchange| exchange.step(event, now))
    }

    /// Tells the machine for whom the engine waits now, and asks until when. `None`
    /// without a request.
    pub fn park(&self, carrier: &dyn Carrier) -> Option<Instant> {
        let mut inner = self.0.get();
        let now = inner.now;
        let exchange = inner.running.as_mut().and_then(Running::exchange_mut)?;
        let waiting = carrier.waiting(exchange.is_request_done());
        if exchange.waiting() != waiting {
            exchange.step(Event::Parked(waiting), now);
        }
        Some(exchange.deadline())
    }

    /// Keeps what the machine decided while the engine could only stop: the first counts.
    pub fn settle(&self, action: Action) {
        self.0.get().settled.get_or_insert_with(|| Box::new(action));
    }

    /// Whether something was settled.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.0.get().settled.is_some()
    }

    /// Takes what was settled.
    pub fn take_settled(&self) -> Option<Action> {
        self.0.get().settled.take().map(|action| *action)
    }

    /// Leaves it to the next engine to begin with this.
    pub fn leave(&self, action: Action) {
        self.0.get().pending = Some(Box::new(action));
    }

    /// What the engine that begins now is to begin with, if it is not the first.
    pub fn take_pending(&self) -> Option<Action> {
        self.0.get().pending.take().map(|action| *action)
    }

    /// Reports a part of an answer's body that is being recorded; `is_chunked`: with the framing
    /// of chunks in it.
    pub fn record(&self, part: &[u8], is_chunked: bool) {
        let mut inner = self.0.get();
        if let Some(exchange) = inner.running.as_mut().and_then(Running::exchange_mut) {
            exchange.record(part, is_chunked);
        }
    }

    /// What is to be run beside the engine, if there is something.
    pub fn take_beside(&self) -> Option<Effect> {
        let mut inner = self.0.get();
        inner.running.as_mut().and_then(Running::exchange_mut)?.take_beside()
    }

    /// Whether an answer that was held back may leave.
    #[must_use]
    pub fn lets_go(&self) -> bool {
        self.with_exchange(Exchange::is_let_go) == Some(true)
    }

    /// Notes that the request is to be refused, if another than the peer sent it who `is_blocked`.
    /// Whether it is.
    pub fn bar(&self, is_blocked: &dyn Fn(IpAddr) -> bool) -> bool {
        let mut inner = self.0.get();
        let exchange = inner.running.as_ref().and_then(Running::exchange);
        let sender = exchange.and_then(Exchange::sender_behind_peer);
        let is_barred = sender.is_some_and(is_blocked);
        inner.is_barred |= is_barred;
        is_barred
    }

    /// Whether the request is to be refused, and nobody was told of it yet.
    pub fn take_barred(&self) -> bool {
        std::mem::take(&mut self.0.get().is_barred)
    }

    /// Looks at the request, if there is one.
    pub fn with_exchange<T>(&self, look: impl FnOnce(&Exchange) -> T) -> Option<T> {
        self.0.get().running.as_ref().and_then(Running::exchange).map(look)
    }
}
