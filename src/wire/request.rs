//! What a request's head says about the request as bytes: is it one, and what follows it.
//!
//! Checks form, not meaning: tokens, line by line, and the fields that frame the message
//! or name its host. Routing and everything else is for later stages.

use super::bytes::{is_host, is_target, is_token, parse_length};
use super::fields::{Field, Fields, Span, parse_field};
use super::invalid_head::InvalidHead;
use super::unsafe_target::has_safe_path;
use vanne_filters::{RequestHead, Version};

/// What follows a request's head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// So many bytes.
    Length(u64),
    /// A chunked body.
    Chunked,
    /// Nothing.
    #[default]
    None,
}

/// Where the parts of a request's head are. Its memory is used again by the next one.
#[derive(Clone, Debug, Default)]
pub struct RequestIndex {
    method: Span,
    target: Span,
    is_http_11: bool,
    fields: Vec<Field>,
    /// How long the head is, with empty lines before it and the one after it.
    pub length: usize,
    /// What follows it.
    pub body: Body,
}

/// Fields that a head may have: as many as any reader behind us takes.
pub const FIELDS_MAX: usize = 256;

/// What the fields said so far.
#[derive(Default)]
struct Seen<'a> {
    host: Option<&'a [u8]>,
    length: Option<u64>,
    is_chunked: bool,
}

impl RequestIndex {
    /// Reads `head`, which ends with its empty line and has CR LF at the end of each line.
    /// Cost: O(n); allocates only for more fields than there were before.
    ///
    /// # Errors
    /// When a strict reader could not read it, or two readers could differ.
    pub fn read(&mut self, head: &[u8]) -> Result<(), InvalidHead> {
        self.fields.clear();
        self.length = head.len();
        // RFC 9112 §2.2: empty lines before a request are passed over.
        let mut at = head.chunks_exact(2).take_while(|pair| pair == b"\r\n").count() * 2;
        at = self.read_request_line(head, at)?;
        // A line that is none comes before what others say: it may be a part of one of them.
        let (mut seen, mut found) = (Seen::default(), Ok(()));
        loop {
            let end = line_end(head, at)?;
            if end == at {
                break;
            }
            let field = parse_field(head, at, end)
                .map_err(|_none| InvalidHead::of_field(head.get(at..end).unwrap_or_default()))?;
            let noted = seen.note(field.name.of(head), field.value.of(head));
            found = found.and(noted);
            if self.fields.len() >= FIELDS_MAX {
                return Err(InvalidHead::TooManyFields);
            }
            self.fields.push(field);
            at = end + 2;
        }
        found?;
        self.check_host(head, &seen)?;
        self.body = match (seen.is_chunked, seen.length) {
            (false, None | Some(0)) => Body::None,
            (false, Some(length)) => Body::Length(length),
            // RFC 9112 §6.1: not in HTTP/1.0; §6.3: never both.
            (true, None) if self.is_http_11 => Body::Chunked,
            (true, None) => return Err(InvalidHead::CodingInHttp10),
            (true, Some(_)) => return Err(InvalidHead::LengthAndCoding),
        };
        Ok(())
    }

    /// `METHOD SP TARGET SP HTTP/1.x` (RFC 9112 §3). Where the next line begins.
    fn read_request_line(&mut self, head: &[u8], start: usize) -> Result<usize, InvalidHead> {
        let end = line_end(head, start)?;
        let line = head.get(start..end).unwrap_or_default();
        let word = |from: usize, is_in: fn(u8) -> bool| {
            let rest = line.get(from..).unwrap_or_default();
            let length = rest.iter().take_while(|byte| is_in(**byte)).count();
            let is_word = length > 0 && rest.get(length) == Some(&b' ');
            is_word.then_some(from + length).ok_or_else(|| InvalidHead::of_request_line(line))
        };
        let method_end = word(0, is_token)?;
        let target_end = word(method_end + 1, is_target)?;
        if !has_safe_path(line.get(method_end + 1..target_end).unwrap_or_default()) {
            return Err(InvalidHead::MalformedTarget);
        }
        self.is_http_11 = match line.get(target_end + 1..) {
            Some(b"HTTP/1.1") => true,
            Some(b"HTTP/1.0") => false,
            _ => return Err(InvalidHead::of_request_line(line)),
        };
        self.method = Span::new(start, start + method_end);
        self.target = Span::new(start + method_end + 1, start + target_end);
        Ok(end + 2)
    }

