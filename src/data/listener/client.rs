//! 1 · Client: who is at the other end of a connection, and who sent the request.
//!
//! Behind other proxies these are two: the peer, and whom the peer speaks for. What it says
//! of that is believed only of networks that the config trusts, and read from right to left:
//! each proxy appends whom it saw, so the first address that is not trusted is the client, and
//! whatever stands left of it may be made up.

use crate::data::identity::client_certificate::ClientCertificate;
use crate::types::hash::stable;
use crate::types::short_text::ShortText;
use http::HeaderValue;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicU64;
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
    pub forwarded_for: ShortText<45>,
    /// The port it came in by, as the value of `X-Forwarded-Port`.
    pub forwarded_port: ShortText<5>,
    /// Names its connection among all sessions.
    pub session: u64,
    /// Whether it came over TLS.
    pub is_tls: bool,
    /// What the certificate says that it has shown, if it has.
    pub certificate: Option<Box<ClientCertificate>>,
    /// Which blocklist let it in: one more than its version; zero: none yet.
    pub cleared_at: AtomicU64,
}

impl Client {
    /// The client at `address`, which came in by `port`, over TLS or not.
    #[must_use]
    pub fn new(address: SocketAddr, port: u16, is_tls: bool) -> Self {
        let ip = address.ip().to_canonical();
        let address = SocketAddr::new(ip, address.port());
        Self {
            address,
            session: stable(address.to_string().as_bytes()),
            forwarded_for: ShortText::of(ip),
            forwarded_port: ShortText::of(port),
            is_tls,
            certificate: None,
            cleared_at: AtomicU64::new(0),
        }
    }

    /// The value of `X-Forwarded-Proto`.
    #[must_use]
    pub fn forwarded_proto(&self) -> &'static [u8] {
        if self.is_tls { b"https" } else { b"http" }
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
            _ if name.eq_ignore_ascii_case(b"x-forwarded-for") => &mut chain,
            _ if name.eq_ignore_ascii_case(b"forwarded") => &mut forwarded,
            _ => return,
        };
        if !list.is_empty() {
            list.extend_from_slice(b", ");
        }
        list.extend_from_slice(value);
    });
    let client = match (chain.is_empty(), forwarded.is_empty()) {
        (false, _) => sender(peer, entries(&chain).map(parse_address), networks),
        (true, false) => sender(peer, elements(&forwarded).map(parse_forwarded), networks),
        (true, true) => peer,
    };
    // Said twice, one of them may be what the client said to a proxy that only adds its own.
    let said = |name| {
        let value = fields.first(name).filter(|_| fields.count(name) == 1);
        value.map(<[u8]>::trim_ascii).filter(|value| !value.is_empty())
    };
    let value = |name| said(name).and_then(|value| HeaderValue::from_bytes(value).ok());
    if chain.is_empty() || chain.len() > CHAIN_BYTES_MAX {
        // Without it, backends would take the peer for the client.
        let known = (client != peer).then(|| client.to_string().into_bytes());
        chain = known.unwrap_or_default();
    }
    Claim {
        client,
        chain: Some(chain).filter(|chain| !chain.is_empty()),
        is_https: said("x-forwarded-proto").and_then(|proto| {
            let is_https = proto.eq_ignore_ascii_case(b"https");
            (is_https || proto.eq_ignore_ascii_case(b"http")).then_some(is_https)
        }),
        host: value("x-forwarded-host"),
        port: value("x-forwarded-port").filter(|port| is_port(port.as_bytes())),
    }
}

/// Whether `text` is the number of a port.
#[must_use]
pub fn is_port(text: &[u8]) -> bool {
    let number = || std::str::from_utf8(text).ok()?.parse::<u16>().ok();
    text.iter().all(u8::is_ascii_digit) && number().is_some_and(|port| port > 0)
}

/// The entries of X-Forwarded-For, from right to left.
fn entries(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    whole_end(list).rsplit(|&byte| byte == b',').take(ENTRIES_MAX).map(<[u8]>::trim_ascii)
}

/// The elements of Forwarded, from right to left.
fn elements(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    rsplit_unquoted(whole_end(list), b',').take(ENTRIES_MAX).map(<[u8]>::trim_ascii)
}

