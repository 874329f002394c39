//! Networks of IP addresses.

use crate::types::text::{TextValue, text_value};
use ipnet::IpNet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A network of IP addresses, or a single address.
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
        text.parse().or_else(|_prefix| one()).map(Self).map_err(|_address| InvalidNetwork)
    }
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
