//! Names that make a tag, an attribute or an address dangerous.
//!
//! Names are compared in any case, with NUL left out, as browsers did.

use std::sync::LazyLock;

/// No dangerous name is longer.
const LENGTH_MAX: usize = 64;

/// What an attribute may do with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attribute {
    /// Nothing.
    Fine,
    /// Run it, whatever it is.
    Bad,
    /// Load it: an address.
    Url,
    /// Apply it: a style.
    Style,
    /// Take it as the name of an attribute.
    Indirect,
}

/// Names of events, without `ON`; sorted.
static EVENTS: LazyLock<Vec<&[u8]>> = LazyLock::new(|| {
    let mut all: Vec<_> =
        include_str!("events.txt").split_ascii_whitespace().map(str::as_bytes).collect();
    all.sort_unstable();
    all
});

/// A name in upper case, without NUL; `None` when it is too long to be one of these.
fn normal<'a>(name: &[u8], buffer: &'a mut [u8; LENGTH_MAX]) -> Option<&'a [u8]> {
    let mut length = 0;
    for byte in name.iter().filter(|byte| **byte != 0) {
        *buffer.get_mut(length)? = byte.to_ascii_uppercase();
        length += 1;
    }
    buffer.get(..length)
}

pub(super) fn is_bad_tag(name: &[u8]) -> bool {
    if name.len() < 3 {
        return false;
    }
    let mut buffer = [0; LENGTH_MAX];
    let Some(name) = normal(name, &mut buffer) else { return false };
    // All that is SVG or XSL.
    matches!(name, [b'S', b'V', b'G', ..] | [b'X', b'S', b'L', ..])
        || matches!(
            name,
            b"APPLET"
                | b"BASE"
                | b"COMMENT"
                | b"EMBED"
                | b"FRAME"
                | b"FRAMESET"
                | b"HANDLER"
                | b"IFRAME"
                | b"IMPORT"
                | b"ISINDEX"
                | b"LINK"
                | b"LISTENER"
                | b"META"
                | b"NOSCRIPT"
                | b"OBJECT"
                | b"SCRIPT"
                | b"STYLE"
                | b"VMLFRAME"
                | b"XML"
                | b"XSS"
        )
}

pub(super) fn attribute(name: &[u8]) -> Attribute {
    let mut buffer = [0; LENGTH_MAX];
    let Some(name) = normal(name, &mut buffer) else { return Attribute::Fine };
    if let [b'O', b'N', event @ ..] = name
        && event.len() >= 3
        && EVENTS.binary_search(&event).is_ok()
    {
        return Attribute::Bad;
    }
    match name {
        b"DATAFORMATAS" | b"DATASRC" | b"XLINK" | b"XMLNS" => Attribute::Bad,
        b"ATTRIBUTENAME" => Attribute::Indirect,
        b"FILTER" | b"STYLE" => Attribute::Style,
        b"ACTION" | b"BACKGROUND" | b"BY" | b"DYNSRC" | b"FOLDER" | b"FORMACTION" | b"FROM"
        | b"HANDLER" | b"HREF" | b"LOWSRC" | b"POSTER" | b"SRC" | b"TO" | b"VALUES"
        | b"XLINK:HREF" => Attribute::Url,
        _ => Attribute::Fine,
    }
}

/// Whether an address runs something: it begins with one of these, once character references are
/// resolved and NUL and line feed are left out.
pub(super) fn is_bad_url(value: &[u8]) -> bool {
    let start = skipped(value);
    let value = value.get(start..).unwrap_or_default();
    let schemes: [&[u8]; 4] = [b"DATA", b"VIEW-SOURCE", b"VBSCRIPT", b"JAVA"];
    schemes.into_iter().any(|scheme| begins_with(value, scheme))
}

/// How many bytes at the beginning are control characters, spaces, or beyond ASCII.
fn skipped(value: &[u8]) -> usize {
    value.iter().take_while(|byte| **byte <= b' ' || **byte >= 0x7f).count()
}

fn begins_with(value: &[u8], scheme: &[u8]) -> bool {
    let mut left = scheme.iter();
    let mut rest = value;
    let mut is_first = true;
    while !rest.is_empty() {
        let (code, length) = character(rest);
        rest = rest.get(length..).unwrap_or_default();
        if is_first && code <= 32 {
            continue;
        }
        is_first = false;
        if matches!(code, 0 | 10) {
            continue;
        }
        let Some(expected) = left.next() else { return true };
        let code = if (97..=122).contains(&code) { code - 32 } else { code };
        if (code & 0xff) as u8 != *expected {
            return false;
        }
    }
    left.len() == 0
}

/// The code of the character or number reference at the beginning of `text`, and its length. A
/// reference that is none is `&`.
fn character(text: &[u8]) -> (u32, usize) {
    const AMPERSAND: (u32, usize) = (b'&' as u32, 1);
    let (start, base) = match text {
        [b'&', b'#', b'x' | b'X', ..] => (3, 16),
        [b'&', b'#', _, ..] => (2, 10),
        [first, ..] => return (u32::from(*first), 1),
        [] => return (0, 0),
    };
    let (mut code, mut end) = (0, start);
    for digit in text.iter().skip(start).map_while(|byte| char::from(*byte).to_digit(base)) {
        let is_first = end == start;
        code = code * base + digit;
        if !is_first && code > 0x10_00ff {
            return AMPERSAND;
        }
        end += 1;
    }
    match text.get(end) {
        _ if end == start => AMPERSAND,
        Some(b';') => (code, end + 1),
        _ => (code, end),
    }
}
