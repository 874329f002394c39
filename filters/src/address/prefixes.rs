//! Prefixes: networks of both families, each with something that is said of it.

use super::bits::Bits;
use super::cover::Cover;
use super::family::Family;
use super::sieve::Sieve;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Networks, each with what is said of it. It never changes.
///
/// IPv4 addresses that are written as IPv6 are looked up as what they are; networks must not be
/// written so. At most four thousand million of a family.
#[derive(Clone, Debug)]
pub struct Prefixes<V> {
    covered: Covered,
    v4: Family<u32, V>,
    v6: Family<u128, V>,
}

/// All addresses that are in some network. So many networks lie together as a cache line holds,
/// or two.
#[derive(Clone, Debug)]
struct Covered {
    v4_sieve: Sieve,
    v4: Cover<u32, 12>,
    /// Of upper halves: addresses that are alike to there are mostly one machine's.
    v6_sieve: Sieve,
    /// Of 64 leading bits at most, as most are: half as much to read.
    v6: Cover<u64, 7>,
    v6_long: Cover<u128, 7>,
}

impl<V> Default for Prefixes<V> {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl<V> Prefixes<V> {
    /// Of these networks. What is said last of one that is there twice counts.
    /// Cost: O(n log n); a million in a fraction of a second.
    #[must_use]
    pub fn new(entries: Vec<(IpNet, V)>) -> Self {
        let is_v4 = |(network, _): &&(IpNet, V)| matches!(network, IpNet::V4(_));
        let v4_count = entries.iter().filter(is_v4).count();
        let mut v4 = Vec::with_capacity(v4_count);
        let mut v6 = Vec::with_capacity(entries.len() - v4_count);
        for (network, value) in entries {
            match network {
                IpNet::V4(network) => {
                    v4.push((network.network().to_bits(), network.prefix_len(), value));
                }
                IpNet::V6(network) => {
                    v6.push((network.network().to_bits(), network.prefix_len(), value));
                }
            }
        }
        let (v4, v6) = (Family::new(v4), Family::new(v6));
        Self { covered: Covered::new(&v4, &v6), v4, v6 }
    }

    /// Whether `address` is in one of them.
    /// Cost: some cache lines; no allocation.
    #[must_use]
    pub fn contains(&self, address: impl Into<Bits>) -> bool {
        self.covered.contains(address.into())
    }

    /// Whether something that `is_so` is said of a network that `address` is in.
    /// Cost: as of [`contains`](Self::contains); where there is one, searches by halves too.
    #[must_use]
    pub fn any(&self, address: impl Into<Bits>, is_so: impl Fn(&V) -> bool) -> bool {
        let address = address.into();
        self.covered.contains(address)
            && match address {
                Bits::V4(address) => self.v4.around(address).any(|(_, value)| is_so(value)),
                Bits::V6(address) => self.v6.around(address).any(|(_, value)| is_so(value)),
            }
    }

    /// All networks that `address` is in, the longest first.
    pub fn around(&self, address: impl Into<Bits>) -> impl Iterator<Item = (IpNet, &V)> {
        let address = address.into();
        let (v4, v6) = match Some(address).filter(|address| self.covered.contains(*address)) {
            Some(Bits::V4(address)) => (Some(self.v4.around(address)), None),
            Some(Bits::V6(address)) => (None, Some(self.v6.around(address))),
            None => (None, None),
        };
        let v4 = v4.into_iter().flatten().filter_map(|(at, value)| Some((net4(at)?, value)));
        let v6 = v6.into_iter().flatten().filter_map(|(at, value)| Some((net6(at)?, value)));
        v4.chain(v6)
    }

    /// What is said of just this network.
    #[must_use]
    pub fn get(&self, network: &IpNet) -> Option<&V> {
        let bits = network.prefix_len();
        match network {
            IpNet::V4(network) => self.v4.get((network.network().to_bits(), bits)),
            IpNet::V6(network) => self.v6.get((network.network().to_bits(), bits)),
        }
    }

    /// All networks in order, those of IPv4 first.
    pub fn iter(&self) -> impl Iterator<Item = (IpNet, &V)> {
        let v4 = self.v4.iter().filter_map(|(at, value)| Some((net4(at)?, value)));
        let v6 = self.v6.iter().filter_map(|(at, value)| Some((net6(at)?, value)));
        v4.chain(v6)
    }

    /// How many networks there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What it occupies, in bytes; not what its values point to.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.v4.bytes() + self.v6.bytes() + self.covered.bytes()
    }
}

