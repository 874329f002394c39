//! 8 · Forward: what changes in a head on its way through.
//!
//! Hop-by-hop fields end here (RFC 9110 §7.6.1): the known ones and whatever
//! `Connection` names, but never Host, the framing or our own fields. What a client
//! says about who it is and how it came (`X-Forwarded-*`, `Forwarded`, `X-Real-IP`) is
//! replaced by what we know. Framing itself is the engine's.

use crate::data::listener::Client;
use crate::data::listener::admit::tokens;
use crate::data::listener::client::{Claim, is_port};
use crate::types::request_id::RequestId;
use http::{HeaderName, HeaderValue, header};
use vanne_filters::{HeadEdits, RequestHead, ResponseHead, Version};

/// The field that carries the request's id, to the backend and to the client.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Set in any case: what a client says there need not be removed.
static ALWAYS_SET: [HeaderName; 3] = [FORWARDED_FOR, FORWARDED_PORT, FORWARDED_PROTO];

/// What a client claims, and a proxy before us may.
static CLAIMS: [HeaderName; 3] = [FORWARDED_HOST, header::FORWARDED, REAL_IP];

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Fields that stay whatever `Connection` says: without them the message would be
/// routed or framed differently by the next reader.
static NEVER_NAMED: [HeaderName; 5] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::UPGRADE,
];

/// What `Connection` says of the last message: a word, and for all we know a field.
const CLOSE: HeaderName = HeaderName::from_static("close");

/// Who asks.
#[derive(Clone, Copy)]
pub struct Sender<'a> {
    /// Who is at the other end of the connection.
    pub client: &'a Client,
    /// What that one says of who sent the request, if it is believed.
    pub claim: Option<&'a Claim>,
}

/// What of a connection's own is passed on all the same.
#[derive(Clone, Copy, Debug, Default)]
pub struct Passing {
    /// The request to speak WebSocket.
    pub websocket: bool,
    /// The word that trailers are understood; to HTTP/2 backends, where gRPC asks for it.
    pub trailers: bool,
}

/// Edits for a request on its way to the backend.
/// Cost: allocates for fields that only this request has: those that its `Connection` names, and
/// unknown `X-Forwarded-*`.
pub fn request_edits(
    head: &RequestHead<'_>,
    sender: Sender<'_>,
    id: RequestId,
    passing: Passing,
    edits: &mut HeadEdits,
) {
    head.fields.each(&mut |name, value| {
        remove_hop_by_hop(name, value, edits);
        remove_claim(name, edits);
    });
    if passing.trailers && head.fields.first("te") == Some(b"trailers") {
        edits.set(header::TE, "trailers");
    }
    if passing.websocket {
        edits.set(header::CONNECTION, "upgrade");
        edits.set(header::UPGRADE, "websocket");
    }
    if head.fields.first("host").is_none() {
        // HTTP/1.0 may leave it out; the backend is asked by HTTP/1.1, where it must be there.
        edits.set(header::HOST, head.authority.unwrap_or_default());
    }
    way_edits(head, sender, edits);
    edits.set(REQUEST_ID, id.to_hex());
}

/// What is said of who asks and how: by us, or by a proxy before us that is believed.
pub fn way_edits(head: &RequestHead<'_>, sender: Sender<'_>, edits: &mut HeadEdits) {
    let Sender { client, claim } = sender;
    let chain = claim.and_then(|claim| claim.chain.as_deref());
    let has_chain = chain.is_some_and(|chain| {
        edits.set_written(FORWARDED_FOR, |out| {
            [chain, b", ", client.forwarded_for.as_bytes()].iter().for_each(|part| out.push(part));
        })
    });
    if !has_chain {
        edits.set(FORWARDED_FOR, client.forwarded_for.as_bytes());
    }
    let port = claim.and_then(|claim| outer_port(head, claim));
    edits.set(FORWARDED_PORT, port.unwrap_or(client.forwarded_port.as_bytes()));
    let proto = claim.and_then(|claim| claim.is_https).map(|is_https| match is_https {
        true => &b"https"[..],
        false => b"http",
    });
    edits.set(FORWARDED_PROTO, proto.unwrap_or(client.forwarded_proto()));
    match (claim.and_then(|claim| claim.host.as_ref()), head.authority) {
        (Some(host), _) => edits.set(FORWARDED_HOST, host),
        (None, Some(host)) => {
            edits.set_written(FORWARDED_HOST, |out| out.push(host));
        }
        (None, None) => {}
    }
}

