//! Forced: what operators say of circuits at run time.
//!
//! Open, whatever calls say; closed, whatever they say; or by itself again. Each has an owner,
//! may have a reason and an end, and outlives reloads as long as the process.

use super::overrides::{ChangeError, SECONDS_MAX};
use super::{Plan, Pools};
use crate::data::breaker::Cause;
use crate::data::pool::{Backend, Out};
use crate::types::ids::PoolId;
use crate::types::moment::Moment;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What an operator wants of a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Open until something else is said: nobody comes.
    ForceOpen,
    /// Closed until something else is said: whoever fails there stays.
    ForceClosed,
    /// Closed now, its calls forgotten, and by itself from now on.
    Reset,
    /// By itself again, as it is.
    Auto,
}

/// What is said with it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Said {
    /// For so many seconds; for good, if `None`. Only of what is forced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_seconds: Option<u64>,
    /// Who says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What holds for a circuit.
#[derive(Clone, Debug, PartialEq)]
pub struct Forced {
    /// Open, or else closed.
    pub is_open: bool,
    /// Who said so.
    pub owner: String,
    /// Why.
    pub reason: Option<String>,
    /// Until when.
    pub until: Option<Moment>,
}

impl Forced {
    /// The label in log, metric and status.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        if self.is_open { "forced_open" } else { "forced_closed" }
    }
}

impl Pools {
    /// Does with the circuit of `backend` what an operator wants.
    ///
    /// # Errors
    /// When there is no such backend, or the time is out of range or says nothing here.
    pub fn order(
        &mut self,
        pool: &str,
        backend: &str,
        order: Order,
        said: &Said,
        now: Moment,
    ) -> Result<(), ChangeError> {
        let address = self.find(pool, backend)?;
        let plan = self.named(pool)?;
        let key = (plan.id.clone(), address);
        let holds = matches!(order, Order::ForceOpen | Order::ForceClosed);
        if let Some(seconds) = said.for_seconds {
            if !holds {
                return Err(ChangeError::NoTime);
            }
            if !(1..=SECONDS_MAX).contains(&seconds) {
                return Err(ChangeError::Seconds(seconds));
            }
        }
        let owner = said.owner.clone().unwrap_or_else(|| "unknown".to_owned());
        tracing::info!(pool, backend, ?order, %owner,
            reason = said.reason.as_deref().unwrap_or("-"), seconds = ?said.for_seconds,
            "circuit changed by an operator");
        let forced = Forced {
            is_open: order == Order::ForceOpen,
            owner,
            reason: said.reason.clone(),
            until: said.for_seconds.map(|seconds| now.after(Duration::from_secs(seconds))),
        };
        let was_forced = match holds {
            true => self.forced.insert(key.clone(), forced).is_some(),
            false => self.forced.remove(&key).is_some(),
        };
        let cause = match order {
            Order::ForceOpen => Some(Cause::ForcedOpen),
            Order::ForceClosed => Some(Cause::ForcedClosed),
            Order::Reset => Some(Cause::Reset),
            Order::Auto => None,
        };
        // Marked first: nobody comes while it is being closed.
        self.enforce_circuits(&key.0, now);
        let Ok(plan) = self.named(pool) else { return Ok(()) };
        for backend in plan.backends_at(address) {
            match cause {
                Some(cause) => plan.live.reset(backend, cause, now),
                None if was_forced => backend.state.breaker.remark(Cause::Auto, now),
                None => {}
            }
        }
        plan.live.touch();
        plan.publish(now);
        Ok(())
    }

    /// What operators said of circuits, also of those that are gone and may come back.
    pub fn forced(&self) -> impl Iterator<Item = (&PoolId, SocketAddr, &Forced)> {
        self.forced.iter().map(|((pool, address), set)| (pool, *address, set))
    }

    /// What an operator said of the circuit of the backend at `address`.
    #[must_use]
    pub fn forced_at(&self, pool: &PoolId, address: SocketAddr) -> Option<&Forced> {
        self.forced.get(&(pool.clone(), address))
    }

    /// Ends what is over. Gives when the next one is.
    pub(super) fn expire_forced(&mut self, now: Moment) -> Option<Moment> {
        let is_over = |set: &Forced| set.until.is_some_and(|until| until <= now);
        let over: Vec<_> =
            self.forced.extract_if(.., |_, set| is_over(set)).map(|(key, _)| key).collect();
        for (id, address) in over {
            tracing::info!(pool = %id, backend = %address, "an operator's word on a circuit is over");
            self.enforce_circuits(&id, now);
            let Some(plan) = self.plans.get(&id) else { continue };
            for backend in plan.backends_at(address) {
                backend.state.breaker.remark(Cause::Auto, now);
            }
            plan.live.touch();
        }
        self.forced.values().filter_map(|set| set.until).min()
    }

    /// Makes the circuits of a pool as operators say.
    pub(super) fn enforce_circuits(&self, id: &PoolId, now: Moment) {
        let Some(plan) = self.plans.get(id) else { return };
        for backend in plan.listed.iter().map(|listed| &listed.backend) {
            let set = self.forced.get(&(id.clone(), backend.address));
            backend.state.breaker.hold(set.is_some_and(|set| !set.is_open));
            let is_open = set.is_some_and(|set| set.is_open);
            if backend.state.mark(Out::ForcedOpen, is_open) && !is_open {
                backend.state.begin(now);
            }
        }
    }
}

impl Plan {
    fn backends_at(&self, address: SocketAddr) -> impl Iterator<Item = &Arc<Backend>> {
        let backends = self.listed.iter().map(|listed| &listed.backend);
        backends.filter(move |backend| backend.address == address)
    }
}
