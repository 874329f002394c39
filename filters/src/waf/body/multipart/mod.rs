//! `multipart/form-data` (RFC 7578), and other bodies that have parts (RFC 2046) as some servers
//! read them: as a form.
//!
//! A server and a firewall that read one body in two ways are a way around the firewall, so what is
//! odd about a body is as important as what is in it: the flags are ModSecurity's (reference
//! manual, `MULTIPART_STRICT_ERROR`). The reader does not stop at what is odd: it gives all it
//! finds and tells the first fault.
//!
//! A part with a file name is a file, whose contents no rule sees; another is an argument. When
//! `filename*` and `filename` differ both names are given, since servers differ in which they take.
//! Where they differ in whether it is a file (two dispositions, `filename*` alone, `filename =`), it
//! is a file and an argument; what stands after the last boundary is read as parts too.

mod boundary;
mod disposition;
mod part;

use super::{Fault, Fields, Limits};
use boundary::Boundary;
use part::Part;

/// What is odd about a multipart body: the MULTIPART_* variables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MultipartFlags {
    /// MULTIPART_BOUNDARY_QUOTED
    pub boundary_quoted: bool,
    /// MULTIPART_BOUNDARY_WHITESPACE: white space around the `=` of `boundary`.
    pub boundary_whitespace: bool,
    /// The body or the boundary could not be read (REQBODY_PROCESSOR_ERROR).
    pub broken: bool,
    /// MULTIPART_CRLF_LF_LINES: some lines of heads and boundaries end in CRLF, some in LF.
    pub crlf_lf_lines: bool,
    /// MULTIPART_DATA_AFTER: bytes after the last boundary that are not blank.
    pub data_after: bool,
    /// MULTIPART_DATA_BEFORE: bytes before the first boundary.
    pub data_before: bool,
    /// MULTIPART_DUPLICATE_PART_HEADER, which Coraza has: a part names a field or parameter twice.
    pub duplicate_part_header: bool,
    /// MULTIPART_FILE_LIMIT_EXCEEDED: more than [`Limits::files`].
    pub file_limit_exceeded: bool,
    /// MULTIPART_HEADER_FOLDING: a field of a part is continued on the next line.
    pub header_folding: bool,
    /// MULTIPART_INVALID_HEADER_FOLDING: that line begins with neither space nor tab.
    pub invalid_header_folding: bool,
    /// MULTIPART_INVALID_PART: a part has no name, or no head.
    pub invalid_part: bool,
    /// MULTIPART_INVALID_QUOTING: single quotes, text after the closing quote, or a blank before `=`.
    pub invalid_quoting: bool,
    /// MULTIPART_LF_LINE: a line of a head or boundary ends in LF alone.
    pub lf_line: bool,
    /// MULTIPART_MISSING_SEMICOLON: no `;` before `boundary`.
    pub missing_semicolon: bool,
    /// MULTIPART_UNMATCHED_BOUNDARY: a line of a part begins with `--` and is no boundary.
    pub unmatched_boundary: bool,
}

impl MultipartFlags {
    /// MULTIPART_STRICT_ERROR: any of the flags but `crlf_lf_lines` and `unmatched_boundary`,
    /// which have rules of their own in ModSecurity's recommended configuration, and
    /// `boundary_quoted`: .NET and others quote it, and all servers know that (RFC 2046, 5.1.1).
    #[must_use]
    pub fn strict_error(self) -> bool {
        self.broken
            || self.boundary_whitespace
            || self.data_before
            || self.data_after
            || self.duplicate_part_header
            || self.header_folding
            || self.lf_line
            || self.missing_semicolon
            || self.invalid_quoting
            || self.invalid_part
            || self.invalid_header_folding
            || self.file_limit_exceeded
    }
}

pub(super) const fn fault(what: &'static str, at: usize) -> Fault {
    Fault::Syntax { format: "multipart", what, at }
}

