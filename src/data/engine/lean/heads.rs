//! Heads as they leave: the fields that came, with the edits that stages want.
//!
//! Nothing is moved or sorted: a field that came is written unless an edit takes it away, and
//! an edit's field unless a later edit does. Names leave in lower case.

use crate::wire::fields::Fields as Ranges;
use http::{HeaderMap, HeaderName};
use vanne_filters::edits::Iter;
use vanne_filters::{Edit, HeadEdits, Line};

/// The fields of a head that came, in whatever shape: each time from the first.
pub trait Fields<'a> {
    /// Names and values, in order.
    fn all(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])>;
}

impl<'a> Fields<'a> for Ranges<'a> {
    fn all(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.iter()
    }
}

impl<'a> Fields<'a> for &'a HeaderMap {
    fn all(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
    }
}

/// A field of a head that leaves.
#[derive(Clone, Copy)]
pub(super) enum Name<'a> {
    /// It came with this name, in whatever case.
    Came(&'a [u8]),
    /// It is ours.
    Ours(&'a HeaderName),
    /// It is a line that many answers get.
    Line(&'a Line),
}

impl<'a> Name<'a> {
    /// The name: in lower case if it is ours.
    pub(super) fn as_bytes(self) -> &'a [u8] {
        match self {
            Self::Came(name) => name,
            Self::Ours(name) | Self::Line(Line { name, .. }) => name.as_str().as_bytes(),
        }
    }
}

/// Calls `visit` with each field of a head that leaves.
/// Cost: O(fields × edits) where names may be the same, no allocation.
pub(super) fn each_field<'a>(
    fields: impl Fields<'a>,
    edits: &'a HeadEdits,
    visit: impl FnMut(Name<'a>, &'a [u8]),
) {
    each_field_by(fields, edits, edits.iter(), visit);
}

/// The same for these of the `edits`: all, or all but lines that nothing else touches.
fn each_field_by<'a>(
    fields: impl Fields<'a>,
    edits: &'a HeadEdits,
    all: Iter<'a>,
    mut visit: impl FnMut(Name<'a>, &'a [u8]),
) {
    for (name, value) in fields.all() {
        let is_gone = edits.may_remove(name)
            && edits.iter().any(|edit| removed(&edit).is_some_and(|gone| is(name, gone)));
        if !is_gone {
            visit(Name::Came(name), value);
        }
    }
    let is_gone_later = |at: usize, name: &HeaderName| {
        edits.has_repeats() && edits.iter().skip(at + 1).any(|later| removed(&later) == Some(name))
    };
    for (at, edit) in all.enumerate() {
        let (name, value) = match edit {
            Edit::Remove(_) => continue,
            Edit::Line(line) => {
                if !is_gone_later(at, &line.name) {
                    visit(Name::Line(line), line.value.as_bytes());
                }
                continue;
            }
            Edit::Add(name, value) | Edit::Set(name, value) => (name, value),
            Edit::SetIfAbsent(name, value) => {
                if is_there(&fields, edits, at, name) {
                    continue;
                }
                (name, value)
            }
        };
        if !is_gone_later(at, name) {
            visit(Name::Ours(name), value);
        }
    }
}

/// Writes the fields of a head that leaves into `out`.
pub(super) fn write_fields<'a>(out: &mut Vec<u8>, fields: impl Fields<'a>, edits: &'a HeadEdits) {
    let text = edits.text_of_lines();
    let all = if text.is_some() { edits.iter_but_lines() } else { edits.iter() };
    each_field_by(fields, edits, all, |name, value| match name {
        Name::Came(name) => write_came(out, name, value),
        Name::Ours(_) | Name::Line(_) => write_field(out, name.as_bytes(), value),
    });
    out.extend_from_slice(text.unwrap_or_default());
}

/// Writes one field. Its name is in lower case.
pub(super) fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writes one field that came. Its name leaves in lower case.
fn write_came(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let start = out.len();
    write_field(out, name, value);
    if let Some(name) = out.get_mut(start..start + name.len()) {
        name.make_ascii_lowercase();
    }
}

/// The name whose fields `edit` takes away, if any.
fn removed<'a>(edit: &Edit<'a>) -> Option<&'a HeaderName> {
    match edit {
        Edit::Remove(name) | Edit::Set(name, _) => Some(name),
        Edit::Add(..) | Edit::Line(_) | Edit::SetIfAbsent(..) => None,
    }
}

