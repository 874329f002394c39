//! Names of TX: those that rules write out are numbered at load.

use std::collections::HashMap;

/// Numbers of names. 0..=9 are the captures.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    slots: HashMap<Box<[u8]>, u16>,
    /// Name by slot.
    pub all: Vec<Box<[u8]>>,
}

impl Names {
    pub(crate) fn new() -> Self {
        let mut names = Self { slots: HashMap::new(), all: Vec::new() };
        for digit in b'0'..=b'9' {
            names.slot(&[digit]);
        }
        names
    }

    /// The slot of `name` (lower case), made when it is new. More than 65,535 names share the last.
    pub(crate) fn slot(&mut self, name: &[u8]) -> u16 {
        if let Some(slot) = self.slots.get(name) {
            return *slot;
        }
        let slot = u16::try_from(self.all.len()).unwrap_or(u16::MAX);
        self.slots.insert(name.into(), slot);
        self.all.push(name.into());
        slot
    }

    /// The slot of `name`, when a rule writes it out.
    pub(crate) fn find(&self, name: &[u8]) -> Option<u16> {
        self.slots.get(name).copied()
    }
}
