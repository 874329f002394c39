//! 8 · Attempt: one try at one backend, and what became of it.

use super::wire::Wire;
use crate::data::outcome::Outcome;
use crate::data::pool::{Backend, Place, Settled};
use crate::data::refusal::Refusal;
use crate::types::moment::Moment;
use crate::wire::chunked::InvalidChunks;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the engine is to try: a connection to this backend, within this time.
#[derive(Clone)]
pub struct Attempt {
    /// The backend.
    pub backend: Arc<Backend>,
    /// Time to get a connection.
    pub connect_timeout: Duration,
    /// How long the connection may be kept for reuse afterwards.
    pub idle_timeout: Duration,
    /// How long the backend may take nothing of the request.
    pub stall_timeout: Duration,
    /// How its backend is spoken to.
    pub wire: Arc<Wire>,
    /// Bytes of the request's body that are kept for another attempt.
    pub body_max: usize,
}

/// What an engine saw go wrong. The machine decides what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The backend broke its answer off, or did what only this request can have made it do: it
    /// has seen that.
    BackendBrokeOff,
    /// The backend closed or reset its connection, before any byte of an answer came.
    BackendClosed,
    /// The backend sent what is not HTTP.
    BackendMalformed,
    /// The client closed or reset its connection.
    ClientGone,
    /// The client's chunked body is none.
    ClientChunks(InvalidChunks),
    /// The client's body is framed wrongly otherwise.
    ClientMalformed,
    /// No connection, for another reason.
    ConnectFailed,
    /// The connection was refused.
    ConnectRefused,
    /// No connection in time.
    ConnectTimeout,
    /// The backend closes its connection, and says that it did not process this request
    /// (RFC 9113 §6.8).
    GoingAway,
    /// Something in the engine itself.
    Internal,
    /// The backend says that it did not process the request (RFC 9113 §8.7).
    StreamRefused,
    /// The TLS handshake failed.
    TlsFailed,
}

/// One attempt as the log tells it.
pub struct AttemptRecord {
    /// What chose it: an algorithm, `sticky`, `queue`, or `probe` of a half-open circuit.
    pub by: &'static str,
    /// When it began.
    pub began: Instant,
    /// When there was a connection.
    pub connected: Option<Instant>,
    /// When the request's last byte went to it; before that, and where it was there at once, `None`.
    pub asked: Option<Instant>,
    /// When the answer's head came.
    pub first_byte: Option<Instant>,
    /// When it ended.
    pub ended: Option<Instant>,
    /// Whether the connection had been used before.
    pub is_reused: bool,
    /// Whether an informational answer came: the backend has seen the request.
    pub is_heard: bool,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Why, if not by itself.
    pub refusal: Option<Refusal>,
    /// Its place in the backend, until it ends.
    place: Place,
}

impl AttemptRecord {
    /// An attempt that begins now and has its place in a backend until it ends.
    #[must_use]
    pub fn begin(place: Place, by: &'static str, now: Instant) -> Self {
        Self {
            by,
            began: now,
            connected: None,
            asked: None,
            first_byte: None,
            ended: None,
            is_reused: false,
            is_heard: false,
            outcome: None,
            refusal: None,
            place,
        }
    }

    /// The backend that was tried.
    #[must_use]
    pub fn backend(&self) -> &Arc<Backend> {
        self.place.backend()
    }

    /// What the backend took: from the attempt's start, or the end of a body that its client was
    /// longer about, to the answer's head, or to `now` if there was none.
    #[must_use]
    pub fn time(&self, now: Instant) -> Duration {
        let until = self.first_byte.unwrap_or(now);
        until.saturating_duration_since(self.asked.unwrap_or(self.began))
    }

    /// Whether its answer decides about a half-open circuit.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.place.is_probe()
    }

    /// Its answer has no end of its own: as a probe it is good now.
    pub fn succeed_early(&mut self, now: Instant) {
        if self.is_probe() {
            let time = self.time(now);
            // The exchange hears of the end, which then says nothing more.
            let _early = self.place.settle(Outcome::Success, time, Moment::of(now));
        }
    }

    /// Ends it; the first end counts. Gives what came of it, and the [`time`](Self::time) it took.
    pub fn end(
        &mut self,
        outcome: Outcome,
        refusal: Option<Refusal>,
        (now, at): (Instant, Moment),
    ) -> Option<(Settled, Duration)> {
        if self.ended.is_some() {
            return None;
        }
        let time = self.time(now);
        let settled = self.place.settle(outcome, time, at);
        self.ended = Some(now);
        self.outcome = Some(settled.outcome);
        self.refusal = refusal;
        // After it has counted: who waits is not to get a place where the circuit opens.
        self.place.leave();
        Some((settled, time))
    }
}
