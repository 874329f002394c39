//! The values of a transaction's variables, by variable, and when each last changed.

use super::strings::Id;
use crate::waf::seclang::variables::{COUNT, Variable};

/// One value with its name; both are numbers of strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub key: Id,
    pub value: Id,
}

/// All variables but TX and MATCHED_*.
#[derive(Debug)]
pub(crate) struct Values {
    fields: Box<[Vec<Field>]>,
    stamps: [u64; COUNT],
    /// Grows with each change, and over all transactions.
    clock: u64,
    /// When any variable that is not fluid last changed.
    epoch: u64,
}

impl Values {
    pub(crate) fn new() -> Self {
        Self { fields: vec![Vec::new(); COUNT].into(), stamps: [1; COUNT], clock: 1, epoch: 1 }
    }

    /// Empties all variables.
    pub(crate) fn clear(&mut self) {
        self.clock = self.clock.wrapping_add(1);
        self.stamps.fill(self.clock);
        self.epoch = self.clock;
        for fields in &mut self.fields {
            fields.clear();
            fields.shrink_to(256);
        }
    }

    pub(crate) fn of(&self, variable: Variable) -> &[Field] {
        self.fields.get(variable as usize).map_or(&[], Vec::as_slice)
    }

    /// When `variable` last changed.
    pub(crate) fn stamp(&self, variable: Variable) -> u64 {
        self.stamps.get(variable as usize).copied().unwrap_or_default()
    }

    /// When any variable that is not fluid last changed.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn push(&mut self, variable: Variable, key: Id, value: Id) {
        self.touch(variable);
        if let Some(fields) = self.fields.get_mut(variable as usize) {
            fields.push(Field { key, value });
        }
    }

    /// Gives a variable its one value.
    pub(crate) fn set(&mut self, variable: Variable, value: Id) {
        self.touch(variable);
        if let Some(fields) = self.fields.get_mut(variable as usize) {
            fields.clear();
            fields.push(Field { key: 0, value });
        }
    }

    /// Forgets the values that `is_kept` does not want: by the number of their variable.
    pub(crate) fn keep(&mut self, is_kept: impl Fn(usize, Field) -> bool) {
        for (variable, fields) in self.fields.iter_mut().enumerate() {
            fields.retain(|field| is_kept(variable, *field));
            fields.shrink_to_fit();
        }
    }

    /// Calls `change` with each number of a string.
    pub(crate) fn each_id(&mut self, change: &mut impl FnMut(&mut Id)) {
        for field in self.fields.iter_mut().flatten() {
            change(&mut field.key);
            change(&mut field.value);
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let fields: usize = self.fields.iter().map(Vec::capacity).sum();
        fields * size_of::<Field>() + size_of_val(&*self.fields)
    }

    fn touch(&mut self, variable: Variable) {
        self.clock = self.clock.wrapping_add(1);
        if let Some(stamp) = self.stamps.get_mut(variable as usize) {
            *stamp = self.clock;
        }
        if !variable.is_fluid() {
            self.epoch = self.clock;
        }
    }
}
