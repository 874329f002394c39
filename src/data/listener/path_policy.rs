//! 1 · Path policy: paths that a backend could read otherwise than the routes do.
//!
//! A backend that takes `/public/../admin` or `/public/..%2fadmin` for `/admin` answers what no
//! route for `/admin` let pass. What is done about it is decided before any route looks, so
//! that routes, edits and backends have the same path before them; the log keeps what came.
//! Bytes that are encoded without need (`%61`) mean the same to everybody: routes see them
//! decoded under any policy, and the backend what came, unless the policy changes paths.

use crate::data::refusal::Refusal;
use crate::types::percent::plain;
use std::borrow::Cow;
use vanne_filters::RequestHead;

/// What is done about them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathPolicy {
    /// About segments `.` and `..`.
    pub dot_segments: DotSegments,
    /// About slashes that follow each other.
    pub repeated_slashes: RepeatedSlashes,
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
    /// They are taken out (RFC 3986 §5.2.4). The request is refused if parameters follow the dots
    /// (`..;a`): some readers cut them off, some do not.
    Normalise,
    /// The request is refused: also if what divides the segments is a slash to some readers
    /// only, or if parameters follow the dots.
    Reject,
}

/// What is done about slashes that follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RepeatedSlashes {
    /// They stay.
    #[default]
    Pass,
    /// They become one. The request is refused if there are parameters between them (`/;a/`): some
    /// readers cut them off, some do not.
    Merge,
    /// The request is refused: also if there are parameters between them, or if one is a slash to
    /// some readers only.
    Reject,
}

/// A target in origin form to go on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherTarget {
    /// It.
    pub target: Vec<u8>,
    /// Whether backends get it, too; else it is only another spelling, for what compares paths.
    pub is_passed_on: bool,
}

impl PathPolicy {
    /// The target to go on with; `None`: that of `head`, as it is.
    /// Cost: O(path), one look for what could be meant; allocates only for another target.
    ///
    /// # Errors
    /// [`Refusal::EncodedSlash`], [`Refusal::RepeatedSlash`] and [`Refusal::DotSegment`], in this
    /// order.
    pub fn apply(self, head: &RequestHead<'_>) -> Result<Option<OtherTarget>, Refusal> {
        let is_plain = match self.leaves_paths() {
            true => memchr::memchr(b'%', head.target).is_none(),
            false => is_plain(head.path()),
        };
        if is_plain {
            return Ok(None);
        }
        let came = head.path();
        let spelled = plain(came);
        let path = spelled.as_deref().unwrap_or(came);
        let normal = self.normalised(path)?;
        let is_changed = matches!(normal, Cow::Owned(_));
        if spelled.is_none() && !is_changed {
            return Ok(None);
        }
        let is_absolute = head.target.first() != Some(&b'/');
        let mut target = normal.into_owned();
        if let Some(query) = head.query() {
            target.push(b'?');
            target.extend_from_slice(query);
        }
        let is_passed_on = is_changed || is_absolute || self.dot_segments == DotSegments::Normalise;
        Ok(Some(OtherTarget { target, is_passed_on }))
    }

    /// Whether it does nothing to any path.
    fn leaves_paths(self) -> bool {
        self.dot_segments == DotSegments::Pass
            && self.repeated_slashes == RepeatedSlashes::Pass
            && !self.refuses_encoded_slashes
    }

    /// `path` as it is to be.
    fn normalised(self, path: &[u8]) -> Result<Cow<'_, [u8]>, Refusal> {
        if self.refuses_encoded_slashes && has_encoded_slash(path) {
            return Err(Refusal::EncodedSlash);
        }
        let path = match self.repeated_slashes {
            RepeatedSlashes::Reject if has_repeated_slash(path) => {
                return Err(Refusal::RepeatedSlash);
            }
            RepeatedSlashes::Merge if inner(path).any(is_empty) => Cow::Owned(merged(path)?),
            _ => Cow::Borrowed(path),
        };
        match self.dot_segments {
            DotSegments::Reject if has_dot_segment(&path) => Err(Refusal::DotSegment),
            DotSegments::Normalise if segments(&path).any(|one| !matches!(dots(one), Ok(None))) => {
                without_dots(&path).map(Cow::Owned)
            }
            _ => Ok(path),
        }
    }
}

/// Whether `path` has nothing that any policy could mean.
fn is_plain(path: &[u8]) -> bool {
    let mut is_after_slash = false;
    path.iter().all(|byte| {
        let is_meant = match byte {
            b'%' | b'\\' => true,
            b'.' | b'/' | b';' => is_after_slash,
            _ => false,
        };
        is_after_slash = *byte == b'/';
        !is_meant
    })
}

