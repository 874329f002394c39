//! Borrowed views of a request's and an answer's head, as received.
//!
//! Engines keep heads in their own shapes (a header map, byte ranges in a buffer);
//! stages and filters see them through [`FieldList`], so none of them depends on
//! an engine. Nothing here parses or copies.

/// The header fields of a head: in order, duplicates kept, values as bytes.
pub trait FieldList {
    /// Calls `visit` with each field's name (a token in any case) and value.
    fn each(&self, visit: &mut dyn FnMut(&[u8], &[u8]));

    /// The value of the first field called `name` (lower case).
    fn first(&self, name: &str) -> Option<&[u8]>;

    /// How many fields are called `name` (lower case).
    fn count(&self, name: &str) -> usize {
        let mut count = 0;
        self.each(&mut |field, _| {
            count += usize::from(field.eq_ignore_ascii_case(name.as_bytes()))
        });
        count
    }
}

/// HTTP version of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    Http2,
}

impl Version {
    /// As written in logs: `HTTP/1.1`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}

/// A request's head.
#[derive(Clone, Copy)]
pub struct RequestHead<'a> {
    /// The method, as received.
    pub method: &'a str,
    /// The request target, raw: origin form, absolute form or `*`.
    pub target: &'a [u8],
    /// The version the client speaks.
    pub version: Version,
    /// The host the client asked for, with its port if it named one.
    pub authority: Option<&'a [u8]>,
    /// The header fields.
    pub fields: &'a dyn FieldList,
}

impl<'a> RequestHead<'a> {
    /// A head of HTTP/1. The authority is an absolute target's (RFC 9112 §3.2.2: it
    /// overrides Host), else the Host field's.
    #[must_use]
    pub fn new(
        method: &'a str,
        target: &'a [u8],
        version: Version,
        fields: &'a dyn FieldList,
    ) -> Self {
        let authority = absolute_authority(target).or_else(|| fields.first("host"));
        Self { method, target, version, authority, fields }
    }

    /// The path of the target: without query, scheme and authority. `*` and CONNECT's
    /// authority come back as they are.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        let target = origin_form(self.target);
        let end = target.iter().position(|&b| b == b'?').unwrap_or(target.len());
        target.get(..end).unwrap_or(target)
    }

    /// The query of the target: what follows its first `?`.
    #[must_use]
    pub fn query(&self) -> Option<&[u8]> {
        let at = self.target.iter().position(|&b| b == b'?')?;
        self.target.get(at + 1..)
    }

    /// The target without scheme and authority: path and query, or `*`.
    #[must_use]
    pub fn origin_target(&self) -> &[u8] {
        origin_form(self.target)
    }

    /// The host the client asked for, without port.
    #[must_use]
    pub fn host(&self) -> Option<&[u8]> {
        self.authority.map(without_port)
    }
}

/// An answer's head.
#[derive(Clone, Copy)]
pub struct ResponseHead<'a> {
    /// The status code.
    pub status: u16,
    /// The header fields.
    pub fields: &'a dyn FieldList,
}

/// No fields: the head of an answer that is still to be written.
pub struct NoFields;

impl FieldList for NoFields {
    fn each(&self, _visit: &mut dyn FnMut(&[u8], &[u8])) {}
    fn first(&self, _name: &str) -> Option<&[u8]> {
        None
    }
}

/// Fields written out as names and values.
pub struct FieldSlice<'a>(pub &'a [(&'a str, &'a str)]);

impl FieldList for FieldSlice<'_> {
    fn each(&self, visit: &mut dyn FnMut(&[u8], &[u8])) {
        for (name, value) in self.0 {
            visit(name.as_bytes(), value.as_bytes());
        }
    }
    fn first(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_bytes())
    }
}

/// The part of `target` after `scheme://`, if it has one.
fn after_scheme(target: &[u8]) -> Option<&[u8]> {
    if target.first() == Some(&b'/') {
        return None;
    }
    let at = target.windows(3).position(|w| w == b"://")?;
    target.get(at + 3..)
}

fn absolute_authority(target: &[u8]) -> Option<&[u8]> {
    let rest = after_scheme(target)?;
    let end = rest.iter().position(|&b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
    rest.get(..end)
}

fn origin_form(target: &[u8]) -> &[u8] {
    let Some(rest) = after_scheme(target) else { return target };
    match rest.iter().position(|&b| matches!(b, b'/' | b'?')) {
        Some(at) if rest.get(at) == Some(&b'/') => rest.get(at..).unwrap_or(b"/"),
        _ => b"/",
    }
}

/// The host of `authority`, without its port.
#[must_use]
pub fn without_port(authority: &[u8]) -> &[u8] {
    let colon = authority.iter().rposition(|&b| b == b':');
    let bracket = authority.iter().rposition(|&b| b == b']');
    match colon {
        Some(at) if bracket.is_none_or(|b| b < at) => authority.get(..at).unwrap_or(authority),
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head<'a>(target: &'a str, fields: &'a FieldSlice<'a>) -> RequestHead<'a> {
        RequestHead::new("GET", target.as_bytes(), Version::Http11, fields)
    }

    #[test]
    fn path_is_the_target_without_query_scheme_and_authority() {
        let host = FieldSlice(&[("Host", "a:80")]);
        for (target, path) in [
            ("/", "/"),
            ("/a/b?x=/y", "/a/b"),
            ("http://h/a?b", "/a"),
            ("http://h?b", "/"),
            ("http://h", "/"),
            ("*", "*"),
            ("/p?u=http://x/", "/p"),
        ] {
            assert_eq!(head(target, &host).path(), path.as_bytes(), "{target}");
        }
    }

    #[test]
    fn the_query_is_all_after_the_first_question_mark() {
        let host = FieldSlice(&[("Host", "a")]);
        for (target, query) in [
            ("/a", None),
            ("/a?", Some("")),
            ("/a?b=1&c?d", Some("b=1&c?d")),
            ("http://h?b", Some("b")),
            ("/p?u=http://x/", Some("u=http://x/")),
        ] {
            assert_eq!(head(target, &host).query(), query.map(str::as_bytes), "{target}");
        }
    }

    #[test]
    fn host_comes_from_an_absolute_target_before_the_field_and_has_no_port() {
        let host = FieldSlice(&[("Host", "b.example:8080")]);
        assert_eq!(head("/", &host).host().unwrap(), b"b.example");
        assert_eq!(head("http://a.example:1/", &host).host().unwrap(), b"a.example");
        let v6 = FieldSlice(&[("host", "[::1]:80")]);
        assert_eq!(head("/", &v6).host().unwrap(), b"[::1]");
        let v6 = FieldSlice(&[("host", "[::1]")]);
        assert_eq!(head("/", &v6).host().unwrap(), b"[::1]");
    }
}
