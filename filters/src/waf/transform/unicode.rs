//! `t:utf8toUnicode`, and what character of ASCII another one looks like.

use super::hex::letter;

/// Characters beyond ASCII as `%uhhhh`, more digits where needed; a byte that is not UTF-8 is
/// `%ufffd`, as in Coraza.
pub(super) fn escape(input: &[u8], out: &mut Vec<u8>) -> bool {
    if input.is_ascii() {
        return false;
    }
    for chunk in input.utf8_chunks() {
        for character in chunk.valid().chars() {
            match u8::try_from(character) {
                Ok(byte) if byte.is_ascii() => out.push(byte),
                _ => push(u32::from(character), out),
            }
        }
        chunk.invalid().iter().for_each(|_| push(u32::from(char::REPLACEMENT_CHARACTER), out));
    }
    true
}

fn push(code: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(b"%u");
    let digits = 32_u32.saturating_sub(code.leading_zeros()).div_ceil(4).max(4);
    out.extend((0..digits).rev().map(|place| letter((code >> (4 * place) & 0xf) as u8)));
}

/// The ASCII character whose full-width form (U+FF01 to U+FF5E) this is.
pub(super) fn ascii_of_full_width(code: u32) -> Option<u8> {
    let is_full_width = (0xff01..=0xff5e).contains(&code);
    is_full_width.then(|| (code & 0xff) as u8 + 0x20)
}

/// Runs of characters with the ASCII characters that they become in code page 20127: the map of
/// that page in ModSecurity's `unicode.mapping`, which CRS is deployed with and Coraza has built
/// in. Sorted; full-width forms are not listed.
const BEST_FIT: [(u16, &[u8]); 54] = [
    (0xa0, b" !c"),
    (0xa4, b"$Y|"),
    (0xa9, b"Ca<"),
    (0xad, b"-R"),
    (0xb2, b"23"),
    (0xb7, b".,1o>"),
    (0xc0, b"AAAAAAACEEEEIIIIDNOOOOO"),
    (0xd8, b"OUUUUY"),
    (0xe0, b"aaaaaaaceeeeiiii"),
    (0xf1, b"nooooo"),
    (0xf8, b"ouuuuy"),
    (0xff, b"yAaAaAaCcCcCcCcDdDdEeEeEeEeEeGgGgGgGgHhHhIiIiIiIiIi"),
    (0x134, b"JjKk"),
    (0x139, b"LlLlLl"),
    (0x141, b"LlNnNnNn"),
    (0x14c, b"OoOoOoOoRrRrRrSsSsSsSsTtTtTtUuUuUuUuUuUuWwYyYZ"),
    (0x17b, b"ZzZz"),
    (0x180, b"b"),
    (0x189, b"D"),
    (0x191, b"Ff"),
    (0x197, b"I"),
    (0x19a, b"l"),
    (0x19f, b"OOo"),
    (0x1ab, b"t"),
    (0x1ae, b"TUu"),
    (0x1b6, b"z"),
    (0x1cd, b"AaIiOoUuUuUuUuUu"),
    (0x1de, b"Aa"),
    (0x1e4, b"GgGgKkOoOo"),
    (0x1f0, b"j"),
    (0x261, b"g"),
    (0x2b9, b"'\""),
    (0x2bc, b"'"),
    (0x2c4, b"^"),
    (0x2c6, b"^"),
    (0x2c8, b"'"),
    (0x2cb, b"`"),
    (0x2cd, b"_"),
    (0x2dc, b"~"),
    (0x300, b"`"),
    (0x302, b"^~"),
    (0x30e, b"\""),
    (0x331, b"__"),
    (0x2000, b"       "),
    (0x2010, b"--"),
    (0x2013, b"--"),
    (0x2018, b"'',"),
    (0x201c, b"\"\"\""),
    (0x2022, b"."),
    (0x2026, b"."),
    (0x2032, b"'"),
    (0x2035, b"`"),
    (0x2039, b"<>"),
    (0x2122, b"T"),
];

/// The byte that the UTF-16 unit `code` becomes: what it looks like in ASCII, else its low byte.
pub(super) fn best_fit(code: u16) -> u8 {
    let after = BEST_FIT.partition_point(|(first, _)| *first <= code);
    let run = after.checked_sub(1).and_then(|index| BEST_FIT.get(index));
    let listed = run.and_then(|(first, run)| run.get(usize::from(code - first)).copied());
    listed.or_else(|| ascii_of_full_width(u32::from(code))).unwrap_or((code & 0xff) as u8)
}
