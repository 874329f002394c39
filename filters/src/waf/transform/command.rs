//! `t:cmdLine`: the text of a command without what shells ignore.
//!
//! `"`, `'`, `\` and `^` are left out; `,`, `;` and white space become one space, and none before
//! `/` and `(`; letters become small (Marc Stern's rules, reference manual, "cmdLine").

pub(super) fn cmd_line(input: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(first) = input.iter().position(|byte| is_touched(*byte)) else { return false };
    let (same, rest) = input.split_at(first);
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
    matches!(
        byte,
        b'"' | b'\'' | b'\\' | b'^' | b' ' | b',' | b';' | b'\t' | b'\r' | b'\n' | b'A'..=b'Z'
    )
}