/// Gives the fields, files and heads of the parts of `body`.
///
/// `content_type`: the value of the request's Content-Type, with the boundary. Cost: O(n), no
/// copy of any part's contents.
///
/// # Errors
/// See [`Fault`]; the flags are had either way, and `broken` or `file_limit_exceeded` is set.
pub fn multipart(
    body: &[u8],
    content_type: &[u8],
    limits: Limits,
    out: &mut impl Fields,
) -> (MultipartFlags, Result<(), Fault>) {
    let form = content_type.trim_ascii_start().get(..b"multipart/form-data".len());
    let mut reader = Reader {
        flags: MultipartFlags::default(),
        first: None,
        arguments: 0,
        files: 0,
        is_form: form.is_some_and(|kind| kind.eq_ignore_ascii_case(b"multipart/form-data")),
    };
    match Boundary::parse(content_type, &mut reader.flags) {
        Ok(boundary) => reader.body(body, boundary, limits, out),
        Err(what) => reader.fault(fault(what, 0)),
    }
    (reader.flags, reader.first.map_or(Ok(()), Err))
}

struct Reader {
    flags: MultipartFlags,
    first: Option<Fault>,
    arguments: usize,
    files: usize,
    is_form: bool,
}

impl Reader {
    fn fault(&mut self, fault: Fault) {
        self.flags.broken |= !matches!(fault, Fault::Files(_));
        self.first.get_or_insert(fault);
    }

    fn body(&mut self, body: &[u8], boundary: Boundary, limits: Limits, out: &mut impl Fields) {
        let mut has_crlf = false;
        let mut start = None;
        let mut is_complete = false;
        let mut at = 0;
        while let Some(line) = boundary.next(body, at) {
            self.flags.lf_line |= line.has_lf;
            has_crlf |= line.has_crlf;
            self.flags.unmatched_boundary |= start.is_some() && line.has_unmatched;
            match start {
                Some(start) => {
                    let part = body.get(start..line.start).unwrap_or_default();
                    // What is blank after the last boundary is no part without a head.
                    let is_part = !is_complete || !part.trim_ascii().is_empty();
                    has_crlf |= is_part && self.part(part, start, limits, out);
                }
                None => self.flags.data_before |= line.start > 0,
            }
            at = line.end;
            is_complete |= line.is_last;
            let is_over =
                line.is_last && body.get(at..).unwrap_or_default().trim_ascii().is_empty();
            start = (!is_over).then_some(at);
            if is_over {
                break;
            }
            self.flags.data_after |= line.is_last;
        }
        if !is_complete {
            let what = if start.is_some() { "the last boundary is missing" } else { "no boundary" };
            self.fault(fault(what, body.len()));
        }
        if let Some(start) = start.filter(|start| *start < body.len()) {
            self.part(body.get(start..).unwrap_or_default(), start, limits, out);
        }
        self.flags.crlf_lf_lines = has_crlf && self.flags.lf_line;
    }

    /// Reads a part, which begins at `at`; whether a line of its head ended in CRLF.
    fn part(&mut self, bytes: &[u8], at: usize, limits: Limits, out: &mut impl Fields) -> bool {
        let mut faults = None;
        let part = Part::parse(bytes, self.is_form, &mut self.flags, &mut faults);
        if let Some(what) = faults {
            self.fault(fault(what, at));
        }
        let (count, most, over) = match part.file {
            Some(_) => (&mut self.files, limits.files, Fault::Files(limits.files)),
            None => (&mut self.arguments, limits.arguments, Fault::Arguments(limits.arguments)),
        };
        if *count >= most {
            self.flags.file_limit_exceeded |= part.file.is_some();
            self.fault(over);
            return part.has_crlf;
        }
        *count += 1;
        for line in &part.head {
            out.part_header(&part.name, line);
        }
        match &part.file {
            Some(file) => out.file(&part.name, file, part.contents.len()),
            None => out.argument(&part.name, part.contents),
        }
        if let Some(alias) = &part.alias {
            out.file_alias(alias);
        }
        if part.file.is_some() && part.is_field_too {
            self.field_too(&part, limits, out);
        }
        part.has_crlf
    }

    /// Gives a file as an argument.
    fn field_too(&mut self, part: &Part<'_>, limits: Limits, out: &mut impl Fields) {
        if self.arguments >= limits.arguments {
            return self.fault(Fault::Arguments(limits.arguments));
        }
        self.arguments += 1;
        out.argument(&part.name, part.contents);
    }
}

#[cfg(test)]
mod tests;
