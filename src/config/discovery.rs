//! `dns = { … }` of a pool: backends that a name stands for.

use super::diagnostics::Problem;
use super::tree::Node;
use super::validate::join;
use crate::types::text::{TextValue, text_value};
use crate::types::units::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// Backends that a name in DNS stands for: each of its addresses is one. The name is asked for
/// again whenever its answer expires. While the answer cannot be had, or is empty, the last
/// good one stays in use.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dns {
    /// The name, like `"api.internal"`, or `"_http._tcp.api.internal"` for `srv`. With
    /// `servers`, or with a `.` at its end, it is whole; else the system's search list applies.
    pub name: DnsName,
    /// The port of the backends; `srv` has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: Option<u16>,
    /// What is asked for: addresses of IPv4 (`"a"`), of IPv6 (`"aaaa"`), of both, or services
    /// (`"srv"`, RFC 2782), which have ports and weights. Of these the lowest priority is used
    /// and all others are backups; weights above 1000 are scaled down, and 0 counts as 1.
    #[serde(default, rename = "type")]
    pub kind: DnsKind,
    /// The name servers, each an IP address, with a port if it is not 53. The next is asked
    /// when one fails. Without it: those of the system's `/etc/resolv.conf`, which is read
    /// again when all have failed. `/etc/hosts` is not read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<NameServer>,
    /// The shortest time after which the name is asked for again, however short an answer's
    /// time to live is.
    #[serde(default = "default_min_ttl")]
    pub min_ttl: Period,
    /// The longest time after which the name is asked for again, however long an answer's time
    /// to live is.
    #[serde(default = "default_max_ttl")]
    pub max_ttl: Period,
    /// After so many answers in a row that say there is no address, it is believed and the pool
    /// is empty. Without it: never; health tells which of the last backends still live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub empty_after: Option<u8>,
}

fn default_min_ttl() -> Period {
    Period::from_secs(1)
}

fn default_max_ttl() -> Period {
    Period::from_secs(300)
}

/// What a name is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum DnsKind {
    /// Addresses of IPv4.
    #[serde(rename = "a")]
    A,
    /// Addresses of IPv4 and IPv6.
    #[default]
    #[serde(rename = "a+aaaa")]
    Both,
    /// Addresses of IPv6.
    #[serde(rename = "aaaa")]
    Aaaa,
    /// Services: hosts with ports and weights.
    #[serde(rename = "srv")]
    Srv,
}

/// A name in DNS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DnsName(Box<str>);

/// Why a text is no name in DNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a name in DNS: expected {}", DnsName::ACCEPTED)]
pub struct InvalidDnsName;

impl DnsName {
    /// The name in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DnsName {
    type Err = InvalidDnsName;
    fn from_str(text: &str) -> Result<Self, InvalidDnsName> {
        let name = text.strip_suffix('.').unwrap_or(text);
        let is_label = |label: &str| {
            let is_edge = label.starts_with('-') || label.ends_with('-');
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            (1..=63).contains(&label.len()) && !is_edge && label.bytes().all(is_plain)
        };
        let is_name = name.len() <= 253 && name.split('.').all(is_label);
        let is_address = name.parse::<IpAddr>().is_ok();
        match is_name && !is_address {
            true => Ok(Self(text.to_ascii_lowercase().into())),
            false => Err(InvalidDnsName),
        }
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TextValue for DnsName {
    const FORMAT: &'static str = "dns-name";
    const ACCEPTED: &'static str = "a name without port, like \"api.internal\" or \"_http._tcp.api.internal\"; addresses \
         belong into `backends`";
}

text_value!(DnsName);

/// A name server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameServer(pub SocketAddr);

/// The port of name servers.
const DNS_PORT: u16 = 53;

/// Why a text is no name server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a name server: expected {}", NameServer::ACCEPTED)]
pub struct InvalidNameServer;

impl FromStr for NameServer {
    type Err = InvalidNameServer;
    fn from_str(text: &str) -> Result<Self, InvalidNameServer> {
        let whole = text.parse::<SocketAddr>().ok().filter(|address| address.port() != 0);
        let bare = || text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, DNS_PORT));
        whole.or_else(bare).map(Self).ok_or(InvalidNameServer)
    }
}

