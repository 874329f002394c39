//! Each transformation against Coraza's.

use crate::generate::{ENCODED, Random};
use crate::oracle::{Oracle, cases, seed};
use std::collections::BTreeMap;
use vanne_filters::waf::transform::Transform;

/// Coraza has no `t:sqlHexDecode` and no parity.
const COMPARED: &[&str] = &[
    "base64Decode",
    "base64DecodeExt",
    "base64Encode",
    "cmdLine",
    "compressWhitespace",
    "cssDecode",
    "escapeSeqDecode",
    "hexDecode",
    "hexEncode",
    "htmlEntityDecode",
    "jsDecode",
    "length",
    "lowercase",
    "md5",
    "normalizePath",
    "normalizePathWin",
    "removeComments",
    "removeCommentsChar",
    "removeNulls",
    "removeWhitespace",
    "replaceComments",
    "replaceNulls",
    "sha1",
    "trim",
    "trimLeft",
    "trimRight",
    "uppercase",
    "urlDecode",
    "urlDecodeUni",
    "urlEncode",
    "utf8toUnicode",
];

/// Whether `name` is known to differ on `input`, and Coraza's answer is its own.
fn is_known(name: &str, input: &[u8], ours: &[u8], theirs: &[u8]) -> bool {
    match name {
        // Coraza maps letters of all scripts and writes U+FFFD for what is not UTF-8.
        "lowercase" | "uppercase" => !input.is_ascii(),
        // Coraza writes U+FFFD for what is not UTF-8 when it removes something.
        "removeWhitespace" => std::str::from_utf8(input).is_err(),
        // Coraza makes `//` of a path that is the root.
        "normalizePath" => theirs == b"//" && ours == b"/",
        "normalizePathWin" => theirs.starts_with(b"//") && ours == &theirs[1..],
        // Go's library needs two digits, or `;`, or something after it.
        "htmlEntityDecode" => has_short_number(input),
        _ => false,
    }
}

/// Whether `input` has `&#` with a single decimal digit.
fn has_short_number(input: &[u8]) -> bool {
    (0..input.len()).any(|at| match &input[at..] {
        [b'&', b'#', digit, b'0'..=b'9', ..] if digit.is_ascii_digit() => false,
        [b'&', b'#', digit, ..] => digit.is_ascii_digit(),
        _ => false,
    })
}

#[test]
fn transformations_give_what_coraza_gives() {
    let Some(mut oracle) = Oracle::start(COMPARED) else { return };
    let mut random = Random::new(seed());
    let values = (0..cases()).map(|_| random.value(ENCODED));
    let mut known = BTreeMap::new();
    let mut wrong = BTreeMap::<&str, Vec<String>>::new();
    let mut out = Vec::new();
    oracle.each(b't', values, |oracle, value| {
        for name in COMPARED {
            let theirs = oracle.bytes();
            let transform = Transform::parse(name.as_bytes()).expect("a name");
            let is_changed = transform.apply(value, &mut out);
            let ours = if is_changed { &out[..] } else { value };
            assert_eq!(is_changed, ours != value, "{name}");
            if ours == theirs {
                continue;
            }
            if is_known(name, value, ours, &theirs) {
                *known.entry(*name).or_insert(0) += 1;
            } else {
                wrong.entry(name).or_default().push(format!(
                    "{}: ours {}, theirs {}",
                    value.escape_ascii(),
                    ours.escape_ascii(),
                    theirs.escape_ascii()
                ));
            }
        }
    });
    println!("known differences: {known:?}");
    for (name, examples) in &mut wrong {
        examples.sort_by_key(String::len);
        println!("{name}: {} wrong", examples.len());
        examples.iter().take(5).for_each(|example| println!("    {example}"));
    }
    assert!(wrong.is_empty());
}
