//! 1 · Registry: the connections of one worker, and how they are told something.
//!
//! A worker that is told of a new stage wakes each of its connections; they look at the
//! stage themselves. The worker may go when the registry is empty.

use futures::task::AtomicWaker;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::sync::Arc;
use tokio::sync::Notify;

/// What is told of a new stage.
pub trait Woken: Send + Sync {
    /// Woken when the process changes how it treats connections.
    fn waker(&self) -> &AtomicWaker;
}

impl Woken for AtomicWaker {
    fn waker(&self) -> &AtomicWaker {
        self
    }
}

/// The connections of one worker. Bounded by the listeners' `max_connections`.
#[derive(Default)]
pub struct Registry {
    connections: Mutex<FxHashMap<u64, Arc<dyn Woken>>>,
    next_key: std::sync::atomic::AtomicU64,
    emptied: Notify,
}

impl Registry {
    /// Adds a connection; it leaves when what is returned is dropped.
    pub fn enter(self: &Arc<Self>, connection: Arc<dyn Woken>) -> Entry {
        let key = self.next_key.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.connections.lock().insert(key, connection);
        Entry { registry: Arc::clone(self), key }
    }

    /// Wakes every connection.
    pub fn wake_all(&self) {
        for connection in self.connections.lock().values() {
            connection.waker().wake();
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.connections.lock().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.connections.lock().is_empty()
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
            let mut connections = self.registry.connections.lock();
            connections.remove(&self.key);
            connections.is_empty()
        };
        if is_empty {
            self.registry.emptied.notify_one();
        }
    }
}
