//! The fields of a head, as ranges of the bytes that they came in.
//!
//! A head is looked at once and never copied: its parser notes where each name and value is,
//! in memory that is used again for the next head. [`Fields`] shows them to the stages.

use super::bytes::{is_token, is_value};
use super::request::FIELDS_MAX;
use vanne_filters::FieldList;

/// A range of the bytes of a head. Heads are shorter than 4 GiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// The range from `start` to before `end`.
    #[must_use]
    pub fn new(start: usize, end: usize) -> Self {
        let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self { start: narrow(start), end: narrow(end) }
    }

    /// These bytes of `head`; none if it is shorter.
    #[must_use]
    pub fn of(self, head: &[u8]) -> &[u8] {
        head.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// Where a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name: a token.
    pub name: Span,
    /// Its value, without the white space around it.
    pub value: Span,
}

/// A field that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoField;

/// Reads the field in the line of `head` from `start` to before `end`, its CR LF left out
/// (RFC 9112 §5): no space before the colon, no folded line, no controls.
/// Cost: O(n), no allocation.
///
/// # Errors
/// When the line has another form.
pub fn parse_field(head: &[u8], start: usize, end: usize) -> Result<Field, NoField> {
    let line = head.get(start..end).ok_or(NoField)?;
    let colon = line.iter().position(|byte| !is_token(*byte)).ok_or(NoField)?;
    let (name, rest) = line.split_at_checked(colon).ok_or(NoField)?;
    let value = rest.strip_prefix(b":").ok_or(NoField)?;
    if name.is_empty() || !is_value(value) {
        return Err(NoField);
    }
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let before = value.iter().take_while(|byte| blank(byte)).count();
    let text = value.get(before..).unwrap_or_default();
    let after = text.iter().rev().take_while(|byte| blank(byte)).count();
    let value_start = start + colon + 1 + before;
    Ok(Field {
        name: Span::new(start, start + colon),
        value: Span::new(value_start, value_start + text.len() - after),
    })
}

/// Reads the trailers in `lines`, which end with an empty line: where they are goes to `list`.
/// Cost: O(n); allocates only if `list` has no room.
///
/// # Errors
/// When a line is no field, there are too many, or the empty line is missing.
pub fn read_trailers(lines: &[u8], list: &mut Vec<Field>) -> Result<(), NoField> {
    let mut start = 0;
    loop {
        let rest = lines.get(start..).unwrap_or_default();
        let end = start + memchr::memchr(b'\r', rest).ok_or(NoField)?;
        if lines.get(end + 1) != Some(&b'\n') {
            return Err(NoField);
        }
        if end == start {
            return if end + 2 == lines.len() { Ok(()) } else { Err(NoField) };
        }
        if list.len() >= FIELDS_MAX {
            return Err(NoField);
        }
        list.push(parse_field(lines, start, end)?);
        start = end + 2;
    }
}

/// The fields of a head.
#[derive(Clone, Copy)]
pub struct Fields<'a> {
    /// The bytes that the ranges are of.
    pub head: &'a [u8],
    /// Where the fields are, in order.
    pub list: &'a [Field],
}

impl<'a> Fields<'a> {
    /// Names and values, in order.
    pub fn iter(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone {
        self.list.iter().map(move |field| (field.name.of(self.head), field.value.of(self.head)))
    }

    fn called(self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let is_it = move |field: &[u8]| field.eq_ignore_ascii_case(name.as_bytes());
        self.iter().filter(move |(field, _)| is_it(field)).map(|(_, value)| value)
    }
}

impl FieldList for Fields<'_> {
    fn each(&self, visit: &mut dyn FnMut(&[u8], &[u8])) {
        for (name, value) in self.iter() {
            visit(name, value);
        }
    }

    fn first(&self, name: &str) -> Option<&[u8]> {
        self.called(name).next()
    }

    fn count(&self, name: &str) -> usize {
        self.called(name).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_a_name_and_a_value_without_the_blanks_around_it() {
        let line = b"..Some-Name: \t a  b \t..";
        let field = parse_field(line, 2, line.len() - 2).unwrap();
        assert_eq!((field.name.of(line), field.value.of(line)), (&b"Some-Name"[..], &b"a  b"[..]));
        let empty = parse_field(b"a:", 0, 2).unwrap();
        assert_eq!(empty.value.of(b"a:"), b"");
        for line in ["a", "a :b", ":b", " a:b", "a: \0", "a: b\x7f", "\u{e4}:b", ""] {
            assert_eq!(parse_field(line.as_bytes(), 0, line.len()), Err(NoField), "{line:?}");
        }
    }

    #[test]
    fn fields_are_found_by_name_in_any_case() {
        let head = b"A: 1\r\nb: 2\r\na: 3\r\n";
        let list = [(0, 4), (6, 10), (12, 16)].map(|(s, e)| parse_field(head, s, e).unwrap());
        let fields = Fields { head, list: &list };
        assert_eq!((fields.first("a"), fields.count("a")), (Some(&b"1"[..]), 2));
        assert_eq!((fields.first("c"), fields.count("c")), (None, 0));
        let mut seen = Vec::new();
        fields.each(&mut |name, value| seen.push((name.to_vec(), value.to_vec())));
        assert_eq!(seen[1], (b"b".to_vec(), b"2".to_vec()));
    }
}
