//! What the head of an answer says about it as bytes: is it one, and how its body ends.
//!
//! As strict as with requests: an answer whose end could be seen in two places would have the
//! next one on its connection taken for something else.

use super::bytes::{is_value, parse_length};
use super::chunked::ChunkScan;
use super::fields::{Field, Fields, parse_field};
use super::request::FIELDS_MAX;
use vanne_filters::{FieldList, ResponseHead};

/// What follows an answer's head (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// Nothing.
    #[default]
    None,
    /// So many bytes.
    Length(u64),
    /// A chunked body.
    Chunked,
    /// All until the connection ends.
    UntilClose,
}

/// The head is none, or its framing can be read in two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Where the parts of an answer's head are. Its memory is used again by the next one.
#[derive(Clone, Debug, Default)]
pub struct ResponseIndex {
    /// The status: 100 to 999.
    pub status: u16,
    /// Where the reason phrase begins and ends; it may be empty.
    reason: (usize, usize),
    is_http_11: bool,
    fields: Vec<Field>,
    /// How long the head is, with its empty line.
    pub length: usize,
    /// What follows it, if the request was not HEAD.
    pub body: Body,
    /// Whether the connection may carry another request.
    pub keeps_alive: bool,
}

/// What the fields said so far.
#[derive(Default)]
struct Seen {
    length: Option<u64>,
    is_chunked: bool,
    closes: bool,
    keeps: bool,
}

/// Whether an answer may begin with these bytes, which may not be all of its head yet: who speaks
/// another protocol need not be waited for.
#[must_use]
pub fn may_begin(bytes: &[u8]) -> bool {
    const BEGINNING: &[u8] = b"HTTP/1.";
    bytes.iter().zip(BEGINNING).all(|(byte, wanted)| byte == wanted)
}

impl ResponseIndex {
    /// Reads `head`, which ends with its empty line and has CR LF at the end of each line. It
    /// answers a request that was HEAD, or not.
    /// Cost: O(n); allocates only for more fields than there were before.
    ///
    /// # Errors
    /// When a strict reader could not read it, or two readers could differ.
    pub fn read(&mut self, head: &[u8], is_to_head: bool) -> Result<(), Malformed> {
        self.fields.clear();
        self.length = head.len();
        let mut at = self.read_status_line(head)?;
        let mut seen = Seen::default();
        loop {
            let end = line_end(head, at)?;
            if end == at {
                break;
            }
            let field = parse_field(head, at, end).map_err(|_none| Malformed)?;
            seen.note(field.name.of(head), field.value.of(head))?;
            if self.fields.len() >= FIELDS_MAX {
                return Err(Malformed);
            }
            self.fields.push(field);
            at = end + 2;
        }
        self.frame(&seen, is_to_head)
    }

    /// `HTTP/1.x SP 3DIGIT SP [reason]` (RFC 9112 §4; many leave out the last blank). Where the
    /// next line begins.
    fn read_status_line(&mut self, head: &[u8]) -> Result<usize, Malformed> {
        let end = line_end(head, 0)?;
        let line = head.get(..end).unwrap_or_default();
        let (version, rest) = line.split_at_checked(9).ok_or(Malformed)?;
        self.is_http_11 = match version {
            b"HTTP/1.1 " => true,
            b"HTTP/1.0 " => false,
            _ => return Err(Malformed),
        };
        let (digits, reason) = rest.split_at_checked(3).ok_or(Malformed)?;
        let status = parse_length(digits).and_then(|status| u16::try_from(status).ok());
        self.status = status.filter(|status| *status >= 100).ok_or(Malformed)?;
        match reason {
            [] => self.reason = (end, end),
            [b' ', text @ ..] if is_value(text) => self.reason = (end - text.len(), end),
            _ => return Err(Malformed),
        }
        Ok(end + 2)
    }

