//! Cookies: those that backends set get the attributes that keep them from strangers.
//!
//! An attribute is added where it is missing; what is there stays. Whatever browsers take for a
//! cookie is one (RFC 6265bis §5.6), also what no server should send: names with brackets or
//! blanks in them, and none at all. An empty field sets nothing, and stays.

use crate::edits::Draft;
use crate::{Asked, Filter, FilterConfig, HeadEdits, ResponseHead};
use http::header;
use std::sync::Arc;

/// Name of this kind of filter.
pub const KIND: &str = "cookies";

/// What is added to cookies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// `Secure`: browsers send them over HTTPS only.
    pub secure: bool,
    /// `HttpOnly`: scripts do not see them.
    pub http_only: bool,
    /// `SameSite`, with this value.
    pub same_site: Option<&'static str>,
    /// Names of cookies that stay as they are.
    pub except: Vec<Box<str>>,
}

/// Builds the filter from its config.
pub(crate) fn build(config: &FilterConfig) -> Option<Arc<dyn Filter>> {
    let FilterConfig::Cookies(rules) = config else { return None };
    Some(Arc::new(Cookies(rules.clone())))
}

/// The filter.
pub struct Cookies(Rules);

/// What a cookie is to get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Missing {
    secure: bool,
    http_only: bool,
    same_site: bool,
}

impl Rules {
    /// What the cookie that `value` sets is to get.
    fn missing(&self, value: &[u8]) -> Missing {
        let mut parts = value.split(|byte| *byte == b';');
        let pair = parts.next().unwrap_or_default();
        // Without `=` it is a value of no name.
        let end = pair.iter().position(|byte| *byte == b'=');
        let name = pair.get(..end.unwrap_or_default()).unwrap_or_default().trim_ascii();
        let text = end.map_or(pair, |end| pair.get(end + 1..).unwrap_or_default()).trim_ascii();
        let is_excepted = || self.except.iter().any(|one| one.as_bytes() == name);
        if (name.is_empty() && text.is_empty()) || is_excepted() {
            return Missing::default();
        }
        let mut missing = Missing {
            secure: self.secure,
            http_only: self.http_only,
            same_site: self.same_site.is_some(),
        };
        for attribute in parts {
            let mut parts = attribute.splitn(2, |byte| *byte == b'=').map(<[u8]>::trim_ascii);
            let name = parts.next().unwrap_or_default();
            let is = |wanted: &[u8]| name.eq_ignore_ascii_case(wanted);
            missing.secure &= !is(b"secure");
            missing.http_only &= !is(b"httponly");
            if self.same_site.is_some() && is(b"samesite") {
                // The last one counts, and one of no known value is none.
                missing.same_site = !is_same_site(parts.next().unwrap_or_default());
            }
        }
        missing
    }

    fn write(&self, value: &[u8], out: &mut Draft<'_>) {
        let missing = self.missing(value);
        if missing == Missing::default() {
            return out.push(value);
        }
        let value = value.trim_ascii_end();
        out.push(value.strip_suffix(b";").unwrap_or(value));
        if missing.secure {
            out.push(b"; Secure");
        }
        if missing.http_only {
            out.push(b"; HttpOnly");
        }
        if let Some(same_site) = self.same_site.filter(|_| missing.same_site) {
            out.push(b"; SameSite=");
            out.push(same_site.as_bytes());
        }
    }
}

/// Whether browsers know this value of `SameSite`.
fn is_same_site(value: &[u8]) -> bool {
    [&b"strict"[..], b"lax", b"none"].iter().any(|known| value.eq_ignore_ascii_case(known))
}

impl Filter for Cookies {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn secures_cookies(&self) -> bool {
        self.0.secure
    }

    fn on_response(&self, _: Asked<'_>, head: &ResponseHead<'_>, edits: &mut HeadEdits) {
        let name = header::SET_COOKIE;
        if head.fields.first(name.as_str()).is_none() {
            return;
        }
        let mut misses = false;
        each_cookie(head, &mut |value| misses |= self.0.missing(value) != Missing::default());
        if misses {
            edits.remove(name.clone());
            each_cookie(head, &mut |value| {
                edits.add_written(name.clone(), |out| self.0.write(value, out));
            });
        }
    }
}

