//! Lines: fields that many answers get, written out once.
//!
//! A set of ten fields costs an answer no more than one: where the other side sent none of
//! them, which is the rule, an engine copies them as one piece of text. Where it sent some,
//! or something else changes them, they are edits like others.

use crate::edits::mark;
use http::{HeaderName, HeaderValue};
use std::sync::Arc;

/// Fields that an answer gets, and some that it loses. Built once, shared by all answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    lines: Box<[Line]>,
    gone: Box<[HeaderName]>,
    /// All fields, as HTTP/1 writes them.
    text: Box<[u8]>,
    /// Of the names of lines.
    marks: u64,
    /// Of all names, also of fields that go.
    marks_of_all: u64,
}

/// A field that an answer gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its name.
    pub name: HeaderName,
    /// Its value.
    pub value: HeaderValue,
    /// Whether it takes the place of what the other side sent; else that stays, and there is no
    /// second one.
    pub replaces: bool,
}

/// What [`Lines`] have to do with a field that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meeting<'a> {
    /// It goes.
    Gone(&'a HeaderName),
    /// It is there, so the line with this index is not needed.
    Kept(usize),
    /// The line with this name takes its place.
    Replaced(&'a HeaderName),
}

/// How many lines there may be: as many as a number has bits.
const LINES_MAX: usize = 64;

impl Lines {
    /// These fields, 64 at most (more are left out), each name once, and `gone`: names of fields
    /// that go, whoever sent them.
    #[must_use]
    pub fn new(mut lines: Vec<Line>, gone: Vec<HeaderName>) -> Self {
        debug_assert!(lines.len() <= LINES_MAX);
        lines.truncate(LINES_MAX);
        let mut text = Vec::new();
        for line in &lines {
            for part in [line.name.as_str().as_bytes(), b": ", line.value.as_bytes(), b"\r\n"] {
                text.extend_from_slice(part);
            }
        }
        let marks_of = |names: &mut dyn Iterator<Item = &HeaderName>| {
            names.fold(0, |marks, name| marks | mark(name.as_str().as_bytes()))
        };
        let marks = marks_of(&mut lines.iter().map(|line| &line.name));
        let marks_of_all = marks | marks_of(&mut gone.iter());
        Self { lines: lines.into(), gone: gone.into(), text: text.into(), marks, marks_of_all }
    }

    /// The fields, in order.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Whether it changes nothing in any answer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.gone.is_empty()
    }

    /// All fields as HTTP/1 writes them, names in lower case.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// The marks of the names of its fields.
    pub(crate) fn marks(&self) -> u64 {
        self.marks
    }

    /// All fields as bits.
    pub(crate) fn all(&self) -> u64 {
        u64::MAX.checked_shr(64 - u32::try_from(self.lines.len()).unwrap_or(64)).unwrap_or(0)
    }

    /// Whether one of its fields is called `name`.
    pub(crate) fn has(&self, name: &HeaderName) -> bool {
        self.lines.iter().any(|line| line.name == *name)
    }

    /// What is to be done about a field that came with this `name`, in whatever case; `None`:
    /// nothing.
    #[inline]
    pub(crate) fn meet(&self, name: &[u8]) -> Option<Meeting<'_>> {
        // Most fields of a head are told apart here.
        if self.marks_of_all & mark(name) == 0 {
            return None;
        }
        let is = |own: &HeaderName| name.eq_ignore_ascii_case(own.as_str().as_bytes());
        if let Some(own) = self.gone.iter().find(|own| is(own)) {
            return Some(Meeting::Gone(own));
        }
        let index = self.lines.iter().position(|line| is(&line.name))?;
        self.lines.get(index).map(|line| match line.replaces {
            true => Meeting::Replaced(&line.name),
            false => Meeting::Kept(index),
        })
    }
}

/// Lines in a list of edits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) lines: Arc<Lines>,
    /// Those that are added, as bits.
    pub(crate) on: u64,
    /// How many edits come before them.
    pub(crate) at: usize,
}

/// The lines of a list of edits that are left.
#[derive(Clone, Debug, Default)]
pub(crate) struct PlacedIter<'a> {
    lines: &'a [Line],
    /// Those that are added, as bits, from the first that is left.
    on: u64,
    /// How many edits come before them.
    after: usize,
}

impl<'a> PlacedIter<'a> {
    pub(crate) fn of(placed: &'a Placed) -> Self {
        Self { lines: placed.lines.lines(), on: placed.on, after: placed.at }
    }

    /// The next line, if it is their turn.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<&'a Line> {
        if self.on == 0 {
            return None;
        }
        if let Some(after) = self.after.checked_sub(1) {
            self.after = after;
            return None;
        }
        let skipped = self.on.trailing_zeros();
        let rest = self.lines.get(usize::try_from(skipped).ok()?..)?;
        let (line, rest) = rest.split_first()?;
        self.lines = rest;
        self.on = self.on.checked_shr(skipped + 1).unwrap_or(0);
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header;

    fn lines(count: usize) -> Lines {
        let line = |index: usize| Line {
            name: format!("x-{index}").parse().unwrap(),
            value: HeaderValue::from(index),
            replaces: index == 1,
        };
        Lines::new((0..count).map(line).collect(), vec![header::SERVER])
    }

    #[test]
    fn every_line_has_its_bit() {
        for (count, all) in [(0, 0), (1, 1), (3, 7), (63, u64::MAX >> 1), (64, u64::MAX)] {
            assert_eq!(lines(count).all(), all, "{count}");
        }
    }

    #[test]
    fn fields_that_came_go_stay_or_are_replaced() {
        let lines = lines(3);
        for (name, meeting) in [
            ("X-0", Some(Meeting::Kept(0))),
            ("x-1", Some(Meeting::Replaced(&lines.lines[1].name))),
            ("Server", Some(Meeting::Gone(&header::SERVER))),
            ("x-9", None),
            ("", None),
        ] {
            assert_eq!(lines.meet(name.as_bytes()), meeting, "{name}");
        }
        assert_eq!(lines.text(), b"x-0: 0\r\nx-1: 1\r\nx-2: 2\r\n");
        assert!(Lines::new(vec![], vec![]).is_empty() && !lines.is_empty());
    }
}
