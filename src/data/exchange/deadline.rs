//! Time in an exchange: which limit holds now, and what it means when it is reached.
//!
//! One deadline holds at a time: the route's total, and the limit of whoever is awaited.
//! The engine says whom it waits for ([`Event::Parked`](super::Event::Parked)), since
//! only it knows whether a read from the client or a write to it is what does not go on:
//! so a slow client is never held against a backend, nor the other way round.

use super::{Action, Exchange, Phase};
use crate::data::refusal::Refusal;
use std::time::{Duration, Instant};

/// Whom an engine waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// The client: to send more of its request, or to take more of the answer.
    Client,
    /// The backend: to answer, to send more, or to take more of the request.
    Backend,
}

impl Exchange {
    /// When [`Event::Deadline`](super::Event::Deadline) is due. May move either way with
    /// each step.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        let (limit, _) = self.limit();
        let next = self.since() + limit;
        match self.phase {
            Phase::Head | Phase::Tunnel | Phase::Ended => next,
            Phase::Suspended | Phase::Connecting => self.total_deadline(),
            Phase::Reading | Phase::Streaming | Phase::Queued => next.min(self.total_deadline()),
        }
    }

    /// Whom the engine waited for when it was last said.
    #[must_use]
    pub fn waiting(&self) -> Waiting {
        self.waiting
    }

    pub(super) fn on_parked(&mut self, waiting: Waiting, now: Instant) -> Action {
        if self.waiting != waiting {
            self.waiting = waiting;
            // Whoever is awaited now gets the whole limit.
            self.progress = now;
        }
        Action::Continue
    }

    pub(super) fn on_deadline(&mut self, now: Instant) -> Action {
        if now < self.deadline() {
            return Action::Continue;
        }
        let is_total =
            !matches!(self.phase, Phase::Head | Phase::Tunnel) && now >= self.total_deadline();
        let refusal = match is_total {
            true if self.call_timeout().is_some_and(|limit| now >= self.started + limit) => {
                Refusal::CallDeadline
            }
            true => Refusal::TotalTimeout,
            false => self.limit().1,
        };
        match refusal {
            Refusal::FirstByteTimeout => self.retry_or_refuse(refusal, now),
            _ => self.refuse(refusal, now),
        }
    }

    /// The limit that holds in this phase, and the refusal when it is reached.
    fn limit(&self) -> (Duration, Refusal) {
        let client = self.listener.timeouts;
        let (Some(route), Some(pool)) = (&self.route, &self.pool) else {
            return match self.phase {
                Phase::Head => (client.head, Refusal::HeadTimeout),
                _ => (client.between_bytes, Refusal::ClientStalled),
            };
        };
        let backend = pool.timeouts;
        match (self.phase, self.waiting) {
            (Phase::Queued, _) => {
                let wait = pool.queue.map_or(Duration::ZERO, |rules| rules.timeout);
                (wait, Refusal::QueueTimeout)
            }
            (Phase::Tunnel, _) => (route.tunnel_idle, Refusal::TunnelIdleTimeout),
            (Phase::Streaming, Waiting::Backend) if self.request_done && self.status.is_none() => {
                (backend.first_byte, Refusal::FirstByteTimeout)
            }
            (Phase::Streaming, Waiting::Backend) => {
                (backend.between_bytes, Refusal::BackendStalled)
            }
            _ => (client.between_bytes, Refusal::ClientStalled),
        }
    }

    /// From when the limit counts: a head has one deadline that no byte moves.
    fn since(&self) -> Instant {
        if self.phase == Phase::Head { self.started } else { self.progress }
    }

    /// The time that the client gives a gRPC call.
    fn call_timeout(&self) -> Option<Duration> {
        self.facts.as_ref()?.call?.timeout
    }

    fn total_deadline(&self) -> Instant {
        let total = self.route.as_ref().map_or(self.listener.timeouts.head, |r| r.total);
        self.started + self.call_timeout().map_or(total, |limit| limit.min(total))
    }
}
