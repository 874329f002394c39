//! Networks of IP addresses.

use crate::types::text::{TextValue, text_value};
use ipnet::{IpNet, Ipv4Net};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A network of IP addresses, or a single address. Never one of IPv4 written as IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(pub IpNet);

/// Why a text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a network: expected {}", Network::ACCEPTED)]
pub struct InvalidNetwork;

impl FromStr for Network {
    type Err = InvalidNetwork;
    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let one = || text.parse::<IpAddr>().map(IpNet::from);
        let network = text.parse().or_else(|_prefix| one()).map_err(|_address| InvalidNetwork)?;
        Ok(Self(canonical(network)))
    }
}

/// The same as IPv4 if it is mapped into IPv6: clients' addresses are compared in that form.
fn canonical(network: IpNet) -> IpNet {
    const MAPPED_BITS: u8 = 96;
    let IpAddr::V4(address) = network.addr().to_canonical() else { return network };
    let bits = network.prefix_len().checked_sub(MAPPED_BITS).filter(|_| network.addr().is_ipv6());
    let mapped = bits.and_then(|bits| Ipv4Net::new(address, bits).ok());
    mapped.map_or(network, IpNet::V4)
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TextValue for Network {
    const FORMAT: &'static str = "network";
    const ACCEPTED: &'static str =
        "an IP address or a network, like \"10.0.0.0/8\", \"fd00::/8\" or \"192.0.2.1\"";
}

text_value!(Network);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_network() {
        for (text, want) in [
            ("10.0.0.0/8", Some("10.0.0.0/8")),
            ("192.0.2.1", Some("192.0.2.1/32")),
            ("fd00::/8", Some("fd00::/8")),
            ("::1", Some("::1/128")),
            ("::ffff:10.0.0.0/104", Some("10.0.0.0/8")),
            ("::ffff:192.0.2.1", Some("192.0.2.1/32")),
            // Wider than all of IPv4: also what is IPv6 is in it.
            ("::ffff:0.0.0.0/95", Some("::ffff:0.0.0.0/95")),
            ("10.0.0.0/33", None),
            ("10.0.0.0/", None),
            ("10.0.0", None),
            ("a.example", None),
            ("", None),
        ] {
            let network = text.parse::<Network>().map(|network| network.to_string());
            assert_eq!(network.ok().as_deref(), want, "{text}");
        }
    }
}
