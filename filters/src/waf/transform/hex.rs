//! `t:hexDecode`, `t:hexEncode` and `t:sqlHexDecode`.
//!
//! A value that is not hexadecimal throughout is left alone, as in Coraza; ModSecurity makes bytes
//! of what it finds. `t:sqlHexDecode` is ModSecurity's; Coraza has none.

use memchr::memmem;

/// The value of a hexadecimal digit.
pub(super) const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// The byte that two hexadecimal digits are.
pub(super) const fn pair(high: u8, low: u8) -> Option<u8> {
    match (digit(high), digit(low)) {
        (Some(high), Some(low)) => Some(high << 4 | low),
        _ => None,
    }
}

pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let (pairs, rest) = input.as_chunks();
    out.extend(pairs.iter().map_while(|[high, low]| pair(*high, *low)));
    rest.is_empty() && out.len() == pairs.len()
}

pub(super) fn encode(input: &[u8], out: &mut Vec<u8>) -> bool {
    out.extend(input.iter().flat_map(|byte| [letter(byte >> 4), letter(byte & 0xf)]));
    true
}

/// The digit of a number below 16, in lower case.
pub(super) const fn letter(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

pub(super) fn decode_sql(input: &[u8], out: &mut Vec<u8>) -> bool {
    let marks = [memmem::find(input, b"0x"), memmem::find(input, b"0X")];
    let Some(first) = marks.into_iter().flatten().min() else { return false };
    let (same, mut rest) = input.split_at(first);
    out.extend_from_slice(same);
    loop {
        rest = match rest {
            [] => return true,
            [b'0', b'x' | b'X', high, low, ..] if pair(*high, *low).is_some() => {
                let (pairs, _) = rest.get(2..).unwrap_or_default().as_chunks();
                let before = out.len();
                out.extend(pairs.iter().map_while(|[high, low]| pair(*high, *low)));
                rest.get(2 + 2 * (out.len() - before)..).unwrap_or_default()
            }
            [byte, tail @ ..] => {
                out.push(*byte);
                tail
            }
        };
    }
}
