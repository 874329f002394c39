//! What rules of each phase, and logs, can still ask of a transaction.
//!
//! Found once, when rules are compiled, so that a transaction that waits keeps no more than that.
//! On doubt something is asked for. What the engine itself asks for in later phases stands in
//! [`Asked::new`].

use crate::waf::seclang::variables::{COUNT, Variable};

/// What comes after all phases.
pub(crate) const LOGS: u8 = 6;

/// Bits of phases, and of [`LOGS`].
type Phases = u8;

/// Who asks for what.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// By variable: who looks at it or names it in a macro.
    variables: [Phases; COUNT],
    /// By slot of TX.
    slots: Vec<Phases>,
    /// Who may look at any variable of TX.
    any_of_tx: Phases,
}

impl Asked {
    pub(crate) fn new() -> Self {
        let mut asked = Self { variables: [0; COUNT], slots: Vec::new(), any_of_tx: 0 };
        // How a body is read hangs on its processor or its type, whether a rule looks at it or not.
        asked.note(Variable::ReqbodyProcessor, 5);
        asked.note(Variable::ResponseContentType, 4);
        // Logs show heads.
        asked.note(Variable::RequestHeaders, LOGS);
        asked.note(Variable::ResponseHeaders, LOGS);
        asked
    }

    /// Rules of `phase` look at `variable`.
    pub(crate) fn note(&mut self, variable: Variable, phase: u8) {
        if let Some(phases) = self.variables.get_mut(variable as usize) {
            *phases |= 1 << phase;
        }
    }

    /// Rules of `phase` look at a slot of TX.
    pub(crate) fn note_slot(&mut self, slot: u16, phase: u8) {
        let slot = usize::from(slot);
        if self.slots.len() <= slot {
            self.slots.resize(slot + 1, 0);
        }
        if let Some(phases) = self.slots.get_mut(slot) {
            *phases |= 1 << phase;
        }
    }

    /// Rules of `phase` may look at any variable of TX.
    pub(crate) fn note_tx(&mut self, phase: u8) {
        self.any_of_tx |= 1 << phase;
    }

    /// Whether anybody looks at variable number `index`, from phase `from` on.
    pub(crate) fn asks(&self, index: usize, from: u8) -> bool {
        self.variables.get(index).is_some_and(|phases| phases >> from != 0)
    }

    /// The same of a slot of TX.
    pub(crate) fn asks_slot(&self, slot: usize, from: u8) -> bool {
        self.asks_tx(from) || self.slots.get(slot).is_some_and(|phases| phases >> from != 0)
    }

    /// Whether rules may look at any variable of TX, from phase `from` on.
    pub(crate) fn asks_tx(&self, from: u8) -> bool {
        self.any_of_tx >> from != 0
    }
}
