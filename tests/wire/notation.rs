//! How bytes are written in the cases.
//!
//! | written | is |
//! |---|---|
//! | `\r` `\n` `\t` `\0` `\\` | CR, LF, tab, NUL, backslash |
//! | `\x7f` | the byte with this number |
//! | `{id}` | the mark of the case |
//! | `{abc*300}` | `abc` 300 times; `abc` may have escapes |
//! | a line break | nothing: so that each line of a message can have a line |
//!
//! Everything else is itself, other braces too.

/// The bytes that `text` stands for in the case with this mark.
///
/// # Errors
/// When an escape is none.
pub(crate) fn bytes(text: &str, id: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        rest = match first {
            '\n' => &rest[1..],
            '\\' => escape(&rest[1..], &mut out)?,
            '{' => brace(rest, id, &mut out)?,
            _ => {
                let (one, left) = rest.split_at(first.len_utf8());
                out.extend_from_slice(one.as_bytes());
                left
            }
        };
    }
    Ok(out)
}

/// Takes what follows a backslash; what is left.
fn escape<'a>(rest: &'a str, out: &mut Vec<u8>) -> Result<&'a str, String> {
    let (byte, length) = match rest.as_bytes().first() {
        Some(b'r') => (b'\r', 1),
        Some(b'n') => (b'\n', 1),
        Some(b't') => (b'\t', 1),
        Some(b'0') => (0, 1),
        Some(b'\\') => (b'\\', 1),
        Some(b'x') => {
            let digits = rest.get(1..3).unwrap_or_default();
            let byte = u8::from_str_radix(digits, 16).ok();
            (byte.ok_or_else(|| format!("\\x{digits} is no byte: two hex digits"))?, 3)
        }
        _ => return Err(format!("\\{rest:.1} is no escape: one of \\r \\n \\t \\0 \\\\ \\xHH")),
    };
    out.push(byte);
    Ok(&rest[length..])
}

/// Takes `{id}`, a repetition, or a brace that is itself; what is left.
fn brace<'a>(rest: &'a str, id: &str, out: &mut Vec<u8>) -> Result<&'a str, String> {
    if let Some(left) = rest.strip_prefix("{id}") {
        out.extend_from_slice(id.as_bytes());
        return Ok(left);
    }
    let repetition = rest.find('}').and_then(|end| {
        let (what, count) = rest[1..end].rsplit_once('*')?;
        Some((what, count.parse::<usize>().ok()?, &rest[end + 1..]))
    });
    let Some((what, count, left)) = repetition else {
        out.push(b'{');
        return Ok(&rest[1..]);
    };
    out.extend_from_slice(&bytes(what, id)?.repeat(count));
    Ok(left)
}

/// `bytes` for a reader: what is not plain is escaped, and a long text is cut.
pub(crate) fn shown(bytes: &[u8]) -> String {
    const SHOWN_MAX: usize = 120;
    let text = bytes.iter().take(SHOWN_MAX).flat_map(|byte| std::ascii::escape_default(*byte));
    let text: String = text.map(char::from).collect();
    if bytes.len() > SHOWN_MAX { text + "…" } else { text }
}

#[test]
fn escapes_marks_and_repetitions() {
    let bytes = |text| bytes(text, "w1");
    assert_eq!(bytes(r"a\r\n\t\0\\\xff{id}"), Ok(b"a\r\n\t\0\\\xffw1".to_vec()));
    assert_eq!(bytes("{ab*3}{\\r\\n*2}{*}{x}{"), Ok(b"ababab\r\n\r\n{*}{x}{".to_vec()));
    assert_eq!(bytes("a\n b\nc"), Ok(b"a bc".to_vec()));
    assert!(bytes(r"\q").is_err() && bytes(r"\xg0").is_err() && bytes("\\").is_err());
}
