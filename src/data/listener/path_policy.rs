//! 1 · Path policy: paths that a backend could read otherwise than the routes do.
//!
//! A backend that takes `/public/../admin` or `/public/..%2fadmin` for `/admin` answers what no
//! route for `/admin` let pass. What is done about it is decided before any route looks, so
//! that routes, edits and backends have the same path before them; the log keeps what came.
//! Bytes that are encoded without need (`%61`) are nobody's slash or dot, and stay.

use crate::data::refusal::Refusal;
use vanne_filters::RequestHead;

/// What is done about them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathPolicy {
    /// About segments `.` and `..`.
    pub dot_segments: DotSegments,
    /// Whether what some readers take for a slash is refused: `%2F`, `%5C` and backslashes.
    pub refuses_encoded_slashes: bool,
    /// Whether bytes that clients ought to encode are encoded where the head is read; else a
    /// target with one is malformed.
    pub encodes_unsafe: bool,
}

/// What is done about segments `.` and `..`, also written `%2e`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DotSegments {
    /// They stay.
    #[default]
    Pass,
    /// They are taken out (RFC 3986 §5.2.4).
    Normalise,
    /// The request is refused: also if what divides the segments is a slash to some readers
    /// only, or if parameters follow the dots (`..;a`), which some readers cut off.
    Reject,
}

impl PathPolicy {
    /// The target in origin form to go on with; `None`: that of `head`, as it is.
    /// Cost: O(path) unless all may pass; allocates only for another target.
    ///
    /// # Errors
    /// [`Refusal::EncodedSlash`] and [`Refusal::DotSegment`], in this order.
    pub fn apply(self, head: &RequestHead<'_>) -> Result<Option<Vec<u8>>, Refusal> {
        if self == Self::default() {
            return Ok(None);
        }
        let path = head.path();
        if self.refuses_encoded_slashes && has_encoded_slash(path) {
            return Err(Refusal::EncodedSlash);
        }
        match self.dot_segments {
            DotSegments::Reject if has_dot_segment(path) => Err(Refusal::DotSegment),
            DotSegments::Normalise if segments(path).any(|one| dots(one).is_some()) => {
                Ok(Some(normalised(path, head.query())))
            }
            _ => Ok(None),
        }
    }
}

/// What stands between the slashes of `path`, which begins with one.
fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').skip(1)
}

/// What a segment of nothing but dots stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dots {
    /// `.`
    Here,
    /// `..`
    Up,
}

/// What `segment` stands for, if it is a dot segment.
fn dots(segment: &[u8]) -> Option<Dots> {
    let rest = after_dot(segment)?;
    match (rest, after_dot(rest)) {
        ([], _) => Some(Dots::Here),
        (_, Some([])) => Some(Dots::Up),
        _ => None,
    }
}

/// What follows the dot that `bytes` begin with.
fn after_dot(bytes: &[u8]) -> Option<&[u8]> {
    match bytes {
        [b'.', rest @ ..] | [b'%', b'2', b'e' | b'E', rest @ ..] => Some(rest),
        _ => None,
    }
}

/// What follows the slash that `bytes` begin with, if some reader takes it for one.
fn after_slash(bytes: &[u8]) -> Option<&[u8]> {
    match bytes {
        [b'/' | b'\\', rest @ ..]
        | [b'%', b'2', b'f' | b'F', rest @ ..]
        | [b'%', b'5', b'c' | b'C', rest @ ..] => Some(rest),
        _ => None,
    }
}

fn has_encoded_slash(path: &[u8]) -> bool {
    let mut suspects = memchr::memchr2_iter(b'%', b'\\', path);
    suspects.any(|at| after_slash(path.get(at..).unwrap_or_default()).is_some())
}

/// Whether some reader finds a dot segment in `path`.
fn has_dot_segment(path: &[u8]) -> bool {
    (0..path.len()).any(|at| {
        let segment = path.get(at..).and_then(after_slash);
        segment.is_some_and(begins_with_dot_segment)
    })
}

fn begins_with_dot_segment(bytes: &[u8]) -> bool {
    let Some(rest) = after_dot(bytes) else { return false };
    let rest = after_dot(rest).unwrap_or(rest);
    matches!(rest.first(), None | Some(b';')) || after_slash(rest).is_some()
}

