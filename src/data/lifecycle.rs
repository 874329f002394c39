//! Lifecycle: what the process does with connections, from its start to its exit.
//!
//! Stages only go forward. Workers look at the stage; whoever moves it wakes them.

use std::sync::atomic::{AtomicU8, Ordering};

/// A stage of the process' life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Connections are accepted and kept.
    Serving,
    /// Not ready any more, but accepting; each answer says that the connection closes.
    Draining,
    /// No longer accepting; what is in flight is finished.
    Closing,
    /// What is still in flight is cut.
    Aborting,
}

const STAGES: [Stage; 4] = [Stage::Serving, Stage::Draining, Stage::Closing, Stage::Aborting];

/// The present stage, shared by the whole process.
#[derive(Debug, Default)]
pub struct Lifecycle(AtomicU8);

impl Lifecycle {
    /// The present stage.
    #[must_use]
    pub fn stage(&self) -> Stage {
        STAGES.get(usize::from(self.0.load(Ordering::Acquire))).copied().unwrap_or(Stage::Aborting)
    }

    /// Moves to `stage`, unless it is already there or beyond.
    pub fn advance(&self, stage: Stage) {
        self.0.fetch_max(stage as u8, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_only_go_forward() {
        let lifecycle = Lifecycle::default();
        assert_eq!(lifecycle.stage(), Stage::Serving);
        lifecycle.advance(Stage::Closing);
        lifecycle.advance(Stage::Draining);
        assert_eq!(lifecycle.stage(), Stage::Closing);
    }
}
