//! The requests of `tests/waf/`, read as data: their form, their numbers, how they spread.
//!
//! What rules make of them is not judged here.
#![cfg(test)]

mod request;

use request::{Named, read};
use std::collections::{BTreeMap, BTreeSet};

/// Classes of attacks, each in a file of its own.
const CLASSES: [&str; 10] = [
    "code_injection",
    "command_injection",
    "deserialisation",
    "lookup",
    "protocol",
    "scanner",
    "sql_injection",
    "ssrf",
    "traversal",
    "xss",
];
const ATTACKS_PER_CLASS: usize = 15;
const BENIGN: usize = 533;

fn per_class(requests: &[Named]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for named in requests {
        *counts.entry(named.class.as_str()).or_default() += 1;
    }
    counts
}

#[test]
fn attacks_are_as_many_in_each_class() {
    let attacks = read("attacks");
    let expected = CLASSES.map(|class| (class, ATTACKS_PER_CLASS));
    assert_eq!(per_class(&attacks), BTreeMap::from(expected));
}

#[test]
fn benign_requests_are_many_and_of_all_kinds() {
    let benign = read("benign");
    assert_eq!(benign.len(), BENIGN);
    let kinds = per_class(&benign);
    assert!(kinds.len() >= 10, "only {kinds:?}");
    assert!(kinds.values().all(|count| count * 4 <= BENIGN), "one kind is too many: {kinds:?}");
}

#[test]
fn each_request_has_its_own_name() {
    let mut names = BTreeSet::new();
    for named in read("attacks").into_iter().chain(read("benign")) {
        assert!(names.insert(named.request.id.clone()), "`{}` is there twice", named.request.id);
    }
}

#[test]
fn each_request_says_why_it_is_there() {
    for named in read("attacks").into_iter().chain(read("benign")) {
        assert!(named.why.len() >= 4, "`{}` does not", named.request.id);
    }
}

#[test]
fn requests_can_be_sent() {
    for Named { request, .. } in read("attacks").into_iter().chain(read("benign")) {
        let id = &request.id;
        assert!(request.method.bytes().all(|byte| byte.is_ascii_uppercase()), "method of `{id}`");
        assert!(!request.target.is_empty(), "target of `{id}`");
        assert!(!request.target.contains([' ', '\r', '\n', '\0']), "target of `{id}`");
        for (name, value) in &request.headers {
            assert!(!name.is_empty() && !value.contains(['\r', '\n', '\0']), "{name} of `{id}`");
        }
        let hosts = request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("host"));
        assert_eq!(hosts.count(), 1, "`Host` of `{id}`");
    }
}

#[test]
fn texts_of_json_are_json() {
    for Named { request, .. } in read("attacks").into_iter().chain(read("benign")) {
        let is_json = |(name, value): &(String, String)| {
            name == "Content-Type" && value == "application/json"
        };
        if request.headers.iter().any(is_json) {
            let read = serde_json::from_slice::<serde_json::Value>(&request.body);
            assert!(read.is_ok(), "`{}`: {read:?}", request.id);
        }
    }
}

#[test]
fn attacks_are_everywhere_in_a_request() {
    let attacks = read("attacks");
    let with_type = |kind: &str| {
        let has =
            |(name, value): &(String, String)| name == "Content-Type" && value.starts_with(kind);
        attacks.iter().filter(|named| named.request.headers.iter().any(has)).count()
    };
    for kind in ["application/json", "application/x-www-form-urlencoded", "multipart/form-data"] {
        assert!(with_type(kind) >= 8, "only {} in {kind}", with_type(kind));
    }
    assert!(with_type("application/xml") >= 7, "only {} in XML", with_type("application/xml"));
    let count = |holds: fn(&request::Request) -> bool| {
        attacks.iter().filter(|named| holds(&named.request)).count()
    };
    assert!(count(|request| request.target.contains('?')) >= 30, "in queries");
    assert!(
        count(|request| request.headers.iter().any(|(name, _)| name == "Cookie")) >= 8,
        "in cookies"
    );
}
