//! Edits to a head: what stages and filters want changed, applied by the engine.
//!
//! Edits are a list, applied in order: a field is removed with all its duplicates, set to
//! one value, set only where the other side left it out, or added to what is there. A
//! request's target is replaced as a whole. All values stand in one piece of memory, which
//! [`HeadEdits::clear`] keeps: a list that is used again allocates nothing. Fields that many
//! answers get are added as [`Lines`], at once.

use crate::head::FieldList;
use crate::lines::{Line, Lines, Meeting, Placed, PlacedIter};
use http::HeaderName;
use std::io::{self, Write};
use std::sync::Arc;

/// One change to a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit<'a> {
    /// One more field, after those of its name that are there.
    Add(&'a HeaderName, &'a [u8]),
    /// The same with a name and a value that many answers get.
    Line(&'a Line),
    /// All fields of this name go.
    Remove(&'a HeaderName),
    /// The field is there once, with this value, whatever was there before.
    Set(&'a HeaderName, &'a [u8]),
    /// The field is set unless the message has one.
    SetIfAbsent(&'a HeaderName, &'a [u8]),
}

/// A list of edits, in the order in which they are applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeadEdits {
    edits: Vec<Entry>,
    /// The values of all of them, one after the other.
    values: Vec<u8>,
    /// Fields that are added at once.
    placed: Option<Placed>,
    /// Empty: the target stays.
    target: Vec<u8>,
    marks: Marks,
}

/// Names as bits, to know quickly that two are not the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Marks {
    /// Of those whose fields go.
    removed: u64,
    /// Of all.
    named: u64,
    /// Two edits are of the same name.
    has_repeats: bool,
}

/// One of 64 bits, the same for names that are the same: most names differ in it.
#[inline]
pub(crate) fn mark(name: &[u8]) -> u64 {
    let last = name.last().map_or(0, |byte| usize::from(byte | 0x20));
    1 << ((name.len() * 5 + last) % 64)
}

/// An edit in the list; its value follows those of the edits before it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    kind: Kind,
    name: HeaderName,
    value_bytes: usize,
}

/// What an edit does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Add,
    Remove,
    Set,
    SetIfAbsent,
}

/// A value or a target that is being written.
pub struct Draft<'a> {
    out: &'a mut Vec<u8>,
    from: usize,
}

impl Draft<'_> {
    /// Appends `bytes`.
    pub fn push(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// What was written so far.
    fn written(&self) -> &[u8] {
        self.out.get(self.from..).unwrap_or_default()
    }

    /// Whether nothing was written so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.written().is_empty()
    }
}

/// Never fails.
impl Write for Draft<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether `value` may be a field's: no control characters but tabs (RFC 9110 §5.5).
#[must_use]
#[inline]
pub fn is_value(value: &[u8]) -> bool {
    // Without a branch per byte, so that many are looked at at once.
    !value
        .iter()
        .fold(false, |is_bad, &byte| is_bad | ((byte < b' ') & (byte != b'\t')) | (byte == 0x7f))
}

impl HeadEdits {
    /// No edits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a field `name` with `value`, which must be fit for one, to those that are there.
    pub fn add(&mut self, name: HeaderName, value: impl AsRef<[u8]>) {
        self.push(Kind::Add, name, value.as_ref());
    }

    /// Removes all fields called `name`.
    pub fn remove(&mut self, name: HeaderName) {
        self.push(Kind::Remove, name, b"");
    }

    /// Sets `name` to `value`, which must be fit for it, replacing what was there.
    pub fn set(&mut self, name: HeaderName, value: impl AsRef<[u8]>) {
        self.push(Kind::Set, name, value.as_ref());
    }

    /// Sets `name` to `value`, which must be fit for it, unless the message has the field.
    pub fn set_if_absent(&mut self, name: HeaderName, value: impl AsRef<[u8]>) {
        self.push(Kind::SetIfAbsent, name, value.as_ref());
    }

