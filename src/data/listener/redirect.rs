//! 1 · Redirect: from plain text to HTTPS.

use crate::wire::bytes::is_host;
use http::HeaderValue;

/// Below this, requests are not redirected: who proves by HTTP that a name is his, to get a
/// certificate for it, may not have one yet (RFC 8555 §8.3).
const ACME: &[u8] = b"/.well-known/acme-challenge/";

/// Whether a request for `path` is redirected at all.
#[must_use]
pub fn applies_to(path: &[u8]) -> bool {
    !path.starts_with(ACME)
}

/// The status of a redirect: 308 keeps the method, but is not known to the oldest clients,
/// for which GET and HEAD need nothing kept.
#[must_use]
pub fn status(method: &str) -> u16 {
    if matches!(method, "GET" | "HEAD") { 301 } else { 308 }
}

/// Where to: the same `host`, without port, and `target` (path and query) by HTTPS at `port`.
/// `None` if that makes no address: an absolute target may name a host that is none.
#[must_use]
pub fn location(host: &[u8], port: u16, target: &[u8]) -> Option<HeaderValue> {
    if !host.iter().all(|byte| is_host(*byte)) {
        return None;
    }
    let mut to = b"https://".to_vec();
    to.extend_from_slice(host);
    if port != 443 {
        to.extend_from_slice(format!(":{port}").as_bytes());
    }
    to.extend_from_slice(if target.first() == Some(&b'/') { target } else { b"/" });
    HeaderValue::from_bytes(&to).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_the_same_by_https() {
        for (host, port, target, want) in [
            ("a.example", 443, "/x?y=1", "https://a.example/x?y=1"),
            ("[::1]", 8443, "/", "https://[::1]:8443/"),
            ("a.example", 443, "*", "https://a.example/"),
        ] {
            assert_eq!(location(host.as_bytes(), port, target.as_bytes()).unwrap(), want);
        }
    }

    #[test]
    fn what_would_lead_elsewhere_or_end_the_field_is_no_location() {
        for host in ["a@b.example", "a/b", "a\\b", "a?b", "a\r\nx: y", "a b"] {
            assert_eq!(location(host.as_bytes(), 443, b"/"), None, "{host:?}");
        }
        assert_eq!(location(b"a", 443, b"/x\r\nset-cookie: a"), None);
        // A path of two slashes stays one: a host stands before it.
        assert_eq!(location(b"a", 443, b"//b.example").unwrap(), "https://a//b.example");
    }

    #[test]
    fn only_get_and_head_may_lose_what_a_redirect_keeps() {
        for (method, want) in [("GET", 301), ("HEAD", 301), ("POST", 308), ("OPTIONS", 308)] {
            assert_eq!(status(method), want, "{method}");
        }
    }

    #[test]
    fn challenges_are_let_through() {
        assert!(!applies_to(b"/.well-known/acme-challenge/token"));
        assert!(applies_to(b"/.well-known/acme-challenge"));
        assert!(applies_to(b"/"));
    }
}
