//! Secrets in targets and captured fields: values of parameters with certain names.
//!
//! What a backend may understand as such a parameter is hidden: in a query, behind a `;`, in a
//! fragment, inside the value of another parameter; in any case of letters and with any of its
//! characters percent-encoded. Rather too much is hidden than too little.

use crate::types::percent::encoded;

/// What stands instead of a secret.
pub const HIDDEN: &[u8] = b"***";

/// Names of secrets.
#[derive(Clone, Debug, Default)]
pub struct Redact {
    /// Of header fields, in lower case.
    pub headers: Vec<Box<str>>,
    /// Of parameters, in lower case.
    pub parameters: Vec<Box<[u8]>>,
}

impl Redact {
    /// Gives `text` to `show` in runs, with [`HIDDEN`] instead of secrets.
    /// Cost: one pass, no allocation.
    pub(in crate::data) fn each(&self, text: &[u8], mut show: impl FnMut(&[u8])) {
        let mut rest = text;
        while let Some((start, end)) = self.find(rest) {
            show(rest.get(..start).unwrap_or_default());
            show(HIDDEN);
            rest = rest.get(end..).unwrap_or_default();
        }
        show(rest);
    }

    /// Whether there is a secret in `text`, a target or what stands behind its `?`.
    #[must_use]
    pub fn finds_in(&self, text: &[u8]) -> bool {
        let first = text.iter().position(|byte| *byte == b'=');
        let name = first.and_then(|end| text.get(..end)).unwrap_or_default();
        self.is_secret(name) || self.find(text).is_some()
    }

    /// Whether an argument called `name` is a secret: `password`, and also `user[password]` and
    /// `json.password`.
    #[must_use]
    pub fn hides_argument(&self, name: &[u8]) -> bool {
        let is_word =
            |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'%');
        name.split(|byte| !is_word(byte)).any(|part| !part.is_empty() && self.is_secret(part))
    }

    /// Whether the header field `name` carries a secret.
    #[must_use]
    pub fn hides_header(&self, name: &[u8]) -> bool {
        let always: [&[u8]; 4] =
            [b"authorization", b"cookie", b"proxy-authorization", b"set-cookie"];
        let named = self.headers.iter().map(|name| name.as_bytes());
        always.into_iter().chain(named).any(|secret| name.eq_ignore_ascii_case(secret))
    }

    /// Whether `name`, as it stands in a target, is that of a secret.
    fn is_secret(&self, name: &[u8]) -> bool {
        self.parameters.iter().any(|secret| decoded(name).eq(secret.iter().copied()))
    }

    /// Where the first secret of `text` begins and ends.
    fn find(&self, text: &[u8]) -> Option<(usize, usize)> {
        let is_border = |byte: u8| matches!(byte, b'?' | b'&' | b';' | b'#');
        let mut at = text.iter().position(|byte| is_border(*byte))? + 1;
        loop {
            let from_name = text.get(at..)?;
            let length = from_name.iter().position(|byte| *byte == b'=' || is_border(*byte))?;
            let (name, behind) = from_name.split_at_checked(length)?;
            let value = at + length + 1;
            if behind.first() == Some(&b'=') && self.is_secret(name) {
                let is_end = |byte: &u8| matches!(byte, b'&' | b' ' | b'"' | b'>');
                let rest = text.get(value..)?;
                let end = rest.iter().position(is_end).unwrap_or(rest.len());
                return Some((value, value + end));
            }
            let next = text.get(at + length..)?.iter().position(|byte| is_border(*byte))?;
            at += length + next + 1;
        }
    }
}

/// A parameter's name in lower case, percent-encoding undone.
fn decoded(name: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let mut rest = name;
    std::iter::from_fn(move || {
        let code = encoded(rest);
        let byte = code.or(rest.first().copied())?;
        rest = rest.get(if code.is_some() { 3 } else { 1 }..)?;
        Some(byte.to_ascii_lowercase())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn redact() -> Redact {
        let parameters = ["token", "api_key"].map(|name| name.as_bytes().into()).to_vec();
        Redact { headers: Vec::new(), parameters }
    }

    fn shown(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        redact().each(text, |run| out.extend_from_slice(run));
        out
    }

    #[test]
    fn secrets_are_hidden_however_they_are_written() {
        for (text, want) in [
            ("/a", "/a"),
            ("", ""),
            ("/token=1", "/token=1"),
            ("/a?token=1", "/a?token=***"),
            ("/a?token=", "/a?token=***"),
            ("/a?token", "/a?token"),
            ("/a?x=1&token=1&y=2", "/a?x=1&token=***&y=2"),
            ("/a?TOKEN=1&Api_Key=2", "/a?TOKEN=***&Api_Key=***"),
            ("/a?%74oke%6E=1", "/a?%74oke%6E=***"),
            ("/a?%74oke%6=1", "/a?%74oke%6=1"),
            ("/a?tokens=1&my_token=1", "/a?tokens=1&my_token=1"),
            ("/a;token=1;b", "/a;token=***"),
            ("/a?token=a=b?c;d", "/a?token=***"),
            ("/a?next=/b?token=1", "/a?next=/b?token=***"),
            ("https://a/b#token=1&c=2", "https://a/b#token=***&c=2"),
            ("</a?token=1>; rel=next", "</a?token=***>; rel=next"),
            ("/a?&&=&token=1", "/a?&&=&token=***"),
            ("/a?", "/a?"),
        ] {
            assert_eq!(shown(text.as_bytes()), want.as_bytes(), "{text}");
        }
    }

    #[test]
    fn secrets_are_known_by_the_names_of_arguments_and_fields_and_inside_values() {
        let redact = Redact { headers: vec!["x-api-key".into()], ..redact() };
        for (name, is_hidden) in
            [("token", true), ("user[Token]", true), ("json.a.api_key", true), ("tokens", false)]
        {
            assert_eq!(redact.hides_argument(name.as_bytes()), is_hidden, "{name}");
        }
        for (name, is_hidden) in [("Cookie", true), ("X-API-Key", true), ("host", false)] {
            assert_eq!(redact.hides_header(name.as_bytes()), is_hidden, "{name}");
        }
        for (text, is_hidden) in [("token=1&a=2", true), ("/a?b&token=1", true), ("a=token", false)]
        {
            assert_eq!(redact.finds_in(text.as_bytes()), is_hidden, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_it_and_no_secret_gets_through(
            before in "[a-z/?&;#=%]{0,12}[?&;#]", after in "(&[a-z?=]{0,9})?",
        ) {
            // What is before may hide all that follows, or end in a name that goes on.
            let text = format!("{before}token=S3CRET{after}");
            prop_assert!(!String::from_utf8(shown(text.as_bytes())).unwrap().contains("S3CRET"));
        }
    }
}
