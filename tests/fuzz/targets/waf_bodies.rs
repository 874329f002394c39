//! Fuzz: any bytes as the body of a request, in each format that the WAF reads.
//!
//! None panics, no limit is passed, and what is wrong is said. JSON is what serde_json says it is.
//! The first line is the Content-Type of a multipart body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use vanne_filters::waf::body::{self, Fault, Fields, Limits};

const LIMITS: Limits = Limits { arguments: 50, depth: 20, files: 3 };

#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    arguments: usize,
    files: usize,
    values: usize,
    bytes: usize,
}

impl Fields for Found {
    fn argument(&mut self, name: &[u8], value: &[u8]) {
        self.arguments += 1;
        self.bytes += name.len() + value.len();
    }

    fn file(&mut self, field: &[u8], name: &[u8], size_bytes: usize) {
        self.files += 1;
        self.bytes += field.len() + name.len() + size_bytes;
    }

    fn part_header(&mut self, _part: &[u8], line: &[u8]) {
        self.bytes += line.len();
    }

    fn xml_text(&mut self, text: &[u8]) {
        self.values += 1;
        self.bytes += text.len();
    }

    fn xml_attribute(&mut self, value: &[u8]) {
        self.values += 1;
        self.bytes += value.len();
    }
}

fn form(bytes: &[u8]) {
    let mut found = Found::default();
    let result = body::urlencoded(bytes, b'&', LIMITS, &mut found);
    assert!(found.arguments <= LIMITS.arguments && found.bytes <= bytes.len());
    assert_eq!(result.is_err(), result == Err(Fault::Arguments(LIMITS.arguments)));
}

fn json(bytes: &[u8]) {
    let mut found = Found::default();
    let result = body::json(bytes, LIMITS, &mut found);
    // An array's length is given too, each within the same limit.
    assert!(found.arguments <= 2 * LIMITS.arguments);
    assert!(found.bytes <= bytes.len() * 8 + 4096);
    let is_json = serde_json::from_slice::<IgnoredAny>(bytes).is_ok();
    match result {
        // Bytes that are no UTF-8, and halves of pairs, are let through: rules look at them.
        Ok(()) => {
            assert!(is_json || !bytes.is_ascii() || bytes.windows(2).any(|two| two == b"\\u"))
        }
        Err(Fault::Syntax { what, .. }) => assert!(!is_json || what.contains("too long"), "{what}"),
        Err(_) => {}
    }
}

fn xml(bytes: &[u8]) {
    let mut found = Found::default();
    let result = body::xml(bytes, LIMITS, &mut found);
    // A reference is at least as long as its character; `&ngE;` and its like are two.
    assert!(found.values <= LIMITS.arguments && found.bytes <= bytes.len() * 2);
    assert!(!matches!(result, Err(Fault::Files(_))));
}

fn multipart(content_type: &[u8], bytes: &[u8]) {
    let mut found = Found::default();
    let (flags, result) = body::multipart(bytes, content_type, LIMITS, &mut found);
    assert!(found.arguments <= LIMITS.arguments && found.files <= LIMITS.files);
    assert!(result.is_ok() || flags.strict_error());
    let mut again = Found::default();
    assert_eq!(body::multipart(bytes, content_type, LIMITS, &mut again).0, flags);
    assert_eq!(found, again);
}

fuzz_target!(|bytes: &[u8]| {
    form(bytes);
    json(bytes);
    xml(bytes);
    multipart(b"multipart/form-data; boundary=b", bytes);
    let line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    multipart(&bytes[..line], &bytes[line..]);
});