    /// One host that says something, and the same as an absolute target names (RFC 9112 §3.2).
    fn check_host(&self, head: &[u8], seen: &Seen<'_>) -> Result<(), InvalidHead> {
        let is_named = seen.host.is_some_and(|host| !host.is_empty());
        if self.is_http_11 && !is_named {
            return Err(InvalidHead::MissingHost);
        }
        match (self.target(head), self.method(head)) {
            ([b'/', ..], _) | ([b'*'], "OPTIONS") | (_, "CONNECT") => Ok(()),
            (target, _) => {
                let asked = absolute_host(target).ok_or(InvalidHead::MalformedTarget)?;
                match seen.host {
                    // Another case of letters, or a default port, would be the same host; Pingora,
                    // which has a part of the requests, compares bytes and lets none of that pass.
                    Some(host) if asked != host => Err(InvalidHead::HostMismatch),
                    _ => Ok(()),
                }
            }
        }
    }

    /// The fields; `head` must be what was read.
    #[must_use]
    pub fn fields<'a>(&'a self, head: &'a [u8]) -> Fields<'a> {
        Fields { head, list: &self.fields }
    }

    /// The head as stages see it; `head` must be what was read, and `fields` be of it.
    #[must_use]
    pub fn head<'a>(&self, head: &'a [u8], fields: &'a Fields<'a>) -> RequestHead<'a> {
        let version = if self.is_http_11 { Version::Http11 } else { Version::Http10 };
        RequestHead::new(self.method(head), self.target(head), version, fields)
    }

    /// The method.
    #[must_use]
    pub fn method<'a>(&self, head: &'a [u8]) -> &'a str {
        // A token is ASCII.
        std::str::from_utf8(self.method.of(head)).unwrap_or_default()
    }

    /// The target, as it came.
    #[must_use]
    pub fn target<'a>(&self, head: &'a [u8]) -> &'a [u8] {
        self.target.of(head)
    }

    /// Whether the client speaks HTTP/1.1, not HTTP/1.0.
    #[must_use]
    pub fn is_http_11(&self) -> bool {
        self.is_http_11
    }
}

/// The host that a target in absolute form names (RFC 9112 §3.2.2).
fn absolute_host(target: &[u8]) -> Option<&[u8]> {
    let scheme = target.iter().position(|byte| *byte == b':')?;
    let (scheme, rest) = target.split_at_checked(scheme)?;
    let is_http = scheme.eq_ignore_ascii_case(b"http") || scheme.eq_ignore_ascii_case(b"https");
    let rest = rest.strip_prefix(b"://").filter(|_| is_http)?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let host = rest.get(..end)?;
    (!host.is_empty() && host.iter().all(|byte| is_host(*byte))).then_some(host)
}

/// Where the line that begins at `start` ends, CR LF left out.
fn line_end(head: &[u8], start: usize) -> Result<usize, InvalidHead> {
    let rest = head.get(start..).unwrap_or_default();
    let length = memchr::memchr(b'\r', rest).ok_or(InvalidHead::BareLineEnd)?;
    match rest.get(length + 1) {
        Some(b'\n') => Ok(start + length),
        _ => Err(InvalidHead::BareLineEnd),
    }
}

