//! Stages 6 to 8 of an exchange: picking a backend, and what a fault means.

use super::stickiness::Own;
use super::{Action, Exchange, Phase};
use crate::data::balance::Choice;
use crate::data::effects::Effect;
use crate::data::exchange::Waiting;
use crate::data::outcome::Outcome;
use crate::data::pool::{
    Backend, Hopeless, Idle, Members, Picked, Place, Pool, Queue, Settled, Ticket, Verdict, latency,
};
use crate::data::rate_limit;
use crate::data::refusal::Refusal;
use crate::data::upstream::{Attempt, AttemptRecord, Fault, On};
use crate::types::hash::mix;
use crate::types::moment::Moment;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Pause before backends that failed are tried again, when all were tried: long enough for a
/// process to come back to its port, short beside any time limit.
const ROUND_PAUSE: Duration = Duration::from_millis(100);
/// Pause until the control plane has seen what happened to the backends.
const STALE_PAUSE: Duration = Duration::from_millis(5);
/// Such pauses of one request.
const STALE_PAUSES_MAX: u8 = 20;

/// What came of looking for a place.
enum Found {
    /// A place, chosen by this.
    Place(Place, &'static str),
    /// The client's own backend is full, and it is not to go elsewhere.
    OwnIsFull,
    /// The circuit of the client's own backend is open, and it is not to go elsewhere.
    OwnIsOpen,
    /// All that could take it are full.
    Full,
    /// There are backends, but none for this request.
    Exhausted,
    /// Nobody takes new traffic, for this reason.
    Nobody(Idle),
}

impl Exchange {
    /// The first attempt in its pool: from here on the request counts there.
    pub(super) fn first_attempt(&mut self, now: Instant) -> Action {
        if let Err(refusal) = self.take_seats() {
            return self.refuse(refusal, now);
        }
        if let Some(pool) = &self.pool {
            pool.live.budget.deposit(pool.retries.budget);
            self.retries_left = pool.retries.attempts;
        }
        self.attempt(now)
    }

    /// Picks a backend and asks for a connection to it.
    pub(super) fn attempt(&mut self, now: Instant) -> Action {
        let turn = self.leave_queue(now).and_then(|ticket| ticket.take());
        let Some(pool) = &self.pool else { return self.refuse(Refusal::Internal, now) };
        let members = pool.live.members();
        let found = match turn {
            Some(place) => Found::Place(place, "queue"),
            None => self.find_place(pool, &members, now),
        };
        self.left_out.clone_from(&members.left_out);
        drop(members);
        match found {
            Found::Place(place, by) => self.begin_attempt(place, by, now),
            Found::OwnIsFull => self.refuse(Refusal::BackendsFull, now),
            Found::OwnIsOpen => self.refuse(Refusal::CircuitOpen, now),
            Found::Full => self.wait_in_queue(now),
            Found::Exhausted => self.wait_for_change(now),
            Found::Nobody(idle) => self.nobody(idle, now),
        }
    }

    /// Looks for a place: in the backend that the client had, else where the algorithm says.
    fn find_place(&self, pool: &Pool, members: &Members, now: Instant) -> Found {
        match self.own_place(pool, members) {
            Own::Place(place) => return Found::Place(place, "sticky"),
            Own::Full => return Found::OwnIsFull,
            Own::Open => return Found::OwnIsOpen,
            Own::None => {}
        }
        let number = self.attempts.len() as u64;
        let choice = Choice {
            tried: &self.tried,
            only_good: false,
            key: self.key,
            random: mix(self.id.as_random() ^ number),
            now: Moment::of(now),
        };
        match pool.live.pick_among(members, &choice) {
            Picked::Backend(place) if place.is_probe() => Found::Place(place, "probe"),
            Picked::Backend(place) => Found::Place(place, pool.algorithm),
            Picked::Full => Found::Full,
            Picked::Exhausted => Found::Exhausted,
            Picked::Nobody(idle) => Found::Nobody(idle),
        }
    }

