//! Stages 6 to 8 of an exchange: picking a backend, and what a fault means.

use super::{Action, Exchange, Phase};
use crate::data::effects::Effect;
use crate::data::exchange::Waiting;
use crate::data::outcome::Outcome;
use crate::data::refusal::Refusal;
use crate::data::upstream::{Attempt, AttemptRecord, Fault};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Pause before backends that failed to connect are tried again, when all were tried:
/// long enough for a process to come back to its port, short beside any time limit.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

impl Exchange {
    /// Picks a backend and asks for a connection to it.
    pub(super) fn attempt(&mut self, now: Instant) -> Action {
        let Some(pool) = &self.pool else { return self.refuse(Refusal::Internal, now) };
        let Some(backend) = pool.pick(&self.tried) else {
            if self.tried.is_empty() {
                return self.refuse(Refusal::NoBackend, now);
            }
            self.tried.clear();
            self.phase = Phase::Suspended;
            return Action::Wait(Effect::Pause(RETRY_PAUSE));
        };
        let attempt = Attempt {
            backend: Arc::clone(&backend),
            connect_timeout: pool.timeouts.connect,
            idle_timeout: pool.timeouts.idle,
            wire: Arc::clone(&pool.wire),
        };
        self.attempts.push(AttemptRecord::begin(backend, now));
        self.phase = Phase::Connecting;
        Action::Attempt(attempt)
    }

    pub(super) fn on_connected(&mut self, is_reused: bool, now: Instant) -> Action {
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.connected = Some(now);
            attempt.is_reused = is_reused;
        }
        self.phase = Phase::Streaming;
        self.waiting = Waiting::Backend;
        self.progress = now;
        Action::Continue
    }

    /// What a fault means here: another attempt, an answer of ours, or a cut.
    pub(super) fn on_fault(&mut self, fault: Fault, is_replayable: bool, now: Instant) -> Action {
        if self.phase == Phase::Tunnel && matches!(fault, Fault::BackendClosed | Fault::ClientGone)
        {
            // Either side may end a tunnel: that is how it ends.
            return self.on_ended(now);
        }
        let refusal = self.meaning(fault);
        let was_reused = self.attempts.last().is_some_and(|attempt| attempt.is_reused);
        let may_replay = fault == Fault::BackendClosed
            && was_reused
            && is_replayable
            && self.status.is_none()
            && self.replays_left > 0;
        if may_replay {
            // RFC 9112 §9.3.1: a kept connection may close under a request; nobody saw it.
            self.end_attempt(Outcome::ClientError, Some(refusal), now);
            self.replays_left -= 1;
            return self.attempt(now);
        }
        if refusal.row().is_retryable && self.retries_left > 0 {
            self.end_attempt(Outcome::of_refusal(refusal), Some(refusal), now);
            self.tried.extend(self.attempts.last().map(|attempt| Arc::clone(&attempt.backend)));
            self.retries_left -= 1;
            return self.attempt(now);
        }
        self.refuse(refusal, now)
    }

    fn meaning(&self, fault: Fault) -> Refusal {
        match fault {
            Fault::BackendClosed | Fault::BackendMalformed if self.status.is_some() => {
                Refusal::BackendCut
            }
            Fault::BackendClosed => Refusal::BackendClosed,
            Fault::BackendMalformed => Refusal::BackendMalformed,
            Fault::ClientGone => Refusal::ClientGone,
            Fault::ClientMalformed => Refusal::MalformedBody,
            Fault::ConnectFailed => Refusal::ConnectFailed,
            Fault::ConnectRefused => Refusal::ConnectRefused,
            Fault::ConnectTimeout => Refusal::ConnectTimeout,
            Fault::Internal => Refusal::Internal,
            Fault::TlsFailed => Refusal::TlsFailed,
        }
    }

    /// Ends the attempt under way, if there is one, and counts its outcome once.
    pub(super) fn end_attempt(&mut self, outcome: Outcome, why: Option<Refusal>, now: Instant) {
        let Some(attempt) = self.attempts.last_mut() else { return };
        if attempt.end(outcome, why, now)
            && let Some(pool) = &self.pool
        {
            pool.count(outcome);
        }
    }
}