    /// Adds a field `name` with the value that `write` writes, if that is fit for one. Whether
    /// it is.
    pub fn add_written(&mut self, name: HeaderName, write: impl FnOnce(&mut Draft<'_>)) -> bool {
        self.push_written(Kind::Add, name, write)
    }

    /// Sets `name` to the value that `write` writes, if that is fit for it. Whether it is.
    pub fn set_written(&mut self, name: HeaderName, write: impl FnOnce(&mut Draft<'_>)) -> bool {
        self.push_written(Kind::Set, name, write)
    }

    /// Adds `lines` to a head whose fields are `came`: each once, unless a field of its name is
    /// there that is to stay.
    /// Cost: O(fields), no allocation where none of them was sent.
    pub fn add_lines(&mut self, lines: &Arc<Lines>, came: &dyn FieldList) {
        let (mut on, mut gone) = (lines.all(), 0);
        came.each(&mut |name, _| match lines.meet(name) {
            // What an edit has taken away already is not there.
            Some(Meeting::Kept(line)) if !self.removes(name) => on &= !(1 << line),
            Some(Meeting::Gone(name) | Meeting::Replaced(name)) => {
                let bit = mark(name.as_str().as_bytes());
                if gone & bit == 0 || !self.removes(name.as_str().as_bytes()) {
                    self.remove(name.clone());
                }
                gone |= bit;
            }
            Some(Meeting::Kept(_)) | None => {}
        });
        if self.placed.is_some() {
            return self.add_singly(lines, on);
        }
        if self.marks.named & lines.marks() != 0 {
            on = self.without_named(lines, on);
        }
        if on != 0 {
            self.marks.named |= lines.marks();
            self.placed = Some(Placed { lines: Arc::clone(lines), on, at: self.edits.len() });
        }
    }

    /// Adds those of `lines` whose bits are `on` as edits like others.
    fn add_singly(&mut self, lines: &Lines, on: u64) {
        for (_, line) in lines.lines().iter().enumerate().filter(|(at, _)| on >> at & 1 == 1) {
            self.set_if_absent(line.name.clone(), &line.value);
        }
    }

    /// `on` without lines whose fields an edit has set or added already.
    fn without_named(&self, lines: &Lines, on: u64) -> u64 {
        let mut left = on;
        for (at, line) in lines.lines().iter().enumerate() {
            let mut of_name = self.edits.iter().filter(|entry| entry.name == line.name);
            if of_name.next_back().is_some_and(|last| last.kind != Kind::Remove) {
                left &= !(1 << at);
            }
        }
        left
    }

    /// Whether an edit takes away fields called `name`, in whatever case.
    fn removes(&self, name: &[u8]) -> bool {
        let is = |entry: &Entry| {
            matches!(entry.kind, Kind::Remove | Kind::Set)
                && name.eq_ignore_ascii_case(entry.name.as_str().as_bytes())
        };
        self.may_remove(name) && self.edits.iter().any(is)
    }

    /// The text of lines that were added, as HTTP/1 writes them, if all of them were and nothing
    /// else touches their names: what is left to do is [`iter_but_lines`](Self::iter_but_lines).
    #[must_use]
    pub fn text_of_lines(&self) -> Option<&[u8]> {
        let placed = self.placed.as_ref()?;
        let is_whole = placed.on == placed.lines.all() && !self.marks.has_repeats;
        is_whole.then(|| placed.lines.text())
    }

    fn push(&mut self, kind: Kind, name: HeaderName, value: &[u8]) {
        debug_assert!(is_value(value), "{name}: {value:?}");
        self.values.extend_from_slice(value);
        self.enter(Entry { kind, name, value_bytes: value.len() });
    }

    fn enter(&mut self, entry: Entry) {
        let mark = mark(entry.name.as_str().as_bytes());
        if self.marks.named & mark != 0 {
            let is_line = |placed: &Placed| placed.lines.has(&entry.name);
            self.marks.has_repeats |= self.edits.iter().any(|one| one.name == entry.name)
                || self.placed.as_ref().is_some_and(is_line);
        }
        self.marks.named |= mark;
        if matches!(entry.kind, Kind::Remove | Kind::Set) {
            self.marks.removed |= mark;
        }
        self.edits.push(entry);
    }

    fn push_written(
        &mut self,
        kind: Kind,
        name: HeaderName,
        write: impl FnOnce(&mut Draft<'_>),
    ) -> bool {
        let from = self.values.len();
        let mut draft = Draft { out: &mut self.values, from };
        write(&mut draft);
        let (value_bytes, is_fit) = (draft.written().len(), is_value(draft.written()));
        match is_fit {
            true => self.enter(Entry { kind, name, value_bytes }),
            false => self.values.truncate(from),
        }
        is_fit
    }

    /// Replaces the target of a request: path and query, which must be fit to be one.
    pub fn set_target(&mut self, target: &[u8]) {
        self.write_target(|out| {
            out.push(target);
            true
        });
    }

    /// Replaces the target of a request by what `write` writes, unless it says that it stays:
    /// with `false`.
    pub fn write_target(&mut self, write: impl FnOnce(&mut Draft<'_>) -> bool) {
        self.target.clear();
        if !write(&mut Draft { out: &mut self.target, from: 0 }) {
            self.target.clear();
        }
        debug_assert!(matches!(self.target.first(), None | Some(b'/')));
    }

    /// The target that the request gets, if it gets another one.
    #[must_use]
    pub fn target(&self) -> Option<&[u8]> {
        (!self.target.is_empty()).then_some(&self.target)
    }

    /// Whether an edit may take away a field that came with this `name`, in whatever case.
    /// `false` is sure.
    #[must_use]
    pub fn may_remove(&self, name: &[u8]) -> bool {
        self.marks.removed & mark(name) != 0
    }

    /// Whether two edits are of the same name.
    #[must_use]
    pub fn has_repeats(&self) -> bool {
        self.marks.has_repeats
    }

    /// The edits of fields, in order; each line is one of its own.
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        let lines = |placed| PlacedIter::of(placed);
        Iter { lines: self.placed.as_ref().map(lines).unwrap_or_default(), ..self.iter_but_lines() }
    }

    /// The same without lines.
    #[must_use]
    pub fn iter_but_lines(&self) -> Iter<'_> {
        Iter { entries: self.edits.iter(), values: &self.values, lines: PlacedIter::default() }
    }

    /// How many edits of fields there are.
    #[must_use]
    pub fn len(&self) -> usize {
        let lines = self.placed.as_ref().map_or(0, |placed| placed.on.count_ones());
        self.edits.len() + usize::try_from(lines).unwrap_or(0)
    }

    /// Whether nothing is to be changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty() && self.placed.is_none() && self.target.is_empty()
    }

    /// Forgets all edits, keeps the memory.
    pub fn clear(&mut self) {
        let Self { edits, values, placed, target, marks } = self;
        edits.clear();
        values.clear();
        *placed = None;
        target.clear();
        *marks = Marks::default();
    }

    /// Bytes of memory that it holds, used or not.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let Self { edits, values, placed: _, target, marks: _ } = self;
        edits.capacity() * size_of::<Entry>() + values.capacity() + target.capacity()
    }
}

