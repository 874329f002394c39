//! Where a request's head ends, and whether its lines are lines.
//!
//! Finds the end of the head in bytes as they come, looking at each byte once, so that
//! an engine is handed exactly one head and nothing of what follows. It checks line
//! ends only (RFC 9112 §2.2: a bare LF or CR in a head is how requests are smuggled);
//! what the lines say is the parser's.

/// Longest head that is taken, empty lines before it included.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// What is known of a head so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// It ends before this offset.
    Complete(usize),
    /// More is needed.
    Partial,
    /// A line does not end with CR LF.
    Malformed,
    /// Longer than [`HEAD_BYTES_MAX`].
    TooLarge,
}

/// Remembers how far a head has been looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadScan {
    /// Bytes looked at.
    seen: usize,
    /// Where the present line begins.
    line: usize,
    /// Whether a line that is not empty was seen: empty ones before it are passed over.
    has_begun: bool,
}

impl HeadScan {
    /// Looks at `bytes`, which begin where the head does and only grow between calls.
    /// Cost: O(new bytes).
    pub fn scan(&mut self, bytes: &[u8]) -> Scan {
        while let Some(end) = line_end(bytes, self.seen) {
            match bytes.get(end..end + 2) {
                Some(b"\r\n") => {}
                None if bytes.last() == Some(&b'\r') => {
                    self.seen = end;
                    return self.unless_too_large(Scan::Partial);
                }
                _ => return Scan::Malformed,
            }
            let is_empty = end == self.line;
            self.seen = end + 2;
            self.line = self.seen;
            if !is_empty {
                self.has_begun = true;
            } else if self.has_begun {
                return self.unless_too_large(Scan::Complete(self.seen));
            }
        }
        self.seen = bytes.len();
        self.unless_too_large(Scan::Partial)
    }

    fn unless_too_large(self, scan: Scan) -> Scan {
        if self.seen > HEAD_BYTES_MAX { Scan::TooLarge } else { scan }
    }
}

/// Where the first CR or LF is from here on.
fn line_end(bytes: &[u8], from: usize) -> Option<usize> {
    memchr::memchr2(b'\r', b'\n', bytes.get(from..)?).map(|offset| from + offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_at_its_empty_line_however_it_is_split() {
        let bytes = b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nGET /next";
        let end = bytes.len() - b"GET /next".len();
        for split in 0..end {
            let mut scan = HeadScan::default();
            assert_eq!(scan.scan(&bytes[..split]), Scan::Partial, "{split}");
            assert_eq!(scan.scan(bytes), Scan::Complete(end), "{split}");
        }
    }

    #[test]
    fn bare_line_ends_are_malformed() {
        for bytes in
            [&b"GET / HTTP/1.1\nHost: a\r\n\r\n"[..], b"GET / HTTP/1.1\r\nA: b\rc\r\n", b"\n"]
        {
            assert_eq!(HeadScan::default().scan(bytes), Scan::Malformed);
        }
        let mut scan = HeadScan::default();
        assert_eq!(scan.scan(b"GET / HTTP/1.1\r"), Scan::Partial);
        assert_eq!(scan.scan(b"GET / HTTP/1.1\rH"), Scan::Malformed);
    }

    #[test]
    fn a_head_without_end_is_too_large() {
        let bytes = vec![b'a'; HEAD_BYTES_MAX + 1];
        assert_eq!(HeadScan::default().scan(&bytes), Scan::TooLarge);
        let empty_lines = b"\r\n".repeat(HEAD_BYTES_MAX);
        assert_eq!(HeadScan::default().scan(&empty_lines), Scan::TooLarge);
    }
}