/// The port that was asked at the first proxy: as it says; or, where it named only the scheme,
/// the one that goes with that and the host.
fn outer_port<'a>(head: &RequestHead<'a>, claim: &'a Claim) -> Option<&'a [u8]> {
    if let Some(port) = &claim.port {
        return Some(port.as_bytes());
    }
    let default: &[u8] = if claim.is_https? { b"443" } else { b"80" };
    let asked = claim.host.as_ref().map(HeaderValue::as_bytes).or(head.authority);
    let named = asked.and_then(|host| {
        let colon = host.iter().rposition(|&byte| byte == b':')?;
        host.get(colon + 1..).filter(|port| is_port(port))
    });
    Some(named.unwrap_or(default))
}

/// Edits for a backend's answer on its way to a client that speaks `client`. `id`: the
/// request's.
pub fn response_edits(
    head: &ResponseHead<'_>,
    client: Version,
    id: RequestId,
    edits: &mut HeadEdits,
) {
    if head.status != 101 {
        head.fields.each(&mut |name, value| remove_hop_by_hop(name, value, edits));
    }
    if client < Version::Http11 {
        // RFC 9112 §6.1: chunked is not for HTTP/1.0; the end of the connection ends the body.
        edits.remove(header::TRANSFER_ENCODING);
    }
    edits.set(REQUEST_ID, id.to_hex());
}

fn remove_hop_by_hop(name: &[u8], value: &[u8], edits: &mut HeadEdits) {
    let Some(known) = hop_by_hop(name) else { return };
    let is_connection = known == header::CONNECTION;
    edits.remove(known);
    if is_connection {
        remove_named(value, edits);
    }
}

/// The field of one connection only that is called `name`, in any case. `Transfer-Encoding` is
/// the engine's.
fn hop_by_hop(name: &[u8]) -> Option<HeaderName> {
    // By length and first letter alone hardly any other field of a head is one.
    let known = match (name.len(), name.first()?.to_ascii_lowercase()) {
        (2, b't') => header::TE,
        (7, b'u') => header::UPGRADE,
        (10, b'c') => header::CONNECTION,
        (10, b'k') => KEEP_ALIVE,
        (14, b'h') => HTTP2_SETTINGS,
        (16, b'p') => PROXY_CONNECTION,
        (18, b'p') => header::PROXY_AUTHENTICATE,
        (19, b'p') => header::PROXY_AUTHORIZATION,
        _ => return None,
    };
    name.eq_ignore_ascii_case(known.as_str().as_bytes()).then_some(known)
}

fn remove_named(connection: &[u8], edits: &mut HeadEdits) {
    for token in tokens(connection) {
        let is = |name: &HeaderName| token.eq_ignore_ascii_case(name.as_str().as_bytes());
        // Hop-by-hop fields go wherever they are.
        if hop_by_hop(token).is_some() || NEVER_NAMED.iter().any(is) {
            continue;
        }
        if is(&CLOSE) {
            edits.remove(CLOSE);
        } else if let Ok(name) = HeaderName::from_bytes(token) {
            edits.remove(name);
        }
    }
}