/// `path` without its dot segments (RFC 3986 §5.2.4), and `query`.
fn normalised(path: &[u8], query: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len() + query.map_or(0, |query| query.len() + 1));
    let mut segments = segments(path).peekable();
    while let Some(segment) = segments.next() {
        let Some(dots) = dots(segment) else {
            out.push(b'/');
            out.extend_from_slice(segment);
            continue;
        };
        if dots == Dots::Up {
            out.truncate(memchr::memrchr(b'/', &out).unwrap_or(0));
        }
        if segments.peek().is_none() {
            out.push(b'/');
        }
    }
    if let Some(query) = query {
        out.push(b'?');
        out.extend_from_slice(query);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vanne_filters::{FieldSlice, Version};

    fn applied(policy: PathPolicy, target: &str) -> Result<Option<String>, Refusal> {
        let fields = FieldSlice(&[("host", "a")]);
        let head = RequestHead::new("GET", target.as_bytes(), Version::Http11, &fields);
        policy.apply(&head).map(|target| target.map(|bytes| String::from_utf8(bytes).unwrap()))
    }

    fn by(dot_segments: DotSegments) -> PathPolicy {
        PathPolicy { dot_segments, ..PathPolicy::default() }
    }

    #[test]
    fn dot_segments_are_taken_out_as_the_rfc_does() {
        for (target, want) in [
            ("/a/b/c/./../../g", "/a/g"),
            ("/mid/content=5/../6", "/mid/6"),
            ("/a/..", "/"),
            ("/a/b/.", "/a/b/"),
            ("/a/b/..", "/a/"),
            ("/../../a", "/a"),
            ("/./", "/"),
            ("/.", "/"),
            ("/a//../b", "/a/b"),
            ("//..", "/"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/.%2e/%2e/b", "/b"),
            ("/a/../b?c=/../d?", "/b?c=/../d?"),
            ("/a/..?", "/?"),
            ("http://a/b/../c?d", "/c?d"),
        ] {
            let normalised = applied(by(DotSegments::Normalise), target);
            assert_eq!(normalised, Ok(Some(want.to_owned())), "{target}");
            assert_eq!(applied(by(DotSegments::Reject), target), Err(Refusal::DotSegment));
            assert_eq!(applied(by(DotSegments::Pass), target), Ok(None));
        }
    }

    #[test]
    fn what_is_no_dot_segment_stays() {
        for target in [
            "/",
            "*",
            "//",
            "/a",
            "/a//b/",
            "/...",
            "/.a/b..",
            "/..a",
            "/%2e%2e%2e",
            "/%2ea",
            "/.well-known/x",
            "/a?/../b",
            "http://a",
            "http://a/b",
        ] {
            for dot_segments in [DotSegments::Normalise, DotSegments::Reject] {
                assert_eq!(applied(by(dot_segments), target), Ok(None), "{target}");
            }
        }
    }

    #[test]
    fn a_dot_segment_is_refused_however_it_is_divided_from_others() {
        for target in ["/a/..%2fb", "/a%2F..", "/a\\..\\b", "/a%5c%2e%2e/b", "/a/..;x/b", "/.;"] {
            assert_eq!(
                applied(by(DotSegments::Reject), target),
                Err(Refusal::DotSegment),
                "{target}"
            );
            assert_eq!(applied(by(DotSegments::Normalise), target), Ok(None), "{target}");
        }
    }

    #[test]
    fn encoded_slashes_are_refused_in_the_path_alone() {
        let policy = PathPolicy { refuses_encoded_slashes: true, ..PathPolicy::default() };
        for target in ["/a%2fb", "/a%2F", "/%5c", "/%5Cb", "/a\\b", "/a%%2f", "/%2%2f"] {
            assert_eq!(applied(policy, target), Err(Refusal::EncodedSlash), "{target}");
            assert_eq!(applied(PathPolicy::default(), target), Ok(None), "{target}");
        }
        for target in ["/a?b=%2f\\", "/a%20b", "/%252f", "/%2", "/..", "*"] {
            assert_eq!(applied(policy, target), Ok(None), "{target}");
        }
    }

    proptest! {
        #[test]
        fn what_is_left_has_none_and_begins_with_a_slash(path in "(/|[.]|%2e|a|\\?){0,24}") {
            let target = format!("/{path}");
            let out = applied(by(DotSegments::Normalise), &target).unwrap().unwrap_or(target);
            prop_assert!(out.starts_with('/'));
            prop_assert_eq!(applied(by(DotSegments::Normalise), &out), Ok(None));
            prop_assert_eq!(applied(by(DotSegments::Reject), &out), Ok(None));
        }
    }
}