    /// How the message ends (RFC 9112 §6.3), and whether the connection is kept (§9.3).
    fn frame(&mut self, seen: &Seen, is_to_head: bool) -> Result<(), Malformed> {
        seen.check(self.status, self.is_http_11)?;
        let has_none = is_to_head || matches!(self.status, 100..=199 | 204 | 304);
        self.body = match (seen.is_chunked, seen.length) {
            _ if has_none => Body::None,
            (true, _) => Body::Chunked,
            (false, Some(0)) => Body::None,
            (false, Some(length)) => Body::Length(length),
            (false, None) => Body::UntilClose,
        };
        let wants = if self.is_http_11 { !seen.closes } else { seen.keeps && !seen.closes };
        self.keeps_alive = wants && self.body != Body::UntilClose;
        Ok(())
    }

    /// Whether what has come of the body can be the beginning of it.
    #[must_use]
    pub fn is_body_sound(&self, beginning: &[u8]) -> bool {
        self.body != Body::Chunked || ChunkScan::default().scan(beginning).is_ok()
    }

    /// The reason phrase, as it came.
    #[must_use]
    pub fn reason<'a>(&self, head: &'a [u8]) -> &'a [u8] {
        head.get(self.reason.0..self.reason.1).unwrap_or_default()
    }

    /// The fields; `head` must be what was read.
    #[must_use]
    pub fn fields<'a>(&'a self, head: &'a [u8]) -> Fields<'a> {
        Fields { head, list: &self.fields }
    }

    /// The head as stages see it; `fields` must be of it.
    #[must_use]
    pub fn head<'a>(&self, fields: &'a Fields<'a>) -> ResponseHead<'a> {
        ResponseHead { status: self.status, fields }
    }
}

/// Where the line that begins at `start` ends, CR LF left out.
fn line_end(head: &[u8], start: usize) -> Result<usize, Malformed> {
    let rest = head.get(start..).unwrap_or_default();
    let length = memchr::memchr(b'\r', rest).ok_or(Malformed)?;
    match rest.get(length + 1) {
        Some(b'\n') => Ok(start + length),
        _ => Err(Malformed),
    }
}

/// Checks the fields of an answer that another reader has read: whether it frames its body in
/// one way.
///
/// # Errors
/// When it does not.
pub fn check_framing(
    status: u16,
    is_http_11: bool,
    fields: &dyn FieldList,
) -> Result<(), Malformed> {
    let (mut seen, mut noted) = (Seen::default(), Ok(()));
    fields.each(&mut |name, value| {
        let more = seen.note(name, value.trim_ascii());
        noted = noted.and(more);
    });
    noted.and_then(|()| seen.check(status, is_http_11))
}

impl Seen {
    /// Whether all that was said goes together.
    fn check(&self, status: u16, is_http_11: bool) -> Result<(), Malformed> {
        // RFC 9112 §6.1: neither has its place in an answer that can have no body.
        let may_be_framed = !matches!(status, 100..=199 | 204);
        let is_framed = self.is_chunked || self.length.is_some_and(|length| length > 0);
        let is_sound = match is_http_11 {
            true => !(self.is_chunked && self.length.is_some()),
            // HTTP/1.0 has no chunks, and cannot switch (RFC 9110 §7.8).
            false => !self.is_chunked && status != 101,
        };
        if is_sound && (may_be_framed || !is_framed) { Ok(()) } else { Err(Malformed) }
    }

