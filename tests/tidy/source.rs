//! A Rust file as the house rules read it: its text, and the same text with comments and strings blanked out.
//!
//! Why blanked: a rule that looks for `Instant::now` must not find it in a comment. Offsets and lines stay as they were.
//! What it is not: a parser. It knows comments, strings, words and brackets; that is enough for rules about form.

use std::fs;
use std::ops::Range;
use std::path::Path;

/// One file under the root of the repository.
pub(crate) struct Source {
    /// Path from the root, with `/`.
    pub(crate) path: String,
    /// As written.
    pub(crate) text: String,
    /// Comments blanked.
    pub(crate) uncommented: String,
    /// Comments and the insides of strings blanked.
    pub(crate) code: String,
}

/// A rule broken: where, and what to do.
pub(crate) struct Violation {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) advice: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let (uncommented, code) = blank(text);
        Self { path: path.to_owned(), text: text.to_owned(), uncommented, code }
    }

    pub(crate) fn violation(&self, offset: usize, advice: impl Into<String>) -> Violation {
        Violation {
            path: self.path.clone(),
            line: line_of(&self.text, offset),
            advice: advice.into(),
        }
    }

    /// Offset of the tests at the end of the file (`#[cfg(test)] mod … {`); the length when there are none.
    pub(crate) fn tests_start(&self) -> usize {
        let mut offset = 0;
        let mut marker = None;
        for line in self.code.split_inclusive('\n') {
            if line.starts_with("#[cfg(test)]") {
                marker = Some(offset);
            } else if line.starts_with("mod ") && line.trim_end().ends_with('{') && marker.is_some()
            {
                return marker.unwrap_or(offset);
            } else if !line.trim().is_empty() && !line.starts_with("#[") {
                marker = None;
            }
            offset += line.len();
        }
        self.code.len()
    }

    /// Whether the whole file is tests (`tests.rs`, or in a folder of that name).
    pub(crate) fn is_tests(&self) -> bool {
        self.path.split('/').any(|part| part == "tests" || part == "tests.rs")
    }

    /// Offsets at which `path`, such as `Instant::now`, stands in the code with word borders on both sides.
    pub(crate) fn find_words(&self, path: &str) -> Vec<usize> {
        find_words(&self.code, path)
    }
}

/// Every `.rs` file under `folders` of `root`, sorted by path.
pub(crate) fn read_tree(root: &Path, folders: &[&str]) -> Vec<Source> {
    let mut files = Vec::new();
    let mut waiting: Vec<_> = folders.iter().map(|folder| root.join(folder)).collect();
    while let Some(folder) = waiting.pop() {
        let entries =
            fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries {
            let path = entry.expect("a folder entry").path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a readable source file");
                let name = path.strip_prefix(root).expect("a path below the root");
                files.push(Source::new(&name.to_string_lossy().replace('\\', "/"), &text));
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// 1-based line of `offset`.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// Whether `byte` can be part of a Rust name.
pub(crate) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Offsets of `word` in `text` with no name byte on either side.
pub(crate) fn find_words(text: &str, word: &str) -> Vec<usize> {
    let bytes = text.as_bytes();
    text.match_indices(word)
        .map(|(offset, _)| offset)
        .filter(|offset| offset.checked_sub(1).is_none_or(|before| !is_name_byte(bytes[before])))
        .filter(|offset| bytes.get(offset + word.len()).is_none_or(|after| !is_name_byte(*after)))
        .collect()
}

/// The name that starts at `offset`; empty when none does.
pub(crate) fn name_at(text: &str, offset: usize) -> &str {
    let rest = &text[offset..];
    let end = rest.bytes().position(|byte| !is_name_byte(byte)).unwrap_or(rest.len());
    &rest[..end]
}

/// Offset of the bracket that closes the one at `open`, in blanked code.
pub(crate) fn closing(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (offset, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(offset);
                }
            }
            _ => {}
        }
    }
    None
}

/// The parts of `range` between commas outside all brackets, in blanked code; empty parts are left out.
pub(crate) fn split_commas(code: &str, range: Range<usize>) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_i32, range.start);
    for offset in range.clone() {
        match code.as_bytes()[offset] {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            b',' if depth == 0 => {
                parts.push(start..offset);
                start = offset + 1;
            }
            _ => {}
        }
    }
    parts.push(start..range.end);
    parts.retain(|part| !code[part.clone()].trim().is_empty());
    parts
}

/// `(comments blanked, comments and strings blanked)`: spaces in place of bytes, line ends kept.
fn blank(text: &str) -> (String, String) {
    let bytes = text.as_bytes();
    let mut uncommented = bytes.to_vec();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match (bytes[at], bytes.get(at + 1)) {
            (b'/', Some(b'/')) => {
                let end = find(bytes, at, b"\n").unwrap_or(bytes.len());
                fill(&mut uncommented, at..end);
                fill(&mut code, at..end);
                end
            }
            (b'/', Some(b'*')) => {
                let end = block_comment_end(bytes, at);
                fill(&mut uncommented, at..end);
                fill(&mut code, at..end);
                end
            }
            (b'"', _) => string_end(bytes, at, &mut code),
            (b'\'', _) => char_end(bytes, at, &mut code),
            (byte, _) if is_name_byte(byte) => name_or_raw_end(bytes, at, &mut code),
            _ => at + 1,
        };
        at = end.max(at + 1);
    }
    (
        String::from_utf8_lossy(&uncommented).into_owned(),
        String::from_utf8_lossy(&code).into_owned(),
    )
}

fn fill(bytes: &mut [u8], range: Range<usize>) {
    for byte in bytes.iter_mut().take(range.end).skip(range.start) {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
}

fn find(bytes: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    (from..bytes.len()).find(|at| bytes[*at..].starts_with(what))
}

/// Block comments nest.
fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0_usize);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at
}

fn string_end(bytes: &[u8], start: usize, code: &mut [u8]) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    fill(code, start + 1..at);
    at + 1
}

/// `'x'` and `'\n'` are characters; `'a` is a lifetime.
fn char_end(bytes: &[u8], start: usize, code: &mut [u8]) -> usize {
    let rest = bytes[start + 1..].iter();
    let length = match bytes.get(start + 1) {
        Some(b'\\') => rest.skip(2).position(|byte| *byte == b'\'').map(|length| length + 2),
        Some(first) if *first < 0x80 => (bytes.get(start + 2) == Some(&b'\'')).then_some(1),
        _ => rest.take(5).position(|byte| *byte == b'\''),
    };
    let Some(length) = length else {
        return start + 1;
    };
    fill(code, start + 1..start + 1 + length);
    start + 2 + length
}

/// A name; or, when it is `r`, `br` or `cr` before a quote, the raw string that it starts.
fn name_or_raw_end(bytes: &[u8], start: usize, code: &mut [u8]) -> usize {
    let length =
        bytes[start..].iter().position(|byte| !is_name_byte(*byte)).unwrap_or(bytes.len() - start);
    let after = start + length;
    let hashes = bytes[after..].iter().take_while(|byte| **byte == b'#').count();
    let is_raw = matches!(&bytes[start..after], b"r" | b"br" | b"cr")
        && bytes.get(after + hashes) == Some(&b'"');
    if !is_raw {
        return after;
    }
    let close: Vec<u8> = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
    let inside = after + hashes + 1;
    let end = find(bytes, inside, &close).unwrap_or(bytes.len());
    fill(code, inside..end);
    end + close.len()
}