/// Whether there is a field called `name` when the edit at `at` has its turn.
fn is_there<'a>(fields: &impl Fields<'a>, edits: &HeadEdits, at: usize, name: &HeaderName) -> bool {
    let came = fields.all().any(|(field, _)| is(field, name));
    if !edits.has_repeats() {
        return came;
    }
    edits.iter().take(at).fold(came, |is_there, edit| match edit {
        Edit::Remove(other) if other == name => false,
        Edit::Add(other, _)
        | Edit::Line(Line { name: other, .. })
        | Edit::Set(other, _)
        | Edit::SetIfAbsent(other, _)
            if other == name =>
        {
            true
        }
        _ => is_there,
    })
}

fn is(name: &[u8], wanted: &HeaderName) -> bool {
    name.eq_ignore_ascii_case(wanted.as_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::request::RequestIndex;
    use http::{HeaderValue, header};
    use std::sync::Arc;
    use vanne_filters::head::NoFields;
    use vanne_filters::{Line, Lines};

    fn written(edit: impl FnOnce(&mut HeadEdits)) -> String {
        let head =
            b"GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nx-a: 2\r\nX-Frame-Options: SAMEORIGIN\r\n\r\n";
        let mut index = RequestIndex::default();
        index.read(head).unwrap();
        let mut edits = HeadEdits::new();
        edit(&mut edits);
        let mut out = Vec::new();
        write_fields(&mut out, index.fields(head), &edits);
        String::from_utf8(out).unwrap().replace("\r\n", "|")
    }

    #[test]
    fn lines_are_written_once_whatever_else_is_edited() {
        let name = HeaderName::from_static;
        let line = |of: &'static str| Line {
            name: name(of),
            value: HeaderValue::from_static("1"),
            replaces: false,
        };
        let lines = |names: &[&'static str]| {
            Arc::new(Lines::new(names.iter().map(|of| line(of)).collect(), vec![]))
        };
        let with_lines = |names: &[&'static str], edit: &dyn Fn(&mut HeadEdits)| {
            written(|edits| {
                edits.set(name("x-id"), "7");
                edits.add_lines(&lines(names), &NoFields);
                edit(edits);
            })
        };
        let head = "host: a|x-a: 1|x-a: 2|x-frame-options: SAMEORIGIN|x-id: 7|";
        assert_eq!(with_lines(&["x-b", "x-c"], &|_| ()), format!("{head}x-b: 1|x-c: 1|"));
        let set = |edits: &mut HeadEdits| edits.set(name("x-b"), "2");
        assert_eq!(with_lines(&["x-b", "x-c"], &set), format!("{head}x-c: 1|x-b: 2|"));
        let absent = |edits: &mut HeadEdits| edits.set_if_absent(name("x-b"), "2");
        assert_eq!(with_lines(&["x-b", "x-c"], &absent), format!("{head}x-b: 1|x-c: 1|"));
    }

    #[test]
    fn edits_are_applied_in_order_and_a_present_field_is_kept_if_asked() {
        let name = HeaderName::from_static;
        assert_eq!(written(|_| ()), "host: a|x-a: 1|x-a: 2|x-frame-options: SAMEORIGIN|");
        let out = written(|edits| {
            edits.add(name("x-b"), "1");
            edits.add(name("x-b"), "2");
            edits.remove(name("x-a"));
            edits.set(name("x-a"), "3");
            edits.set_if_absent(header::X_FRAME_OPTIONS, "DENY");
            edits.set_if_absent(name("x-c"), "4");
            edits.set_if_absent(name("x-c"), "5");
        });
        let want = "host: a|x-frame-options: SAMEORIGIN|x-b: 1|x-b: 2|x-a: 3|x-c: 4|";
        assert_eq!(out, want);
        let out = written(|edits| {
            edits.set(name("x-a"), "3");
            edits.add(name("x-a"), "4");
            edits.remove(header::HOST);
            edits.set_if_absent(header::HOST, "b");
            edits.add(name("x-d"), "5");
            edits.remove(name("x-d"));
        });
        assert_eq!(out, "x-frame-options: SAMEORIGIN|x-a: 3|x-a: 4|host: b|");
    }
}
