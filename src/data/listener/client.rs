//! 1 · Client: who is at the other end of a connection, and who sent the request.
//!
//! Behind other proxies these are two: the peer, and whom the peer speaks for. What it says
//! of that is believed only of networks that the config trusts, and read from right to left:
//! each proxy appends whom it saw, so the first address that is not trusted is the client, and
//! whatever stands left of it may be made up.

use http::HeaderValue;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use vanne_filters::FieldList;

/// Entries of a chain that are looked at, at most.
const ENTRIES_MAX: usize = 64;
/// Bytes of a chain that are looked at, at most.
const CHAIN_BYTES_MAX: usize = 8 * 1024;

/// Who is at the other end of a client connection. Made once per connection.
pub struct Client {
    /// Its address.
    pub address: SocketAddr,
    /// The address as the value of `X-Forwarded-For`.
    pub forwarded_for: HeaderValue,
    /// The port it came in by, as the value of `X-Forwarded-Port`.
    pub forwarded_port: HeaderValue,
    /// Whether it came over TLS.
    pub is_tls: bool,
    /// `http` or `https`, as the value of `X-Forwarded-Proto`.
    pub forwarded_proto: HeaderValue,
}

impl Client {
    /// The client at `address`, which came in by `port`, over TLS or not.
    #[must_use]
    pub fn new(address: SocketAddr, port: u16, is_tls: bool) -> Self {
        let ip = address.ip().to_canonical();
        Self {
            address: SocketAddr::new(ip, address.port()),
            // The text of an address is always a header value.
            forwarded_for: HeaderValue::from_str(&ip.to_string())
                .unwrap_or(HeaderValue::from_static("unknown")),
            forwarded_port: HeaderValue::from(port),
            is_tls,
            forwarded_proto: HeaderValue::from_static(if is_tls { "https" } else { "http" }),
        }
    }
}

/// What a trusted peer says of the request's way here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who sent the request.
    pub client: IpAddr,
    /// Those it went through, as the value of `X-Forwarded-For`; the peer is not among them.
    pub chain: Option<Vec<u8>>,
    /// Whether it came by TLS to the first of them, if that is said.
    pub is_https: Option<bool>,
    /// The host asked for there, if that is said.
    pub host: Option<HeaderValue>,
    /// The port asked there, if that is said.
    pub port: Option<HeaderValue>,
}

/// Whether `address` is in one of `networks`.
#[must_use]
pub fn is_trusted(address: IpAddr, networks: &[IpNet]) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

/// What the peer at `peer`, which is trusted, says in `fields`.
#[must_use]
pub fn claim(peer: IpAddr, fields: &dyn FieldList, networks: &[IpNet]) -> Claim {
    let mut chain = Vec::new();
    let mut forwarded = Vec::new();
    fields.each(&mut |name, value| {
        let list = match name {
            _ if name.eq_ignore_ascii_case("x-forwarded-for") => &mut chain,
            _ if name.eq_ignore_ascii_case("forwarded") => &mut forwarded,
            _ => return,
        };
        if !list.is_empty() {
            list.extend_from_slice(b", ");
        }
        list.extend_from_slice(value);
    });
    let client = match (chain.is_empty(), forwarded.is_empty()) {
        (false, _) => sender(peer, entries(&chain).map(parse_address), networks),
        (true, false) => sender(peer, entries(&forwarded).map(parse_forwarded), networks),
        (true, true) => peer,
    };
    let said = |name| fields.first(name).map(<[u8]>::trim_ascii).filter(|v| !v.is_empty());
    let value = |name| said(name).and_then(|value| HeaderValue::from_bytes(value).ok());
    let is_port =
        |value: &HeaderValue| value.to_str().is_ok_and(|port| port.parse::<u16>().is_ok());
    if chain.is_empty() && client != peer {
        chain = client.to_string().into_bytes();
    }
    Claim {
        client,
        chain: Some(chain).filter(|chain| !chain.is_empty() && chain.len() <= CHAIN_BYTES_MAX),
        is_https: said("x-forwarded-proto").and_then(|proto| match proto {
            b"https" => Some(true),
            b"http" => Some(false),
            _ => None,
        }),
        host: value("x-forwarded-host"),
        port: value("x-forwarded-port").filter(is_port),
    }
}