    fn note(&mut self, name: &[u8], value: &[u8]) -> Result<(), Malformed> {
        match name.len() {
            10 if name.eq_ignore_ascii_case(b"connection") => {
                for token in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                    self.closes |= token.eq_ignore_ascii_case(b"close");
                    self.keeps |= token.eq_ignore_ascii_case(b"keep-alive");
                }
                Ok(())
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let length = parse_length(value).ok_or(Malformed)?;
                self.length.replace(length).map_or(Ok(()), |_| Err(Malformed))
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                let is_known = !self.is_chunked && value.eq_ignore_ascii_case(b"chunked");
                self.is_chunked = true;
                is_known.then_some(()).ok_or(Malformed)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(head: &str, is_to_head: bool) -> Result<ResponseIndex, Malformed> {
        let mut index = ResponseIndex::default();
        index.read(head.as_bytes(), is_to_head).map(|()| index)
    }

    fn body(line: &str, fields: &str) -> Result<(Body, bool), Malformed> {
        read(&format!("{line}\r\n{fields}\r\n"), false).map(|i| (i.body, i.keeps_alive))
    }

    #[test]
    fn a_body_ends_in_one_way() {
        let ok = "HTTP/1.1 200 OK";
        for (line, fields, want) in [
            (ok, "Content-Length: 3\r\n", (Body::Length(3), true)),
            (ok, "content-length: 0\r\n", (Body::None, true)),
            (ok, "Transfer-Encoding: CHUNKED\r\n", (Body::Chunked, true)),
            (ok, "", (Body::UntilClose, false)),
            (ok, "Content-Length: 3\r\nConnection: x, Close\r\n", (Body::Length(3), false)),
            ("HTTP/1.0 200 OK", "Content-Length: 3\r\n", (Body::Length(3), false)),
            (
                "HTTP/1.0 200",
                "Content-Length: 3\r\nConnection: keep-alive\r\n",
                (Body::Length(3), true),
            ),
            ("HTTP/1.1 204 No Content", "", (Body::None, true)),
            ("HTTP/1.1 304 Not Modified", "Content-Length: 3\r\n", (Body::None, true)),
            ("HTTP/1.1 100 Continue", "", (Body::None, true)),
        ] {
            assert_eq!(body(line, fields), Ok(want), "{line} {fields}");
        }
        let to_head = read("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", true).unwrap();
        assert_eq!((to_head.body, to_head.keeps_alive), (Body::None, true));
    }

    #[test]
    fn what_could_end_in_two_ways_is_malformed() {
        for fields in [
            "Content-Length: 3\r\nContent-Length: 3\r\n",
            "Content-Length: 3, 3\r\n",
            "Content-Length: -3\r\n",
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "A : b\r\n",
            " folded\r\n",
            "A: \0\r\n",
        ] {
            assert_eq!(body("HTTP/1.1 200 OK", fields), Err(Malformed), "{fields}");
        }
        let chunked = "Transfer-Encoding: chunked\r\n";
        assert_eq!(body("HTTP/1.0 200 OK", chunked), Err(Malformed));
        assert_eq!(body("HTTP/1.1 204 No Content", chunked), Err(Malformed));
    }

    #[test]
    fn what_is_no_answer_is_known_by_its_first_byte_that_differs() {
        for (bytes, may) in
            [("", true), ("HT", true), ("HTTP/1.1 2", true), ("SSH", false), ("HTTP/2", false)]
        {
            assert_eq!(may_begin(bytes.as_bytes()), may, "{bytes}");
        }
    }

    #[test]
    fn a_status_line_has_its_form() {
        assert_eq!(read("HTTP/1.1 200 Very  Fine\r\n\r\n", false).unwrap().status, 200);
        let index = read("HTTP/1.1 299 Very  Fine\r\n\r\n", false).unwrap();
        assert_eq!(index.reason(b"HTTP/1.1 299 Very  Fine\r\n\r\n"), b"Very  Fine");
        for line in [
            "HTTP/1.1 20 OK",
            "HTTP/1.1 2000 OK",
            "HTTP/1.1 099 OK",
            "HTTP/1.1  200 OK",
            "HTTP/1.1 2x0 OK",
            "HTTP/1.1 +20 OK",
            "HTTP/2 200 OK",
            "HTTP/1.2 200 OK",
            "http/1.1 200 OK",
            "HTTP/1.1 200\tOK",
            "",
            "200 OK",
        ] {
            assert_eq!(body(line, ""), Err(Malformed), "{line:?}");
        }
    }
}
