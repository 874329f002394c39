//! `Content-Disposition` of a part: its name and file names (RFC 6266, RFC 5987).

use super::MultipartFlags;
use crate::waf::transform::decode_percent;
use memchr::memchr;

/// What a part is called.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Disposition {
    pub(super) name: Option<Vec<u8>>,
    /// `filename`
    pub(super) file: Option<Vec<u8>>,
    /// `filename*`, decoded: bytes of whatever character set it says.
    pub(super) extended: Option<Vec<u8>>,
    /// A name of a parameter has a blank behind it: not all servers know it then.
    pub(super) is_odd: bool,
}

/// Reads the value of the field in a part of a form or of another body; `faults` gets what is wrong
/// with it, if anything is.
pub(super) fn parse(
    value: &[u8],
    is_form: bool,
    flags: &mut MultipartFlags,
    faults: &mut Option<&'static str>,
) -> Disposition {
    let mut disposition = Disposition::default();
    let end = memchr(b';', value).unwrap_or(value.len());
    let (kind, mut rest) = value.split_at(end);
    if is_form && !kind.trim_ascii().eq_ignore_ascii_case(b"form-data") {
        faults.get_or_insert("a part is not form-data");
    }
    while let Some(text) = rest.strip_prefix(b";") {
        let text = text.trim_ascii_start();
        if text.is_empty() {
            break;
        }
        let Some(parameter) = parameter(text, flags) else {
            faults.get_or_insert("a parameter of Content-Disposition is broken");
            break;
        };
        rest = parameter.rest;
        disposition.take(parameter, flags, faults);
    }
    disposition
}

struct Parameter<'a> {
    name: Vec<u8>,
    value: Vec<u8>,
    is_odd: bool,
    is_quoted: bool,
    rest: &'a [u8],
}

impl Disposition {
    fn take(
        &mut self,
        parameter: Parameter<'_>,
        flags: &mut MultipartFlags,
        faults: &mut Option<&'static str>,
    ) {
        self.is_odd |= parameter.is_odd;
        let place = match parameter.name.as_slice() {
            b"name" => &mut self.name,
            b"filename" => &mut self.file,
            b"filename*" => &mut self.extended,
            // RFC 2231's pieces, `filename*0`: few servers put them together.
            name if name.starts_with(b"filename*") => {
                faults.get_or_insert("a file name in pieces");
                &mut self.extended
            }
            _ => return,
        };
        if place.is_some() {
            flags.duplicate_part_header = true;
            return;
        }
        if parameter.name != b"filename*" {
            *place = Some(parameter.value);
            return;
        }
        // RFC 5987: not quoted, `charset'language'value`.
        flags.invalid_quoting |= parameter.is_quoted;
        let encoded = parameter.value.splitn(3, |byte| *byte == b'\'').nth(2);
        let Some(encoded) = encoded else {
            faults.get_or_insert("`filename*` without a character set");
            return;
        };
        let mut decoded = Vec::new();
        if !decode_percent(encoded, &mut decoded) {
            faults.get_or_insert("`filename*` with a broken escape");
        }
        *place = Some(decoded);
    }
}

/// `name=token`, `name="text"` or `name='text'`, and what follows it: `;` or nothing.
fn parameter<'a>(text: &'a [u8], flags: &mut MultipartFlags) -> Option<Parameter<'a>> {
    let equals = memchr(b'=', text)?;
    let (name, value) = text.split_at(equals);
    let is_odd = name.trim_ascii_end().len() < name.len();
    flags.invalid_quoting |= is_odd;
    let name = name.trim_ascii().to_ascii_lowercase();
    let value = value.get(1..)?.trim_ascii_start();
    let quote = value.first().copied().filter(|byte| matches!(byte, b'"' | b'\''));
    let Some(quote) = quote else {
        let end = memchr(b';', value).unwrap_or(value.len());
        let (value, rest) = value.split_at(end);
        let value = value.trim_ascii_end();
        flags.invalid_quoting |= value.iter().any(|byte| matches!(byte, b'"' | b' ' | b'\t'));
        return Some(Parameter { name, value: value.to_vec(), is_odd, is_quoted: false, rest });
    };
    flags.invalid_quoting |= quote == b'\'';
    let (value, rest) = quoted(value.get(1..)?, quote)?;
    let after = rest.trim_ascii_start();
    if after.is_empty() || after.starts_with(b";") {
        return Some(Parameter { name, value, is_odd, is_quoted: true, rest: after });
    }
    // Text after the closing quote: the next parameter begins after the next `;`.
    flags.invalid_quoting = true;
    let end = memchr(b';', after).unwrap_or(after.len());
    Some(Parameter { name, value, is_odd, is_quoted: true, rest: after.get(end..)? })
}

/// The text up to `quote`, and what follows. `\` before the quote or another `\` is left out, and
/// only there: browsers send `C:\dir\file` as it is.
fn quoted(text: &[u8], quote: u8) -> Option<(Vec<u8>, &[u8])> {
    let mut value = Vec::new();
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return None,
            [b'\\', byte, tail @ ..] if *byte == quote || *byte == b'\\' => {
                value.push(*byte);
                tail
            }
            [byte, tail @ ..] if *byte == quote => return Some((value, tail)),
            [byte, tail @ ..] => {
                value.push(*byte);
                tail
            }
        };
    }
}