/// The entries of a list, from right to left.
fn entries(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let from = list.len().saturating_sub(CHAIN_BYTES_MAX);
    let list = list.get(from..).unwrap_or_default();
    list.rsplit(|&byte| byte == b',').take(ENTRIES_MAX).map(<[u8]>::trim_ascii)
}

/// The first that is not trusted, or the last that could be read.
fn sender(
    peer: IpAddr,
    addresses: impl Iterator<Item = Option<IpAddr>>,
    networks: &[IpNet],
) -> IpAddr {
    let mut known = peer;
    for address in addresses {
        let Some(address) = address else { break };
        known = address;
        if !is_trusted(address, networks) {
            break;
        }
    }
    known
}

/// An address, which may have a port: `1.2.3.4`, `1.2.3.4:5`, `::1`, `[::1]`, `[::1]:5`.
fn parse_address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    bare.parse::<IpAddr>().ok().or_else(with_port).map(|address| address.to_canonical())
}

/// The `for` of an element of Forwarded (RFC 7239 §4). Names that hide an address are none.
fn parse_forwarded(element: &[u8]) -> Option<IpAddr> {
    let pairs = element.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    let mut values = pairs.filter_map(|pair| {
        let at = pair.iter().position(|&byte| byte == b'=')?;
        let (name, value) = pair.split_at_checked(at)?;
        name.eq_ignore_ascii_case(b"for").then(|| value.get(1..).unwrap_or_default())
    });
    let value = values.next()?;
    let bare = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    parse_address(bare.unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vanne_filters::FieldSlice;

    fn networks() -> Vec<IpNet> {
        vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]
    }

    fn client(fields: &[(&str, &str)]) -> String {
        let peer = "10.0.0.1".parse().unwrap();
        claim(peer, &FieldSlice(fields), &networks()).client.to_string()
    }

    #[test]
    fn the_first_from_the_right_that_is_not_trusted_is_the_client() {
        for (chain, want) in [
            ("192.0.2.1", "192.0.2.1"),
            ("6.6.6.6, 192.0.2.1, 10.1.1.1", "192.0.2.1"),
            ("6.6.6.6,192.0.2.1:4711 ,[fd00::1]:80", "192.0.2.1"),
            ("10.2.2.2, 10.1.1.1", "10.2.2.2"),
            ("192.0.2.1, nonsense, 10.1.1.1", "10.1.1.1"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("", "10.0.0.1"),
        ] {
            assert_eq!(client(&[("X-Forwarded-For", chain)]), want, "{chain}");
        }
        let lines = [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-for", "10.3.3.3")];
        assert_eq!(client(&lines), "192.0.2.1", "several lines are one list");
    }

    #[test]
    fn forwarded_is_read_where_there_is_no_other() {
        for (value, want) in [
            ("for=192.0.2.1;proto=https, for=10.1.1.1", "192.0.2.1"),
            ("for=\"[2001:db8::1]:4711\"", "2001:db8::1"),
            ("For=\"192.0.2.1:80\"", "192.0.2.1"),
            ("for=unknown", "10.0.0.1"),
            ("for=_hidden, for=10.1.1.1", "10.1.1.1"),
            ("proto=https", "10.0.0.1"),
        ] {
            assert_eq!(client(&[("Forwarded", value)]), want, "{value}");
        }
        let both = [("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "192.0.2.1")];
        assert_eq!(client(&both), "192.0.2.1");
    }

    #[test]
    fn only_what_can_be_right_is_passed_on() {
        let fields = [
            ("x-forwarded-proto", "gopher"),
            ("x-forwarded-port", "99999"),
            ("x-forwarded-host", "shop.example"),
        ];
        let peer = "10.0.0.1".parse().unwrap();
        let claim = claim(peer, &FieldSlice(&fields), &networks());
        assert_eq!((claim.is_https, claim.port, claim.chain), (None, None, None));
        assert_eq!(claim.host.unwrap(), "shop.example");
    }

    proptest! {
        #[test]
        fn nothing_left_of_an_untrusted_address_is_believed(left in "\\PC{0,40}", right in 0_u8..3) {
            let trusted = ", 10.9.9.9".repeat(usize::from(right));
            let chain = format!("{left},192.0.2.1{trusted}");
            prop_assert_eq!(client(&[("x-forwarded-for", &chain)]), "192.0.2.1");
            client(&[("forwarded", &left)]);
        }
    }
}
