//! What the heads of a request and its answer say about keeping the answer (RFC 9111 §3, §4.2).
//!
//! Stricter than the RFC asks for where an answer could be one person's: what was asked for
//! with credentials is never kept, and with a cookie only if the answer is said to be for all.

use std::time::Duration;
use vanne_filters::{FieldList, ResponseHead};

/// Fields that answers may differ by (`Vary`); what differs by others is not kept.
pub const SELECTING: [&str; 4] = ["accept", "accept-encoding", "accept-language", "origin"];

/// For how long an answer is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// How old it was when it came.
    pub age: Duration,
    /// Until which age it is fresh.
    pub fresh: Duration,
    /// Until which age it may be given at all.
    pub usable: Duration,
}

/// What `Cache-Control` says.
#[derive(Debug, Default)]
struct Directives {
    forbids: bool,
    is_public: bool,
    must_revalidate: bool,
    max_age: Option<Duration>,
    stale_if_error: Option<Duration>,
}

/// Whether a request with these fields lets its answer be kept.
#[must_use]
pub fn lets_keep(fields: &dyn FieldList) -> bool {
    let mut lets = true;
    each_directive(fields, &mut |name, _| lets &= name != b"no-store");
    lets
}

/// For how long the answer with this `head` is good, to a request that had a cookie or not;
/// `None`: it is not to be kept.
#[must_use]
pub fn lifetime(
    head: &ResponseHead<'_>,
    has_cookie: bool,
    stale_for: Duration,
) -> Option<Lifetime> {
    let fields = head.fields;
    let said = Directives::of(fields);
    if head.status != 200
        || said.forbids
        || (has_cookie && !said.is_public)
        || fields.first("set-cookie").is_some()
        || selected_by(fields).is_none()
    {
        return None;
    }
    let fresh = said.max_age.unwrap_or_default();
    let stale = match said.must_revalidate {
        true => Duration::ZERO,
        false => said.stale_if_error.unwrap_or(stale_for).min(stale_for),
    };
    let age = fields.first("age").and_then(seconds).unwrap_or_default();
    Some(Lifetime { age, fresh, usable: fresh.saturating_add(stale) })
}

/// Which of [`SELECTING`] the answer with these `fields` differs by; `None` if by others.
#[must_use]
pub fn selected_by(fields: &dyn FieldList) -> Option<Vec<usize>> {
    let (mut all, mut are_known) = (Vec::new(), true);
    // An encoding was chosen, whether the answer says so or not.
    let of_encoding = fields.first("content-encoding").map(|_| &b"accept-encoding"[..]);
    let mut note = |name: &[u8]| {
        let place = SELECTING.iter().position(|one| name.eq_ignore_ascii_case(one.as_bytes()));
        are_known &= place.is_some();
        all.extend(place.filter(|place| !all.contains(place)));
    };
    of_encoding.into_iter().for_each(&mut note);
    fields.each(&mut |name, value| {
        if name.eq_ignore_ascii_case(b"vary") {
            let names = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            names.filter(|name| !name.is_empty()).for_each(&mut note);
        }
    });
    are_known.then_some(all)
}

impl Directives {
    fn of(fields: &dyn FieldList) -> Self {
        let mut said = Self::default();
        let mut is_shared = false;
        each_directive(fields, &mut |name, value| match name {
            b"no-store" | b"no-cache" | b"private" => said.forbids = true,
            b"public" => said.is_public = true,
            b"must-revalidate" | b"proxy-revalidate" => said.must_revalidate = true,
            // RFC 9111 §5.2.2.10: it goes before max-age, and asks for what proxy-revalidate does.
            b"s-maxage" => {
                said.max_age = Some(seconds(value).unwrap_or_default());
                (is_shared, said.must_revalidate, said.is_public) = (true, true, true);
            }
            b"max-age" if !is_shared => {
                let age = seconds(value).unwrap_or_default();
                said.max_age = Some(said.max_age.map_or(age, |known| known.min(age)));
            }
            b"stale-if-error" => said.stale_if_error = Some(seconds(value).unwrap_or_default()),
            _ => {}
        });
        said
    }
}

