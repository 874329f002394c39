//! Generations: which config a request runs under, and what keeps an old one alive.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

/// One applied config. Alive as long as a snapshot or a route of it is.
#[derive(Debug, Default)]
pub struct Generation {
    /// 1 for the first.
    pub number: u64,
    tunnels: AtomicUsize,
}

impl Generation {
    /// The generation with this number.
    #[must_use]
    pub fn new(number: u64) -> Arc<Self> {
        Arc::new(Self { number, tunnels: AtomicUsize::new(0) })
    }
}

/// A tunnel that began under a generation. Counted until it is dropped.
pub struct Tunnel(Arc<Generation>);

impl Tunnel {
    /// A tunnel begins.
    #[must_use]
    pub fn begin(generation: &Arc<Generation>) -> Self {
        generation.tunnels.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(generation))
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.0.tunnels.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All generations that may still be alive.
#[derive(Default)]
pub struct Generations(parking_lot::Mutex<Vec<Weak<Generation>>>);

/// How many generations are alive, by what holds them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alive {
    /// The newest: it always is.
    pub current: i64,
    /// Older ones, of which requests are under way.
    pub requests: i64,
    /// Older ones, of which tunnels are open.
    pub tunnels: i64,
}

impl Generations {
    /// Adds the newest.
    pub fn add(&self, generation: &Arc<Generation>) {
        self.0.lock().push(Arc::downgrade(generation));
    }

    /// Counts those that are alive; forgets the others.
    #[must_use]
    pub fn alive(&self) -> Alive {
        let mut list = self.0.lock();
        list.retain(|generation| generation.strong_count() > 0);
        let living: Vec<_> = list.iter().filter_map(Weak::upgrade).collect();
        let newest = living.iter().map(|generation| generation.number).max();
        let mut alive = Alive::default();
        for generation in &living {
            match generation.tunnels.load(Ordering::Relaxed) {
                _ if Some(generation.number) == newest => alive.current += 1,
                0 => alive.requests += 1,
                _ => alive.tunnels += 1,
            }
        }
        alive
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_is_alive_while_something_holds_it() {
        let generations = Generations::default();
        let list: Vec<_> = (1..=3).map(Generation::new).collect();
        list.iter().for_each(|generation| generations.add(generation));
        let tunnel = Tunnel::begin(&list[0]);
        assert_eq!(generations.alive(), Alive { current: 1, requests: 1, tunnels: 1 });
        drop(list);
        assert_eq!(generations.alive().requests, 0);
        drop(tunnel);
        assert_eq!(generations.alive(), Alive::default());
    }
}