    /// Begins an attempt at a backend that was chosen by `by`.
    fn begin_attempt(&mut self, place: Place, by: &'static str, now: Instant) -> Action {
        let Some(pool) = &self.pool else { return self.refuse(Refusal::Internal, now) };
        let Some(wire) = pool.wire.for_request(self.is_websocket) else {
            return self.refuse(Refusal::WebsocketUnsupported, now);
        };
        let attempt = Attempt {
            backend: Arc::clone(place.backend()),
            connect_timeout: pool.timeouts.connect,
            idle_timeout: pool.timeouts.idle,
            stall_timeout: pool.timeouts.between_bytes,
            wire: Arc::clone(wire),
            body_max: if pool.retries.attempts > 0 { pool.retries.body_max } else { 0 },
        };
        self.attempts.push(AttemptRecord::begin(place, by, now));
        self.phase = Phase::Connecting;
        Action::Attempt(attempt)
    }

    /// All backends are full: the request waits for a place, if it may.
    fn wait_in_queue(&mut self, now: Instant) -> Action {
        let Some((pool, rules)) = self.pool.as_ref().and_then(|pool| Some((pool, pool.queue?)))
        else {
            return self.refuse(Refusal::BackendsFull, now);
        };
        let ticket = match Queue::join(&pool.live, self.key, rules, Moment::of(now)) {
            Ok(ticket) => Arc::new(ticket),
            Err(Hopeless::Full) => return self.refuse(Refusal::QueueFull, now),
            Err(Hopeless::Late(wait)) => {
                self.seats.try_after = Some(wait.saturating_sub(rules.timeout));
                return self.refuse(Refusal::QueueTooLong, now);
            }
        };
        self.ticket = Some(Arc::clone(&ticket));
        self.phase = Phase::Queued;
        self.progress = now;
        Action::Wait(Effect::Turn(ticket))
    }

    /// Takes the request's place in the queue, if it has one: it waits no longer.
    pub(super) fn leave_queue(&mut self, now: Instant) -> Option<Arc<Ticket>> {
        let ticket = self.ticket.take()?;
        if let Some(pool) = &self.pool {
            pool.metrics.queue.observe(now.duration_since(self.progress));
        }
        Some(ticket)
    }

    /// There are backends, but none for this request: all were tried, or dropped out just now.
    fn wait_for_change(&mut self, now: Instant) -> Action {
        self.phase = Phase::Suspended;
        let is_stale = self.pool.as_ref().is_some_and(|pool| pool.live.is_stale());
        let has_fallback = self.has_fallback();
        let most = if has_fallback { STALE_PAUSES_MAX / 5 } else { STALE_PAUSES_MAX };
        if is_stale && self.stale_pauses < most {
            self.stale_pauses += 1;
            return Action::Wait(Effect::Pause(STALE_PAUSE));
        }
        if self.tried.is_empty() {
            return self.nobody(Idle::Unhealthy, now);
        }
        // Better another answer now than perhaps this one after a pause.
        let last = self.attempts.last().and_then(|attempt| attempt.refusal);
        if let Some(action) = last.and_then(|refusal| self.fall_back(refusal, now)) {
            return action;
        }
        self.tried.clear();
        Action::Wait(Effect::Pause(ROUND_PAUSE))
    }

    /// Nobody in the pool takes the request.
    fn nobody(&mut self, idle: Idle, now: Instant) -> Action {
        // With an attempt behind it, its own fault tells more than that nobody is left.
        let last = self.attempts.last().and_then(|attempt| attempt.refusal);
        self.refuse(last.unwrap_or(Refusal::of_idle(idle)), now)
    }

    pub(super) fn on_connected(&mut self, is_reused: bool, now: Instant) -> Action {
        if let (Some(attempt), Some(pool)) = (self.attempts.last_mut(), &self.pool) {
            attempt.connected = Some(now);
            attempt.is_reused = is_reused;
            pool.metrics.count_connection(is_reused, now.duration_since(attempt.began));
        }
        self.phase = Phase::Streaming;
        self.waiting = Waiting::Backend;
        self.progress = now;
        Action::Continue
    }

