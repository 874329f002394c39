//! Pingora's heads as stages see them, and edits written into them.

use crate::wire::invalid_head::InvalidHead;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use pingora_http::{RequestHeader, ResponseHeader};
use vanne_filters::{Edit, FieldList, HeadEdits, RequestHead, ResponseHead, Version};

/// A header map as a list of fields.
pub struct Fields<'a>(pub &'a HeaderMap);

impl Fields<'_> {
    /// In a head of ten fields a look at each costs less than the hash of a name.
    fn called(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let is_it = move |(field, _): &(&HeaderName, &HeaderValue)| field.as_str() == name;
        self.0.iter().filter(is_it).map(|(_, value)| value.as_bytes())
    }
}

impl FieldList for Fields<'_> {
    fn each(&self, visit: &mut dyn FnMut(&[u8], &[u8])) {
        for (name, value) in self.0 {
            visit(name.as_str().as_bytes(), value.as_bytes());
        }
    }

    fn first(&self, name: &str) -> Option<&[u8]> {
        self.called(name).next()
    }

    fn count(&self, name: &str) -> usize {
        self.called(name).count()
    }
}

/// The view of a request's head. `fields` must be of `header`.
pub fn request_head<'a>(header: &'a RequestHeader, fields: &'a Fields<'a>) -> RequestHead<'a> {
    RequestHead::new(header.method.as_str(), header.raw_path(), version(header.version), fields)
}

/// The view of an answer's head. `fields` must be of `header`.
pub fn response_head<'a>(header: &ResponseHeader, fields: &'a Fields<'a>) -> ResponseHead<'a> {
    ResponseHead { status: header.status.as_u16(), fields }
}

fn version(version: http::Version) -> Version {
    match version {
        http::Version::HTTP_2 | http::Version::HTTP_3 => Version::Http2,
        http::Version::HTTP_11 => Version::Http11,
        _ => Version::Http10,
    }
}

/// Fields that an engine adds to what we add: room for them is made at once.
const ROOM_FOR_OTHERS: usize = 4;

/// Writes `edits` into a request's head, in order. The names leave in lower case: keeping
/// the client's would mean a second map beside the first, and each name in both.
///
/// # Errors
/// When Pingora refuses the target that it gave.
pub fn edit_request(edits: &HeadEdits, header: &mut RequestHeader) -> pingora_error::Result<()> {
    let empty = RequestHeader::build_no_case(http::Method::GET, b"/", Some(0))?;
    let old = std::mem::replace(header, empty);
    let is_plain =
        old.uri.path_and_query().is_some_and(|p| p.as_str().as_bytes() == old.raw_path());
    let kept = || if is_plain { None } else { Some(old.raw_path().to_vec()) };
    let raw = edits.target().map(<[u8]>::to_vec).or_else(kept);
    let mut parts: http::request::Parts = old.into();
    apply(edits, &mut parts.headers);
    *header = parts.into();
    // What is no plain path (an absolute target, odd characters) is sent as it came.
    raw.map_or(Ok(()), |raw| header.set_raw_path(&raw))
}

/// Whether HTTP/2 can say whom the `header` asks that is about to leave by it: HTTP/1.0 may name no
/// host, and the library takes no `%` in one.
///
/// # Errors
/// What is wrong with the host.
pub fn check_for_http2(header: &RequestHeader) -> Result<(), InvalidHead> {
    let host = header.headers.get(header::HOST).map_or(&b""[..], HeaderValue::as_bytes);
    if host.is_empty() {
        return Err(InvalidHead::MissingHost);
    }
    Authority::try_from(host).map(drop).map_err(|_form| InvalidHead::MalformedHost)
}

/// Writes `edits` into an answer's head, in order. The names leave in lower case.
///
/// # Errors
/// When Pingora refuses the reason phrase that it gave.
pub fn edit_response(edits: &HeadEdits, header: &mut ResponseHeader) -> pingora_error::Result<()> {
    let empty = ResponseHeader::build_no_case(header.status, Some(0))?;
    let old = std::mem::replace(header, empty);
    let phrase = old.get_reason_phrase().filter(|p| Some(*p) != old.status.canonical_reason());
    let phrase = phrase.map(str::to_owned);
    let mut parts: http::response::Parts = old.into();
    apply(edits, &mut parts.headers);
    *header = parts.into();
    phrase.map_or(Ok(()), |phrase| header.set_reason_phrase(Some(&phrase)))
}

fn apply(edits: &HeadEdits, fields: &mut HeaderMap) {
    fields.reserve(edits.len() + ROOM_FOR_OTHERS);
    for edit in edits {
        match edit {
            Edit::Add(name, value) => drop(fields.append(name, value_of(value))),
            Edit::Line(line) => drop(fields.append(&line.name, line.value.clone())),
            Edit::Remove(name) => drop(fields.remove(name)),
            Edit::Set(name, value) => drop(fields.insert(name, value_of(value))),
            Edit::SetIfAbsent(name, value) => {
                fields.entry(name).or_insert_with(|| value_of(value));
            }
        }
    }
}

/// Values of edits are fit for a field.
fn value_of(bytes: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(bytes).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_applied_in_order_and_a_present_field_is_kept_if_asked() {
        let mut head = ResponseHeader::build(200, None).unwrap();
        head.append_header("x-a", "1").unwrap();
        head.append_header("x-a", "2").unwrap();
        head.append_header("x-frame-options", "SAMEORIGIN").unwrap();
        head.set_reason_phrase(Some("Fine")).unwrap();
        let mut edits = HeadEdits::new();
        edits.add(HeaderName::from_static("x-b"), "1");
        edits.add(HeaderName::from_static("x-b"), "2");
        edits.remove(HeaderName::from_static("x-a"));
        edits.set(HeaderName::from_static("x-a"), "3");
        edits.set_if_absent(header::X_FRAME_OPTIONS, "DENY");
        edit_response(&edits, &mut head).unwrap();
        assert_eq!(head.headers.get_all("x-a").iter().count(), 1);
        assert_eq!(head.headers.get_all("x-b").iter().count(), 2);
        assert_eq!(head.headers["x-frame-options"], "SAMEORIGIN");
        assert_eq!((head.status.as_u16(), head.get_reason_phrase()), (200, Some("Fine")));
    }

    #[test]
    fn http2_asks_a_host() {
        for (host, want) in [
            ("a:1", Ok(())),
            ("[::1]:80", Ok(())),
            ("", Err(InvalidHead::MissingHost)),
            ("a%20b", Err(InvalidHead::MalformedHost)),
        ] {
            let mut head = RequestHeader::build("GET", b"/", None).unwrap();
            head.append_header("Host", host).unwrap();
            assert_eq!(check_for_http2(&head), want, "{host}");
        }
    }

    #[test]
    fn a_request_keeps_its_method_and_its_target_as_it_came() {
        for target in [&b"/a?b=%20"[..], b"http://h/a", b"/a|b{c}", b"*"] {
            let mut head = RequestHeader::build("OPTIONS", target, None).unwrap();
            head.append_header("Host", "h").unwrap();
            edit_request(&HeadEdits::new(), &mut head).unwrap();
            assert_eq!((head.raw_path(), head.method.as_str()), (target, "OPTIONS"));
            assert_eq!(head.headers["host"], "h");
            let mut edits = HeadEdits::new();
            edits.set_target(b"/new?{q}");
            edit_request(&edits, &mut head).unwrap();
            assert_eq!(head.raw_path(), b"/new?{q}");
        }
    }
}
