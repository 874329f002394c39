//! 1 · Registry: the connections of one worker, and how they are told something.
//!
//! A worker that is told of a new stage wakes each of its connections; they look at the
//! stage themselves. The worker may go when the registry is empty.

use crate::types::own::Own;
use rustc_hash::FxHashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Waker;
use tokio::sync::Notify;

/// What is told of a new stage.
pub trait Woken: Send + Sync {
    /// Woken when the process changes how it treats connections.
    fn bell(&self) -> &Bell;

    /// Ends it, or what it carries, if it is of an address that `is_blocked`. Whether it is: then
    /// it is to be woken.
    fn bar(&self, is_blocked: &dyn Fn(IpAddr) -> bool) -> bool;
}

/// How a task is woken by others of its thread.
#[derive(Default)]
pub struct Bell(Own<Option<Waker>>);

impl Bell {
    /// `waker` is woken from now on: the same over all of a task's wake-ups.
    pub fn register(&self, waker: &Waker) {
        let mut registered = self.0.get();
        if !registered.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *registered = Some(waker.clone());
        }
    }

    /// Wakes who is registered, if somebody is.
    pub fn ring(&self) {
        if let Some(waker) = &*self.0.get() {
            waker.wake_by_ref();
        }
    }
}

/// The connections of one worker. Bounded by the listeners' `max_connections`.
#[derive(Default)]
pub struct Registry {
    connections: Own<FxHashMap<u64, Arc<dyn Woken>>>,
    next_key: Own<u64>,
    emptied: Notify,
}

impl Registry {
    /// Adds a connection; it leaves when what is returned is dropped.
    pub fn enter(self: &Arc<Self>, connection: Arc<dyn Woken>) -> Entry {
        let mut next_key = self.next_key.get();
        *next_key += 1;
        self.connections.get().insert(*next_key, connection);
        Entry { registry: Arc::clone(self), key: *next_key }
    }

    /// Wakes every connection.
    pub fn wake_all(&self) {
        for connection in self.connections.get().values() {
            connection.bell().ring();
        }
    }

    /// Ends what is of addresses that are blocked: how many that is.
    /// Cost: some look-ups for each that there is.
    pub fn bar(&self, is_blocked: &dyn Fn(IpAddr) -> bool) -> usize {
        let connections = self.connections.get();
        let barred = connections.values().filter(|connection| connection.bar(is_blocked));
        barred.map(|connection| connection.bell().ring()).count()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.connections.get().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.connections.get().is_empty()
    }

    /// Waits until there are none. Only for one waiter.
    pub async fn emptied(&self) {
        while !self.is_empty() {
            self.emptied.notified().await;
        }
    }
}

/// A connection's place in its registry.
pub struct Entry {
    registry: Arc<Registry>,
    key: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let is_empty = {
            let mut connections = self.registry.connections.get();
            connections.remove(&self.key);
            connections.is_empty()
        };
        if is_empty {
            self.registry.emptied.notify_one();
        }
    }
}
