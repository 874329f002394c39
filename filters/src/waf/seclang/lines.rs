//! Cuts a file into logical lines: a line that ends in `\` goes on in the next one.
//!
//! As ModSecurity reads them: white space at both ends of each physical line is dropped, and lines
//! that begin with `#` are comments, also between continued lines. A logical line remembers where
//! each of its pieces came from, so that every fault can point at its place.

use std::sync::Arc;

use super::fault::Place;

/// One directive with its arguments, joined from one or more physical lines.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// The joined text.
    pub text: String,
    file: Arc<str>,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
struct Piece {
    /// Where it begins in the joined text.
    offset: usize,
    line: u32,
    /// White space dropped before it.
    indent: usize,
    raw: String,
}

impl Line {
    /// Where the byte at `offset` of the joined text stands in the file.
    pub(crate) fn place(&self, offset: usize) -> Place {
        let piece = self.pieces.iter().rev().find(|piece| piece.offset <= offset);
        match piece {
            Some(piece) => Place {
                file: Arc::clone(&self.file),
                line: piece.line,
                column: (piece.indent + offset - piece.offset + 1) as u32,
                text: piece.raw.clone(),
            },
            None => Place { file: Arc::clone(&self.file), line: 1, column: 1, text: String::new() },
        }
    }
}

/// What some editors write at the beginning of a file in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The logical lines of `text`. Bytes that are not UTF-8 are read as Latin-1.
pub(crate) fn split(file: &str, text: &[u8]) -> Vec<Line> {
    let file: Arc<str> = file.into();
    let mut lines = Vec::new();
    let mut open: Option<Line> = None;
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    for (index, raw) in text.split(|byte| *byte == b'\n').enumerate() {
        let raw = decode(raw);
        let trimmed = raw.trim();
        if trimmed.starts_with('#') || (trimmed.is_empty() && open.is_none()) {
            continue;
        }
        let (body, continues) = match trimmed.strip_suffix('\\') {
            Some(body) => (body, true),
            None => (trimmed, false),
        };
        let line = open.get_or_insert_with(|| Line {
            text: String::new(),
            file: Arc::clone(&file),
            pieces: Vec::new(),
        });
        line.pieces.push(Piece {
            offset: line.text.len(),
            line: index as u32 + 1,
            indent: raw.len() - raw.trim_start().len(),
            raw: raw.trim_end().to_owned(),
        });
        line.text.push_str(body);
        if !continues {
            lines.extend(open.take());
        }
    }
    lines.extend(open);
    lines.retain(|line| !line.text.trim().is_empty());
    lines
}

fn decode(raw: &[u8]) -> String {
    match std::str::from_utf8(raw) {
        Ok(text) => text.to_owned(),
        Err(_) => raw.iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// One argument of a directive: its text with quotes and their escapes taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// The text.
    pub text: String,
    /// Where its first byte stands in the joined line.
    pub offset: usize,
}

/// The words of a line: separated by white space, or quoted with `"` (`\"` inside is a quote) or
/// `'`. `Err` is the offset of a quote that is never closed.
pub(crate) fn words(text: &str) -> Result<Vec<Word>, usize> {
    let bytes = text.as_bytes();
    let mut words = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if byte.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        let quote = matches!(byte, b'"' | b'\'').then_some(*byte);
        let begin = if quote.is_some() { at + 1 } else { at };
        let end = match quote {
            Some(quote) => closing(bytes, begin, quote).ok_or(at)?,
            None => bytes
                .get(begin..)
                .unwrap_or_default()
                .iter()
                .position(u8::is_ascii_whitespace)
                .map_or(bytes.len(), |length| begin + length),
        };
        let raw = text.get(begin..end).unwrap_or_default();
        let plain = match quote {
            Some(b'"') => raw.replace("\\\"", "\""),
            _ => raw.to_owned(),
        };
        words.push(Word { text: plain, offset: begin });
        at = if quote.is_some() { end + 1 } else { end };
    }
    Ok(words)
}

/// Where the quote that was opened before `from` closes: the first that no odd run of `\` precedes.
fn closing(bytes: &[u8], from: usize, quote: u8) -> Option<usize> {
    let mut escaped = false;
    for (index, byte) in bytes.iter().enumerate().skip(from) {
        match *byte {
            b'\\' => escaped = !escaped,
            byte if byte == quote && !escaped => return Some(index),
            _ => escaped = false,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn continued_lines_are_joined_and_places_kept() {
        let text =
            b"# c\nSecRule ARGS \\\n  # between\n   \"@rx x\" \\\n    \"id:1\"\n\nSecMarker A\n";
        let lines = split("f.conf", text);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].text, "SecRule ARGS \"@rx x\" \"id:1\"");
        let place = lines[0].place(lines[0].text.find("id").unwrap());
        assert_eq!((place.line, place.column), (5, 6));
        assert_eq!(lines[1].place(0).line, 7);
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_line() {
        let lines = split("f.conf", b"\xef\xbb\xbfSecMarker A\n");
        assert_eq!(lines[0].text, "SecMarker A");
        assert_eq!(lines[0].place(0).column, 1);
    }

    #[test]
    fn quotes_hold_words_together() {
        let found = words(r#"SecRule ARGS "@rx a\"b \\" 'x y'"#).unwrap();
        let texts: Vec<&str> = found.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(texts, ["SecRule", "ARGS", "@rx a\"b \\\\", "x y"]);
        assert_eq!(words("a \"b"), Err(2));
    }
}