/// What stands between the slashes of `path`, which begins with one.
fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').skip(1)
}

/// The same without what follows the last one.
fn inner(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let end = memchr::memrchr(b'/', path).unwrap_or_default();
    path.get(..end).unwrap_or_default().split(|byte| *byte == b'/').skip(1)
}

/// Whether some reader finds nothing in `segment`.
fn is_empty(segment: &[u8]) -> bool {
    matches!(segment.first(), None | Some(b';'))
}

/// What a segment of nothing but dots stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dots {
    /// `.`
    Here,
    /// `..`
    Up,
}

/// What `segment` stands for, if it is a dot segment. The error: it is one to some readers only.
fn dots(segment: &[u8]) -> Result<Option<Dots>, Refusal> {
    match segment {
        b"." => Ok(Some(Dots::Here)),
        b".." => Ok(Some(Dots::Up)),
        [b'.', b';', ..] | [b'.', b'.', b';', ..] => Err(Refusal::DotSegment),
        _ => Ok(None),
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

/// What follows each slash that some reader finds in `path`.
fn after_slashes(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    (0..path.len()).filter_map(|at| path.get(at..).and_then(after_slash))
}

fn has_encoded_slash(path: &[u8]) -> bool {
    let mut suspects = memchr::memchr2_iter(b'%', b'\\', path);
    suspects.any(|at| after_slash(path.get(at..).unwrap_or_default()).is_some())
}

/// Whether some reader finds two slashes in `path` with nothing between them.
fn has_repeated_slash(path: &[u8]) -> bool {
    after_slashes(path).any(|rest| {
        after_slash(rest).is_some()
            || (rest.first() == Some(&b';') && after_slashes(rest).next().is_some())
    })
}

/// Whether some reader finds a dot segment in `path`.
fn has_dot_segment(path: &[u8]) -> bool {
    after_slashes(path).any(begins_with_dot_segment)
}

fn begins_with_dot_segment(bytes: &[u8]) -> bool {
    let Some(rest) = bytes.strip_prefix(b".") else { return false };
    let rest = rest.strip_prefix(b".").unwrap_or(rest);
    matches!(rest.first(), None | Some(b';')) || after_slash(rest).is_some()
}

/// `path` with one slash where there were several.
fn merged(path: &[u8]) -> Result<Vec<u8>, Refusal> {
    if inner(path).any(|segment| segment.first() == Some(&b';')) {
        return Err(Refusal::RepeatedSlash);
    }
    let mut out = Vec::with_capacity(path.len());
    for byte in path {
        if *byte != b'/' || out.last() != Some(&b'/') {
            out.push(*byte);
        }
    }
    Ok(out)
}

/// `path` without its dot segments (RFC 3986 §5.2.4).
fn without_dots(path: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut out = Vec::with_capacity(path.len());
    let mut segments = segments(path).peekable();
    while let Some(segment) = segments.next() {
        let Some(dots) = dots(segment)? else {
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
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vanne_filters::{FieldSlice, Version};

    fn other(policy: PathPolicy, target: &str) -> Result<Option<(String, bool)>, Refusal> {
        let fields = FieldSlice(&[("host", "a")]);
        let head = RequestHead::new("GET", target.as_bytes(), Version::Http11, &fields);
        let shown =
            |other: OtherTarget| (String::from_utf8(other.target).unwrap(), other.is_passed_on);
        policy.apply(&head).map(|target| target.map(shown))
    }

    fn applied(policy: PathPolicy, target: &str) -> Result<Option<String>, Refusal> {
        other(policy, target).map(|target| target.map(|(target, _)| target))
    }

    fn by(dot_segments: DotSegments) -> PathPolicy {
        PathPolicy { dot_segments, ..PathPolicy::default() }
    }

    fn slashes(repeated_slashes: RepeatedSlashes) -> PathPolicy {
        PathPolicy { repeated_slashes, ..PathPolicy::default() }
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
            let passed = other(by(DotSegments::Pass), target).unwrap();
            assert_eq!(passed.is_some(), target.contains('%'), "{target}");
            assert!(passed.is_none_or(|(_, is_passed_on)| !is_passed_on), "{target}");
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
            "/....;",
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
        let refused = Err(Refusal::DotSegment);
        for target in ["/a/..%2fb", "/a%2F..", "/a\\..\\b", "/a%5c../b"] {
            assert_eq!(applied(by(DotSegments::Reject), target), refused, "{target}");
            assert_eq!(applied(by(DotSegments::Normalise), target), Ok(None), "{target}");
        }
        for target in ["/a/..;x/b", "/.;", "/a/%2e%2e;/b", "/x/..;/admin"] {
            assert_eq!(applied(by(DotSegments::Reject), target), refused, "{target}");
            assert_eq!(applied(by(DotSegments::Normalise), target), refused, "{target}");
        }
    }

    #[test]
    fn what_is_encoded_without_need_is_decoded_and_passed_on_where_paths_are_changed() {
        let merging = slashes(RepeatedSlashes::Merge);
        for (policy, target, want, is_passed_on) in [
            (PathPolicy::default(), "/%61dmin?%61", "/admin?%61", false),
            (PathPolicy::default(), "http://a/%61?b", "/a?b", true),
            (by(DotSegments::Normalise), "/%61", "/a", true),
            (by(DotSegments::Reject), "/%61", "/a", false),
            (merging, "/%61", "/a", false),
            (merging, "//%61", "/a", true),
        ] {
            let want = Ok(Some((want.to_owned(), is_passed_on)));
            assert_eq!(other(policy, target), want, "{target}");
        }
        assert_eq!(other(PathPolicy::default(), "/a%20b?%61"), Ok(None));
    }

    #[test]
    fn repeated_slashes_become_one_or_are_refused() {
        let refused = Err(Refusal::RepeatedSlash);
        for (target, merged) in [
            ("//", "/"),
            ("//a", "/a"),
            ("/a///b//", "/a/b/"),
            ("/a//?b//c", "/a/?b//c"),
            ("http://a//b", "/b"),
        ] {
            let got = applied(slashes(RepeatedSlashes::Merge), target);
            assert_eq!(got, Ok(Some(merged.to_owned())), "{target}");
            assert_eq!(applied(slashes(RepeatedSlashes::Reject), target), refused, "{target}");
            assert_eq!(applied(slashes(RepeatedSlashes::Pass), target), Ok(None), "{target}");
        }
        for target in ["/;/a", "/a/;x;y/b", "//;/a", "/;//a"] {
            assert_eq!(applied(slashes(RepeatedSlashes::Merge), target), refused, "{target}");
            assert_eq!(applied(slashes(RepeatedSlashes::Reject), target), refused, "{target}");
        }
        for target in ["/%2fa", "/a%5c/b", "/\\a", "/a/%2F", "/;%2fa"] {
            assert_eq!(applied(slashes(RepeatedSlashes::Merge), target), Ok(None), "{target}");
            assert_eq!(applied(slashes(RepeatedSlashes::Reject), target), refused, "{target}");
        }
        for target in ["/", "*", "/a/b/", "/a;x/b", "/;jsessionid=1", "/a/;x", "/a?//", "/a%2fb"] {
            assert_eq!(applied(slashes(RepeatedSlashes::Merge), target), Ok(None), "{target}");
            assert_eq!(applied(slashes(RepeatedSlashes::Reject), target), Ok(None), "{target}");
        }
    }

    #[test]
    fn slashes_are_merged_before_dot_segments_are_taken_out() {
        let policy =
            PathPolicy { repeated_slashes: RepeatedSlashes::Merge, ..by(DotSegments::Normalise) };
        for (target, want) in [
            ("/x/..//admin", "/admin"),
            ("/a//../b", "/b"),
            ("//%2e//%61?c", "/a?c"),
            ("/a/b/..//", "/a/"),
        ] {
            assert_eq!(applied(policy, target), Ok(Some(want.to_owned())), "{target}");
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
        fn what_is_left_has_none_and_begins_with_a_slash(path in "(/|[.]|%2e|a|%|\\?){0,24}") {
            let target = format!("/{path}");
            let out = applied(by(DotSegments::Normalise), &target).unwrap();
            let out = out.unwrap_or_else(|| target.clone());
            prop_assert!(out.starts_with('/'));
            prop_assert_eq!(applied(by(DotSegments::Normalise), &out), Ok(None));
            prop_assert_eq!(applied(by(DotSegments::Reject), &out), Ok(None));
            let both = PathPolicy {
                repeated_slashes: RepeatedSlashes::Merge,
                ..by(DotSegments::Normalise)
            };
            let out = applied(both, &target).unwrap().unwrap_or(target);
            prop_assert_eq!(applied(slashes(RepeatedSlashes::Reject), &out), Ok(None));
            prop_assert_eq!(applied(by(DotSegments::Reject), &out), Ok(None));
        }
    }
}