/// The end of `list` that is looked at. It begins with a whole entry: the end of an address
/// would be another one.
fn whole_end(list: &[u8]) -> &[u8] {
    let Some(from) = list.len().checked_sub(CHAIN_BYTES_MAX + 1) else { return list };
    let end = list.get(from..).unwrap_or_default();
    let comma = end.iter().position(|&byte| byte == b',');
    comma.and_then(|at| end.get(at + 1..)).unwrap_or_default()
}

/// The parts of `list` between separators that are not quoted (RFC 9110 §5.6.4), from right
/// to left: so no quote that a client left open changes what was appended after it.
/// Cost: O(n).
fn rsplit_unquoted(list: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(list);
    std::iter::from_fn(move || {
        let list = rest?;
        let mut is_quoted = false;
        let at = list.iter().enumerate().rposition(|(at, &byte)| {
            is_quoted ^= byte == b'"' && !is_escaped(list, at);
            byte == separator && !is_quoted
        });
        rest = at.and_then(|at| list.get(..at));
        list.get(at.map_or(0, |at| at + 1)..)
    })
}

/// Whether the byte at `at` is the second of a quoted pair.
fn is_escaped(list: &[u8], at: usize) -> bool {
    let before = list.get(..at).unwrap_or_default();
    before.iter().rev().take_while(|&&byte| byte == b'\\').count() % 2 == 1
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

/// The `for` of an element of Forwarded (RFC 7239 §4). Names that hide an address are none,
/// and so are two addresses.
fn parse_forwarded(element: &[u8]) -> Option<IpAddr> {
    let pairs = rsplit_unquoted(element, b';').map(<[u8]>::trim_ascii);
    let mut values = pairs.filter_map(|pair| {
        let at = pair.iter().position(|&byte| byte == b'=')?;
        let (name, value) = pair.split_at_checked(at)?;
        name.eq_ignore_ascii_case(b"for").then(|| value.get(1..).unwrap_or_default())
    });
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
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
    fn what_is_quoted_in_forwarded_is_no_entry_of_its_own() {
        for (value, want) in [
            ("for=192.0.2.1;host=\"a,for=6.6.6.6;x=\"", "192.0.2.1"),
            ("for=192.0.2.1;host=\"a;for=6.6.6.6;b\"", "192.0.2.1"),
            ("host=\"a;for=6.6.6.6;b\";for=192.0.2.1", "192.0.2.1"),
            ("for=192.0.2.1;host=\"a\\\",for=6.6.6.6;x=\"", "192.0.2.1"),
            ("for=192.0.2.1;host=\"a\\\\\"", "192.0.2.1"),
            // Quotes that a client leaves open reach no entry that a proxy appended.
            ("for=\", for=192.0.2.1", "192.0.2.1"),
            ("for=6.6.6.6;x=\", for=\"[2001:db8::1]\", for=\"[fd00::1]\"", "2001:db8::1"),
            // Each parameter once (RFC 7239 §4): which of two is meant, nobody knows.
            ("for=192.0.2.1;host=a;for=6.6.6.6", "10.0.0.1"),
        ] {
            assert_eq!(client(&[("Forwarded", value)]), want, "{value}");
        }
    }

    #[test]
    fn forms_of_an_address() {
        for (text, want) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("192.0.2.1:4711", Some("192.0.2.1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:4711", Some("2001:db8::1")),
            ("[::ffff:192.0.2.1]:4711", Some("192.0.2.1")),
            ("", None),
            ("-", None),
            ("unix:", None),
            ("unknown", None),
            ("_hidden", None),
            ("a.example", None),
            ("192.0.2", None),
            ("192.0.2.01", None),
            ("192.0.2.1:", None),
            ("192.0.2.1:65536", None),
            ("[2001:db8::1", None),
            ("\"192.0.2.1\"", None),
        ] {
            let address = parse_address(text.as_bytes()).map(|address| address.to_string());
            assert_eq!(address.as_deref(), want, "{text}");
        }
    }

    #[test]
    fn a_chain_is_read_no_further_than_its_limits() {
        let trusted = |count: usize| vec!["10.9.9.9"; count].join(", ");
        let within = format!("192.0.2.1, {}", trusted(ENTRIES_MAX - 1));
        assert_eq!(client(&[("x-forwarded-for", &within)]), "192.0.2.1");
        let beyond = format!("192.0.2.1, {}", trusted(ENTRIES_MAX));
        assert_eq!(client(&[("x-forwarded-for", &beyond)]), "10.9.9.9");
        // Cut in the middle of an address: what is left of it would be another one.
        let blank = " ".repeat(CHAIN_BYTES_MAX - ", 10.9.9.9".len() - "2.0.2.1".len());
        for name in ["x-forwarded-for", "forwarded"] {
            let by = if name == "forwarded" { "for=" } else { "" };
            let cut = format!("{by}192.0.2.1,{blank}{by}10.9.9.9");
            assert_eq!(client(&[(name, &cut)]), "10.9.9.9", "{name}");
        }
    }

    #[test]
    fn the_chain_that_is_passed_on_names_the_client_in_any_case() {
        let chain = |fields: &[(&str, &str)]| {
            let claim = claim("10.0.0.1".parse().unwrap(), &FieldSlice(fields), &networks());
            claim.chain.map(|chain| String::from_utf8(chain).unwrap())
        };
        let long = format!("{}, 192.0.2.1", "x".repeat(CHAIN_BYTES_MAX));
        for (name, value, want) in [
            ("x-forwarded-for", "6.6.6.6, 192.0.2.1", Some("6.6.6.6, 192.0.2.1")),
            ("x-forwarded-for", &long, Some("192.0.2.1")),
            ("x-forwarded-for", &"x".repeat(CHAIN_BYTES_MAX + 1), None),
            ("forwarded", "for=6.6.6.6, for=192.0.2.1", Some("192.0.2.1")),
            ("forwarded", "for=unknown", None),
            ("other", "192.0.2.1", None),
        ] {
            assert_eq!(chain(&[(name, value)]).as_deref(), want, "{name}");
        }
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

    #[test]
    fn what_is_said_twice_is_not_believed() {
        let claim_of = |fields: &[(&str, &str)]| {
            claim("10.0.0.1".parse().unwrap(), &FieldSlice(fields), &networks())
        };
        let proto = |values: &[&str]| {
            let fields: Vec<_> = values.iter().map(|value| ("x-forwarded-proto", *value)).collect();
            claim_of(&fields).is_https
        };
        assert_eq!((proto(&["https"]), proto(&["HTTP"])), (Some(true), Some(false)));
        assert_eq!((proto(&["https", "http"]), proto(&["https, http"])), (None, None));
        let twice = [("x-forwarded-host", "evil.example"), ("x-forwarded-host", "shop.example")];
        assert_eq!(claim_of(&twice).host, None);
        let port = |text| claim_of(&[("x-forwarded-port", text)]).port;
        assert_eq!(port("8443").unwrap(), "8443");
        for text in ["+80", "0", "65536", "8o", "80, 81"] {
            assert_eq!(port(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_left_of_an_untrusted_address_is_believed(
            left in "\\PC{0,40}",
            right in 0_u8..3,
        ) {
            let trusted = ", 10.9.9.9".repeat(usize::from(right));
            let chain = format!("{left},192.0.2.1{trusted}");
            prop_assert_eq!(client(&[("x-forwarded-for", &chain)]), "192.0.2.1");
        }

        #[test]
        fn nothing_left_of_an_untrusted_element_is_believed(
            left in "(\\PC|[,;=\"\\\\]|for=6\\.6\\.6\\.6){0,12}",
            host in "[ -~]{0,12}",
            right in 0_u8..3,
        ) {
            let host = host.replace('\\', "\\\\").replace('"', "\\\"");
            let trusted = ", for=\"[fd00::1]:80\"".repeat(usize::from(right));
            let list = format!("{left},for=\"[2001:db8::1]\";host=\"{host}\"{trusted}");
            prop_assert_eq!(client(&[("forwarded", &list)]), "2001:db8::1");
        }

        #[test]
        fn no_text_breaks_the_reading(text in "[ -~]{0,60}") {
            client(&[("forwarded", &text)]);
            client(&[("x-forwarded-for", &text)]);
        }
    }
}
