//! What a request's head says about the request as bytes: is it one, and what follows it.
//!
//! Checks form, not meaning: tokens, line by line, and the fields that frame the message
//! or name its host. Routing and everything else is for later stages.

/// What follows a request's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// So many bytes; 0 for none.
    Length(u64),
    /// A chunked body.
    Chunked,
}

/// Why a head is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidHead {
    /// It breaks the grammar, or its framing can be read in two ways.
    Malformed,
    /// HTTP/1.1 without exactly one Host that says something (RFC 9112 §3.2).
    MissingHost,
}

/// What the fields said so far.
#[derive(Default)]
struct Seen {
    hosts: u32,
    is_host_empty: bool,
    length: Option<u64>,
    is_chunked: bool,
}

/// Checks `head`, which ends with its empty line and has CR LF at the end of each line.
/// Cost: O(n), no allocation.
///
/// # Errors
/// When a strict reader could not read it, or two readers could differ.
pub fn check(head: &[u8]) -> Result<Body, InvalidHead> {
    let mut lines = head
        .split(|&b| b == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        // RFC 9112 §2.2: empty lines before a request are passed over.
        .skip_while(|line| line.is_empty());
    let is_http_11 = check_request_line(lines.next().unwrap_or_default())?;
    let mut seen = Seen::default();
    for line in lines.take_while(|line| !line.is_empty()) {
        check_field(line, &mut seen)?;
    }
    if seen.hosts > 1 || (is_http_11 && (seen.hosts == 0 || seen.is_host_empty)) {
        return Err(InvalidHead::MissingHost);
    }
    match (seen.is_chunked, seen.length) {
        (false, length) => Ok(Body::Length(length.unwrap_or(0))),
        // RFC 9112 §6.1: not in HTTP/1.0; §6.3: never both.
        (true, None) if is_http_11 => Ok(Body::Chunked),
        (true, _) => Err(InvalidHead::Malformed),
    }
}

/// `METHOD SP TARGET SP HTTP/1.x` (RFC 9112 §3). Whether it is HTTP/1.1.
fn check_request_line(line: &[u8]) -> Result<bool, InvalidHead> {
    let mut words = line.split(|&b| b == b' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    let is_method = method.is_some_and(|word| !word.is_empty() && word.iter().all(is_token));
    let is_target = target.is_some_and(|word| !word.is_empty() && word.iter().all(is_target_byte));
    if !is_method || !is_target || words.next().is_some() {
        return Err(InvalidHead::Malformed);
    }
    match version {
        Some(b"HTTP/1.1") => Ok(true),
        Some(b"HTTP/1.0") => Ok(false),
        _ => Err(InvalidHead::Malformed),
    }
}

/// `NAME:VALUE` (RFC 9112 §5): no space before the colon, no folded line, no controls.
fn check_field(line: &[u8], seen: &mut Seen) -> Result<(), InvalidHead> {
    let colon = memchr::memchr(b':', line).ok_or(InvalidHead::Malformed)?;
    let (name, value) = line.split_at_checked(colon).ok_or(InvalidHead::Malformed)?;
    let value = value.get(1..).unwrap_or_default();
    let is_value = value.iter().all(|&b| b == b'\t' || (b >= b' ' && b != 0x7f));
    if name.is_empty() || !name.iter().all(is_token) || !is_value {
        return Err(InvalidHead::Malformed);
    }
    let value = value.trim_ascii();
    if name.eq_ignore_ascii_case(b"host") {
        if !value.iter().all(is_host_byte) {
            return Err(InvalidHead::Malformed);
        }
        seen.hosts += 1;
        seen.is_host_empty |= value.is_empty();
    } else if name.eq_ignore_ascii_case(b"content-length") {
        // RFC 9110 §8.6 lets equal values pass; a strict reader does not have to guess.
        let length = parse_length(value).ok_or(InvalidHead::Malformed)?;
        if seen.length.replace(length).is_some() {
            return Err(InvalidHead::Malformed);
        }
    } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
        // RFC 9112 §7: chunked is the only coding that frames; others are not forwarded.
        if seen.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(InvalidHead::Malformed);
        }
        seen.is_chunked = true;
    }
    Ok(())
}

