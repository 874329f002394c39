//! What one thread has for itself, though the type of who holds it must be `Send` and `Sync`.
//!
//! A connection and its requests are used by their worker's thread alone, but the engines'
//! types ask for more. A lock would cost two atomic operations where nobody ever waits; this
//! costs two comparisons.

use fragile::Fragile;
use std::cell::{RefCell, RefMut};

/// A value for the thread that made it.
pub struct Own<T>(Fragile<RefCell<T>>);

impl<T> Own<T> {
    /// `value` is this thread's from now on, and has to end here.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self(Fragile::new(RefCell::new(value)))
    }

    /// The value, for as long as what is returned lives. Never held over a wait.
    ///
    /// # Panics
    /// On another thread, or while it is held already: both would be faults of the program.
    pub fn get(&self) -> RefMut<'_, T> {
        self.0.get().borrow_mut()
    }
}

impl<T: Default> Default for Own<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_threads_that_made_it_and_nobody_elses() {
        let own = Own::new(1);
        *own.get() += 1;
        assert_eq!(*own.get(), 2);
        let elsewhere = std::thread::scope(|scope| scope.spawn(|| *own.get()).join());
        assert!(elsewhere.is_err(), "another thread must not see it");
    }
}
