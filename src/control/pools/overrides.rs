//! Overrides: what operators say of a backend at run time, over what the config says.
//!
//! Each has an owner, may have a reason and an end, and outlives reloads as long as the
//! process. `ready` without a weight takes one away.

use super::{Plan, Pools};
use crate::data::pool::{Backend, Out};
use crate::types::ids::PoolId;
use crate::types::moment::Moment;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How long something that an operator says for a time may hold: a year.
pub(super) const SECONDS_MAX: u64 = 366 * 86_400;
/// Names that an error lists.
const NAMED_MAX: usize = 50;

/// What an operator wants of a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It takes new traffic, as far as its health lets it.
    #[default]
    Ready,
    /// It takes no new clients; sticky ones may come back, and what it has is finished.
    Drain,
    /// It takes nobody; what it has is finished.
    Maint,
}

impl Standing {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Drain => "drain",
            Self::Maint => "maint",
        }
    }
}

/// A change of a backend.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Whether it takes traffic; unchanged, if `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Standing>,
    /// Its weight, instead of the config's; unchanged, if `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
    /// For so many seconds; for good, if `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_seconds: Option<u64>,
    /// Who says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What holds for a backend.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    /// Whether it takes traffic.
    pub state: Standing,
    /// Its weight, if not the config's.
    pub weight: Option<u16>,
    /// Who said so.
    pub owner: String,
    /// Why.
    pub reason: Option<String>,
    /// Until when.
    pub until: Option<Moment>,
}

/// Why a backend was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// No such pool.
    #[error("no pool is called `{0}`: there are {1}")]
    Pool(String, String),
    /// No such backend in it.
    #[error("pool {0} has no backend {1}: it has {2}")]
    Backend(String, String, String),
    /// Nothing to change.
    #[error("nothing to change: expected `state`, `weight` or both")]
    Nothing,
    /// Too large a weight.
    #[error("weight {0} is out of range: expected 0 to 1000")]
    Weight(u16),
    /// A time for what holds for no time.
    #[error("for_seconds says nothing here: expected it only with force-open and force-closed")]
    NoTime,
    /// Too long a time, or none.
    #[error("for_seconds {0} is out of range: expected 1 to 31622400")]
    Seconds(u64),
}

impl Pools {
    /// Changes a backend.
    ///
    /// # Errors
    /// When there is no such backend, or nothing to change.
    pub fn change(
        &mut self,
        pool: &str,
        backend: &str,
        change: &Change,
        now: Moment,
    ) -> Result<(), ChangeError> {
        let address = self.find(pool, backend)?;
        let id = self.named(pool)?.id.clone();
        if change.state.is_none() && change.weight.is_none() {
            return Err(ChangeError::Nothing);
        }
        if let Some(weight) = change.weight.filter(|weight| *weight > 1000) {
            return Err(ChangeError::Weight(weight));
        }
        if let Some(seconds) = change.for_seconds.filter(|s| !(1..=SECONDS_MAX).contains(s)) {
            return Err(ChangeError::Seconds(seconds));
        }
        self.set(id, address, change, now);
        Ok(())
    }

    /// The pool called `name`.
    pub(super) fn named(&self, name: &str) -> Result<&Plan, ChangeError> {
        self.plans.values().find(|plan| plan.id.as_str() == name).ok_or_else(|| {
            ChangeError::Pool(name.into(), listing(self.plans.keys().map(PoolId::as_str)))
        })
    }

    /// The address of the backend of `pool` that is called `backend`.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(&self, pool: &str, backend: &str) -> Result<SocketAddr, ChangeError> {
        let listed = &self.named(pool)?.listed;
        let found = listed.iter().find(|listed| *listed.backend.name == *backend);
        found.map(|listed| listed.backend.address).ok_or_else(|| {
            let names = listing(listed.iter().map(|listed| &*listed.backend.name));
            ChangeError::Backend(pool.into(), backend.into(), names)
        })
    }

    /// What operators said of backends, also of those that are gone and may come back.
    pub fn overrides(&self) -> impl Iterator<Item = (&PoolId, SocketAddr, &Override)> {
        self.overrides.iter().map(|((pool, address), set)| (pool, *address, set))
    }

    fn set(&mut self, id: PoolId, address: SocketAddr, change: &Change, now: Moment) {
        let owner = change.owner.clone().unwrap_or_else(|| "unknown".to_owned());
        let before = self.overrides.remove(&(id.clone(), address));
        let state = change.state.or(before.as_ref().map(|b| b.state)).unwrap_or_default();
        // Ready alone takes the config's weight back too.
        let kept = before
            .and_then(|before| before.weight)
            .filter(|_| change.state != Some(Standing::Ready));
        let weight = change.weight.or(kept);
        tracing::info!(pool = %id, backend = %address, ?state, ?weight, %owner,
            reason = change.reason.as_deref().unwrap_or("-"), seconds = ?change.for_seconds,
            "backend changed by an operator");
        if state != Standing::Ready || weight.is_some() {
            let reason = change.reason.clone();
            let until = change.for_seconds.map(|s| now.after(Duration::from_secs(s)));
            let set = Override { state, weight, owner, reason, until };
            self.overrides.insert((id.clone(), address), set);
        }
        self.enforce(&id, now);
    }

    /// Ends what is over. Gives when the next one is.
    pub(super) fn expire(&mut self, now: Moment) -> Option<Moment> {
        let is_over = |set: &Override| set.until.is_some_and(|until| until <= now);
        let over: Vec<_> =
            self.overrides.extract_if(.., |_, set| is_over(set)).map(|(key, _)| key).collect();
        for (id, address) in over {
            tracing::info!(pool = %id, backend = %address, "an operator's change is over");
            self.enforce(&id, now);
        }
        self.overrides.values().filter_map(|set| set.until).min()
    }

    /// Makes the backends of a pool as the overrides say, and publishes them.
    pub(super) fn enforce(&mut self, id: &PoolId, now: Moment) {
        let Some(plan) = self.plans.get_mut(id) else { return };
        for listed in &mut plan.listed {
            let set = self.overrides.get(&(id.clone(), listed.backend.address));
            listed.overridden = set.and_then(|set| set.weight).map(u32::from);
            stand(&listed.backend, set.map(|set| set.state).unwrap_or_default(), now);
        }
        self.enforce_circuits(id, now);
        let Some(plan) = self.plans.get(id) else { return };
        plan.live.touch();
        plan.publish(now);
    }
}

fn stand(backend: &Arc<Backend>, standing: Standing, now: Moment) {
    let was_out = backend.state.out() & (Out::Drain as u8 | Out::Maint as u8) != 0;
    backend.state.mark(Out::Drain, standing == Standing::Drain);
    backend.state.mark(Out::Maint, standing == Standing::Maint);
    if was_out && standing == Standing::Ready {
        backend.state.begin(now);
    }
}

fn listing<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names = names.peekable();
    if names.peek().is_none() {
        return "none".to_owned();
    }
    let first: Vec<&str> = names.by_ref().take(NAMED_MAX).collect();
    let more = names.count();
    let end = if more == 0 { String::new() } else { format!(" and {more} more") };
    first.join(", ") + &end
}
