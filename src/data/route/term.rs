//! 2 · Terms: what a host, a path or a value is compared with.
//!
//! Bytes are compared as they stand in the request; only hosts know no case.

use crate::types::pattern::Pattern;
use memchr::memmem;

/// What a host is compared with.
#[derive(Clone, Debug)]
pub enum HostTerm {
    /// This host, in any case.
    Exact(Box<str>),
    /// Any host of one or more labels before this one.
    Below(Box<str>),
}

/// What a path is compared with.
#[derive(Clone, Debug)]
pub enum PathTerm {
    /// This path.
    Exact(Box<[u8]>),
    /// This path and all below it, by whole segments; without a slash at its end.
    Prefix(Box<[u8]>),
    /// Paths that fit.
    Pattern(Pattern),
}

/// What a value is compared with.
#[derive(Clone, Debug)]
pub enum ValueTerm {
    /// It is this.
    Exact(Box<[u8]>),
    /// It begins with this.
    Prefix(Box<[u8]>),
    /// It ends with this.
    Suffix(Box<[u8]>),
    /// It contains this.
    Contains(Box<[u8]>),
    /// It fits.
    Pattern(Pattern),
    /// There is one, whatever it is.
    Present,
    /// There is none.
    Absent,
}

impl HostTerm {
    /// Whether `host` (without port) is meant.
    #[must_use]
    pub fn holds(&self, host: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => host.eq_ignore_ascii_case(exact.as_bytes()),
            Self::Below(suffix) => {
                let at = host.len().checked_sub(suffix.len()).filter(|at| *at >= 2);
                let parts = at.and_then(|at| host.split_at_checked(at));
                parts.is_some_and(|(labels, end)| {
                    labels.ends_with(b".") && end.eq_ignore_ascii_case(suffix.as_bytes())
                })
            }
        }
    }
}

impl PathTerm {
    /// The prefix `path`, written with or without a slash at its end.
    #[must_use]
    pub fn prefix(path: &str) -> Self {
        Self::Prefix(path.strip_suffix('/').unwrap_or(path).as_bytes().into())
    }

    /// The prefix at which `pattern` is tried: what it begins with literally, up to the last
    /// slash.
    pub(super) fn begin_of(pattern: &Pattern) -> &[u8] {
        let literal = pattern.literal();
        let end = literal.iter().rposition(|&byte| byte == b'/').unwrap_or_default();
        literal.get(..end).unwrap_or_default()
    }

    /// Whether `path` (raw, without query) is meant. What is no path (`*`) never is.
    #[must_use]
    pub fn holds(&self, path: &[u8]) -> bool {
        let is_path = path.first() == Some(&b'/');
        is_path
            && match self {
                Self::Exact(exact) => path == &**exact,
                Self::Prefix(prefix) => path
                    .strip_prefix(&**prefix)
                    .is_some_and(|rest| matches!(rest.first(), None | Some(b'/'))),
                Self::Pattern(pattern) => pattern.fits(path),
            }
    }
}

impl ValueTerm {
    /// Whether one of the values is meant that `each` shows.
    pub(super) fn holds_of(&self, each: impl FnOnce(&mut dyn FnMut(&[u8]))) -> bool {
        let mut is_found = false;
        each(&mut |value| is_found = is_found || self.holds(value));
        is_found != matches!(self, Self::Absent)
    }

    /// Whether `value` is meant; for [`Self::Absent`], whether it is in the way.
    fn holds(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => value == &**exact,
            Self::Prefix(prefix) => value.starts_with(prefix),
            Self::Suffix(suffix) => value.ends_with(suffix),
            Self::Contains(part) => memmem::find(value, part).is_some(),
            Self::Pattern(pattern) => pattern.fits(value),
            Self::Present | Self::Absent => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_takes_one_or_more_labels() {
        let below = HostTerm::Below("example.com".into());
        for (host, want) in [
            ("a.example.com", true),
            ("a.b.EXAMPLE.com", true),
            ("example.com", false),
            (".example.com", false),
            ("aexample.com", false),
            ("a.example.com.evil", false),
            ("", false),
        ] {
            assert_eq!(below.holds(host.as_bytes()), want, "{host}");
        }
        let exact = HostTerm::Exact("a.example".into());
        assert!(exact.holds(b"A.Example") && !exact.holds(b"b.a.example"));
    }

    #[test]
    fn a_path_is_compared_by_whole_segments_or_whole() {
        for (path, prefix, exact) in [
            ("/api", true, true),
            ("/api/", true, false),
            ("/api/x", true, false),
            ("/apix", false, false),
            ("/API", false, false),
            ("*", false, false),
        ] {
            for written in ["/api", "/api/"] {
                assert_eq!(PathTerm::prefix(written).holds(path.as_bytes()), prefix, "{path}");
            }
            let term = PathTerm::Exact(b"/api"[..].into());
            assert_eq!(term.holds(path.as_bytes()), exact, "{path}");
        }
        assert!(PathTerm::prefix("/").holds(b"//x") && !PathTerm::prefix("/").holds(b"*"));
        let pattern = PathTerm::Pattern(".*".parse().unwrap());
        assert!(pattern.holds(b"/x") && !pattern.holds(b"*"));
    }

    #[test]
    fn one_of_several_values_is_enough_unless_there_must_be_none() {
        let holds = |term: ValueTerm, values: &[&str]| {
            term.holds_of(|see| values.iter().for_each(|value| see(value.as_bytes())))
        };
        let part = || b"ab"[..].into();
        for (term, values, want) in [
            (ValueTerm::Exact(part()), &["x", "ab"][..], true),
            (ValueTerm::Exact(part()), &["abc"], false),
            (ValueTerm::Prefix(part()), &["abc"], true),
            (ValueTerm::Prefix(part()), &["cab"], false),
            (ValueTerm::Suffix(part()), &["cab"], true),
            (ValueTerm::Suffix(part()), &["abc"], false),
            (ValueTerm::Contains(part()), &["xabx"], true),
            (ValueTerm::Contains(part()), &["axb"], false),
            (ValueTerm::Pattern("a.".parse().unwrap()), &["ac"], true),
            (ValueTerm::Pattern("a.".parse().unwrap()), &["bac"], false),
            (ValueTerm::Present, &[""], true),
            (ValueTerm::Present, &[], false),
            (ValueTerm::Absent, &[], true),
            (ValueTerm::Absent, &[""], false),
        ] {
            assert_eq!(holds(term.clone(), values), want, "{term:?} {values:?}");
        }
    }
}