/// Calls `visit` with each directive of `Cache-Control`: its name in lower case, and its value.
fn each_directive(fields: &dyn FieldList, visit: &mut dyn FnMut(&[u8], &[u8])) {
    fields.each(&mut |name, value| {
        if !name.eq_ignore_ascii_case(b"cache-control") {
            return;
        }
        for directive in value.split(|byte| *byte == b',') {
            let mut parts = directive.splitn(2, |byte| *byte == b'=');
            let name = parts.next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
            visit(&name, parts.next().unwrap_or_default().trim_ascii());
        }
    });
}

/// A number of seconds, in quotes or not.
fn seconds(text: &[u8]) -> Option<Duration> {
    let text = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(text);
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(text).ok().filter(|_| is_number)?;
    // RFC 9111 §1.2.2: what is larger counts as the largest.
    Some(Duration::from_secs(text.parse::<u32>().unwrap_or(u32::MAX).into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vanne_filters::FieldSlice;

    const HOUR: Duration = Duration::from_secs(3600);

    fn of(fields: &[(&str, &str)], has_cookie: bool) -> Option<(u64, u64, u64)> {
        let head = ResponseHead { status: 200, fields: &FieldSlice(fields) };
        let all = lifetime(&head, has_cookie, HOUR)?;
        Some((all.age.as_secs(), all.fresh.as_secs(), all.usable.as_secs()))
    }

    fn control(value: &str) -> Option<(u64, u64, u64)> {
        of(&[("Cache-Control", value)], false)
    }

    #[test]
    fn what_is_private_is_not_kept() {
        for value in
            ["no-store", "private", "Private=\"x, y\"", "max-age=60, NO-CACHE", "no-cache=\"a\""]
        {
            assert_eq!(control(value), None, "{value}");
        }
        assert_eq!(of(&[("set-cookie", "a=b")], false), None);
        for fields in [&[("vary", "cookie")][..], &[("vary", "*")], &[("vary", "origin, x-user")]] {
            assert_eq!(of(fields, false), None, "{fields:?}");
        }
        assert_eq!(of(&[], true), None, "somebody's cookie was with it");
        assert!(of(&[("cache-control", "public")], true).is_some());
        let head = ResponseHead { status: 404, fields: &FieldSlice(&[]) };
        assert_eq!(lifetime(&head, false, HOUR), None);
        assert!(!lets_keep(&FieldSlice(&[("cache-control", "no-cache, no-store")])));
        assert!(lets_keep(&FieldSlice(&[("cache-control", "no-cache")])));
    }

    #[test]
    fn an_answer_is_good_for_as_long_as_it_says() {
        assert_eq!(of(&[], false), Some((0, 0, 3600)));
        assert_eq!(control("max-age=60"), Some((0, 60, 3660)));
        assert_eq!(control("max-age=\"60\", max-age=30"), Some((0, 30, 3630)));
        assert_eq!(control("max-age=60, stale-if-error=10"), Some((0, 60, 70)));
        assert_eq!(control("max-age=60, stale-if-error=99999"), Some((0, 60, 3660)));
        assert_eq!(control("max-age=60, must-revalidate"), Some((0, 60, 60)));
        assert_eq!(control("s-maxage=5, max-age=60"), Some((0, 5, 5)));
        assert_eq!(control("max-age=60, s-maxage=5"), Some((0, 5, 5)));
        assert_eq!(control("max-age=x"), Some((0, 0, 3600)));
        assert_eq!(of(&[("age", "7"), ("cache-control", "max-age=9")], false), Some((7, 9, 3609)));
    }

    #[test]
    fn an_answer_differs_by_what_it_says_and_by_its_encoding() {
        let of = |fields| selected_by(&FieldSlice(fields));
        assert_eq!(of(&[]), Some(vec![]));
        assert_eq!(
            of(&[("vary", "Accept-Encoding,, origin"), ("vary", "origin")]),
            Some(vec![1, 3])
        );
        assert_eq!(of(&[("content-encoding", "gzip")]), Some(vec![1]));
        assert_eq!(of(&[("vary", "accept, user-agent")]), None);
    }
}