/// The edits of a list, in order.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    entries: std::slice::Iter<'a, Entry>,
    /// The values of these.
    values: &'a [u8],
    lines: PlacedIter<'a>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Edit<'a>;

    fn next(&mut self) -> Option<Edit<'a>> {
        if let Some(line) = self.lines.next() {
            return Some(Edit::Line(line));
        }
        let Entry { kind, name, value_bytes } = self.entries.next()?;
        let (value, rest) = self.values.split_at_checked(*value_bytes)?;
        self.values = rest;
        Some(match kind {
            Kind::Add => Edit::Add(name, value),
            Kind::Remove => Edit::Remove(name),
            Kind::Set => Edit::Set(name, value),
            Kind::SetIfAbsent => Edit::SetIfAbsent(name, value),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.entries.len(), None)
    }
}

impl<'a> IntoIterator for &'a HeadEdits {
    type Item = Edit<'a>;
    type IntoIter = Iter<'a>;
    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::Line;
    use http::header::{ACCEPT, COOKIE, HOST, VARY};

    #[test]
    fn edits_come_back_in_order_each_with_its_value() {
        let mut edits = HeadEdits::new();
        for round in 0..2 {
            edits.set(HOST, "a.example");
            edits.remove(COOKIE);
            edits.add(VARY, "");
            assert!(edits.add_written(VARY, |value| write!(value, "x{round}").unwrap()));
            edits.set_if_absent(ACCEPT, b"*/*");
            let want = [
                Edit::Set(&HOST, b"a.example"),
                Edit::Remove(&COOKIE),
                Edit::Add(&VARY, b""),
                Edit::Add(&VARY, if round == 0 { b"x0" } else { b"x1" }),
                Edit::SetIfAbsent(&ACCEPT, b"*/*"),
            ];
            assert_eq!(edits.iter().collect::<Vec<_>>(), want);
            assert_eq!(edits.len(), 5);
            edits.clear();
            assert!(edits.is_empty() && edits.iter().next().is_none());
        }
    }

