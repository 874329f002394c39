//! What a fingerprint in the list still has to show before it counts: short ones are common text.

use super::token::{BAREWORD, COMMENT, KEYWORD, NUMBER, UNION};
use super::{Reading, words};
use memchr::memmem;

/// Whether `reading` is of an injection.
pub(super) fn judge(reading: &Reading<'_>) -> bool {
    let kinds = reading.fingerprint.get(..reading.length).unwrap_or_default();
    if !words::is_injection(kinds) {
        return false;
    }
    // SQL Server does not log what has this word, so attacks end in a comment with it.
    if let [_, .., COMMENT] = kinds
        && memmem::find(reading.input, b"sp_password").is_some()
    {
        return true;
    }
    match kinds {
        [_, second] => of_two(reading, *second),
        [_, _, _] => of_three(reading, kinds),
        _ => true,
    }
}

fn of_two(reading: &Reading<'_>, second: u8) -> bool {
    let [first, comment, ..] = reading.tokens;
    if second == UNION {
        // A number and `union` and nothing else may be text.
        return reading.read != 2;
    }
    let begins = comment.text.first().copied().unwrap_or_default();
    if begins == b'#' || first.kind == BAREWORD && comment.kind == COMMENT && begins != b'/' {
        return false;
    }
    if first.kind == NUMBER && comment.kind == COMMENT {
        return begins == b'/' || reading.read > 2 || ends_in_a_number(reading);
    }
    // `--` with text after it is a dash.
    !(comment.text.len() > 2 && begins == b'-')
}

/// Whether white space or a comment follows the number at the beginning: `1234-ab--` is no
/// number but `1234--` is.
fn ends_in_a_number(reading: &Reading<'_>) -> bool {
    let [first, ..] = reading.tokens;
    match reading.input.get(first.text.len()..).unwrap_or_default() {
        [b'/', b'*', ..] | [b'-', b'-', ..] => true,
        [byte, ..] => *byte <= b' ',
        [] => false,
    }
}

fn of_three(reading: &Reading<'_>, kinds: &[u8]) -> bool {
    let [first, second, third, ..] = reading.tokens;
    if matches!(kinds, b"sos" | b"s&s") {
        // `… foo' + 'bar …`: each string goes on outside.
        return first.open == 0 && third.close == 0 && first.close == third.open;
    }
    // `sexy and 17` is text, `sexy and 17<18` is not.
    if matches!(kinds, b"s&n" | b"n&1" | b"1&1" | b"1&v" | b"1&s") && reading.read == 3 {
        return false;
    }
    // Of keywords in the middle only `INTO OUTFILE` and `INTO DUMPFILE` count.
    let is_into = second.text.len() >= 5
        && second.text.get(..4).is_some_and(|word| word.eq_ignore_ascii_case(b"INTO"));
    second.kind != KEYWORD || is_into
}
