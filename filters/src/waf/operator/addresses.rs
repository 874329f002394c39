//! `@ipMatch` and `@ipMatchFromFile`: is the value an address of these networks?

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A set of IP networks. An IPv4 address in IPv6's clothes (`::ffff:a.b.c.d`) is an IPv4 address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// First and last address of each network, sorted, none touching another.
    v4: Vec<(u128, u128)>,
    v6: Vec<(u128, u128)>,
}

impl Addresses {
    /// Reads addresses and networks (`10.0.0.0/8`, `::1`) separated by commas.
    ///
    /// # Errors
    /// The first that is neither, in words.
    pub fn parse(parameter: &[u8]) -> Result<Self, String> {
        Self::new(parameter.split(|byte| *byte == b','))
    }

    /// Reads a file of addresses and networks: one a line, `#` begins a comment.
    ///
    /// # Errors
    /// The first that is neither, in words.
    pub fn parse_file(file: &[u8]) -> Result<Self, String> {
        let lines = file.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        Self::new(lines.filter(|line| !line.is_empty() && !line.starts_with(b"#")))
    }

    fn new<'a>(networks: impl Iterator<Item = &'a [u8]>) -> Result<Self, String> {
        let mut set = Self::default();
        for text in networks.map(<[u8]>::trim_ascii) {
            let (address, first, last) = network(text).ok_or_else(|| {
                let found = text.escape_ascii();
                format!("expected an address or network such as `10.0.0.0/8`, found `{found}`")
            })?;
            let list = if address.is_ipv4() { &mut set.v4 } else { &mut set.v6 };
            list.push((first, last));
        }
        join(&mut set.v4);
        join(&mut set.v6);
        Ok(set)
    }

    /// Whether `value` is an address, in text, of one of the networks.
    ///
    /// Cost: O(log n) in the networks.
    #[must_use]
    pub fn matches(&self, value: &[u8]) -> bool {
        let text = std::str::from_utf8(value).ok();
        text.and_then(|text| text.parse().ok()).is_some_and(|address| self.contains(address))
    }

    /// Whether `address` is of one of the networks.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let (list, bits) = match address.to_canonical() {
            IpAddr::V4(address) => (&self.v4, u128::from(address.to_bits())),
            IpAddr::V6(address) => (&self.v6, address.to_bits()),
        };
        let after = list.partition_point(|(first, _)| *first <= bits);
        let network = after.checked_sub(1).and_then(|index| list.get(index));
        network.is_some_and(|(_, last)| bits <= *last)
    }
}

/// The address that `text` names, and first and last address of its network.
fn network(text: &[u8]) -> Option<(IpAddr, u128, u128)> {
    let text = std::str::from_utf8(text).ok()?;
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address.parse().ok()?, Some(prefix.parse::<u32>().ok()?)),
        None => (text.parse::<IpAddr>().ok()?.to_canonical(), None),
    };
    let (bits, width) = match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), Ipv4Addr::BITS),
        IpAddr::V6(address) => (address.to_bits(), Ipv6Addr::BITS),
    };
    let host_bits = width.checked_sub(prefix.unwrap_or(width))?;
    let hosts = u128::MAX.checked_shr(u128::BITS - host_bits).unwrap_or(0);
    Some((address, bits & !hosts, bits | hosts))
}

/// Sorts the ranges and joins those that overlap.
fn join(ranges: &mut Vec<(u128, u128)>) {
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let overlaps = next.0 <= kept.1;
        if overlaps {
            kept.1 = kept.1.max(next.1);
        }
        overlaps
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_of_its_network() {
        let list = b"192.168.1.5/24, 10.0.0.1, 2001:db8::/32, ::1, 10.0.0.0/31, 192.168.0.0/16";
        let set = Addresses::parse(list).unwrap();
        for inside in [
            "192.168.1.0",
            "192.168.255.255",
            "10.0.0.0",
            "10.0.0.1",
            "::1",
            "2001:db8::f",
            "::ffff:10.0.0.1",
        ] {
            assert!(set.matches(inside.as_bytes()), "{inside}");
        }
        for outside in [
            "192.169.0.0",
            "192.167.255.255",
            "10.0.0.2",
            "::2",
            "2001:db9::",
            "",
            "x",
            "10.0.0.1 ",
        ] {
            assert!(!set.matches(outside.as_bytes()), "{outside}");
        }
    }

    #[test]
    fn whole_families_are_networks() {
        let v4 = Addresses::parse(b"0.0.0.0/0").unwrap();
        assert!(v4.matches(b"255.255.255.255") && v4.matches(b"0.0.0.0") && !v4.matches(b"::1"));
        let v6 = Addresses::parse(b"::/0").unwrap();
        assert!(v6.matches(b"ffff::1") && !v6.matches(b"1.2.3.4"));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for list in ["", "10.0.0.0/33", "10.0.0", "::1/129", "10.0.0.1,", "a", "1.2.3.4/-1"] {
            assert!(Addresses::parse(list.as_bytes()).is_err(), "{list}");
        }
        let file = b"# ours\n10.0.0.0/8\n\n ::1 \r\n";
        assert!(Addresses::parse_file(file).is_ok_and(|set| set.matches(b"::1")));
        assert!(Addresses::parse_file(b"x\n").is_err());
    }
}
