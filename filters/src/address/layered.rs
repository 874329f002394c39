//! Layers: a set of networks that grows while others read it.
//!
//! A large layer that is shared and a small one above it: one more network copies the small one
//! only. When that has grown it is settled into the large one, so each network is copied a few
//! times in all.

use super::Prefixes;
use ipnet::IpNet;
use std::net::IpAddr;
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

    /// The same with these networks too; what was said of one of them before does not count.
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

    /// All that is said of networks that `address` is in: of the small layer first, and in each
    /// the longest first.
    pub fn around(&self, address: IpAddr) -> impl Iterator<Item = (IpNet, &V)> {
        self.recent.around(address).chain(self.settled.around(address))
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
    use std::net::Ipv4Addr;

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
        let said = |number| layered.around(net(number).addr()).map(|(_, v)| *v).next();
        assert!((0..2000).filter(|number| number % 2 == 1).all(|n| said(n) == Some(n)));
        assert_eq!(said(100), None);
        assert!(!layered.is_empty());
    }

    #[test]
    fn what_is_said_anew_of_a_network_comes_first() {
        let old = Layered::new(vec![(net(1), "old"), ("0.0.0.0/8".parse().unwrap(), "wide")]);
        let new = old.with(vec![(net(1), "new")], |_| false);
        let said = |of: &Layered<&'static str>| {
            of.around(net(1).addr()).map(|(_, value)| *value).collect::<Vec<_>>()
        };
        assert_eq!(said(&old), ["old", "wide"]);
        assert_eq!(said(&new), ["new", "old", "wide"]);
    }
}
