//! `t:normalizePath` and `t:normalizePathWin`: `//`, `/./` and `/../` resolved.
//!
//! Coraza's results, with one difference: a path that is only the root stays `/` (Coraza makes it
//! `//`). `..` at the beginning of a path that is not absolute stays.

use memchr::memrchr;

pub(super) fn normalize(input: &[u8], out: &mut Vec<u8>) -> bool {
    clean(input.split(|byte| *byte == b'/'), input.starts_with(b"/"), out);
    let is_folder = input.ends_with(b"/") && !out.is_empty() && !out.ends_with(b"/");
    out.extend_from_slice(if is_folder { b"/" } else { b"" });
    true
}

/// Appends the path of these segments.
fn clean<'a>(segments: impl Iterator<Item = &'a [u8]>, is_absolute: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if is_absolute { b"/" } else { b"" });
    // What `..` may not take away: the root, or the `..` that stayed.
    let mut kept = out.len();
    for segment in segments {
        match segment {
            b"" | b"." => {}
            b".." if out.len() > kept => {
                let parent = memrchr(b'/', out).filter(|at| *at >= kept).unwrap_or(kept);
                out.truncate(parent);
            }
            b".." if is_absolute => {}
            _ => {
                if !out.is_empty() && !out.ends_with(b"/") {
                    out.push(b'/');
                }
                out.extend_from_slice(segment);
                if segment == b".." {
                    kept = out.len();
                }
            }
        }
    }
}

/// As above after `\` became `/`; and without what Windows ignores in a name: `:stream` after the
/// last, dots and spaces at the end of each.
pub(super) fn normalize_win(input: &[u8], out: &mut Vec<u8>) -> bool {
    let is_separator = |byte: &u8| matches!(byte, b'/' | b'\\');
    clean(input.split(is_separator), input.first().is_some_and(is_separator), out);
    let ends_in_separator = input.last().is_some_and(is_separator);
    let is_folder = ends_in_separator && !out.is_empty() && !out.ends_with(b"/");
    if let Some(colon) = stream(out) {
        out.truncate(colon);
    }
    out.extend_from_slice(if is_folder { b"/" } else { b"" });
    trim_names(out);
    true
}

/// Where the name of a stream begins in the last segment of `path`, not counting a drive's colon.
fn stream(path: &[u8]) -> Option<usize> {
    let drive = match path {
        [letter, b':', ..] if letter.is_ascii_alphabetic() => 2,
        _ => 0,
    };
    let last = memrchr(b'/', path).map_or(0, |at| at + 1).max(drive);
    memchr::memchr(b':', path.get(last..)?).map(|at| last + at)
}

/// Takes dots and spaces from the end of each segment that is not dots alone; a segment of which
/// nothing remains is left out.
fn trim_names(path: &mut Vec<u8>) {
    let is_trimmed = |byte: &u8| matches!(byte, b'.' | b' ');
    let ends_a_name = |pair: &[u8]| matches!(pair, [b'.' | b' ', b'/']);
    if !path.last().is_some_and(is_trimmed) && !path.windows(2).any(ends_a_name) {
        return;
    }
    let source = std::mem::take(path);
    let mut is_first = true;
    for segment in source.split(|byte| *byte == b'/') {
        let mut name = segment;
        if !segment.iter().all(|byte| *byte == b'.') {
            let length = segment.iter().rposition(|byte| !is_trimmed(byte)).map_or(0, |at| at + 1);
            name = segment.get(..length).unwrap_or_default();
            if name.is_empty() {
                continue;
            }
        }
        if !is_first {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        is_first = false;
    }
}
