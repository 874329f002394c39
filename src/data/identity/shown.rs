//! Where in a request somebody says who they are: once, or not at all.

use super::denied::Denied;
use crate::data::pool::hash_key::cookie;
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
                let said = value.split_at_checked(scheme.len());
                let said = said.filter(|(begin, _)| begin.eq_ignore_ascii_case(scheme.as_bytes()));
                // A scheme ends where a blank or the field does (RFC 9110 §11.4).
                let said = said.filter(|(_, rest)| matches!(rest.first(), None | Some(b' ')));
                Ok(said.map(|(_, rest)| with(rest.trim_ascii())))
            }
            Self::Header(name) => Ok(only(head, name)?.map(|value| with(value.trim_ascii()))),
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

/// How many cookies are called `name`.
fn times(head: &RequestHead<'_>, name: &str) -> usize {
    let is_it = |pair: &&[u8]| {
        let rest = pair.trim_ascii().strip_prefix(name.as_bytes());
        rest.is_some_and(|rest| rest.first() == Some(&b'='))
    };
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
            ("", None),
        ] {
            let got = said(&bearer, &[("Authorization", value)]);
            assert_eq!(got, Ok(token.map(str::to_owned)), "{value}");
        }
        assert_eq!(said(&bearer, &[]), Ok(None));
        let twice = [("Authorization", "Bearer a"), ("authorization", "Basic b")];
        assert_eq!(said(&bearer, &twice), Err(Denied::Repeated));
        let header = Place::Header("x-token".into());
        assert_eq!(said(&header, &[("X-Token", " a ")]), Ok(Some("a".to_owned())));
        assert_eq!(said(&header, &[("X-Token", "a"), ("X-Token", "a")]), Err(Denied::Repeated));
        let cookie = Place::Cookie("t".into());
        assert_eq!(said(&cookie, &[("Cookie", "a=1; t=x; tt=2")]), Ok(Some("x".to_owned())));
        assert_eq!(said(&cookie, &[("Cookie", "tt=2")]), Ok(None));
        assert_eq!(said(&cookie, &[("Cookie", "t=x; t=y")]), Err(Denied::Repeated));
        assert_eq!(said(&cookie, &[("Cookie", "t=x"), ("cookie", "t=x")]), Err(Denied::Repeated));
    }
}
