//! `t:removeComments`, `t:removeCommentsChar` and `t:replaceComments`.

use memchr::memmem;

/// Leaves out `/* … */` and `<!-- … -->` (either end ends either) and all from `--` or `#` on; a
/// comment without an end becomes a space. The byte after a comment is copied unseen, or NUL at
/// the end of the value: ModSecurity and Coraza do this alike.
pub(super) fn remove(input: &[u8], out: &mut Vec<u8>) -> bool {
    let mut rest = input;
    loop {
        rest = match rest {
            [] | [b'-', b'-', ..] | [b'#', ..] => return true,
            [b'/', b'*', tail @ ..] | [b'<', b'!', b'-', b'-', tail @ ..] => {
                let Some(after) = after_comment(tail) else {
                    out.push(b' ');
                    return true;
                };
                out.push(after.first().copied().unwrap_or(0));
                after.get(1..).unwrap_or_default()
            }
            [byte, tail @ ..] => {
                out.push(*byte);
                tail
            }
        };
    }
}

/// What follows the first `*/` or `-->` of `text`.
fn after_comment(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return None,
            [b'*', b'/', tail @ ..] | [b'-', b'-', b'>', tail @ ..] => return Some(tail),
            [_, tail @ ..] => tail,
        };
    }
}

/// Leaves out `/*`, `*/`, `<!--`, `-->`, `--` and `#`.
pub(super) fn remove_marks(input: &[u8], out: &mut Vec<u8>) -> bool {
    let may_begin = |byte: &u8| matches!(byte, b'/' | b'*' | b'<' | b'-' | b'#');
    let Some(first) = input.iter().position(may_begin) else { return false };
    let (same, mut rest) = input.split_at(first);
    out.extend_from_slice(same);
    loop {
        rest = match rest {
            [] => return true,
            [b'<', b'!', b'-', b'-', tail @ ..]
            | [b'-', b'-', b'>', tail @ ..]
            | [b'/', b'*', tail @ ..]
            | [b'*', b'/', tail @ ..]
            | [b'-', b'-', tail @ ..]
            | [b'#', tail @ ..] => tail,
            [byte, tail @ ..] => {
                out.push(*byte);
                tail
            }
        };
    }
}

/// Writes a space for each `/* … */`, and for one without an end.
pub(super) fn replace(input: &[u8], out: &mut Vec<u8>) -> bool {
    let mut rest = input;
    while let Some(start) = memmem::find(rest, b"/*") {
        let (before, comment) = rest.split_at(start);
        out.extend_from_slice(before);
        out.push(b' ');
        let inside = comment.get(2..).unwrap_or_default();
        rest = match memmem::find(inside, b"*/") {
            Some(end) => inside.get(end + 2..).unwrap_or_default(),
            None => &[],
        };
    }
    out.extend_from_slice(rest);
    // Without a comment `rest` is all of the input.
    rest.len() != input.len()
}
