//! 3 and 9 · Edits: what a route changes in the heads of its requests and answers.
//!
//! They come after all else that changes a head, so that the config has the last word: first
//! fields are removed, then set, then added. The log keeps what the client sent.

use crate::types::pattern::Pattern;
use crate::types::request_id::RequestId;
use crate::types::template::{Piece, Template, Variable};
use http::{HeaderName, HeaderValue, header};
use std::io::Write;
use std::net::IpAddr;
use vanne_filters::head::without_port;
use vanne_filters::{Draft, HeadEdits, RequestHead};

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
    /// The host that was asked for, with its port if one was named.
    pub authority: Option<&'a [u8]>,
    /// The request's id.
    pub id: RequestId,
}

impl RouteEdits {
    /// Adds what changes in the request with this `head`.
    pub fn on_request(&self, head: &RequestHead<'_>, values: Values<'_>, edits: &mut HeadEdits) {
        write(&self.request, values, edits);
        if let Some(host) = &self.host {
            edits.set(header::HOST, host);
        }
        // RFC 9112 §3.2.1: the absolute form is for proxies, and its host would go before Host.
        let is_absolute = !matches!(head.target.first(), Some(b'/' | b'*'));
        if self.path.is_some() || is_absolute {
            edits.write_target(|target| self.write_target(head, is_absolute, target));
        }
    }

    /// Writes the target that the backend is asked for, if it is another one. `is_absolute`: it
    /// is to be path and query in any case.
    fn write_target(&self, head: &RequestHead<'_>, is_absolute: bool, out: &mut Draft<'_>) -> bool {
        let is_rewritten = self.path.as_ref().is_some_and(|path| path.write(head.path(), out));
        if !is_rewritten && !is_absolute {
            return false;
        }
        if !is_rewritten {
            out.push(head.path());
        }
        if let Some(query) = head.query() {
            out.push(b"?");
            out.push(query);
        }
        true
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
            FieldEdit::Set(name, FieldText::Fixed(value)) => edits.set(name.clone(), value),
            FieldEdit::Add(name, FieldText::Fixed(value)) => edits.add(name.clone(), value),
            // What is filled in may be something that no field can hold: then there is none.
            FieldEdit::Set(name, FieldText::Filled(template)) => {
                edits.set_written(name.clone(), |out| fill(template, values, out));
            }
            FieldEdit::Add(name, FieldText::Filled(template)) => {
                edits.add_written(name.clone(), |out| fill(template, values, out));
            }
        }
    }
}

/// Writes the value that `template` has for one request.
fn fill(template: &Template, values: Values<'_>, out: &mut Draft<'_>) {
    for piece in template.pieces() {
        match piece {
            Piece::Text(text) => out.push(text.as_bytes()),
            // Writing into memory does not fail.
            Piece::Variable(Variable::Client) => drop(write!(out, "{}", values.client)),
            Piece::Variable(Variable::Host) => {
                out.push(values.authority.map(without_port).unwrap_or_default());
            }
            Piece::Variable(Variable::RequestId) => out.push(&values.id.to_hex()),
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
}

impl PathRewrite {
    /// Writes what `path` becomes. Whether it becomes something else.
    pub fn write(&self, path: &[u8], out: &mut Draft<'_>) -> bool {
        match self {
            Self::Prefix { old, new } => {
                let Some(rest) = path.strip_prefix(&**old) else { return false };
                out.push(new);
                out.push(rest);
            }
            Self::Whole(whole) => out.push(whole),
            Self::Pattern { pattern, parts } => {
                let Some(groups) = pattern.captures(path) else { return false };
                for (text, group) in parts {
                    out.push(text);
                    let held = group.and_then(|group| groups.get(group));
                    out.push(held.map_or(b"", |held| held.as_bytes()));
                }
            }
        }
        if out.is_empty() {
            out.push(b"/");
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vanne_filters::{Edit, FieldSlice, Version};

    fn values_of(authority: Option<&[u8]>) -> Values<'_> {
        let id = RequestId::next(&mut fastrand::Rng::with_seed(1));
        Values { client: [192, 0, 2, 1].into(), authority, id }
    }

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
            let mut edits = HeadEdits::new();
            edits.write_target(|out| rewrite.write(path.as_bytes(), out));
            assert_eq!(edits.target(), want.map(str::as_bytes), "{rewrite:?} {path}");
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
            let values = values_of(head.authority);
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
        let values = values_of(Some(b"a.example:80"));
        let filled = format!("192.0.2.1 for a.example: {}", values.id);
        for (template, want) in
            [("plain", "plain"), ("", ""), ("{client} for {host}: {request_id}", filled.as_str())]
        {
            let text = || FieldText::new(&template.parse().unwrap());
            let fields =
                [FieldEdit::Set(header::VIA, text()), FieldEdit::Add(header::VARY, text())];
            let mut edits = HeadEdits::new();
            write(&fields, values, &mut edits);
            let want = want.as_bytes();
            let want = [Edit::Set(&header::VIA, want), Edit::Add(&header::VARY, want)];
            assert_eq!(edits.iter().collect::<Vec<_>>(), want);
        }
    }

    #[test]
    fn what_no_field_can_hold_is_not_filled_in() {
        let mut edits = HeadEdits::new();
        let field = FieldEdit::Set(header::VIA, FieldText::new(&"for {host}".parse().unwrap()));
        write(&[field], values_of(Some(b"a\nb")), &mut edits);
        assert!(edits.is_empty());
    }
}