/// Calls `visit` with each field that sets a cookie.
fn each_cookie(head: &ResponseHead<'_>, visit: &mut dyn FnMut(&[u8])) {
    head.fields.each(&mut |name, value| {
        if name.eq_ignore_ascii_case(header::SET_COOKIE.as_str().as_bytes()) {
            visit(value);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Edit, FieldSlice};

    fn rules() -> Rules {
        Rules { secure: true, http_only: true, same_site: Some("Lax"), except: vec!["XSRF".into()] }
    }

    /// The cookies that an answer which sets `came` has; `None`: they are as they came.
    fn hardened(rules: &Rules, came: &[&str]) -> Option<Vec<String>> {
        let fields: Vec<_> = came.iter().map(|value| ("Set-Cookie", *value)).collect();
        let mut edits = HeadEdits::new();
        let head = ResponseHead { status: 200, fields: &FieldSlice(&fields) };
        Cookies(rules.clone()).on_response(Asked::default(), &head, &mut edits);
        let mut all = edits.iter();
        assert_eq!(all.next()?, Edit::Remove(&header::SET_COOKIE));
        let value = |edit: Edit<'_>| match edit {
            Edit::Add(_, value) => String::from_utf8(value.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        };
        Some(all.map(value).collect())
    }

    #[test]
    fn attributes_are_added_where_they_are_missing() {
        for (came, want) in [
            ("a=b", "a=b; Secure; HttpOnly; SameSite=Lax"),
            ("a=b; ", "a=b; Secure; HttpOnly; SameSite=Lax"),
            ("a=; Path=/", "a=; Path=/; Secure; HttpOnly; SameSite=Lax"),
            ("a=b; secure ;HTTPONLY", "a=b; secure ;HTTPONLY; SameSite=Lax"),
            ("a=b; SameSite=None", "a=b; SameSite=None; Secure; HttpOnly"),
            ("a=b; samesite = LAX", "a=b; samesite = LAX; Secure; HttpOnly"),
            ("a=b; SameSite=bogus", "a=b; SameSite=bogus; Secure; HttpOnly; SameSite=Lax"),
            ("a=b; SameSite", "a=b; SameSite; Secure; HttpOnly; SameSite=Lax"),
            (
                "a=b; SameSite=Strict; SameSite=x",
                "a=b; SameSite=Strict; SameSite=x; Secure; HttpOnly; SameSite=Lax",
            ),
            // What no server should send, and browsers take all the same.
            ("user[id]=1", "user[id]=1; Secure; HttpOnly; SameSite=Lax"),
            ("a@b=c", "a@b=c; Secure; HttpOnly; SameSite=Lax"),
            ("a b=c", "a b=c; Secure; HttpOnly; SameSite=Lax"),
            ("\u{fc}=c", "\u{fc}=c; Secure; HttpOnly; SameSite=Lax"),
            ("=x", "=x; Secure; HttpOnly; SameSite=Lax"),
            ("value", "value; Secure; HttpOnly; SameSite=Lax"),
            ("value; Path=/", "value; Path=/; Secure; HttpOnly; SameSite=Lax"),
            ("__Host-a=b; Path=/; Secure", "__Host-a=b; Path=/; Secure; HttpOnly; SameSite=Lax"),
            ("__Secure-a=b", "__Secure-a=b; Secure; HttpOnly; SameSite=Lax"),
            (
                "a=b=c; Expires=Wed, 21 Oct 2026 07:28:00 GMT",
                "a=b=c; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Secure; HttpOnly; SameSite=Lax",
            ),
            ("a=\"x y\"; Max-Age=1", "a=\"x y\"; Max-Age=1; Secure; HttpOnly; SameSite=Lax"),
        ] {
            assert_eq!(hardened(&rules(), &[came]), Some(vec![want.to_owned()]), "{came}");
        }
        let only = Rules { http_only: true, ..Rules::default() };
        assert_eq!(hardened(&only, &["a=b; Secure"]), Some(vec!["a=b; Secure; HttpOnly".into()]));
    }

    #[test]
    fn what_has_all_is_excepted_or_is_no_cookie_stays() {
        for came in [
            "a=b; Secure; HttpOnly; SameSite=Strict",
            "XSRF=1; Path=/",
            "",
            " ",
            "=",
            " = ",
            "; Path=/",
        ] {
            assert_eq!(hardened(&rules(), &[came]), None, "{came}");
        }
        assert_eq!(hardened(&Rules::default(), &["a=b"]), None);
        assert_eq!(hardened(&rules(), &[]), None);
    }

    #[test]
    fn each_cookie_of_an_answer_is_looked_at() {
        let all = hardened(&rules(), &["XSRF=1", "a=b", ""]).unwrap();
        assert_eq!(all, ["XSRF=1", "a=b; Secure; HttpOnly; SameSite=Lax", ""]);
    }
}
