//! The collection TX: slots for the names that rules write out, a list for all others.

use super::strings::{EMPTY, Id, Strings};

/// A value of TX.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Value {
    #[default]
    Unset,
    Number(i64),
    Text(Id),
}

/// All of TX.
#[derive(Debug)]
pub(crate) struct Tx {
    slots: Vec<Value>,
    /// Variables whose names were made while the transaction ran.
    extras: Vec<(Id, Value)>,
}

impl Tx {
    pub(crate) fn new(slots: usize) -> Self {
        Self { slots: vec![Value::Unset; slots], extras: Vec::new() }
    }

    pub(crate) fn clear(&mut self) {
        self.slots.fill(Value::Unset);
        self.extras.clear();
        self.extras.shrink_to(64);
    }

    /// Forgets the texts of slots that `is_kept` does not want, and all others unless it
    /// `keeps_extras`.
    pub(crate) fn keep(&mut self, is_kept: impl Fn(usize) -> bool, keeps_extras: bool) {
        for (slot, value) in self.slots.iter_mut().enumerate() {
            if matches!(value, Value::Text(_)) && !is_kept(slot) {
                *value = Value::Unset;
            }
        }
        if !keeps_extras {
            self.extras.clear();
        }
        self.extras.shrink_to_fit();
    }

    /// Calls `change` with each number of a string.
    pub(crate) fn each_id(&mut self, change: &mut impl FnMut(&mut Id)) {
        let names = self.extras.iter_mut().map(|(name, value)| (Some(name), value));
        for (name, value) in self.slots.iter_mut().map(|value| (None, value)).chain(names) {
            name.into_iter().for_each(&mut *change);
            if let Value::Text(id) = value {
                change(id);
            }
        }
    }

    /// Tells `strings`, which are new, which of them are names without a slot.
    pub(crate) fn number(&self, strings: &mut Strings) {
        for (index, (name, _)) in self.extras.iter().enumerate() {
            strings.set_extra(*name, index);
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Value>()
            + self.extras.capacity() * size_of::<(Id, Value)>()
    }

    pub(crate) fn slot(&self, slot: u16) -> Value {
        self.slots.get(usize::from(slot)).copied().unwrap_or_default()
    }

    pub(crate) fn set_slot(&mut self, slot: u16, value: Value) {
        if let Some(place) = self.slots.get_mut(usize::from(slot)) {
            *place = value;
        }
    }

    pub(crate) fn extras(&self) -> &[(Id, Value)] {
        &self.extras
    }

    pub(crate) fn extra(&self, strings: &Strings, name: Id) -> Value {
        let found = strings.extra(name).and_then(|index| self.extras.get(index));
        found.map_or(Value::Unset, |(_, value)| *value)
    }

    pub(crate) fn set_extra(&mut self, strings: &mut Strings, name: Id, value: Value) {
        match strings.extra(name).and_then(|index| self.extras.get_mut(index)) {
            Some((_, place)) => *place = value,
            None => {
                strings.set_extra(name, self.extras.len());
                self.extras.push((name, value));
            }
        }
    }
}

impl Value {
    /// The value as a string; `None` when it is not set.
    pub(crate) fn text(self, strings: &mut Strings) -> Option<Id> {
        match self {
            Self::Unset => None,
            Self::Number(number) => Some(decimal(strings, number)),
            Self::Text(id) => Some(id),
        }
    }

    /// The value as a number; 0 when it is none.
    pub(crate) fn number(self, strings: &Strings) -> i64 {
        match self {
            Self::Unset | Self::Text(EMPTY) => 0,
            Self::Number(number) => number,
            Self::Text(id) => crate::waf::operator::number(strings.get(id)),
        }
    }
}

/// The string of a number.
pub(crate) fn decimal(strings: &mut Strings, number: i64) -> Id {
    let mut buffer = [0u8; 20];
    strings.intern(write_decimal(number, &mut buffer))
}

/// Writes `number` at the end of `buffer` and returns that part.
pub(crate) fn write_decimal(number: i64, buffer: &mut [u8; 20]) -> &[u8] {
    let mut rest = number.unsigned_abs();
    let mut at = buffer.len();
    loop {
        at -= 1;
        if let Some(place) = buffer.get_mut(at) {
            *place = b'0' + (rest % 10) as u8;
        }
        rest /= 10;
        if rest == 0 || at == 1 {
            break;
        }
    }
    if number < 0 {
        at -= 1;
        if let Some(place) = buffer.get_mut(at) {
            *place = b'-';
        }
    }
    buffer.get(at..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_decimal() {
        let mut buffer = [0; 20];
        for number in [0, 7, -5, 1_234_567, i64::MAX / 2, -1_000_000_000_000] {
            let written = write_decimal(number, &mut buffer).to_vec();
            assert_eq!(written, number.to_string().into_bytes());
        }
    }
}
