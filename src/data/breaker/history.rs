//! History: what a circuit did last, and what is known of its present state. Looked at by
//! people, and changed only when the circuit does.

use super::state::Kind;
use super::trip::Cause;
use crate::types::moment::Moment;
use std::collections::VecDeque;

/// Changes that are remembered.
pub const CHANGES_MAX: usize = 20;

/// A change of a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub at: Moment,
    /// What it was.
    pub from: Kind,
    /// What it is; the same where the guard has kept it closed.
    pub to: Kind,
    /// Why.
    pub cause: Cause,
}

impl Change {
    /// Whether it would have opened, but for the guard.
    #[must_use]
    pub fn is_guarded(&self) -> bool {
        self.to == Kind::Closed && self.cause.is_trip()
    }
}

/// What a circuit did.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The last changes, the oldest first.
    pub changes: VecDeque<Change>,
    /// Changes since the start.
    pub count: u64,
    /// Those of them that were told of.
    pub(super) told: u64,
    /// Why it is open or half open, if it is: what opened it first.
    pub cause: Option<Cause>,
    /// Whether nobody takes connections there, as the last call found: a check that passes then
    /// says that it is back.
    pub is_gone: bool,
    /// Until when it is open, if it is.
    pub until: Option<Moment>,
    /// Openings without a good time between them.
    pub repeats: u32,
    /// When it closed last.
    pub closed: Option<Moment>,
}

impl History {
    pub(super) fn add(&mut self, change: Change) {
        if self.changes.len() == CHANGES_MAX {
            self.changes.pop_front();
        }
        self.changes.push_back(change);
        self.count += 1;
    }

    /// The changes that were not told of yet, as far as they are remembered.
    pub(super) fn news(&mut self) -> Vec<Change> {
        let new = usize::try_from(self.count - self.told).unwrap_or(usize::MAX);
        self.told = self.count;
        self.changes.iter().skip(self.changes.len().saturating_sub(new)).copied().collect()
    }
}
