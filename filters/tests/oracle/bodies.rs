//! Body processors against Coraza's: what both find in bodies that are right, and which are not.

use crate::generate::Random;
use crate::oracle::{Oracle, cases, seed};
use std::fmt::Write;
use vanne_filters::waf::body::{self, Fault, Fields, Limits, MultipartFlags};

const LIMITS: Limits = Limits { arguments: 1000, depth: 64, files: 1000 };

/// The findings as the oracle prints them.
#[derive(Default)]
struct Lines(Vec<String>);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("memory");
        text
    })
}

impl Lines {
    fn add(&mut self, what: &str, key: &[u8], value: &[u8]) {
        self.0.push(format!("{what} {}={}", hex(key), hex(value)));
    }

    fn sorted(mut self) -> Vec<String> {
        self.0.sort_unstable();
        self.0
    }
}

impl Fields for Lines {
    fn argument(&mut self, name: &[u8], value: &[u8]) {
        self.add("arg", &name.to_ascii_lowercase(), value);
    }

    fn file(&mut self, field: &[u8], name: &[u8], _size_bytes: usize) {
        self.add("file", b"", name);
        self.add("field", b"", field);
    }

    fn file_alias(&mut self, name: &[u8]) {
        self.add("file", b"", name);
    }

    fn xml_text(&mut self, text: &[u8]) {
        self.add("xml", b"/*", text);
    }

    fn xml_attribute(&mut self, value: &[u8]) {
        self.add("xml", b"//@*", value);
    }
}

/// What Coraza found, whether it called the body wrong, and its flag of a strict error.
struct Theirs {
    lines: Vec<String>,
    is_wrong: bool,
    is_strict_error: bool,
}

fn answer(oracle: &mut Oracle) -> Theirs {
    let text = String::from_utf8(oracle.bytes()).expect("text");
    let is_finding =
        |line: &&str| ["arg ", "file ", "field ", "xml "].iter().any(|what| line.starts_with(what));
    let lower = |line: &str| match line.strip_prefix("arg ").and_then(|pair| pair.split_once('=')) {
        Some((name, value)) => format!("arg {}={value}", lower_hex(name)),
        None => line.to_owned(),
    };
    let mut lines: Vec<_> = text.lines().filter(is_finding).map(lower).collect();
    lines.sort_unstable();
    Theirs {
        lines,
        is_wrong: text.lines().any(|line| line.starts_with("error 1")),
        is_strict_error: text.lines().any(|line| line == "strict 1"),
    }
}

/// The hexadecimal digits of a name, in lower case: Coraza's names have no case.
fn lower_hex(name: &str) -> String {
    let digits = name.as_bytes().as_chunks::<2>().0;
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16);
    let bytes: Vec<_> = digits.iter().map(|pair| byte(pair).expect("hexadecimal")).collect();
    hex(&bytes.to_ascii_lowercase())
}

/// Fails with the shortest examples.
fn judge(mut wrong: Vec<String>) {
    wrong.sort_by_key(String::len);
    let examples: Vec<_> = wrong.iter().take(6).map(String::as_str).collect();
    assert!(wrong.is_empty(), "{} differ, such as\n{}", wrong.len(), examples.join("\n\n"));
}

fn compare(
    kind: u8,
    generate: impl Fn(&mut Random) -> Vec<u8>,
    process: impl Fn(&[u8], &mut Lines) -> Result<(), Fault>,
    is_known: impl Fn(&[u8]) -> bool,
) {
    let Some(mut oracle) = Oracle::start(&["none"]) else { return };
    let mut random = Random::new(seed());
    let mut wrong = Vec::new();
    let bodies = (0..cases() / 4).map(|_| generate(&mut random));
    oracle.each(kind, bodies, |oracle, value| {
        let theirs = answer(oracle);
        let mut lines = Lines::default();
        let result = process(value, &mut lines);
        // A body that is wrong is read as far as each likes.
        let differs = !theirs.is_wrong && result.is_ok() && lines.sorted() != theirs.lines
            || theirs.is_wrong != result.is_err();
        if differs && !is_known(value) {
            let theirs = (theirs.is_wrong, theirs.lines);
            wrong.push(format!("{}\n ours {result:?}, theirs {theirs:?}", value.escape_ascii()));
        }
    });
    judge(wrong);
}

/// A value of JSON, some of them broken.
fn json_value(random: &mut Random, depth: usize, out: &mut String) {
    const SCALARS: &[&str] = &[
        "1",
        "-0",
        "1.5e+3",
        "0",
        "true",
        "false",
        "null",
        "\"\"",
        "\"a\"",
        "\"\\u00e9\\n\"",
        "\"\\ud83e\\udd80\"",
        "\"\\ud83e\"",
        "\"é\"",
        "01",
        "1.",
        "nul",
        "\"\\x\"",
        "'a'",
        "\"\u{1}\"",
    ];
    const NAMES: &[&str] = &["\"a\"", "\"b\"", "\"a.b\"", "\"\"", "\"\\u0041\"", "\"A\""];
    let whole = SCALARS.len() - usize::from(random.below(40) > 0) * 6;
    match random.below(if depth > 4 { 2 } else { 5 }) {
        0 | 1 => out.push_str(random.pick(&SCALARS[..whole])),
        2 => {
            out.push('[');
            for index in 0..random.below(4) {
                out.push_str(if index > 0 { " ," } else { "" });
                json_value(random, depth + 1, out);
            }
            out.push(']');
        }
        _ => {
            out.push('{');
            for index in 0..random.below(4) {
                out.push_str(if index > 0 { ", " } else { "" });
                out.push_str(random.pick(NAMES));
                out.push_str(": ");
                json_value(random, depth + 1, out);
            }
            out.push_str(if random.below(60) > 0 { "}" } else { "" });
        }
    }
}

