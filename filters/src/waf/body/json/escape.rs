//! The escapes of strings in JSON (RFC 8259, section 7).

/// Appends what the escape says whose `\` stands before `text`; returns its length without `\`.
pub(super) fn unescape(text: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    let byte = match text.first()? {
        byte @ (b'"' | b'\\' | b'/') => *byte,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'u' => return unit(text, out),
        _ => return None,
    };
    out.push(byte);
    Some(1)
}

/// Appends the character of `uhhhh`, or of `uhhhh\uhhhh` that are a pair. Half a pair is U+FFFD.
fn unit(text: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    let four = |text: &[u8]| {
        let mut digits = text.strip_prefix(b"u")?.get(..4)?.iter();
        digits.try_fold(0, |code, byte| Some(code << 4 | char::from(*byte).to_digit(16)?))
    };
    let code = four(text)?;
    let (mut character, mut length) = (char::from_u32(code), 5);
    if (0xd800..0xdc00).contains(&code)
        && let Some(low) = text.get(5..).and_then(|rest| four(rest.strip_prefix(b"\\")?))
        && (0xdc00..0xe000).contains(&low)
    {
        character = char::from_u32(0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00));
        length = 11;
    }
    let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    Some(length)
}