impl Covered {
    fn new<V>(v4: &Family<u32, V>, v6: &Family<u128, V>) -> Self {
        let v4: Vec<_> = v4.outermost().collect();
        let v6: Vec<_> = v6.outermost().collect();
        let half = |(first, bits): (u128, u8)| (high(first), bits.min(64));
        let halves: Vec<_> = v6.iter().copied().map(half).collect();
        let (v4_sieve, v6_sieve) = (Sieve::new(&v4), Sieve::new(&halves));
        let (short, long): (Vec<_>, Vec<_>) = v6.into_iter().partition(|(_, bits)| *bits <= 64);
        let short: Vec<_> = short.into_iter().map(half).collect();
        Self {
            v4: Cover::new(&v4, |network| v4_sieve.hash(network)),
            v4_sieve,
            v6: Cover::new(&short, |network| v6_sieve.hash(network)),
            v6_long: Cover::new(&long, |network| v6_sieve.hash(half(network))),
            v6_sieve,
        }
    }

    fn contains(&self, address: Bits) -> bool {
        match address {
            Bits::V4(address) => {
                self.v4_sieve.passing(address).any(|(_, hash)| self.v4.contains(address, hash))
            }
            Bits::V6(address) => {
                let half = high(address);
                // The sieve knows all that are longer than a half by the whole half.
                let is_in = |(length, hash)| {
                    self.v6.contains(half, hash)
                        || length == 64 && self.v6_long.contains(address, hash)
                };
                self.v6_sieve.passing(half).any(is_in)
            }
        }
    }

    fn bytes(&self) -> usize {
        let sieves = self.v4_sieve.bytes() + self.v6_sieve.bytes();
        sieves + self.v4.bytes() + self.v6.bytes() + self.v6_long.bytes()
    }
}

/// The upper half.
fn high(address: u128) -> u64 {
    (address >> 64) as u64
}

fn net4((first, bits): (u32, u8)) -> Option<IpNet> {
    Ipv4Net::new(Ipv4Addr::from_bits(first), bits).ok().map(IpNet::V4)
}

