//! Members: who is in a pool now, as the control plane compiled it.
//!
//! Published anew whenever membership, weights, health or an operator's word change; read
//! live at each attempt, so a request that waits sees who came meanwhile. A backend that
//! drops out between two of these is left out by its own state, at once.

use super::backend::{Backend, Out};
use crate::data::balance::{Algorithm, Choice, Plan};
use std::sync::Arc;

/// A backend in its pool.
#[derive(Clone, Debug)]
pub struct Member {
    /// The backend.
    pub backend: Arc<Backend>,
    /// Its configured or overridden share of new traffic; 0: none.
    pub weight: u32,
    /// The same as it counts now, while it starts slowly; in units that all members share.
    pub pace: u32,
    /// Requests that it may work on at once.
    pub limit: u32,
    /// It is used when none of the others can be.
    pub is_backup: bool,
}

/// Why nobody of a pool takes new traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Idle {
    /// There are no backends.
    #[default]
    Empty,
    /// Operators took all of them out.
    Withdrawn,
    /// None passes its checks, or all failed too often.
    Unhealthy,
    /// All that could have weight 0.
    NoWeight,
}

/// The members of a pool.
#[derive(Debug, Default)]
pub struct Members {
    /// Which state of the pool this was compiled from.
    pub version: u64,
    /// All of them, in the order in which they are listed.
    pub all: Vec<Member>,
    /// Those that new traffic is spread over, in the same order.
    pub active: Vec<Member>,
    /// What the algorithm has worked out for them; without one: nobody is active.
    pub plan: Option<(&'static Algorithm, Plan)>,
    /// What names each in tokens, and its place among all; by that name.
    pub tags: Box<[(u64, u32)]>,
    /// Those that only probes may go to: their circuits are half open.
    pub probing: Vec<Member>,
    /// Why nobody is active, if nobody is.
    pub idle: Idle,
    /// Reasons for being out that are overlooked: too few backends are healthy.
    pub overlooked: u8,
    /// The backup is in use.
    pub is_backup: bool,
    /// Who is not active, and why, in words; `None` if all are.
    pub left_out: Option<Arc<str>>,
    /// Some member has a limit.
    pub is_limited: bool,
}

impl Members {
    /// Whether `member` may get new traffic, room or not.
    #[must_use]
    pub fn is_open(&self, member: &Member) -> bool {
        member.backend.state.out() & !self.overlooked == 0
    }

    /// Whether `member` may get new traffic now.
    #[must_use]
    pub fn admits(&self, member: &Member, choice: &Choice<'_>) -> bool {
        self.is_open(member)
            && member.backend.state.in_flight() < member.limit
            && !(choice.only_good && member.backend.state.breaker.is_failing())
            && !choice.tried.iter().any(|tried| Arc::ptr_eq(tried, &member.backend))
    }

    /// Whether `member` may get traffic of clients that belong to it: one that drains or leaves
    /// does, and one whose circuit is half open, as far as it may have probes.
    #[must_use]
    pub fn keeps_clients(&self, member: &Member) -> bool {
        let despite = self.overlooked | Out::BY_DRAINING | Out::HalfOpen as u8;
        member.backend.state.out() & !despite == 0
    }

    /// Whether only probes may go to `member`.
    #[must_use]
    pub fn is_half_open(&self, member: &Member) -> bool {
        member.backend.state.out() & !self.overlooked & Out::HalfOpen as u8 != 0
    }

    /// Whether nothing but its circuit keeps clients that belong to `member` from it.
    #[must_use]
    pub fn keeps_clients_but_for_circuit(&self, member: &Member) -> bool {
        let despite = self.overlooked | Out::BY_DRAINING | Out::BY_CIRCUIT;
        member.backend.state.out() & !despite == 0
    }

    /// The member that a token names.
    /// Cost: O(log n).
    #[must_use]
    pub fn by_tag(&self, tag: u64) -> Option<&Member> {
        let at = self.tags.binary_search_by_key(&tag, |(tag, _)| *tag).ok()?;
        self.all.get(self.tags.get(at)?.1 as usize)
    }

    /// Whether too few backends are healthy, so that health is overlooked.
    #[must_use]
    pub fn is_panic(&self) -> bool {
        self.overlooked != 0
    }

    /// The member at `index` of those that are active.
    #[must_use]
    pub fn active_at(&self, index: usize) -> Option<&Member> {
        self.active.get(index)
    }
}