#[test]
fn json_is_read_as_coraza_reads_it() {
    let generate = |random: &mut Random| {
        let mut text = String::new();
        json_value(random, 0, &mut text);
        text.into_bytes()
    };
    compare(b'j', generate, |body, lines| body::json(body, LIMITS, lines), |_| false);
}

#[test]
fn forms_are_read_as_coraza_reads_them() {
    const PIECES: &[&str] =
        &["a", "b", "=", "=", "&", "&", "%41", "%4", "%zz", "+", "%26", "%3d", ";", "é", "A"];
    let generate = |random: &mut Random| random.value(PIECES);
    let process = |body: &[u8], lines: &mut Lines| body::urlencoded(body, b'&', LIMITS, lines);
    // Of names that differ in case alone, or in bytes that are no UTF-8, Coraza keeps the last.
    let folds = |body: &[u8]| {
        body.iter().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii() || *byte == b'%')
    };
    compare(b'u', generate, process, folds);
}

#[test]
fn xml_is_read_as_coraza_reads_it() {
    const TEXTS: &[&str] = &[
        "text",
        " ",
        "&lt;",
        "&#65;",
        "a &amp; b",
        "<!-- c -->",
        "<![CDATA[<raw>]]>",
        "é",
        "<b/>",
        "<b c=\"d\" e='f'/>",
        "<b x = \"1\"></b>",
        "<?pi x?>",
        "\n",
    ];
    fn element(random: &mut Random, depth: usize, out: &mut String) {
        out.push_str("<a n=\"v\">");
        for _ in 0..random.below(4) {
            match random.below(4) {
                0 if depth < 5 => element(random, depth + 1, out),
                _ => out.push_str(random.pick(TEXTS)),
            }
        }
        out.push_str("</a>");
    }
    let generate = |random: &mut Random| {
        let mut text =
            String::from(random.pick(&["", "<?xml version=\"1.0\"?>\n", "<!DOCTYPE a>"]));
        element(random, 0, &mut text);
        text.into_bytes()
    };
    compare(b'X', generate, |body, lines| body::xml(body, LIMITS, lines), |_| false);
}

#[test]
fn multipart_is_read_as_coraza_reads_it() {
    const HEADS: &[&str] = &[
        "Content-Disposition: form-data; name=\"a\"",
        "content-disposition:form-data;name=a",
        "Content-Disposition: form-data; name=\"a b\"; filename=\"x.txt\"",
        "Content-Disposition: form-data; filename=x; name=f",
        "Content-Disposition: form-data; name=\"f\"; filename=\"\"",
        "Content-Disposition: form-data; name=\"f\"; filename=\"a\\\"b\"",
        "Content-Disposition: form-data; name=\"f\"; filename=x; filename*=utf-8''y%2Ephp",
        "Content-Disposition: form-data; name=\"f\"; filename*=iso-8859-1'en'%41",
        "Content-Disposition: form-data; name=\"f\"; filename*=utf-8''%zz; filename=x",
    ];
    const BODIES: &[&str] = &["", "x", "x\r\ny", "--", "--bx", "\r\n", "\u{0}é", "a=b&c"];
    const TYPE: &[u8] = b"multipart/form-data; boundary=b";
    let Some(mut oracle) = Oracle::start(&["none"]) else { return };
    let mut random = Random::new(seed());
    let bodies = (0..cases() / 4).map(|_| {
        let mut body = [TYPE, b"\0"].concat();
        for _ in 0..1 + random.below(3) {
            let kind = random.pick(&["", "", "\r\nContent-Type: text/plain"]);
            let part =
                format!("--b\r\n{}{kind}\r\n\r\n{}\r\n", random.pick(HEADS), random.pick(BODIES));
            body.extend_from_slice(part.as_bytes());
        }
        body.extend_from_slice(if random.below(30) > 0 { b"--b--\r\n" } else { b"--b\r\n" });
        body
    });
    let mut wrong = Vec::new();
    oracle.each(b'm', bodies, |oracle, value| {
        let theirs = answer(oracle);
        let mut lines = Lines::default();
        let body = &value[TYPE.len() + 1..];
        let (flags, _): (MultipartFlags, _) = body::multipart(body, TYPE, LIMITS, &mut lines);
        if lines.sorted() != theirs.lines || flags.strict_error() != theirs.is_strict_error {
            let theirs = (theirs.is_strict_error, theirs.lines);
            // Coraza takes a boundary that nothing follows for the last one.
            if !(body.ends_with(b"--b\r\n") && flags.broken) {
                wrong.push(format!("{}\n ours {flags:?}, theirs {theirs:?}", body.escape_ascii()));
            }
        }
    });
    judge(wrong);
}
