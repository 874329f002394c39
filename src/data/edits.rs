//! 3 and 9 · Edits: what a route changes in the heads of its requests and answers.
//!
//! They come after all else that changes a head, so that the config has the last word: first
//! fields are removed, then set, then added. The log keeps what the client sent.

use crate::types::pattern::Pattern;
use crate::types::template::{Piece, Template, Variable};
use http::{HeaderName, HeaderValue, header};
use std::net::IpAddr;
use vanne_filters::{HeadEdits, RequestHead};

/// What a route changes.
#[derive(Clone, Debug, Default)]
pub struct RouteEdits {
    /// In the head that the backend gets.
    pub request: Vec<FieldEdit>,
    /// In the head that the client gets: a backend's answer's or our own's.
    pub response: Vec<FieldEdit>,
    /// The host that the backend is asked for.
    pub host: Option<HeaderValue>,
    /// The path that the backend is asked for.
    pub path: Option<PathRewrite>,
}

/// A change of the fields of one name.
#[derive(Clone, Debug)]
pub enum FieldEdit {
    /// All of them go.
    Remove(HeaderName),
    /// This is the only one.
    Set(HeaderName, FieldText),
    /// This is one more.
    Add(HeaderName, FieldText),
}

/// The value of a field.
#[derive(Clone, Debug)]
pub enum FieldText {
    /// Always the same.
    Fixed(HeaderValue),
    /// Other for each request.
    Filled(Template),
}

/// How a path is rewritten.
#[derive(Clone, Debug)]
pub enum PathRewrite {
    /// What it begins with becomes something else; both without a slash at the end.
    Prefix {
        /// What the route's paths begin with.
        old: Box<[u8]>,
        /// What they begin with then.
        new: Box<[u8]>,
    },
    /// It becomes this.
    Whole(Box<[u8]>),
    /// If it fits, it becomes this, with what the groups hold.
    Pattern {
        /// What it must fit.
        pattern: Pattern,
        /// Texts, and the groups that follow them.
        parts: Vec<(Box<[u8]>, Option<usize>)>,
    },
}

/// What templates are filled in from.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// The client, as it is believed.
    pub client: IpAddr,
    /// The host that was asked for, without port.
    pub host: Option<&'a [u8]>,
    /// The request's id.
    pub id: &'a HeaderValue,
}

impl RouteEdits {
    /// Adds what changes in the request with this `head`.
    pub fn on_request(&self, head: &RequestHead<'_>, values: Values<'_>, edits: &mut HeadEdits) {
        write(&self.request, values, edits);
        let path = self.path.as_ref().and_then(|path| path.rewrite(head.path()));
        if let Some(host) = &self.host {
            edits.set(header::HOST, host.clone());
        }
        // An absolute target names a host too, which would go before the field.
        let is_absolute = head.target.first() != Some(&b'/');
        if path.is_some() || (self.host.is_some() && is_absolute) {
            let mut target = path.unwrap_or_else(|| head.path().to_vec());
            if let Some(query) = head.query() {
                target.push(b'?');
                target.extend_from_slice(query);
            }
            edits.set_target(target);
        }
    }

    /// Adds what changes in an answer.
    pub fn on_response(&self, values: Values<'_>, edits: &mut HeadEdits) {
        write(&self.response, values, edits);
    }
}

fn write(fields: &[FieldEdit], values: Values<'_>, edits: &mut HeadEdits) {
    for edit in fields {
        match edit {
            FieldEdit::Remove(name) => edits.remove(name.clone()),
            FieldEdit::Set(name, text) => {
                if let Some(value) = text.value(values) {
                    edits.set(name.clone(), value);
                }
            }
            FieldEdit::Add(name, text) => {
                if let Some(value) = text.value(values) {
                    edits.add(name.clone(), value);
                }
            }
        }
    }
}

impl FieldText {
    /// The value that `template` says, made once if it is always the same.
    #[must_use]
    pub fn new(template: &Template) -> Self {
        let fixed = match template.pieces() {
            [] => Some(HeaderValue::from_static("")),
            [Piece::Text(text)] => HeaderValue::from_str(text).ok(),
            _ => None,
        };
        fixed.map_or_else(|| Self::Filled(template.clone()), Self::Fixed)
    }

