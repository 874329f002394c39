//! What the tests of the processors share: a sink that keeps everything as text.

use super::{Fault, Fields, Limits};
use proptest::prelude::*;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) arguments: Vec<String>,
    pub(super) files: Vec<String>,
    pub(super) headers: Vec<String>,
    pub(super) texts: Vec<String>,
    pub(super) attributes: Vec<String>,
    pub(super) fault: Option<Fault>,
}

/// Bytes as text: one character each where they are no UTF-8.
fn text(bytes: &[u8]) -> String {
    let latin = || bytes.iter().map(|byte| char::from(*byte)).collect();
    std::str::from_utf8(bytes).map_or_else(|_| latin(), str::to_owned)
}

impl Fields for Found {
    fn argument(&mut self, name: &[u8], value: &[u8]) {
        self.arguments.push(format!("{}={}", text(name), text(value)));
    }

    fn file(&mut self, field: &[u8], name: &[u8], size_bytes: usize) {
        self.files.push(format!("{}={} ({size_bytes})", text(field), text(name)));
    }

    fn file_alias(&mut self, name: &[u8]) {
        self.files.push(format!("or {}", text(name)));
    }

    fn part_header(&mut self, part: &[u8], line: &[u8]) {
        self.headers.push(format!("{}={}", text(part), text(line)));
    }

    fn xml_text(&mut self, value: &[u8]) {
        self.texts.push(text(value));
    }

    fn xml_attribute(&mut self, value: &[u8]) {
        self.attributes.push(text(value));
    }
}

/// What a processor finds.
pub(super) fn found(process: impl FnOnce(&mut Found) -> Result<(), Fault>) -> Found {
    let mut found = Found::default();
    found.fault = process(&mut found).err();
    found
}

/// Bytes, with those that mean something more often than others.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let marked = prop::sample::select(&b"{}[]\",:\\u0019-.eE<>&;/!?='a \r\n%+-bX"[..]);
    prop::collection::vec(prop_oneof![6 => marked, 1 => any::<u8>()], 0..80)
}

proptest! {
    #[test]
    fn no_body_is_too_odd(body in bodies()) {
        let limits = Limits { arguments: 5, depth: 4, files: 2 };
        let mut found = [(); 4].map(|()| Found::default());
        let [form, json, xml, multipart] = &mut found;
        form.fault = super::urlencoded(&body, b'&', limits, form).err();
        json.fault = super::json(&body, limits, json).err();
        xml.fault = super::xml(&body, limits, xml).err();
        let (flags, result) =
            super::multipart(&body, b"multipart/form-data; boundary=b", limits, multipart);
        prop_assert!(flags.strict_error() || result.is_ok());
        prop_assert!(form.arguments.len() <= limits.arguments);
        for found in &found {
            prop_assert!(found.files.len() <= limits.files);
            prop_assert!(found.texts.len() + found.attributes.len() <= limits.arguments);
        }
    }
}