fn net6((first, bits): (u128, u8)) -> Option<IpNet> {
    Ipv6Net::new(Ipv6Addr::from_bits(first), bits).ok().map(IpNet::V6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::IpAddr;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn set(networks: &[&str]) -> Prefixes<usize> {
        Prefixes::new(networks.iter().enumerate().map(|(at, text)| (net(text), at)).collect())
    }

    #[test]
    fn the_longest_network_is_found_and_those_around_it() {
        let set = set(&["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "fd00::/8", "0.0.0.0/0"]);
        for (address, want) in [
            ("10.1.2.3", vec![2, 1, 0, 4]),
            ("10.1.2.4", vec![1, 0, 4]),
            ("10.2.0.0", vec![0, 4]),
            ("9.255.255.255", vec![4]),
            ("255.255.255.255", vec![4]),
            ("::ffff:10.1.0.1", vec![1, 0, 4]),
            ("fd12::1", vec![3]),
            ("fe00::", vec![]),
        ] {
            let found: Vec<_> = set.around(ip(address)).map(|(_, value)| *value).collect();
            assert_eq!(found, want, "{address}");
        }
        assert_eq!(set.around(ip("10.1.9.9")).next(), Some((net("10.1.0.0/16"), &1)));
        assert_eq!((set.get(&net("10.1.0.0/16")), set.get(&net("10.1.0.0/17"))), (Some(&1), None));
        assert_eq!(set.len(), 5);
    }

    #[test]
    fn ends_of_the_space_and_of_networks() {
        let set = set(&["255.255.255.254/31", "0.0.0.0/32", "192.0.2.0/25", "192.0.2.128/25"]);
        for (address, want) in [
            ("255.255.255.255", Some(0)),
            ("255.255.255.253", None),
            ("0.0.0.0", Some(1)),
            ("0.0.0.1", None),
            ("192.0.2.127", Some(2)),
            ("192.0.2.128", Some(3)),
            ("192.0.3.0", None),
        ] {
            let found = set.around(ip(address)).next().map(|(_, value)| *value);
            assert_eq!(found, want, "{address}");
        }
        assert!(Prefixes::<u8>::default().around(ip("::1")).next().is_none());
    }

    #[test]
    fn of_one_network_what_is_said_last_counts() {
        let twice = set(&["10.0.0.0/8", "10.1.2.3/8"]);
        assert_eq!((twice.len(), twice.get(&net("10.0.0.0/8"))), (1, Some(&1)));
        let listed: Vec<_> = set(&["fd00::/8", "10.0.0.0/8", "10.0.0.0/16"])
            .iter()
            .map(|(network, _)| network.to_string())
            .collect();
        assert_eq!(listed, ["10.0.0.0/8", "10.0.0.0/16", "fd00::/8"]);
    }

    /// Networks that fall together often.
    fn network() -> impl Strategy<Value = IpNet> {
        let spread = prop_oneof![any::<u128>(), (0..64_u128), Just(u128::MAX)];
        (spread, 0..=128_u8, any::<bool>()).prop_map(|(bits, length, is_v4)| {
            let low = Ipv4Addr::from_bits((bits & u128::from(u32::MAX)) as u32);
            let address =
                if is_v4 { IpAddr::V4(low) } else { IpAddr::V6(Ipv6Addr::from_bits(bits)) };
            IpNet::new(address, if is_v4 { length % 33 } else { length }).unwrap()
        })
    }

    /// The first and the last address of a network, and those before and after.
    fn ends(of: &IpNet) -> Vec<IpAddr> {
        let (first, last) = (of.network(), of.broadcast());
        let beside = |address: IpAddr, by: u128| match address {
            IpAddr::V4(at) => Ipv4Addr::from_bits(at.to_bits().wrapping_add(by as u32)).into(),
            IpAddr::V6(at) => Ipv6Addr::from_bits(at.to_bits().wrapping_add(by)).into(),
        };
        vec![first, last, beside(first, u128::MAX), beside(last, 1)]
    }

    /// The addresses with all bits zero and with all bits one.
    fn edges() -> Vec<IpAddr> {
        ["0.0.0.0/0", "::/0"].iter().flat_map(|all| ends(&net(all))).collect()
    }

    proptest! {
        #[test]
        fn it_finds_what_looking_at_all_of_them_finds(
            networks in prop::collection::vec(network(), 0..80),
            asked in prop::collection::vec((network(), any::<bool>()), 20),
        ) {
            let entries: Vec<_> = networks.iter().copied().zip(0..).collect();
            let set = Prefixes::new(entries.clone());
            let of_networks = networks.iter().flat_map(ends);
            let of_others = asked.iter().map(|(one, is_last)| {
                if *is_last { one.broadcast() } else { one.addr() }
            });
            for address in of_networks.chain(of_others).chain(edges()) {
                let address = address.to_canonical();
                let mut want: Vec<IpNet> =
                    networks.iter().map(IpNet::trunc).filter(|one| one.contains(&address)).collect();
                want.sort_by_key(|one| std::cmp::Reverse(one.prefix_len()));
                want.dedup();
                let found: Vec<IpNet> = set.around(address).map(|(one, _)| one).collect();
                prop_assert_eq!(&found, &want);
                prop_assert_eq!(set.contains(address), !want.is_empty());
                for (one, value) in set.around(address) {
                    let said = entries.iter().rev().find(|(other, _)| other.trunc() == one);
                    prop_assert_eq!(Some(value), said.map(|(_, value)| value));
                }
            }
        }
    }

    /// Addresses that hardly fall together: an odd factor spreads their numbers.
    fn spread(number: u32) -> [IpAddr; 2] {
        let v4 = number.wrapping_mul(2_654_435_761);
        [Ipv4Addr::from_bits(v4).into(), Ipv6Addr::from_bits(u128::from(v4) << 76).into()]
    }

    #[test]
    fn many_networks_are_found_each() {
        for (family, bits) in [(0, 32), (1, 52), (1, 64), (1, 65), (1, 128)] {
            let of = |number| spread(number)[family];
            let entry = |number| (IpNet::new(of(number), bits).unwrap(), number);
            let set: Prefixes<u32> = Prefixes::new((0..100_000).map(entry).collect());
            for number in 0..100_000 {
                assert_eq!(set.around(of(number)).next(), Some((entry(number).0, &number)));
                assert_eq!(set.around(of(number + 100_000)).next(), None);
                assert!(!set.contains(of(number + 100_000)));
            }
        }
    }

    #[test]
    fn many_networks_within_each_other_are_found_each() {
        // Lengths on both sides of those that the sieve rounds down to, and of the upper half.
        let lengths = [(0, 9_u8), (0, 23), (0, 24), (0, 25), (1, 47), (1, 49), (1, 63), (1, 66)];
        let network = |number: u32| {
            let (family, bits) = lengths[number as usize % lengths.len()];
            IpNet::new(spread(number)[family], bits).unwrap().trunc()
        };
        let networks: Vec<_> = (0..50_000).map(network).collect();
        let set = Prefixes::new(networks.iter().map(|one| (*one, ())).collect());
        for one in &networks {
            let ends = [one.network(), one.broadcast()];
            assert!(ends.iter().all(|end| set.contains(*end)), "{one}");
            assert!(ends.iter().all(|end| set.around(*end).any(|(found, ())| found == *one)));
            assert_eq!(set.get(one), Some(&()));
        }
    }
}
