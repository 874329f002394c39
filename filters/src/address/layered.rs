//! Layers: a set of networks that grows while others read it.
//!
//! A large layer that is shared and a small one above it: one more network copies the small one
//! only. When that has grown it is settled into the large one, so each network is copied a few
//! times in all.

use super::{Bits, Prefixes};
use ipnet::IpNet;
use std::sync::Arc;

/// Networks of the small layer, at most.
const RECENT_MAX: usize = 512;

/// Networks, each with what is said of it. Cloning copies the small layer only.
#[derive(Clone, Debug)]
pub struct Layered<V> {
    settled: Arc<Prefixes<V>>,
    recent: Prefixes<V>,
}

impl<V> Default for Layered<V> {
    fn default() -> Self {
        Self { settled: Arc::default(), recent: Prefixes::default() }
    }
}

impl<V: Clone> Layered<V> {
    /// All of these networks, at once.
    #[must_use]
    pub fn new(entries: Vec<(IpNet, V)>) -> Self {
        Self { settled: Arc::new(Prefixes::new(entries)), recent: Prefixes::default() }
    }

    /// The same with these networks too; what was said of one of them before is forgotten in time.
    /// Those of which `is_over` may be forgotten.
    /// Cost: some 500 networks are copied; now and then all.
    #[must_use]
    pub fn with(&self, more: Vec<(IpNet, V)>, is_over: impl Fn(&V) -> bool) -> Self {
        let owned = |(network, value): (IpNet, &V)| (network, value.clone());
        let mut recent: Vec<_> = self.recent.iter().map(owned).collect();
        recent.extend(more);
        if recent.len() <= RECENT_MAX {
            return Self { settled: Arc::clone(&self.settled), recent: Prefixes::new(recent) };
        }
        let mut all: Vec<_> = self.settled.iter().map(owned).collect();
        all.extend(recent);
        all.retain(|(_, value)| !is_over(value));
        Self::new(all)
    }

    /// Whether something that `is_so` is said of a network that `address` is in.
    /// Cost: of most who are in none, a few reads nearby; no allocation.
    #[must_use]
    pub fn any(&self, address: impl Into<Bits>, is_so: impl Fn(&V) -> bool) -> bool {
        let address = address.into();
        let layers = [&self.recent, &*self.settled];
        layers.into_iter().any(|layer| layer.any(address, &is_so))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.recent.is_empty() && self.settled.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    fn net(number: u32) -> IpNet {
        IpNet::from(IpAddr::V4(Ipv4Addr::from_bits(number)))
    }

    #[test]
    fn what_is_added_is_there_and_what_is_over_is_forgotten_when_layers_settle() {
        let mut layered = Layered::default();
        assert!(layered.is_empty());
        for number in 0..2000_u32 {
            layered = layered.with(vec![(net(number), number)], |value| value % 2 == 0);
            assert!(layered.recent.len() <= RECENT_MAX);
        }
        let is_there = |number| layered.any(net(number).addr(), |said| *said == number);
        assert!((0..2000).filter(|number| number % 2 == 1).all(is_there));
        assert!(!is_there(100));
        assert!(!layered.is_empty());
    }

    #[test]
    fn what_is_said_in_both_layers_and_of_networks_around_counts() {
        let old = Layered::new(vec![(net(1), "old"), ("0.0.0.0/8".parse().unwrap(), "wide")]);
        let new = old.with(vec![(net(1), "new")], |_| false);
        let says = |of: &Layered<&'static str>, at, what| of.any(net(at).addr(), |it| *it == what);
        assert_eq!(["old", "wide", "new"].map(|what| says(&old, 1, what)), [true, true, false]);
        assert_eq!(["old", "wide", "new"].map(|what| says(&new, 1, what)), [true; 3]);
        assert_eq!(["old", "wide", "new"].map(|what| says(&new, 2, what)), [false, true, false]);
    }
}
