//! 1 · Admit: the first look at a request's head.
//!
//! Refuses what no route should ever see, whichever engine read it. The framing of
//! messages is the engine's; this is about what the head asks for.

use crate::data::refusal::Refusal;
use crate::data::route::{HOST_BYTES_MAX, named};
use crate::wire::invalid_head::InvalidHead;
use vanne_filters::{FieldList, RequestHead, Version};

/// Whether the request may go on to its route.
///
/// # Errors
/// - [`InvalidHead::MissingHost`] and [`InvalidHead::SeveralHosts`]: HTTP/1.1 without exactly
///   one, non-empty Host (RFC 9112 §3.2).
/// - [`InvalidHead::MalformedHost`]: a host longer than any is, which no route could be found for
///   and some backend might cut.
/// - [`Refusal::MethodRefused`]: CONNECT, which asks for a tunnel to anywhere, and
///   TRACE, which shows the client what was added to its request.
pub fn admit(head: &RequestHead<'_>) -> Result<(), Refusal> {
    if matches!(head.method, "CONNECT" | "TRACE") {
        return Err(Refusal::MethodRefused);
    }
    let hosts = head.fields.count("host");
    let is_named = head.authority.is_some_and(|host| !host.is_empty());
    match head.version {
        _ if hosts > 1 => Err(InvalidHead::SeveralHosts.into()),
        Version::Http11 if hosts == 0 || !is_named => Err(InvalidHead::MissingHost.into()),
        _ if has_long_host(head) => Err(InvalidHead::MalformedHost.into()),
        _ => Ok(()),
    }
}

/// Whether the host is longer than any name.
fn has_long_host(head: &RequestHead<'_>) -> bool {
    let is_long = |host: &[u8]| host.len() > HOST_BYTES_MAX;
    // The authority has the host in it: most often that is all to be asked.
    head.authority.is_some_and(is_long) && head.host().map(named).is_some_and(is_long)
}

/// Whether the client wants to keep its connection (RFC 9112 §9.3). After CONNECT what follows
/// may be what was meant for the tunnel.
#[must_use]
pub fn wants_keep_alive(head: &RequestHead<'_>) -> bool {
    match head.version {
        _ if head.method == "CONNECT" => false,
        // `close` wins over what else is there.
        Version::Http10 => {
            let says = |word| names(head.fields, "connection", word);
            says(b"keep-alive") && !says(b"close")
        }
        _ => !names(head.fields, "connection", b"close"),
    }
}

/// Whether the request asks to speak WebSocket (RFC 6455 §4.1; over HTTP/2 it was made to
/// look like that): the only upgrade that is passed on.
#[must_use]
pub fn asks_for_websocket(head: &RequestHead<'_>) -> bool {
    head.method == "GET" && head.version >= Version::Http11 && is_about_websocket(head.fields)
}

/// Whether these fields of a request or of its answer are about WebSocket, and nothing else.
#[must_use]
pub fn is_about_websocket(fields: &dyn FieldList) -> bool {
    fields.count("upgrade") == 1
        && fields.first("upgrade").is_some_and(|v| v.eq_ignore_ascii_case(b"websocket"))
        && names(fields, "connection", b"upgrade")
}

/// Whether a field called `name` has `token` in its list, whichever of several fields it is.
fn names(fields: &dyn FieldList, name: &str, token: &[u8]) -> bool {
    let mut is_there = false;
    fields.each(&mut |field, value| {
        is_there |= field.eq_ignore_ascii_case(name.as_bytes())
            && tokens(value).any(|one| one.eq_ignore_ascii_case(token));
    });
    is_there
}

/// The tokens of a comma-separated list, without the white space around them.
pub fn tokens(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use vanne_filters::FieldSlice;

    fn admitted(method: &str, version: Version, fields: &[(&str, &str)]) -> Result<(), Refusal> {
        let list = FieldSlice(fields);
        admit(&RequestHead::new(method, b"/", version, &list))
    }

    #[test]
    fn http_11_needs_exactly_one_host() {
        let host = ("Host", "a");
        assert_eq!(admitted("GET", Version::Http11, &[host]), Ok(()));
        let (missing, several) = (InvalidHead::MissingHost, InvalidHead::SeveralHosts);
        for (fields, fault) in
            [(&[][..], missing), (&[("Host", "")], missing), (&[host, host], several)]
        {
            assert_eq!(admitted("GET", Version::Http11, fields), Err(fault.into()));
        }
        assert_eq!(admitted("GET", Version::Http10, &[]), Ok(()));
        assert_eq!(admitted("GET", Version::Http10, &[host, host]), Err(several.into()));
    }

    #[test]
    fn a_host_is_no_longer_than_names_are() {
        let long = "x".repeat(HOST_BYTES_MAX);
        for (host, is_one) in [
            (long.clone(), true),
            (format!("{long}.:80"), true),
            (format!("{long}x"), false),
            (format!("{long}x:80"), false),
            (format!("{long}.."), false),
        ] {
            let got = admitted("GET", Version::Http11, &[("Host", &host)]);
            let want = if is_one { Ok(()) } else { Err(InvalidHead::MalformedHost.into()) };
            assert_eq!(got, want, "{host}");
        }
    }

    #[test]
    fn a_connection_is_kept_unless_the_client_says_that_it_closes() {
        for (version, connection, want) in [
            (Version::Http11, "", true),
            (Version::Http11, "keep-alive, close", false),
            (Version::Http10, "", false),
            (Version::Http10, "Keep-Alive", true),
            (Version::Http10, "close, keep-alive", false),
            (Version::Http10, "keep-alive, Close", false),
        ] {
            let fields = FieldSlice(&[("Connection", connection)]);
            let head = RequestHead::new("GET", b"/", version, &fields);
            assert_eq!(wants_keep_alive(&head), want, "{version:?} {connection}");
        }
    }

    #[test]
    fn connect_and_trace_are_refused_and_other_methods_pass() {
        let host = [("host", "a")];
        assert_eq!(admitted("CONNECT", Version::Http11, &host), Err(Refusal::MethodRefused));
        assert_eq!(admitted("TRACE", Version::Http11, &host), Err(Refusal::MethodRefused));
        assert_eq!(admitted("PROPFIND", Version::Http11, &host), Ok(()));
    }

    #[test]
    fn only_a_proper_websocket_request_asks_for_an_upgrade() {
        let ask = |version, fields: [(&str, &str); 2]| {
            let fields = FieldSlice(&fields);
            asks_for_websocket(&RequestHead::new("GET", b"/", version, &fields))
        };
        let good = [("Upgrade", "WebSocket"), ("Connection", "keep-alive, Upgrade")];
        assert!(ask(Version::Http11, good));
        assert!(!ask(Version::Http10, good));
        assert!(!ask(Version::Http11, [("Upgrade", "h2c"), ("Connection", "Upgrade")]));
        assert!(!ask(Version::Http11, [("Upgrade", "websocket"), ("Connection", "close")]));
    }
}