impl fmt::Display for NameServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.port() {
            DNS_PORT => self.0.ip().fmt(f),
            _ => self.0.fmt(f),
        }
    }
}

impl TextValue for NameServer {
    const FORMAT: &'static str = "name-server";
    const ACCEPTED: &'static str =
        "an IP address, with a port if it is not 53, like \"10.0.0.2\" or \"[fd00::2]:5353\"";
}

text_value!(NameServer);

/// Adds all that is wrong with the `dns` of a pool, which stands at `key`.
pub(super) fn check(key: &str, dns: &Node, problems: &mut Vec<Problem>) {
    let is_srv = dns.get("type").and_then(Node::text) == Some("srv");
    match dns.get("port") {
        Some(port) if is_srv => problems.push(
            Problem::new(&join(key, "port"), port.span.clone(), "`port` does nothing with \"srv\"")
                .accepts("no `port`: each answer has its own"),
        ),
        None if !is_srv => problems.push(
            Problem::new(&join(key, "port"), dns.span.clone(), "`port` is missing")
                .accepts("a whole number from 1 to 65535, or `type = \"srv\"`"),
        ),
        _ => {}
    }
    let period = |name: &str, default: Period| {
        let node = dns.get(name);
        (node, node.map_or(Some(default), |node| node.text()?.parse().ok()))
    };
    let (least_node, least) = period("min_ttl", default_min_ttl());
    let (most_node, most) = period("max_ttl", default_max_ttl());
    if let (Some(least), Some(most), Some(node)) = (least, most, least_node.or(most_node))
        && least > most
    {
        let message = format!("min_ttl {least} is longer than max_ttl {most}");
        problems.push(
            Problem::new(&join(key, "min_ttl"), node.span.clone(), message)
                .accepts("a shortest time that is at most the longest"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Format;
    use crate::config::tree;

    #[test]
    fn texts_are_right_once_they_are_read() {
        for (text, want) in [
            ("api.Internal", Some("api.internal")),
            ("_http._tcp.api.", Some("_http._tcp.api.")),
            ("localhost", Some("localhost")),
            ("", None),
            (".", None),
            ("a..b", None),
            ("a b", None),
            ("api:80", None),
            ("-a", None),
            ("10.0.0.1", None),
        ] {
            let name = text.parse::<DnsName>().map(|name| name.to_string());
            assert_eq!(name.ok().as_deref(), want, "{text}");
        }
        for (text, want) in [
            ("10.0.0.2", Some("10.0.0.2")),
            ("10.0.0.2:53", Some("10.0.0.2")),
            ("[fd00::2]:5353", Some("[fd00::2]:5353")),
            ("fd00::2", Some("fd00::2")),
            ("10.0.0.2:0", None),
            ("dns.google", None),
        ] {
            let server = text.parse::<NameServer>().map(|server| server.to_string());
            assert_eq!(server.ok().as_deref(), want, "{text}");
        }
    }

    #[test]
    fn keys_go_together() {
        for (text, want) in [
            ("name = 'a'\nport = 80", None),
            ("name = 'a'\ntype = 'srv'", None),
            ("name = 'a'\nport = 80\nmin_ttl = '5m'", None),
            ("name = 'a'", Some("dns.port: `port` is missing")),
            ("name = 'a'\ntype = 'a'", Some("dns.port: `port` is missing")),
            (
                "name = 'a'\ntype = 'srv'\nport = 1",
                Some("dns.port: `port` does nothing with \"srv\""),
            ),
            (
                "name = 'a'\nport = 80\nmin_ttl = '6m'",
                Some("dns.min_ttl: min_ttl 6m is longer than max_ttl 5m"),
            ),
            (
                "name = 'a'\nport = 80\nmax_ttl = '500ms'",
                Some("dns.min_ttl: min_ttl 1s is longer than max_ttl 500ms"),
            ),
        ] {
            let root = tree::parse(text, Format::Toml).unwrap();
            let mut problems = Vec::new();
            check("dns", &root, &mut problems);
            let said = problems.iter().map(|found| format!("{}: {}", found.key, found.message));
            assert_eq!(said.collect::<Vec<_>>(), want.into_iter().collect::<Vec<_>>(), "{text}");
        }
    }
}