impl<'a> Seen<'a> {
    fn note(&mut self, name: &[u8], value: &'a [u8]) -> Result<(), InvalidHead> {
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                if !value.iter().all(|byte| is_host(*byte)) {
                    return Err(InvalidHead::MalformedHost);
                }
                self.host.replace(value).map_or(Ok(()), |_| Err(InvalidHead::SeveralHosts))
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                // RFC 9110 §8.6 lets equal values pass; a strict reader does not have to guess.
                let length = parse_length(value).ok_or(InvalidHead::MalformedLength)?;
                self.length.replace(length).map_or(Ok(()), |_| Err(InvalidHead::SeveralLengths))
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                // RFC 9112 §7: chunked is the only coding that frames; others are not forwarded.
                let is_known = value.eq_ignore_ascii_case(b"chunked");
                match std::mem::replace(&mut self.is_chunked, true) {
                    false if is_known => Ok(()),
                    false => Err(InvalidHead::of_coding(value)),
                    true => Err(InvalidHead::SeveralCodings),
                }
            }
            _ => Ok(()),
        }
    }
}

/// Checks `head` and says what follows it.
///
/// # Errors
/// As [`RequestIndex::read`].
pub fn check(head: &[u8]) -> Result<Body, InvalidHead> {
    let mut index = RequestIndex::default();
    index.read(head).map(|()| index.body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(fields: &str) -> Result<Body, InvalidHead> {
        check(format!("POST /a?b=1 HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes())
    }

    #[test]
    fn there_are_not_too_many_fields() {
        assert_eq!(with(&"A: b\r\n".repeat(FIELDS_MAX - 1)), Ok(Body::None));
        assert_eq!(with(&"A: b\r\n".repeat(FIELDS_MAX)), Err(InvalidHead::TooManyFields));
    }

    #[test]
    fn framing_is_read_in_one_way() {
        assert_eq!(with(""), Ok(Body::None));
        assert_eq!(with("Content-Length: 12 \r\n"), Ok(Body::Length(12)));
        assert_eq!(with("transfer-encoding: Chunked\r\n"), Ok(Body::Chunked));
        let chunked = "Transfer-Encoding: chunked\r\n";
        for (fields, fault) in [
            ("Content-Length: 3\r\nContent-Length: 3\r\n", InvalidHead::SeveralLengths),
            ("Content-Length: 3, 3\r\n", InvalidHead::MalformedLength),
            ("Content-Length: +3\r\n", InvalidHead::MalformedLength),
            ("Content-Length:\r\n", InvalidHead::MalformedLength),
            ("Content-Length: 18446744073709551616\r\n", InvalidHead::MalformedLength),
            ("Transfer-Encoding: gzip, chunked\r\n", InvalidHead::UnknownCoding),
            ("Transfer-Encoding: identity\r\n", InvalidHead::UnknownCoding),
            ("Transfer-Encoding:\r\n", InvalidHead::UnknownCoding),
            ("Transfer-Encoding: chunked, chunked\r\n", InvalidHead::SeveralCodings),
            (&chunked.repeat(2), InvalidHead::SeveralCodings),
            (&format!("{chunked}Content-Length: 3\r\n"), InvalidHead::LengthAndCoding),
            (&format!("Content-Length: 3\r\n{chunked}"), InvalidHead::LengthAndCoding),
        ] {
            assert_eq!(with(fields), Err(fault), "{fields}");
        }
        let old = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(check(old), Err(InvalidHead::CodingInHttp10));
    }

    #[test]
    fn fields_have_their_form() {
        for (fields, fault) in [
            ("A : b\r\n", InvalidHead::BlankBeforeColon),
            ("A \t: b\r\n", InvalidHead::BlankBeforeColon),
            (" folded\r\n", InvalidHead::FoldedLine),
            ("\tfolded: a\r\n", InvalidHead::FoldedLine),
            ("A\r\n", InvalidHead::MalformedField),
            ("A b: c\r\n", InvalidHead::MalformedField),
            (": b\r\n", InvalidHead::MalformedField),
            ("\u{c4}: b\r\n", InvalidHead::MalformedField),
            ("A: b\0\r\n", InvalidHead::ControlInField),
            ("A: \x7f\r\n", InvalidHead::ControlInField),
            ("A: b\rc\r\n", InvalidHead::BareLineEnd),
            ("Transfer-Encoding:\r\n chunked\r\n", InvalidHead::FoldedLine),
        ] {
            assert_eq!(with(fields), Err(fault), "{fields:?}");
        }
        assert_eq!(with("A: b\tc \u{e4}\r\n"), Ok(Body::None));
    }

    #[test]
    fn a_request_line_has_its_form() {
        for (line, fault) in [
            ("nonsense", InvalidHead::Malformed),
            ("GET /", InvalidHead::Malformed),
            ("GET HTTP/2.0", InvalidHead::Malformed),
            ("GET / HTTP/1.1 ", InvalidHead::Malformed),
            ("GET / http/1.1", InvalidHead::Malformed),
            ("GET / HTTP/1", InvalidHead::Malformed),
            ("GET / HTTP/2.0", InvalidHead::UnknownVersion),
            ("GET / HTTP/1.2", InvalidHead::UnknownVersion),
            ("G@T / HTTP/1.1", InvalidHead::MalformedMethod),
            // An empty line is passed over.
            ("", InvalidHead::MalformedMethod),
            (" GET / HTTP/1.1", InvalidHead::MalformedMethod),
            ("GET\t/ HTTP/1.1", InvalidHead::MalformedMethod),
            ("GET  / HTTP/1.1", InvalidHead::MalformedTarget),
            ("GET /a b HTTP/1.1", InvalidHead::MalformedTarget),
            ("GET HTTP/1.1", InvalidHead::MalformedTarget),
            ("GET /\u{e4} HTTP/1.1", InvalidHead::MalformedTarget),
            ("GET /a\"b HTTP/1.1", InvalidHead::MalformedTarget),
            ("GET a/b HTTP/1.1", InvalidHead::MalformedTarget),
            ("GET * HTTP/1.1", InvalidHead::MalformedTarget),
            ("GET ftp://a/ HTTP/1.1", InvalidHead::MalformedTarget),
        ] {
            let head = format!("{line}\r\nHost: a\r\n\r\n");
            assert_eq!(check(head.as_bytes()), Err(fault), "{line:?}");
        }
        assert!(check(b"\r\n\r\nGET /?a={b}|c HTTP/1.1\r\nHost: a\r\n\r\n").is_ok());
    }

    #[test]
    fn a_host_is_nothing_but_a_host() {
        for host in ["a b", "a/b", "u@a", "a,b", "a\\b", "\u{e4}"] {
            let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
            assert_eq!(check(head.as_bytes()), Err(InvalidHead::MalformedHost), "{host}");
        }
        assert!(check(b"GET / HTTP/1.1\r\nHost: [::1]:80 \r\n\r\n").is_ok());
    }

    #[test]
    fn http_11_names_its_host_once_and_as_its_target_does() {
        for (target, fields, fault) in [
            ("/", "", InvalidHead::MissingHost),
            ("/", "Host:\r\n", InvalidHead::MissingHost),
            ("/", "Host: a\r\nHost: a\r\n", InvalidHead::SeveralHosts),
            ("http://a/", "Host: b\r\n", InvalidHead::HostMismatch),
            ("http://a/", "Host: A\r\n", InvalidHead::HostMismatch),
            ("http://a/", "", InvalidHead::MissingHost),
        ] {
            let head = format!("GET {target} HTTP/1.1\r\n{fields}\r\n");
            assert_eq!(check(head.as_bytes()), Err(fault), "{target} {fields}");
        }
        assert!(check(b"GET / HTTP/1.0\r\n\r\n").is_ok());
        assert!(check(b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n").is_ok());
    }
}
