//! Starting: whether the pools that the start waits for (`required`) have had their first lists.
//!
//! It is over once: what fails afterwards makes nothing unready, and neither do pools that a
//! reload brings.

use crate::types::ids::PoolId;
use parking_lot::Mutex;

/// The pools that the start still waits for.
#[derive(Debug, Default)]
pub struct Starting(Mutex<Vec<PoolId>>);

impl Starting {
    /// Waits for these, and no others.
    pub fn wait_for(&self, pools: Vec<PoolId>) {
        *self.0.lock() = pools;
    }

    /// Waits no more for those that `keep` is not true of.
    pub fn retain(&self, keep: impl FnMut(&PoolId) -> bool) {
        self.0.lock().retain(keep);
    }

    /// Whom it waits for, in words; `None`: it has started.
    #[must_use]
    pub fn waits(&self) -> Option<String> {
        let waiting = self.0.lock();
        let names = waiting.iter().map(PoolId::as_str).collect::<Vec<_>>().join(", ");
        (!waiting.is_empty()).then(|| format!("waiting for backends of {names}"))
    }
}