    #[test]
    fn what_no_field_may_hold_is_not_kept() {
        for (written, is_fit) in
            [("a\tb", true), ("\u{e9}", true), ("a\nb", false), ("\0", false), ("\x7f", false)]
        {
            let mut edits = HeadEdits::new();
            edits.set(HOST, "a");
            assert_eq!(edits.set_written(VARY, |value| value.push(written.as_bytes())), is_fit);
            edits.set(ACCEPT, "b");
            assert_eq!(edits.len(), 2 + usize::from(is_fit), "{written:?}");
            assert_eq!(edits.iter().last(), Some(Edit::Set(&ACCEPT, b"b")), "{written:?}");
        }
    }

    #[test]
    fn a_target_is_replaced_unless_it_is_said_to_stay() {
        let mut edits = HeadEdits::new();
        edits.write_target(|target| {
            target.push(b"/half");
            false
        });
        assert_eq!(edits.target(), None);
        edits.set_target(b"/a?b");
        assert_eq!((edits.target(), edits.is_empty()), (Some(&b"/a?b"[..]), false));
        edits.clear();
        assert_eq!(edits.target(), None);
    }

    #[test]
    fn what_is_surely_not_there_is_known() {
        let mut edits = HeadEdits::new();
        edits.add(HOST, "a");
        assert!(!edits.may_remove(b"Host"));
        edits.set(COOKIE, "b");
        assert!(edits.may_remove(b"cookie") && edits.may_remove(b"COOKIE"));
        assert!(!edits.may_remove(b"host") && !edits.has_repeats());
        edits.remove(HOST);
        assert!(edits.may_remove(b"host") && edits.has_repeats());
        edits.clear();
        assert!(!edits.may_remove(b"host") && !edits.has_repeats());
    }

    #[test]
    fn a_list_that_is_used_again_keeps_its_memory() {
        let mut edits = HeadEdits::new();
        edits.set(HOST, "a.example");
        edits.set_target(b"/x");
        let bytes = edits.memory_bytes();
        edits.clear();
        edits.set(HOST, "a.example");
        edits.set_target(b"/x");
        assert_eq!(edits.memory_bytes(), bytes);
    }

    fn lines(names: &[&'static str], gone: Vec<HeaderName>) -> Arc<Lines> {
        let line = |name: &&'static str| Line {
            name: HeaderName::from_static(name),
            value: http::HeaderValue::from_static("new"),
            replaces: *name == "x-r",
        };
        Arc::new(Lines::new(names.iter().map(line).collect(), gone))
    }

    /// What becomes of a head with the fields `came`: names and values, in order.
    fn applied(came: &[(&str, &str)], edits: &HeadEdits) -> Vec<String> {
        let mut all: Vec<(String, String)> =
            came.iter().map(|(name, value)| (name.to_lowercase(), (*value).to_owned())).collect();
        for edit in edits {
            match edit {
                Edit::Remove(name) | Edit::Set(name, _) => {
                    all.retain(|(one, _)| one != name.as_str())
                }
                Edit::Add(..) | Edit::Line(_) | Edit::SetIfAbsent(..) => {}
            }
            let value = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
            match edit {
                Edit::Add(name, new) | Edit::Set(name, new) => {
                    all.push((name.to_string(), value(new)))
                }
                Edit::Line(line) => {
                    all.push((line.name.to_string(), value(line.value.as_bytes())));
                }
                Edit::SetIfAbsent(name, new) if all.iter().all(|(one, _)| one != name.as_str()) => {
                    all.push((name.to_string(), value(new)));
                }
                Edit::SetIfAbsent(..) | Edit::Remove(_) => {}
            }
        }
        all.into_iter().map(|(name, value)| format!("{name}: {value}")).collect()
    }