    /// The value for one request; `None` if what is filled in cannot be in a field.
    fn value(&self, values: Values<'_>) -> Option<HeaderValue> {
        let template = match self {
            Self::Fixed(value) => return Some(value.clone()),
            Self::Filled(template) => template,
        };
        let mut out = Vec::with_capacity(64);
        for piece in template.pieces() {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Variable(Variable::Client) => {
                    out.extend_from_slice(values.client.to_string().as_bytes());
                }
                Piece::Variable(Variable::Host) => {
                    out.extend_from_slice(values.host.unwrap_or_default());
                }
                Piece::Variable(Variable::RequestId) => {
                    out.extend_from_slice(values.id.as_bytes());
                }
            }
        }
        HeaderValue::from_bytes(&out).ok()
    }
}

impl PathRewrite {
    /// What `path` becomes; `None` if it stays.
    #[must_use]
    pub fn rewrite(&self, path: &[u8]) -> Option<Vec<u8>> {
        let new = match self {
            Self::Prefix { old, new } => [&**new, path.strip_prefix(&**old)?].concat(),
            Self::Whole(whole) => whole.to_vec(),
            Self::Pattern { pattern, parts } => {
                let groups = pattern.captures(path)?;
                let mut new = Vec::with_capacity(path.len());
                for (text, group) in parts {
                    new.extend_from_slice(text);
                    let held = group.and_then(|group| groups.get(group));
                    new.extend_from_slice(held.map_or(b"", |held| held.as_bytes()));
                }
                new
            }
        };
        Some(if new.is_empty() { b"/".to_vec() } else { new })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vanne_filters::{Edit, FieldSlice, Version};

    #[test]
    fn a_path_is_rewritten_by_prefix_whole_or_by_pattern() {
        let prefix = |old: &str, new: &str| PathRewrite::Prefix {
            old: old.as_bytes().into(),
            new: new.as_bytes().into(),
        };
        let pattern = || PathRewrite::Pattern {
            pattern: "/u/([0-9]+)(/.*)?".parse().unwrap(),
            parts: vec![
                (b"/users/"[..].into(), Some(1)),
                (b"/all"[..].into(), Some(2)),
                (b""[..].into(), None),
            ],
        };
        for (rewrite, path, want) in [
            (prefix("/api", "/v2"), "/api/x", Some("/v2/x")),
            (prefix("/api", "/v2"), "/api", Some("/v2")),
            (prefix("/api", ""), "/api/x/", Some("/x/")),
            (prefix("/api", ""), "/api", Some("/")),
            (prefix("", "/v2"), "/x", Some("/v2/x")),
            (prefix("", "/v2"), "/", Some("/v2/")),
            (PathRewrite::Whole(b"/one"[..].into()), "/any", Some("/one")),
            (pattern(), "/u/17", Some("/users/17/all")),
            (pattern(), "/u/17/x", Some("/users/17/all/x")),
            (pattern(), "/u/x", None),
        ] {
            let new = rewrite.rewrite(path.as_bytes());
            assert_eq!(new.as_deref(), want.map(str::as_bytes), "{rewrite:?} {path}");
        }
    }

    #[test]
    fn an_absolute_target_loses_its_host_to_another_one() {
        let edits = RouteEdits {
            host: Some(HeaderValue::from_static("b.example")),
            ..RouteEdits::default()
        };
        let target = |target: &str| {
            let fields = FieldSlice(&[("host", "a")]);
            let head = RequestHead::new("GET", target.as_bytes(), Version::Http11, &fields);
            let id = HeaderValue::from_static("1");
            let values = Values { client: [192, 0, 2, 1].into(), host: head.host(), id: &id };
            let mut out = HeadEdits::new();
            edits.on_request(&head, values, &mut out);
            assert!(matches!(out.iter().next(), Some(Edit::Set(name, _)) if *name == header::HOST));
            out.target().map(|target| String::from_utf8(target.to_vec()).unwrap())
        };
        assert_eq!(target("/a?b"), None);
        assert_eq!(target("http://a/b?c").as_deref(), Some("/b?c"));
        assert_eq!(target("http://a?c").as_deref(), Some("/?c"));
    }

    #[test]
    fn templates_are_filled_in() {
        let id = HeaderValue::from_static("42");
        let values = Values { client: [192, 0, 2, 1].into(), host: Some(b"a.example"), id: &id };
        for (template, want) in [
            ("plain", "plain"),
            ("", ""),
            ("{client} for {host}: {request_id}", "192.0.2.1 for a.example: 42"),
        ] {
            let text = FieldText::new(&template.parse().unwrap());
            assert_eq!(text.value(values).unwrap(), want);
        }
    }
}
