//! The boundary: how Content-Type names it, and where it stands in a body.

use super::MultipartFlags;
use memchr::{memchr, memmem};

/// RFC 2046, section 5.1.1.
const LENGTH_MAX: usize = 70;

/// A boundary, with the `--` before it.
pub(super) struct Boundary {
    delimiter: Vec<u8>,
}

/// A line with a boundary.
pub(super) struct Line {
    /// Where it begins, with the line end before it.
    pub(super) start: usize,
    /// Where the next line begins.
    pub(super) end: usize,
    /// `--` follows it.
    pub(super) is_last: bool,
    /// It ends, or the line before it does, in LF alone.
    pub(super) has_lf: bool,
    /// It ends, or the line before it does, in CRLF.
    pub(super) has_crlf: bool,
    /// A line before it begins with `--` and is no boundary.
    pub(super) has_unmatched: bool,
}

/// What follows a delimiter that ends a line.
struct Tail {
    length: usize,
    is_last: bool,
    has_lf: bool,
    has_crlf: bool,
}

impl Boundary {
    /// Reads the boundary of `content_type`.
    ///
    /// # Errors
    /// What is missing or not allowed, in words.
    pub(super) fn parse(
        content_type: &[u8],
        flags: &mut MultipartFlags,
    ) -> Result<Self, &'static str> {
        let lower = content_type.to_ascii_lowercase();
        let mut places = memmem::find_iter(&lower, b"boundary");
        let place = places.next().ok_or("Content-Type names no boundary")?;
        let (before, rest) = content_type.split_at(place);
        flags.missing_semicolon = !before.trim_ascii_end().ends_with(b";");
        let rest = rest.get(b"boundary".len()..).unwrap_or_default();
        let value = rest.trim_ascii_start().strip_prefix(b"=").ok_or("expected `boundary=`")?;
        flags.boundary_whitespace =
            !rest.starts_with(b"=") || value.trim_ascii_start().len() < value.len();
        let value = value.trim_ascii();
        let boundary = match value.strip_prefix(b"\"") {
            Some(quoted) => {
                flags.boundary_quoted = true;
                let end = memchr(b'"', quoted).ok_or("the boundary's quote has no end")?;
                quoted.get(..end)
            }
            None => value.split(|byte| matches!(byte, b';' | b',' | b' ' | b'\t')).next(),
        };
        let boundary = boundary.unwrap_or_default();
        let lower = boundary.to_ascii_lowercase();
        let inside = memmem::find_iter(&lower, b"boundary").count();
        if places.count() > inside {
            return Err("Content-Type names more than one boundary");
        }
        if boundary.is_empty() || boundary.len() > LENGTH_MAX {
            return Err("expected a boundary of 1 to 70 characters");
        }
        if !boundary.iter().all(|byte| is_allowed(*byte)) || boundary.ends_with(b" ") {
            return Err("a character that a boundary may not have");
        }
        Ok(Self { delimiter: [b"--", boundary].concat() })
    }

    /// The first line with the boundary at or after `from`, which is the beginning of a line.
    pub(super) fn next(&self, body: &[u8], from: usize) -> Option<Line> {
        let mut has_unmatched = false;
        let rest = body.get(from..).unwrap_or_default();
        for found in memmem::find_iter(rest, b"--") {
            let at = from + found;
            let before = body.get(..at).unwrap_or_default();
            if found > 0 && !before.ends_with(b"\n") {
                continue;
            }
            let after = body.get(at..).and_then(|text| text.strip_prefix(&self.delimiter[..]));
            let Some(tail) = after.and_then(tail) else {
                has_unmatched = true;
                continue;
            };
            let ending = match before {
                _ if found == 0 => 0,
                [.., b'\r', b'\n'] => 2,
                _ => 1,
            };
            return Some(Line {
                // The line end between two boundaries belongs to the first.
                start: at.saturating_sub(ending).max(from),
                end: at + self.delimiter.len() + tail.length,
                is_last: tail.is_last,
                has_lf: tail.has_lf || ending == 1,
                has_crlf: tail.has_crlf || ending == 2,
                has_unmatched,
            });
        }
        None
    }
}

/// RFC 2046's `bchars`, and what clients send beside them.
const fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'\''
                | b'('
                | b')'
                | b'+'
                | b'_'
                | b','
                | b'-'
                | b'.'
                | b'/'
                | b':'
                | b'='
                | b'?'
                | b' '
        )
        || matches!(
            byte,
            b'*' | b'!' | b'#' | b'$' | b'%' | b'&' | b'^' | b'`' | b'|' | b'~' | b'{' | b'}'
        )
}

/// What follows a delimiter: `--`, white space, the end of the line or of the body.
fn tail(text: &[u8]) -> Option<Tail> {
    let after = text.strip_prefix(b"--");
    let is_last = after.is_some();
    let rest = after.unwrap_or(text);
    let spaces = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let (has_lf, has_crlf, ending) = match rest.get(spaces..).unwrap_or_default() {
        [b'\r', b'\n', ..] => (false, true, 2),
        [b'\n', ..] => (true, false, 1),
        [] => (false, false, 0),
        _ => return None,
    };
    let length = text.len() - rest.len() + spaces + ending;
    Some(Tail { length, is_last, has_lf, has_crlf })
}
