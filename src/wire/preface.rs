//! The preface by which a client says that it speaks HTTP/2 (RFC 9113 §3.4).

/// What every HTTP/2 client sends first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a connection's first bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preface {
    /// The preface, whole; more may follow.
    Whole,
    /// The beginning of it, or nothing yet.
    Partial,
    /// Something else.
    Other,
}

/// Looks at a connection's first bytes.
#[must_use]
pub fn scan(first: &[u8]) -> Preface {
    if first.starts_with(PREFACE) {
        Preface::Whole
    } else if PREFACE.starts_with(first) {
        Preface::Partial
    } else {
        Preface::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preface_is_known_by_its_first_byte_that_differs() {
        assert_eq!(scan(b""), Preface::Partial);
        assert_eq!(scan(b"PRI * HTTP/2.0\r\n"), Preface::Partial);
        assert_eq!(scan(PREFACE), Preface::Whole);
        assert_eq!(scan(&[PREFACE, b"\0\0\0"].concat()), Preface::Whole);
        assert_eq!(scan(b"P"), Preface::Partial);
        assert_eq!(scan(b"POST"), Preface::Other);
        assert_eq!(scan(b"GET / HTTP/1.0\r\n\r\n"), Preface::Other);
    }
}
