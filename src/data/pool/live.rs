//! Live: what is shared about a pool and outlives its snapshots.
//!
//! Its members, the turns taken, who waits for a place, what may still be retried. A place
//! that is given back goes to who waits first; only then to newcomers.

use super::backend::{Backend, Out};
use super::circuit::Settled;
use super::guard::Guard;
use super::members::{Idle, Member, Members};
use super::queue::Queue;
use crate::data::balance::Choice;
use crate::data::breaker::Permit;
use crate::data::outcome::Outcome;
use crate::data::overload::InFlight;
use crate::data::upstream::retry::Budget;
use crate::types::clock;
use crate::types::hash::mix;
use crate::types::moment::Moment;
use arc_swap::ArcSwap;
use crossbeam_utils::CachePadded;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// Tells the chance of a probe from those of the algorithms.
const PROBE: u64 = 0x70_726f_6265;

/// What is shared about a pool.
pub struct Live {
    members: ArcSwap<Members>,
    /// Turns taken: what the sequence algorithms count on.
    pub turn: CachePadded<AtomicUsize>,
    in_flight: CachePadded<AtomicU32>,
    /// Requests that count for the pool's limit, where it has one.
    pub limited: Arc<InFlight>,
    /// Counts what happened to members since the start.
    version: AtomicU64,
    changed: Arc<Notify>,
    /// What keeps a share of the pool in service.
    pub guard: Guard,
    /// Who waits for a place.
    pub queue: Queue,
    /// What may be retried.
    pub budget: Budget,
}

/// What a pick came to.
#[derive(Debug)]
pub enum Picked {
    /// This backend, with a place in it.
    Backend(Place),
    /// All that could take it are full, or others wait already.
    Full,
    /// Nobody takes new traffic, for this reason.
    Nobody(Idle),
    /// There are backends, but each was tried already, or dropped out a moment ago.
    Exhausted,
}

impl Live {
    /// A pool without members; `changed` is told when some of them change.
    #[must_use]
    pub fn new(changed: Arc<Notify>) -> Self {
        Self {
            members: ArcSwap::default(),
            turn: CachePadded::default(),
            in_flight: CachePadded::default(),
            limited: Arc::default(),
            version: AtomicU64::new(0),
            changed,
            guard: Guard::default(),
            queue: Queue::default(),
            budget: Budget::default(),
        }
    }

    /// The members now.
    #[must_use]
    pub fn members(&self) -> arc_swap::Guard<Arc<Members>> {
        self.members.load()
    }

    /// Requests under way at all backends.
    /// `races`: relaxed; a stale count only skews one choice.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Counts what happened to members: what was compiled before is stale from now on.
    pub fn touch(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_one();
    }