    /// The answer is whole. If the request is not, the attempt is judged now, by its answer:
    /// whatever becomes of the rest (RFC 9113 §8.1).
    pub(super) fn on_whole_answer(&mut self, now: Instant) -> Action {
        if !self.request_done && self.status.is_some() && self.phase != Phase::Tunnel {
            self.is_answered = true;
            self.end_answered(now);
        }
        Action::Continue
    }

    /// What a fault means here: another attempt, an answer of ours, or a cut.
    pub(super) fn on_fault(&mut self, fault: Fault, now: Instant) -> Action {
        let is_end =
            matches!(fault, Fault::BackendBrokeOff | Fault::BackendClosed | Fault::ClientGone);
        if self.phase == Phase::Tunnel && is_end {
            // Either side may end a tunnel: that is how it ends.
            return self.on_ended(now);
        }
        let refusal = self.meaning(fault);
        if self.ends_kept_connection(fault) {
            self.end_attempt(Outcome::Unseen, Some(refusal), now);
            if self.may_replay(fault) {
                self.replays_left -= 1;
                return self.attempt(now);
            }
        }
        self.retry_or_refuse(refusal, now)
    }

    /// Whether it was only the kept connection that was over, as far as one can tell.
    fn ends_kept_connection(&self, fault: Fault) -> bool {
        let is_kept_one = |attempt: &AttemptRecord| attempt.is_reused && !attempt.is_heard;
        matches!(fault, Fault::BackendClosed | Fault::GoingAway)
            && self.attempts.last().is_some_and(is_kept_one)
    }

    /// Whether the request may be made at once on another connection, which is no retry.
    fn may_replay(&self, fault: Fault) -> bool {
        self.replays_left > 0
            && match fault {
                // RFC 9112 §9.3.1: it may close under a request. As far as one can tell nobody saw it.
                Fault::BackendClosed => self.is_repeatable(),
                Fault::GoingAway => self.status.is_none() && self.is_kept,
                _ => false,
            }
    }

    /// Tries again after this fault, if that is right; else ends the request.
    pub(super) fn retry_or_refuse(&mut self, refusal: Refusal, now: Instant) -> Action {
        let is_safe = refusal.row().is_retryable;
        let on = match refusal {
            Refusal::BackendClosed | Refusal::BackendMalformed => Some(On::Reset),
            Refusal::FirstByteTimeout => Some(On::Timeout),
            _ => None,
        };
        let is_asked = |pool: &Arc<Pool>| on.is_some_and(|on| pool.retries.on.contains(&on));
        let may = match is_safe {
            true => self.status.is_none() && self.is_kept,
            false => {
                self.pool.as_ref().is_some_and(is_asked)
                    && self.is_repeatable()
                    && self.is_other_left()
            }
        };
        if may && self.takes_retry(now) {
            let outcome = Outcome::of_refusal(refusal);
            return self.try_again(outcome, Some(refusal), now);
        }
        self.refuse(refusal, now)
    }

    /// Whether an answer with `status` is to be dropped for another attempt.
    pub(super) fn retries_status(&self, status: u16, now: Instant) -> bool {
        self.pool.as_ref().is_some_and(|pool| pool.retries.is_on_status(status))
            && self.is_repeatable()
            && self.is_other_left()
            && self.takes_retry(now)
    }

    /// Whether there is a backend that this request has not tried: who was too slow, or broke
    /// off, is not asked twice.
    fn is_other_left(&self) -> bool {
        let Some(pool) = &self.pool else { return false };
        let is_asked = |backend: &Arc<Backend>| {
            let last = self.attempts.last().map(AttemptRecord::backend);
            last.into_iter().chain(&self.tried).any(|asked| Arc::ptr_eq(asked, backend))
        };
        pool.live.members().active.iter().any(|member| !is_asked(&member.backend))
    }

    /// Whether the whole request could be sent once more, and do no harm (RFC 9110 §9.2.2).
    pub(super) fn is_repeatable(&self) -> bool {
        self.status.is_none()
            && self.is_kept
            && !self.is_websocket
            && self.facts.as_ref().is_some_and(|facts| facts.method.is_idempotent())
    }

