//! Targets with bytes that clients ought to have encoded (RFC 3986 §2): as they should have been.
//!
//! It is done before anything else reads the head: whatever follows, here and behind us, sees a
//! target that all readers read in one way.

use super::bytes::is_unsafe_in_target;
use std::io::Write;

/// Whether the path of `target` has neither a `%` that begins no encoding (RFC 3986 §2.1), which some
/// readers leave as it is, some refuse and some drop, nor a backtick. In queries, which are for
/// backends alone to read, browsers send both.
/// Cost: one look for either.
#[must_use]
pub fn has_safe_path(target: &[u8]) -> bool {
    memchr::memchr2(b'%', b'`', target).is_none()
        || memchr::memchr2_iter(b'%', b'`', path_of(target)).all(|at| is_encoding(target, at))
}

fn path_of(target: &[u8]) -> &[u8] {
    let end = memchr::memchr(b'?', target).unwrap_or(target.len());
    target.get(..end).unwrap_or(target)
}

/// Whether an encoding begins at `at`.
fn is_encoding(target: &[u8], at: usize) -> bool {
    match target.get(at..at + 3) {
        Some([b'%', digits @ ..]) => digits.iter().all(u8::is_ascii_hexdigit),
        _ => false,
    }
}

/// `target` with what is unsafe in it encoded (RFC 3986 §2.1); `None`: nothing is.
#[must_use]
pub fn encoded(target: &[u8]) -> Option<Vec<u8>> {
    let path_end = path_of(target).len();
    let is_unsafe = |(at, byte): (usize, &u8)| {
        let is_in_path = at < path_end && matches!(byte, b'%' | b'`');
        is_unsafe_in_target(*byte) || (is_in_path && !is_encoding(target, at))
    };
    if !target.iter().enumerate().any(is_unsafe) {
        return None;
    }
    let mut out = Vec::with_capacity(target.len() + 32);
    for (at, byte) in target.iter().enumerate() {
        match is_unsafe((at, byte)) {
            // Writing into memory does not fail.
            true => drop(write!(out, "%{byte:02X}")),
            false => out.push(*byte),
        }
    }
    Some(out)
}

/// The same of the target in the first line of `head`: where it stands there, and what belongs
/// there. The line need not be one of a request otherwise.
#[must_use]
pub fn encoded_in_head(head: &[u8]) -> Option<(std::ops::Range<usize>, Vec<u8>)> {
    let start = head.chunks_exact(2).take_while(|pair| pair == b"\r\n").count() * 2;
    let line = head.get(start..start + memchr::memchr(b'\r', head.get(start..)?)?)?;
    let from = memchr::memchr(b' ', line)? + 1;
    let to = memchr::memrchr(b' ', line)?;
    let target = encoded(line.get(from..to)?)?;
    Some((start + from..start + to, target))
}

#[cfg(test)]
mod tests {
    use super::super::bytes::is_target;
    use super::*;

    #[test]
    fn what_is_unsafe_is_encoded_and_nothing_else() {
        for (target, want) in [
            ("/a?b", None),
            ("/%22 \t#", None),
            ("/\"<>\u{e9}", Some("/%22%3C%3E%C3%A9")),
            ("http://a/<?\"", Some("http://a/%3C?%22")),
            ("/a?100%`", None),
            ("/%2f%zz%%41%4%", Some("/%2f%25zz%25%41%254%25")),
            ("/`?`", Some("/%60?`")),
        ] {
            assert_eq!(encoded(target.as_bytes()).as_deref(), want.map(str::as_bytes), "{target}");
            let is_sound = target.bytes().all(is_target) && has_safe_path(target.as_bytes());
            assert_eq!(is_sound, want.is_none() && !target.contains([' ', '#']), "{target}");
        }
    }

    #[test]
    fn only_the_target_of_the_first_line_is_looked_at() {
        for (head, want) in [
            ("GET /\" HTTP/1.1\r\n\r\n", Some((4..6, "/%22"))),
            ("\r\n\r\nGET /<b> HTTP/1.1\r\nA: \"\r\n\r\n", Some((8..12, "/%3Cb%3E"))),
            ("GET / HTTP/1.1\r\nA: \"<\r\n\r\n", None),
            ("G\"T / HTTP/1.1\r\n\r\n", None),
            ("GET / HTTP/\"\r\n\r\n", None),
            ("\"\r\n", None),
            ("", None),
        ] {
            let found = encoded_in_head(head.as_bytes());
            assert_eq!(found, want.map(|(at, text)| (at, text.as_bytes().to_vec())), "{head:?}");
        }
    }
}