/// A content-length: digits only, and not more than fit.
#[must_use]
pub fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// RFC 9110 §5.6.2.
fn is_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}

/// What a host and its port are made of (RFC 3986 §3.2.2, without user information).
#[must_use]
pub fn is_host_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:[]".contains(byte)
}

/// What browsers put into a target without encoding it (WHATWG URL), and nothing that
/// could end it: no controls, spaces, quotes, angle brackets, fragments or non-ASCII.
#[must_use]
pub fn is_target_byte(byte: &u8) -> bool {
    byte.is_ascii_graphic() && !b"\"<>#".contains(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(fields: &str) -> Result<Body, InvalidHead> {
        check(format!("POST /a?b=1 HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes())
    }

    #[test]
    fn framing_is_read_in_one_way() {
        assert_eq!(with(""), Ok(Body::Length(0)));
        assert_eq!(with("Content-Length: 12 \r\n"), Ok(Body::Length(12)));
        assert_eq!(with("transfer-encoding: Chunked\r\n"), Ok(Body::Chunked));
        for fields in [
            "Content-Length: 3\r\nContent-Length: 3\r\n",
            "Content-Length: 3, 3\r\n",
            "Content-Length: +3\r\n",
            "Content-Length:\r\n",
            "Content-Length: 18446744073709551616\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        ] {
            assert_eq!(with(fields), Err(InvalidHead::Malformed), "{fields}");
        }
        let old = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(check(old), Err(InvalidHead::Malformed));
    }

    #[test]
    fn lines_have_their_form() {
        for fields in [
            "A : b\r\n",
            " folded\r\n",
            "A\r\n",
            ": b\r\n",
            "A: b\0\r\n",
            "A: \x7f\r\n",
            "Ä: b\r\n",
        ] {
            assert_eq!(with(fields), Err(InvalidHead::Malformed), "{fields:?}");
        }
        assert_eq!(with("A: b\tc \u{e4}\r\n"), Ok(Body::Length(0)));
        for line in [
            "GET /",
            "GET  / HTTP/1.1",
            "GET / HTTP/1.1 ",
            "GET / HTTP/2.0",
            "GET / http/1.1",
            "G@T / HTTP/1.1",
            "GET /\u{e4} HTTP/1.1",
            "GET /a\"b HTTP/1.1",
            "",
            " GET / HTTP/1.1",
        ] {
            let head = format!("{line}\r\nHost: a\r\n\r\n");
            assert_eq!(check(head.as_bytes()), Err(InvalidHead::Malformed), "{line:?}");
        }
        assert!(check(b"\r\n\r\nGET /?a={b}|c HTTP/1.1\r\nHost: a\r\n\r\n").is_ok());
    }

    #[test]
    fn a_host_is_nothing_but_a_host() {
        for host in ["a b", "a/b", "u@a", "a,b", "a\\b", "\u{e4}"] {
            let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
            assert_eq!(check(head.as_bytes()), Err(InvalidHead::Malformed), "{host}");
        }
        assert!(check(b"GET / HTTP/1.1\r\nHost: [::1]:80 \r\n\r\n").is_ok());
    }

    #[test]
    fn http_11_names_its_host_once() {
        for fields in ["", "Host:\r\n", "Host: a\r\nHost: a\r\n"] {
            let head = format!("GET / HTTP/1.1\r\n{fields}\r\n");
            assert_eq!(check(head.as_bytes()), Err(InvalidHead::MissingHost), "{fields}");
        }
        assert!(check(b"GET / HTTP/1.0\r\n\r\n").is_ok());
    }
}