    /// The state of the pool that members are to be compiled from.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Whether something happened since the members were compiled.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.members.load().version != self.version()
    }

    /// Replaces the members, and gives places to who waits, if there are some now.
    pub fn publish(self: &Arc<Self>, members: Members, now: Moment) {
        let is_idle = members.active.is_empty();
        self.members.store(Arc::new(members));
        match is_idle {
            true => self.queue.dismiss(),
            false => self.serve_queue(now),
        }
    }

    /// A backend for the next attempt, with a place in it. Who waits already goes first.
    /// Cost: the algorithm's; no allocation, no lock.
    #[must_use]
    pub fn pick(self: &Arc<Self>, choice: &Choice<'_>) -> Picked {
        self.pick_among(&self.members.load(), choice)
    }

    /// The same among these, its members of a moment ago.
    #[must_use]
    pub fn pick_among(self: &Arc<Self>, members: &Members, choice: &Choice<'_>) -> Picked {
        if members.is_limited && !self.queue.is_empty() && members.plan.is_some() {
            return Picked::Full;
        }
        if !choice.is_first() {
            // Another attempt goes where the last one was good, if there is such a place.
            let good = Choice { only_good: true, ..*choice };
            if let picked @ Picked::Backend(_) = self.pick_from(members, &good) {
                return picked;
            }
        }
        self.pick_from(members, choice)
    }

    /// The same, past the queue.
    pub(super) fn pick_from(self: &Arc<Self>, members: &Members, choice: &Choice<'_>) -> Picked {
        if let Some(place) = self.probe(members, choice) {
            return Picked::Backend(place);
        }
        let Some((algorithm, _)) = &members.plan else { return Picked::Nobody(members.idle) };
        // A place may go to another worker between the choice and the taking of it.
        while let Some(member) =
            (algorithm.pick)(self, members, choice).and_then(|index| members.active_at(index))
        {
            if let Some(place) = self.enter(member) {
                return Picked::Backend(place);
            }
        }
        let is_full = |member: &Member| {
            members.is_open(member) && member.backend.state.in_flight() >= member.limit
        };
        match members.is_limited && members.active.iter().any(is_full) {
            true => Picked::Full,
            false => Picked::Exhausted,
        }
    }

    /// A place in a backend whose circuit is half open and may have a probe more, whatever the
    /// algorithm thinks of it: else it would stay half open. One choice of four asks for one,
    /// or each if nobody else is there: a probe of which nothing is learnt must not be followed
    /// by all who come. A further attempt is no probe.
    /// Cost: one comparison while none is half open.
    fn probe(self: &Arc<Self>, members: &Members, choice: &Choice<'_>) -> Option<Place> {
        let count = members.probing.len();
        if count == 0 || !choice.is_first() || choice.only_good {
            return None;
        }
        let random = mix(choice.random ^ PROBE);
        if !random.is_multiple_of(4) && !members.active.is_empty() {
            return None;
        }
        let start = usize::try_from(random >> 32).unwrap_or_default() % count;
        let (before, after) = members.probing.split_at(start);
        let mut from_start = after.iter().chain(before);
        from_start.find_map(|member| self.enter_as_probe(members, member))
    }

    /// Takes a place in `member` for a probe, if there is one and it is half open still.
    #[must_use]
    pub fn enter_as_probe(self: &Arc<Self>, members: &Members, member: &Member) -> Option<Place> {
        let state = &member.backend.state;
        let but_half_open = !(members.overlooked | Out::HalfOpen as u8);
        if state.out() & but_half_open != 0 {
            return None;
        }
        let permit = state.breaker.probe()?;
        let place = self.take(member, permit);
        if place.is_none() {
            state.breaker.give_back(permit);
        }
        place
    }

    /// Takes a place in `member`, if there is one.
    #[must_use]
    pub fn enter(self: &Arc<Self>, member: &Member) -> Option<Place> {
        self.take(member, member.backend.state.breaker.call())
    }

    fn take(self: &Arc<Self>, member: &Member, permit: Permit) -> Option<Place> {
        member.backend.state.enter(member.limit).then(|| {
            self.in_flight.fetch_add(1, Ordering::Relaxed);
            let (backend, live) = (Arc::clone(&member.backend), Some(Arc::clone(self)));
            Place { backend, live, permit }
        })
    }

    /// Gives free places to who waits, first come first served.
    pub(super) fn serve_queue(self: &Arc<Self>, now: Moment) {
        if self.queue.is_empty() {
            return;
        }
        let members = self.members.load_full();
        self.queue.serve(now, |key| {
            let choice = Choice { key, random: key, now, ..Choice::default() };
            match self.pick_from(&members, &choice) {
                Picked::Backend(place) => Some(place),
                _ => None,
            }
        });
    }
}

/// A place in a backend's count of requests in flight. Gives it back when dropped, on
/// whatever path the request ends.
pub struct Place {
    backend: Arc<Backend>,
    /// `None` once it is given back.
    live: Option<Arc<Live>>,
    /// What the call counts for; nothing, once it is settled.
    permit: Permit,
}

impl Place {
    /// The backend that it is in.
    #[must_use]
    pub fn backend(&self) -> &Arc<Backend> {
        &self.backend
    }

    /// Whether its call is a probe of a half-open circuit, and not settled yet.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        matches!(self.permit, Permit::Probe(_))
    }

    /// Has the circuit know how its call ended, which took `time` to its answer; once.
    pub fn settle(&mut self, outcome: Outcome, time: Duration, now: Moment) -> Settled {
        let permit = std::mem::take(&mut self.permit);
        match &self.live {
            Some(live) => live.settle(&self.backend, permit, (outcome, time), now),
            None => Settled::nothing(outcome),
        }
    }

    /// Gives it back; once. A probe that was not settled says nothing.
    pub fn leave(&mut self) {
        let Some(live) = self.live.take() else { return };
        self.backend.state.breaker.give_back(std::mem::take(&mut self.permit));
        live.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.backend.state.leave();
        if !live.queue.is_empty() {
            live.serve_queue(Moment::of(clock::now()));
        }
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Place({})", self.backend.name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}