    /// Takes a retry from what the request and its pool may have.
    fn takes_retry(&self, now: Instant) -> bool {
        let Some(pool) = self.pool.as_ref().filter(|_| self.retries_left > 0) else {
            return false;
        };
        let is_left = pool.live.budget.withdraw(pool.retries.floor, Moment::of(now));
        let [done, no_budget] = &pool.metrics.retries;
        if is_left {
            done.inc()
        } else {
            no_budget.inc()
        }
        is_left
    }

    /// Ends the attempt and makes another one, after a pause.
    pub(super) fn try_again(
        &mut self,
        outcome: Outcome,
        why: Option<Refusal>,
        now: Instant,
    ) -> Action {
        self.end_attempt(outcome, why, now);
        self.tried.extend(self.attempts.last().map(|attempt| Arc::clone(attempt.backend())));
        self.retries_left = self.retries_left.saturating_sub(1);
        self.response_edits.clear();
        let Some(pool) = &self.pool else { return self.refuse(Refusal::Internal, now) };
        let number = u32::try_from(self.tried.len()).unwrap_or(u32::MAX);
        let is_other_left = self.is_other_left();
        // The first retry goes to another backend: it need not wait. Where none is left, a
        // round is over, which has a pause of its own.
        if number == 1 || !is_other_left {
            return self.attempt(now);
        }
        let random = mix(self.id.as_random() ^ u64::from(number));
        self.phase = Phase::Suspended;
        Action::Wait(Effect::Pause(pool.retries.pause(number, random)))
    }

    fn meaning(&self, fault: Fault) -> Refusal {
        match fault {
            Fault::BackendBrokeOff
            | Fault::BackendClosed
            | Fault::BackendMalformed
            | Fault::GoingAway
            | Fault::StreamRefused
                if self.is_head_sent =>
            {
                Refusal::BackendCut
            }
            Fault::BackendBrokeOff | Fault::BackendClosed => Refusal::BackendClosed,
            Fault::GoingAway | Fault::StreamRefused => Refusal::BackendRefused,
            Fault::BackendMalformed => Refusal::BackendMalformed,
            Fault::ClientGone => Refusal::ClientGone,
            Fault::ClientChunks(fault) => Refusal::Chunks(fault),
            Fault::ClientMalformed => Refusal::MalformedBody,
            Fault::ConnectFailed => Refusal::ConnectFailed,
            Fault::ConnectRefused => Refusal::ConnectRefused,
            Fault::ConnectTimeout => Refusal::ConnectTimeout,
            Fault::Internal => Refusal::Internal,
            Fault::TlsFailed => Refusal::TlsFailed,
        }
    }

    /// A piece of the request's body went to its backend.
    pub(super) fn note_body(&mut self, is_last: bool, now: Instant) {
        self.request_done |= is_last;
        if let Some(attempt) = self.attempts.last_mut().filter(|_| is_last) {
            attempt.asked = Some(now);
        }
    }

    /// Ends the attempt under way, if there is one, and counts its outcome once.
    pub(super) fn end_attempt(&mut self, outcome: Outcome, why: Option<Refusal>, now: Instant) {
        let Some(attempt) = self.attempts.last_mut() else { return };
        let at = Moment::of(now);
        let Some((settled, time)) = attempt.end(outcome, why, (now, at)) else { return };
        let (Settled { outcome, verdict }, backend) = (settled, attempt.backend());
        let Some(pool) = &self.pool else { return };
        backend.state.metrics.count_attempt(outcome);
        let is_seen = outcome != Outcome::Unseen;
        if let Some(route) = self.route.as_ref().filter(|_| is_seen) {
            let first_byte = || attempt.first_byte.map(|_| time);
            for limits in [&route.limits, &route.user_limits] {
                rate_limit::note(&limits.rates, outcome, first_byte);
            }
        }
        let is_failure = matches!(outcome, Outcome::Failure(_));
        if is_seen && outcome != Outcome::ClientError {
            backend.state.window.note(time, is_failure, at);
        }
        if is_failure {
            let time = now.duration_since(attempt.began).max(latency::FAILURE);
            backend.state.latency.observe(time, at);
        }
        if verdict == Verdict::Guarded {
            pool.metrics.guarded.inc();
        }
    }
}