    #[test]
    fn lines_are_added_once_unless_what_came_is_to_stay() {
        let lines = lines(&["x-a", "x-b", "x-r"], vec![http::header::SERVER]);
        for (came, want, is_text) in [
            (&[("y", "1")][..], &["y: 1", "x-a: new", "x-b: new", "x-r: new"][..], true),
            (&[("X-B", "old")], &["x-b: old", "x-a: new", "x-r: new"], false),
            (&[("x-r", "1"), ("x-r", "2")], &["x-a: new", "x-b: new", "x-r: new"], true),
            (&[("Server", "1"), ("server", "2")], &["x-a: new", "x-b: new", "x-r: new"], true),
            (&[("x-a", "1"), ("x-b", "2"), ("x-r", "3")], &["x-a: 1", "x-b: 2", "x-r: new"], false),
        ] {
            let mut edits = HeadEdits::new();
            edits.add_lines(&lines, &crate::FieldSlice(came));
            assert_eq!(applied(came, &edits), want, "{came:?}");
            assert_eq!(edits.text_of_lines().is_some(), is_text, "{came:?}");
            assert_eq!(edits.len(), edits.iter().count());
        }
    }

    #[test]
    fn lines_stand_among_other_edits_in_order() {
        let (lines, none) = (lines(&["x-a", "x-b"], vec![]), crate::FieldSlice(&[]));
        let name = HeaderName::from_static;
        let with = |before: &dyn Fn(&mut HeadEdits), after: &dyn Fn(&mut HeadEdits)| {
            let mut edits = HeadEdits::new();
            before(&mut edits);
            edits.add_lines(&lines, &none);
            after(&mut edits);
            (applied(&[], &edits), edits.text_of_lines().is_some())
        };
        let nothing = |_: &mut HeadEdits| {};
        let is = |fields: &[&str], is_text: bool| {
            (fields.iter().map(ToString::to_string).collect::<Vec<_>>(), is_text)
        };
        let set = |edits: &mut HeadEdits| edits.set(name("x-a"), "other");
        let other = |edits: &mut HeadEdits| edits.set(name("x-z"), "other");
        assert_eq!(with(&other, &nothing), is(&["x-z: other", "x-a: new", "x-b: new"], true));
        assert_eq!(with(&nothing, &set), is(&["x-b: new", "x-a: other"], false));
        assert_eq!(with(&set, &nothing), is(&["x-a: other", "x-b: new"], false));
        let gone = |edits: &mut HeadEdits| edits.remove(name("x-b"));
        assert_eq!(with(&nothing, &gone), is(&["x-a: new"], false));
        assert_eq!(with(&gone, &nothing), is(&["x-a: new", "x-b: new"], true));
        let again = |edits: &mut HeadEdits| edits.add_lines(&lines, &none);
        assert_eq!(with(&again, &nothing), is(&["x-a: new", "x-b: new"], false));
        let absent = |edits: &mut HeadEdits| edits.set_if_absent(name("x-a"), "other");
        assert_eq!(with(&nothing, &absent), is(&["x-a: new", "x-b: new"], false));
    }

    #[test]
    fn a_field_that_an_edit_takes_away_does_not_keep_its_line_out() {
        let came = [("x-a", "old")];
        let mut edits = HeadEdits::new();
        edits.remove(HeaderName::from_static("x-a"));
        edits.add_lines(&lines(&["x-a"], vec![]), &crate::FieldSlice(&came));
        assert_eq!(applied(&came, &edits), ["x-a: new"]);
    }
}
