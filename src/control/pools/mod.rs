//! Pools: who is in each of them now, joined from what is configured, found, checked and said
//! by operators, and published for the data plane to read.
//!
//! A pool is compiled anew when something happened to it (`Live::touch`), when the time of an
//! ejection is over, and while a backend starts slowly. Owned by one task, so nothing here
//! runs beside itself.

mod compile;
mod members;
mod overrides;
mod status;

pub use compile::{Compiled, compile};
pub use members::{Listed, Plan, members};
pub use overrides::{Change, ChangeError, Override, Standing};
pub use status::PoolStatus;

use crate::types::ids::PoolId;
use crate::types::moment::Moment;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// How often members that start slowly get more.
const SLOW_START_STEP: Duration = Duration::from_millis(500);

/// The pools of the config in use.
#[derive(Default)]
pub struct Pools {
    plans: BTreeMap<PoolId, Plan>,
    /// What operators said of backends.
    overrides: BTreeMap<(PoolId, SocketAddr), Override>,
    /// When slow starts are looked at again.
    next_step: Moment,
}

impl Pools {
    /// Uses `plans` from now on: publishes the members of each.
    pub fn apply(&mut self, plans: Vec<Plan>, now: Moment) {
        self.plans = plans.into_iter().map(|plan| (plan.id.clone(), plan)).collect();
        for id in self.plans.keys().cloned().collect::<Vec<_>>() {
            self.enforce(&id, now);
        }
    }

    /// Does what is due: takes ejected backends back, and publishes what has changed.
    /// Gives when it is to be called again, unless something happens before.
    pub fn tend(&mut self, now: Moment) -> Option<Moment> {
        let is_step = now >= self.next_step;
        if is_step {
            self.next_step = now.after(SLOW_START_STEP);
        }
        let mut next = self.expire(now);
        for plan in self.plans.values() {
            let due = plan.readmit(now);
            let is_starting = plan.is_starting(now);
            if plan.live.is_stale() || (is_starting && is_step) {
                plan.publish(now);
            }
            let step = is_starting.then_some(self.next_step);
            next = [next, due, step].into_iter().flatten().min();
        }
        next
    }

    /// The pools, by name.
    pub fn plans(&self) -> impl Iterator<Item = &Plan> {
        self.plans.values()
    }

    /// The pool called `id`.
    #[must_use]
    pub fn plan(&self, id: &PoolId) -> Option<&Plan> {
        self.plans.get(id)
    }
}
