//! One part: its head, and what it carries.

use super::MultipartFlags;
use super::disposition::{self, Disposition};
use memchr::memchr;
use std::borrow::Cow;

/// Lines of a head that are read; clients send two or three.
pub(super) const HEAD_LINES_MAX: usize = 32;

/// A part of a body.
#[derive(Default)]
pub(super) struct Part<'a> {
    /// Its field's name; empty when it has none.
    pub(super) name: Vec<u8>,
    /// Its file's name, when it is a file.
    pub(super) file: Option<Vec<u8>>,
    /// Another name that a server may take for the file's.
    pub(super) alias: Option<Vec<u8>>,
    /// It is a file, and some servers read a field: its contents are an argument too.
    pub(super) is_field_too: bool,
    /// The lines of its head, continued ones put together with a space.
    pub(super) head: Vec<Cow<'a, [u8]>>,
    pub(super) contents: &'a [u8],
    /// A line of its head ends in CRLF.
    pub(super) has_crlf: bool,
}

impl<'a> Part<'a> {
    /// Reads a part of a form, or of another body that has parts; `faults` gets the first thing
    /// that is wrong with it, if anything is.
    pub(super) fn parse(
        bytes: &'a [u8],
        is_form: bool,
        flags: &mut MultipartFlags,
        faults: &mut Option<&'static str>,
    ) -> Self {
        let mut part = Self::default();
        part.read_head(bytes, flags, faults);
        part.check_names(flags, faults);
        let values = part.values(b"content-disposition");
        if values.is_empty() && is_form {
            flags.invalid_part = true;
            faults.get_or_insert("a part has no Content-Disposition");
        } else if values.is_empty() {
            // What servers that read it as a form take for the name.
            let id = part.values(b"content-id").into_iter().next();
            part.name = id.unwrap_or_default();
        }
        for value in &values {
            part.take(disposition::parse(value, is_form, flags, faults), is_form, flags);
        }
        part
    }

    /// The values of the field called `name`, which is in lower case.
    fn values(&self, name: &[u8]) -> Vec<Vec<u8>> {
        let fields = self.head.iter().filter_map(|line| field(line));
        let called = fields.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        called.map(|(_, value)| value.to_vec()).collect()
    }

    /// Takes the names of a disposition. Of several servers take the first or the last.
    fn take(&mut self, names: Disposition, is_form: bool, flags: &mut MultipartFlags) {
        flags.invalid_part |= names.name.is_none() && is_form;
        // Few servers know `filename*`, and none needs to (RFC 7578, section 4.2).
        self.is_field_too |= names.file.is_none() || names.is_odd;
        if self.name.is_empty() {
            self.name = names.name.unwrap_or_default();
        }
        let known = [names.extended, names.file].into_iter().flatten();
        for name in known.filter(|name| !name.is_empty()) {
            match &self.file {
                None => self.file = Some(name),
                Some(file) if *file != name => self.alias = Some(name),
                Some(_) => {}
            }
        }
    }

    /// Reads the lines up to an empty one; what follows it are the contents.
    fn read_head(
        &mut self,
        bytes: &'a [u8],
        flags: &mut MultipartFlags,
        faults: &mut Option<&'static str>,
    ) {
        let mut rest = bytes;
        while let Some(end) = memchr(b'\n', rest) {
            let (line, tail) = rest.split_at(end);
            rest = tail.get(1..).unwrap_or_default();
            let crlf = line.strip_suffix(b"\r");
            flags.lf_line |= crlf.is_none();
            self.has_crlf |= crlf.is_some();
            let line = crlf.unwrap_or(line);
            match line.first() {
                None => {
                    self.contents = rest;
                    return;
                }
                Some(first) if first.is_ascii_whitespace() || *first == 0x0b => {
                    self.fold(line, flags, faults);
                }
                Some(_) if self.head.len() >= HEAD_LINES_MAX => {
                    faults.get_or_insert("the head of a part is too long");
                }
                Some(_) => self.head.push(Cow::Borrowed(line)),
            }
        }
        // The line end before the boundary may be the one that ends the head.
        if !rest.is_empty() && rest != b"\r" {
            faults.get_or_insert("the head of a part has no end");
            self.head.push(Cow::Borrowed(rest));
        }
    }

    /// Adds a line that continues the one before it.
    fn fold(
        &mut self,
        line: &'a [u8],
        flags: &mut MultipartFlags,
        faults: &mut Option<&'static str>,
    ) {
        flags.header_folding = true;
        flags.invalid_header_folding |= !matches!(line.first(), Some(b' ' | b'\t'));
        let Some(last) = self.head.last_mut() else {
            faults.get_or_insert("a part begins with a continued line");
            self.head.push(Cow::Borrowed(line));
            return;
        };
        let last = last.to_mut();
        last.push(b' ');
        last.extend_from_slice(line.trim_ascii());
    }

    /// Each line has a name, and no name comes twice.
    fn check_names(&self, flags: &mut MultipartFlags, faults: &mut Option<&'static str>) {
        let mut names: Vec<_> = self
            .head
            .iter()
            .filter_map(|line| field(line))
            .map(|(name, _)| name.to_ascii_lowercase())
            .collect();
        if names.len() < self.head.len() || names.iter().any(Vec::is_empty) {
            faults.get_or_insert("a line of a part's head has no name");
        }
        names.sort_unstable();
        flags.duplicate_part_header |= names.windows(2).any(|pair| pair.first() == pair.last());
    }
}

/// The name and value of a line, trimmed.
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr(b':', line)?;
    let (name, value) = line.split_at(colon);
    Some((name.trim_ascii(), value.get(1..)?.trim_ascii()))
}
