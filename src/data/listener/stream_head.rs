//! 1 · The head of an HTTP/2 request, made into what the stages and backends know.
//!
//! The `h2` crate refuses what breaks the frames' own rules: forbidden fields, upper case,
//! pseudo-fields in disorder. Here is what a proxy has to see to on top (RFC 9113 §8.2, §8.3,
//! §10.3): one host, one length, a target that is one, cookie crumbs joined, and a request
//! for a WebSocket tunnel (RFC 8441) turned into the request that HTTP/1 backends know.

use super::path_policy::PathPolicy;
use crate::data::refusal::Refusal;
use crate::wire::bytes::{is_host, is_target, parse_length};
use crate::wire::invalid_head::InvalidHead;
use crate::wire::request::FIELDS_MAX;
use crate::wire::unsafe_target::{encoded, has_safe_path};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Uri, header};

/// Room for the key that a WebSocket over HTTP/1 asks for; a stream does not have one.
const WEBSOCKET_KEY: HeaderValue = HeaderValue::from_static("dmFubmUtcmZjODQ0MS1rZQ==");

/// Puts `head` into the shape of a request to forward; `paths`: what its target may have. Whether
/// it asks for a tunnel.
///
/// # Errors
/// [`Refusal::Head`], for heads that two readers could read in two ways, and
/// [`Refusal::MethodRefused`] for other tunnels.
pub fn prepare(head: &mut Parts, paths: PathPolicy) -> Result<bool, Refusal> {
    let protocol = head.extensions.remove::<h2::ext::Protocol>();
    let asks_for_tunnel = match (&head.method, &protocol) {
        (&Method::CONNECT, Some(protocol)) if protocol.as_str() == "websocket" => true,
        (_, Some(_)) => return Err(Refusal::MethodRefused),
        (_, None) => false,
    };
    name_host(head)?;
    if head.method != Method::CONNECT || asks_for_tunnel {
        head.uri = target(&head.uri, paths)?;
    }
    check_length(&head.headers)?;
    join_cookies(&mut head.headers)?;
    if head.headers.len() > FIELDS_MAX {
        return Err(InvalidHead::TooManyFields.into());
    }
    if asks_for_tunnel {
        head.method = Method::GET;
        head.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        head.headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        head.headers.insert(header::SEC_WEBSOCKET_KEY, WEBSOCKET_KEY);
    }
    Ok(asks_for_tunnel)
}

/// The size of what is the first line and the host in HTTP/1.
#[must_use]
pub fn line_bytes(head: &Parts) -> u64 {
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let authority = head.uri.authority().map_or(0, |authority| authority.as_str().len());
    (head.method.as_str().len() + authority + target) as u64
}

/// Host says what `:authority` says, whichever of them was given; both must agree.
fn name_host(head: &mut Parts) -> Result<(), InvalidHead> {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(InvalidHead::SeveralHosts);
    }
    let authority = head.uri.authority().map(|authority| authority.as_str());
    let name = match (authority, host) {
        (Some(authority), Some(host))
            if !host.as_bytes().eq_ignore_ascii_case(authority.as_bytes()) =>
        {
            return Err(InvalidHead::HostMismatch);
        }
        (Some(authority), _) => {
            HeaderValue::from_str(authority).map_err(|_bytes| InvalidHead::MalformedHost)?
        }
        (None, Some(host)) => host.clone(),
        (None, None) => return Err(InvalidHead::MissingHost),
    };
    match name.as_bytes() {
        [] => Err(InvalidHead::MissingHost),
        // Also keeps user information out (RFC 9113 §8.3.1).
        bytes if !bytes.iter().all(|byte| is_host(*byte)) => Err(InvalidHead::MalformedHost),
        _ => {
            head.headers.insert(header::HOST, name);
            Ok(())
        }
    }
}

/// Path and query alone: nothing that could end a request line of HTTP/1.
fn target(uri: &Uri, paths: PathPolicy) -> Result<Uri, InvalidHead> {
    let target = uri.path_and_query().ok_or(InvalidHead::MalformedTarget)?;
    let other = if paths.encodes_unsafe { encoded(target.as_str().as_bytes()) } else { None };
    let target = match other {
        Some(other) => {
            PathAndQuery::try_from(other).map_err(|_bad| InvalidHead::MalformedTarget)?
        }
        None => target.clone(),
    };
    let is_path = target.as_str().starts_with('/') || target.as_str() == "*";
    let bytes = target.as_str().as_bytes();
    if !is_path || !bytes.iter().copied().all(is_target) || !has_safe_path(bytes) {
        return Err(InvalidHead::MalformedTarget);
    }
    Ok(target.into())
}

