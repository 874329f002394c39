//! Escapes: what a client sends can neither end a line nor look like another field.
//!
//! Each format hides the same: control characters, quotes, what is not UTF-8, and characters
//! that change the direction of text or cannot be seen.

/// Appends `text` as the inside of a JSON string. What is not UTF-8 becomes U+FFFD.
/// Cost: a scan; plain text is copied in one go.
pub(in crate::data) fn json(text: &[u8], out: &mut Vec<u8>) {
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    if text.iter().all(is_plain) {
        return out.extend_from_slice(text);
    }
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            json_char(c, out);
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

fn json_char(c: char, out: &mut Vec<u8>) {
    match c {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        ' '..='~' => out.push(u8::try_from(c).unwrap_or(b'?')),
        c if is_hidden(c) => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.extend_from_slice(b"\\u");
                hex(u32::from(*unit), 4, b"0123456789abcdef", out);
            }
        }
        c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// Whether `c` is to be seen by its number: it controls a terminal, a line or the direction of
/// text, or is nothing to see.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Appends `text` for a line of text: what is no visible ASCII, and `"` and `\`, as `\xHH`.
pub(super) fn text(text: &[u8], out: &mut Vec<u8>) {
    by_number(text, (b"\\x", b"\"\\"), out);
}

/// Appends `text` as HAProxy does: what is no visible ASCII, and what is in `special`, as `#HH`.
pub(super) fn haproxy(text: &[u8], special: &[u8], out: &mut Vec<u8>) {
    by_number(text, (b"#", special), out);
}

fn by_number(text: &[u8], (mark, special): (&[u8], &[u8]), out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b' '..=b'~' if !special.contains(byte) => out.push(*byte),
            byte => {
                out.extend_from_slice(mark);
                hex(u32::from(*byte), 2, b"0123456789ABCDEF", out);
            }
        }
    }
}

fn hex(number: u32, count: u32, digits: &[u8; 16], out: &mut Vec<u8>) {
    for place in (0..count).rev() {
        let digit = (number >> (4 * place)) & 0xf;
        out.push(digits.get(digit as usize).copied().unwrap_or(b'0'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(write: impl Fn(&[u8], &mut Vec<u8>), bytes: &[u8]) -> String {
        let mut out = Vec::new();
        write(bytes, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nothing_that_breaks_a_line_or_fools_its_reader_is_left() {
        let bytes = b"a\n\r\"\\\0\x1b[2J\x7f\xff\xe2\x80\xae\xc2\x85\xf3\xa0\x81\x81\xc3\xa9#|";
        assert_eq!(
            shown(json, bytes),
            "a\\u000a\\u000d\\\"\\\\\\u0000\\u001b[2J\\u007f\u{fffd}\\u202e\\u0085\\udb40\\udc41\u{e9}#|"
        );
        assert_eq!(
            shown(text, bytes),
            "a\\x0A\\x0D\\x22\\x5C\\x00\\x1B[2J\\x7F\\xFF\\xE2\\x80\\xAE\\xC2\\x85\\xF3\\xA0\\x81\\x81\\xC3\\xA9#|"
        );
        let of_haproxy = |bytes: &[u8], out: &mut Vec<u8>| haproxy(bytes, b"\"#", out);
        assert_eq!(shown(of_haproxy, b"a\n\"#\\\xff|"), "a#0A#22#23\\#FF|");
    }

    proptest! {
        #[test]
        fn what_json_reads_is_what_was_there(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let read: String = serde_json::from_str(&format!("\"{}\"", shown(json, &bytes))).unwrap();
            prop_assert_eq!(read, String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn texts_read_back(text in "\\PC{0,32}|[\\x00-\\x7f]{0,32}") {
            let read: String =
                serde_json::from_str(&format!("\"{}\"", shown(json, text.as_bytes()))).unwrap();
            prop_assert_eq!(read, text);
        }
    }
}