/// Removes what the client claims about its own way here.
fn remove_claim(name: &[u8], edits: &mut HeadEdits) {
    if !matches!(name.first(), Some(b'f' | b'F' | b'x' | b'X')) {
        return;
    }
    let is = |known: &HeaderName| name.eq_ignore_ascii_case(known.as_str().as_bytes());
    if let Some(known) = CLAIMS.iter().find(|known| is(known)) {
        return edits.remove(known.clone());
    }
    let is_claim = name.get(..12).is_some_and(|p| p.eq_ignore_ascii_case(b"x-forwarded-"));
    if !is_claim || ALWAYS_SET.iter().any(is) {
        return;
    }
    if let Ok(name) = HeaderName::from_bytes(name) {
        edits.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::listener::client;
    use crate::types::request_id::RequestId;
    use vanne_filters::{Edit, FieldSlice};

    fn edits_of(fields: &[(&str, &str)], is_websocket: bool) -> HeadEdits {
        let fields = FieldSlice(fields);
        let head = RequestHead::new("GET", b"/", Version::Http11, &fields);
        let client = Client::new("192.0.2.1:5000".parse().unwrap(), 80, false);
        let id = RequestId::next(&mut fastrand::Rng::with_seed(1));
        let mut edits = HeadEdits::new();
        let passing = Passing { websocket: is_websocket, trailers: false };
        let sender = Sender { client: &client, claim: None };
        request_edits(&head, sender, id, passing, &mut edits);
        edits
    }

    fn removed(edits: &HeadEdits) -> Vec<&str> {
        edits
            .iter()
            .filter_map(|e| if let Edit::Remove(name) = e { Some(name.as_str()) } else { None })
            .collect()
    }

    #[test]
    fn what_connection_names_goes_but_never_host_or_framing() {
        let named = "X-Secret, host, Content-Length, , TE, keep-alive";
        let edits = edits_of(&[("Host", "a"), ("Connection", named), ("TE", "gzip")], false);
        assert_eq!(removed(&edits), ["connection", "x-secret", "te"]);
    }

    #[test]
    fn fields_of_one_connection_end_here_however_they_are_written() {
        let names = [
            "connection",
            "http2-settings",
            "keep-alive",
            "proxy-authenticate",
            "proxy-authorization",
            "proxy-connection",
            "te",
            "upgrade",
        ];
        for name in names {
            let edits = edits_of(&[(&name.to_ascii_uppercase(), "x"), ("x-a", "1")], false);
            assert_eq!(removed(&edits).first(), Some(&name));
        }
        assert!(
            removed(&edits_of(&[("cache-control", "x"), ("user-agent", "x")], false)).is_empty()
        );
    }

    #[test]
    fn claims_about_the_way_are_replaced() {
        let edits = edits_of(
            &[("X-Forwarded-For", "6.6.6.6"), ("x-forwarded-prefix", "/x"), ("Forwarded", "for=1")],
            false,
        );
        let gone = removed(&edits);
        assert!(gone.contains(&"x-forwarded-prefix") && gone.contains(&"forwarded"));
        assert!(edits.iter().any(|e| e == Edit::Set(&FORWARDED_FOR, b"192.0.2.1")));
    }

    #[test]
    fn the_port_goes_with_the_scheme_that_a_trusted_proxy_names() {
        let port_for = |host: &str, said: &[(&str, &str)]| {
            let fields = [&[("host", host)], said].concat();
            let fields = FieldSlice(&fields);
            let head = RequestHead::new("GET", b"/", Version::Http11, &fields);
            let client = Client::new("10.0.0.1:5000".parse().unwrap(), 8080, false);
            let claim = client::claim(client.address.ip(), &fields, &[]);
            let mut edits = HeadEdits::new();
            way_edits(&head, Sender { client: &client, claim: Some(&claim) }, &mut edits);
            let port = |edit| match edit {
                Edit::Set(name, port) if *name == FORWARDED_PORT => {
                    Some(String::from_utf8(port.to_vec()).unwrap())
                }
                _ => None,
            };
            edits.iter().find_map(port).unwrap()
        };
        let https = ("x-forwarded-proto", "https");
        for (host, said, want) in [
            ("a.example", &[][..], "8080"),
            ("a.example", &[https], "443"),
            ("a.example", &[("x-forwarded-proto", "http")], "80"),
            ("a.example", &[https, ("x-forwarded-port", "444")], "444"),
            ("a.example:8443", &[https], "8443"),
            ("[::1]", &[https], "443"),
            ("[::1]:8443", &[https], "8443"),
            ("a.example:8443", &[https, ("x-forwarded-host", "b.example")], "443"),
        ] {
            assert_eq!(port_for(host, said), want, "{host} {said:?}");
        }
    }

    #[test]
    fn an_upgrade_is_written_anew() {
        let edits = edits_of(&[("Upgrade", "websocket"), ("Connection", "Upgrade")], true);
        let set = Edit::Set(&header::UPGRADE, b"websocket");
        assert_eq!(edits.iter().filter(|edit| *edit == set).count(), 1);
    }

    #[test]
    fn http_10_clients_get_no_chunks() {
        let fields = FieldSlice(&[("Transfer-Encoding", "chunked")]);
        let head = ResponseHead { status: 200, fields: &fields };
        let id = RequestId::next(&mut fastrand::Rng::with_seed(1));
        let mut edits = HeadEdits::new();
        response_edits(&head, Version::Http10, id, &mut edits);
        assert!(removed(&edits).contains(&"transfer-encoding"));
    }
}
