//! Where in a request somebody says who they are: once, or not at all.

use super::denied::Denied;
use super::proof::reads_as;
use crate::data::pool::hash_key::{cookie, cookie_value};
use crate::wire::bytes::is_token;
use vanne_filters::RequestHead;

/// Where it is said. Names are in lower case, but those of cookies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In `Authorization`, by this scheme.
    Authorization(&'static str),
    /// In a cookie.
    Cookie(Box<str>),
    /// In a field of its own.
    Header(Box<str>),
}

const AUTHORIZATION: &str = "authorization";

impl Place {
    /// What `with` makes of what is said there; `None` if nothing is.
    ///
    /// # Errors
    /// When it is said twice: who comes after us could read the other one.
    pub fn shown<T>(
        &self,
        head: &RequestHead<'_>,
        with: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, Denied> {
        match self {
            Self::Authorization(scheme) => {
                let Some(value) = only(head, AUTHORIZATION)? else { return Ok(None) };
                match after_scheme(value, scheme) {
                    // Credentials follow after blanks (RFC 9110 §11.4); after anything else stands
                    // what nobody has issued.
                    Some(rest) if rest.first() == Some(&b' ') => Ok(Some(with(rest.trim_ascii()))),
                    Some(rest) => Ok(Some(with(rest))),
                    None if is_in_list(value, scheme) => Err(Denied::Repeated),
                    None => Ok(None),
                }
            }
            Self::Header(name) => {
                let Some(value) = only(head, name)? else { return Ok(None) };
                match spelled(head, name) {
                    0 | 1 => Ok(Some(with(value.trim_ascii()))),
                    _ => Err(Denied::Repeated),
                }
            }
            Self::Cookie(name) => {
                if times(head, name) > 1 {
                    return Err(Denied::Repeated);
                }
                let mut made = None;
                cookie(head, name, |value| made = Some(with(value)));
                Ok(made)
            }
        }
    }
}

/// The value of the field called `name`, if there is one.
fn only<'a>(head: &RequestHead<'a>, name: &str) -> Result<Option<&'a [u8]>, Denied> {
    match head.fields.first(name) {
        Some(_) if head.fields.count(name) > 1 => Err(Denied::Repeated),
        value => Ok(value),
    }
}

/// What follows `scheme` in `value`, if it begins with that one. A scheme ends where no more of a
/// token follows, whatever does.
fn after_scheme<'a>(value: &'a [u8], scheme: &str) -> Option<&'a [u8]> {
    let (begin, rest) = value.split_at_checked(scheme.len())?;
    let is_it = begin.eq_ignore_ascii_case(scheme.as_bytes());
    (is_it && !rest.first().copied().is_some_and(is_token)).then_some(rest)
}

/// Whether `scheme` stands in a list after others: two fields that somebody made one of.
fn is_in_list(value: &[u8], scheme: &str) -> bool {
    let mut others = value.split(|byte| *byte == b',').skip(1);
    others.any(|other| after_scheme(other.trim_ascii_start(), scheme).is_some())
}

/// How many fields some program could take for `name`: of a backend behind CGI and its like, that
/// cannot tell `X_Api_Key` from `X-Api-Key`.
fn spelled(head: &RequestHead<'_>, name: &str) -> usize {
    let mut times = 0;
    head.fields.each(&mut |field, _| times += usize::from(reads_as(field, name.as_bytes())));
    times
}

/// How many cookies are called `name`.
fn times(head: &RequestHead<'_>, name: &str) -> usize {
    let is_it = |pair: &&[u8]| cookie_value(pair, name.as_bytes()).is_some();
    let mut times = 0;
    head.fields.each(&mut |field, value| {
        if field.eq_ignore_ascii_case(b"cookie") {
            times += value.split(|&b| b == b';').filter(is_it).count();
        }
    });
    times
}

#[cfg(test)]
mod tests {
    use super::*;
    use vanne_filters::{FieldSlice, Version};

    fn said(place: &Place, fields: &[(&str, &str)]) -> Result<Option<String>, Denied> {
        let fields = FieldSlice(fields);
        let head = RequestHead::new("GET", b"/", Version::Http11, &fields);
        place.shown(&head, |value| String::from_utf8(value.to_vec()).unwrap())
    }

    #[test]
    fn it_is_said_once_or_not_at_all() {
        let bearer = Place::Authorization("Bearer");
        for (value, token) in [
            ("Bearer a.b.c", Some("a.b.c")),
            ("bearer  a", Some("a")),
            ("BEARER", Some("")),
            ("Bearer a b", Some("a b")),
            ("Basic a", None),
            ("Bearera", None),
            ("Bearer-a b", None),
            ("Bearer\ta", Some("\ta")),
            ("Bearer,a", Some(",a")),
            ("Bearer=a", Some("=a")),
            ("Basic a, b", None),
            ("", None),
        ] {
            let got = said(&bearer, &[("Authorization", value)]);
            assert_eq!(got, Ok(token.map(str::to_owned)), "{value}");
        }
        assert_eq!(said(&bearer, &[]), Ok(None));
        let twice = [("Authorization", "Bearer a"), ("authorization", "Basic b")];
        assert_eq!(said(&bearer, &twice), Err(Denied::Repeated));
        for value in ["Basic a, Bearer b", "Basic a,bearer", "Basic a ,\tBearer\tb"] {
            assert_eq!(
                said(&bearer, &[("Authorization", value)]),
                Err(Denied::Repeated),
                "{value}"
            );
        }
        let header = Place::Header("x-token".into());
        for name in ["X_Token", "x.token", "X-TOKEN"] {
            let twice = [("X-Token", "a"), (name, "b")];
            assert_eq!(said(&header, &twice), Err(Denied::Repeated), "{name}");
            assert_eq!(said(&header, &[twice[1], twice[0]]), Err(Denied::Repeated), "{name}");
        }
        assert_eq!(said(&header, &[("X_Token", "a")]), Ok(None));
        assert_eq!(said(&header, &[("X-Token", " a ")]), Ok(Some("a".to_owned())));
        assert_eq!(said(&header, &[("X-Token", "a"), ("X-Token", "a")]), Err(Denied::Repeated));
        let cookie = Place::Cookie("t".into());
        assert_eq!(said(&cookie, &[("Cookie", "a=1; t=x; tt=2")]), Ok(Some("x".to_owned())));
        assert_eq!(said(&cookie, &[("Cookie", "tt=2")]), Ok(None));
        assert_eq!(said(&cookie, &[("Cookie", "t=x; t=y")]), Err(Denied::Repeated));
        assert_eq!(said(&cookie, &[("Cookie", "t=x"), ("cookie", "t=x")]), Err(Denied::Repeated));
        // Servers do not count blanks around a name as part of it.
        assert_eq!(said(&cookie, &[("Cookie", "t =x")]), Ok(Some("x".to_owned())));
        for twice in ["t =y; t=x", "t=x;t\t=y", "t=x;  t =x"] {
            assert_eq!(said(&cookie, &[("Cookie", twice)]), Err(Denied::Repeated), "{twice}");
        }
    }
}
