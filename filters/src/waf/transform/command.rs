//! `t:cmdLine`: the text of a command without what shells ignore.
//!
//! `"`, `'`, `\` and `^` are left out; `,`, `;` and white space become one space, and none before
//! `/` and `(`; letters become small (Marc Stern's rules, reference manual, "cmdLine").

pub(super) fn cmd_line(input: &[u8], out: &mut Vec<u8>) -> bool {
    // By blocks, which the compiler vectorises.
    let has_touched =
        |block: &[u8]| block.iter().fold(false, |found, byte| found | is_touched(*byte));
    let Some(first) = input.chunks(32).position(has_touched) else { return false };
    let (same, rest) = input.split_at(first * 32);
    out.extend_from_slice(same);
    let mut after_space = false;
    for byte in rest {
        match byte {
            b'"' | b'\'' | b'\\' | b'^' => continue,
            b' ' | b',' | b';' | b'\t' | b'\r' | b'\n' => {
                if !after_space {
                    out.push(b' ');
                }
                after_space = true;
                continue;
            }
            b'/' | b'(' if after_space => {
                out.pop();
                out.push(*byte);
            }
            byte => out.push(byte.to_ascii_lowercase()),
        }
        after_space = false;
    }
    true
}

/// Whether a value with this byte may change. A lone space does not change, but the next byte may
/// change it.
const fn is_touched(byte: u8) -> bool {
    // `|` rather than `||`: no branch for each.
    byte.is_ascii_uppercase()
        | matches!(byte, b'"' | b'\'' | b'\\' | b'^')
        | matches!(byte, b' ' | b',' | b';')
        | matches!(byte, b'\t' | b'\r' | b'\n')
}