fn check_length(fields: &HeaderMap) -> Result<(), InvalidHead> {
    let mut lengths = fields.get_all(header::CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else { return Ok(()) };
    parse_length(length.as_bytes()).ok_or(InvalidHead::MalformedLength)?;
    lengths.next().map_or(Ok(()), |_| Err(InvalidHead::SeveralLengths))
}

/// Joins the crumbs of a cookie, which HTTP/1 has in one field (RFC 9113 §8.2.3).
fn join_cookies(fields: &mut HeaderMap) -> Result<(), InvalidHead> {
    let crumbs: Vec<&[u8]> =
        fields.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() < 2 {
        return Ok(());
    }
    let whole = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
        .map_err(|_bytes| InvalidHead::Malformed)?;
    fields.insert(header::COOKIE, whole);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn prepared(uri: &str, fields: &[(&str, &str)]) -> Result<Parts, Refusal> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut parts = request.body(()).unwrap().into_parts().0;
        prepare(&mut parts, PathPolicy::default()).map(|_| parts)
    }

    #[test]
    fn host_and_authority_become_one() {
        for fields in [&[][..], &[("host", "A.example")]] {
            assert_eq!(
                prepared("https://a.example/x", fields).unwrap().headers["host"],
                "a.example"
            );
        }
        assert_eq!(prepared("/x", &[("host", "b")]).unwrap().headers["host"], "b");
        for (uri, fields, fault) in [
            ("https://a.example/", &[("host", "b")][..], InvalidHead::HostMismatch),
            ("https://u@a.example/", &[], InvalidHead::MalformedHost),
            ("/", &[], InvalidHead::MissingHost),
            ("/", &[("host", "")], InvalidHead::MissingHost),
            ("/", &[("host", "a"), ("host", "a")], InvalidHead::SeveralHosts),
        ] {
            assert_eq!(prepared(uri, fields).unwrap_err(), fault.into(), "{uri} {fields:?}");
        }
    }

    #[test]
    fn the_target_is_path_and_query() {
        let parts = prepared("https://a/x?y=1", &[]).unwrap();
        assert_eq!(parts.uri.to_string(), "/x?y=1");
        for malformed in ["https://a/x\"y", "https://a/%zz"] {
            let refused = prepared(malformed, &[]).unwrap_err();
            assert_eq!(refused, InvalidHead::MalformedTarget.into());
        }
    }

    #[test]
    fn there_is_one_length() {
        let uri = "https://a/";
        assert!(prepared(uri, &[("content-length", "3")]).is_ok());
        for (fields, fault) in [
            (&[("content-length", "3"), ("content-length", "3")][..], InvalidHead::SeveralLengths),
            (&[("content-length", "+3")], InvalidHead::MalformedLength),
            (&[("content-length", "3,3")], InvalidHead::MalformedLength),
        ] {
            assert_eq!(prepared(uri, fields).unwrap_err(), fault.into());
        }
    }

    #[test]
    fn all_of_the_line_counts() {
        let request = Request::builder().method("POST").uri("https://host.example/a?b=c");
        let parts = request.body(()).unwrap().into_parts().0;
        assert_eq!(line_bytes(&parts), "POST host.example /a?b=c".len() as u64 - 2);
    }

    #[test]
    fn there_are_no_more_fields_than_in_http_1() {
        let fields = |count| vec![("a", "b"); count];
        // The host is one of them, and crumbs of a cookie are one field.
        let crumbs = [fields(FIELDS_MAX - 2), vec![("cookie", "a=1"); 9]].concat();
        assert!(prepared("https://a/", &crumbs).is_ok());
        let fault = prepared("https://a/", &fields(FIELDS_MAX)).unwrap_err();
        assert_eq!(fault, InvalidHead::TooManyFields.into());
    }

    #[test]
    fn crumbs_are_joined() {
        let crumbs = [("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")];
        let parts = prepared("https://a/", &crumbs).unwrap();
        let cookies: Vec<_> = parts.headers.get_all("cookie").iter().collect();
        assert_eq!(cookies, ["a=1; b=2; c=3"]);
    }

    #[test]
    fn a_tunnel_for_a_websocket_becomes_an_upgrade_and_others_are_refused() {
        for (protocol, want) in [("websocket", Ok(true)), ("ip", Err(Refusal::MethodRefused))] {
            let request = Request::builder().method("CONNECT").uri("https://a/chat");
            let mut parts = request.body(()).unwrap().into_parts().0;
            parts.extensions.insert(h2::ext::Protocol::from(protocol));
            assert_eq!(prepare(&mut parts, PathPolicy::default()), want);
            assert_eq!(parts.method == "GET", want.is_ok());
        }
    }
}
