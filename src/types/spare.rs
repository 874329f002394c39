//! Things of a thread that are used again: what one request needed, the next one takes.

use std::cell::RefCell;

/// Spare things of one kind. For a `thread_local!`.
pub struct Spare<T> {
    list: RefCell<Vec<T>>,
    most: usize,
}

impl<T> Spare<T> {
    /// None yet; up to `most` are kept.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self { list: RefCell::new(Vec::new()), most }
    }

    /// One that is spare, if there is one: the last that was given.
    #[must_use]
    pub fn take(&self) -> Option<T> {
        self.list.borrow_mut().pop()
    }

    /// Keeps `one` for later, unless there are enough.
    pub fn give(&self, one: T) {
        let mut list = self.list.borrow_mut();
        if list.len() < self.most {
            list.push(one);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_last_is_taken_first_and_not_too_many_are_kept() {
        let spare = Spare::new(2);
        assert_eq!(spare.take(), None);
        (0..3).for_each(|one| spare.give(one));
        assert_eq!((spare.take(), spare.take(), spare.take()), (Some(1), Some(0), None));
    }
}
