//! Which of several routes a request takes.

use super::*;
use crate::data::snapshot::tests::route_named;
use vanne_filters::{FieldSlice, Version};

fn host(text: &str) -> Option<HostTerm> {
    match text.strip_prefix("*.") {
        _ if text.is_empty() => None,
        Some(end) => Some(HostTerm::Below(end.into())),
        None => Some(HostTerm::Exact(text.into())),
    }
}

/// `=/exact`, `~/pattern` or `/prefix`.
fn path(text: &str) -> PathTerm {
    match text.split_at_checked(1) {
        Some(("=", exact)) => PathTerm::Exact(exact.as_bytes().into()),
        Some(("~", pattern)) => PathTerm::Pattern(pattern.parse().unwrap()),
        _ => PathTerm::prefix(text),
    }
}

/// A table of routes that are called by what they match: host, path and fields that must be
/// there.
fn table(rows: &[(&str, &str, &[&str])]) -> RouteTable {
    let mut table = RouteTable::default();
    for (index, (of, at, fields)) in rows.iter().enumerate() {
        let field = |name: &&str| Condition::Field((*name).into(), ValueTerm::Present);
        let predicate = Predicate::new(fields.iter().map(field).collect());
        let matches = Match { host: host(of), path: path(at), predicate };
        table.add(matches, route_named(&format!("r{index}")));
    }
    table
}

/// The index of the row that a request takes.
fn row(table: &RouteTable, of: &str, target: &str, fields: &[&str]) -> Option<usize> {
    let mut all = vec![("host", of)];
    all.extend(fields.iter().map(|name| (*name, "1")));
    let fields = FieldSlice(&all);
    let head = RequestHead::new("GET", target.as_bytes(), Version::Http11, &fields);
    let client = std::net::Ipv4Addr::LOCALHOST.into();
    let route = table.find(&head, client)?;
    route.id.as_str().strip_prefix('r').unwrap().parse().ok()
}

#[test]
fn the_longest_prefix_of_whole_segments_wins() {
    let table = table(&[
        ("", "/", &[]),
        ("", "/api", &[]),
        ("", "/api/v2/", &[]),
        ("A.example", "/only", &[]),
        ("a.example", "/only", &[]),
        ("", "/a/b/c/d", &[]),
    ]);
    for (of, target, want) in [
        ("", "/", 0),
        ("", "/apix", 0),
        ("", "/api", 1),
        ("", "/api?x=/v2", 1),
        ("", "/api/", 1),
        ("", "/api/x/y", 1),
        ("", "/api/v2", 2),
        ("", "/api/v2/", 2),
        ("", "/api/v22", 1),
        ("b.example", "/only", 0),
        ("a.EXAMPLE", "/only/x", 3),
        ("a.example:80", "/only", 3),
        ("a.example", "/other", 0),
        ("", "//x", 0),
        ("", "//", 0),
        ("", "/a/b/c", 0),
        ("", "/a/b/c/d/e", 5),
    ] {
        assert_eq!(row(&table, of, target, &[]), Some(want), "{of} {target}");
    }
}

#[test]
fn hosts_go_before_paths_and_longer_wildcards_before_shorter() {
    let long = "*.b.example.com";
    let table = table(&[
        ("", "=/x", &[]),
        ("*.example.com", "/x", &[]),
        (long, "/", &[]),
        ("a.b.example.com", "/only", &[]),
        ("*.com", "=/y", &[]),
    ]);
    for (of, target, want) in [
        ("a.b.example.com", "/only", Some(3)),
        ("A.B.Example.com", "/x", Some(2)),
        ("a.b.example.com.", "/only", Some(3)),
        ("C.b.example.com.:80", "/x", Some(2)),
        ("example.com..", "/x", Some(0)),
        ("c.b.example.com", "/x", Some(2)),
        ("b.example.com", "/x", Some(1)),
        ("a.c.example.com", "/x/y", Some(1)),
        ("b.example.com", "/y", Some(4)),
        ("example.com", "/y", Some(4)),
        ("example.com", "/x", Some(0)),
        ("com", "/y", None),
        (".com", "/y", None),
        ("", "/x", Some(0)),
        ("b.example.org", "/y", None),
    ] {
        assert_eq!(row(&table, of, target, &[]), want, "{of} {target}");
    }
    let long = format!("{}example.com", "a.".repeat(200));
    assert_eq!(row(&table, &long, "/x", &[]), Some(0), "no host is so long");
}

#[test]
fn an_exact_path_wins_and_a_pattern_stands_where_its_literal_beginning_does() {
    let table = table(&[
        ("", "/", &[]),
        ("", "/users", &[]),
        ("", "~/users/[0-9]+", &[]),
        ("", "=/users/7", &[]),
        ("", "/users/8", &[]),
        ("", "~/.*\\.php", &[]),
        ("", "~/(a|b)/.*", &[]),
    ]);
    for (target, want) in [
        ("/users/7", 3),
        ("/users/7/", 1),
        ("/users/8", 4),
        ("/users/9", 2),
        ("/users/9/x", 1),
        ("/users/x.php", 1),
        ("/x.php", 5),
        ("/a/x", 6),
        ("/a/x.php", 5),
        ("/c/x", 0),
    ] {
        assert_eq!(row(&table, "", target, &[]), Some(want), "{target}");
    }
}

#[test]
fn more_is_tried_before_less_and_what_does_not_hold_is_passed_over() {
    let table = table(&[
        ("", "/", &[]),
        ("", "/api", &["x-a"]),
        ("", "/api", &["x-b", "x-c"]),
        ("", "/api", &["x-b"]),
        ("a.example", "/api/v1", &["x-z"]),
        ("", "=/api", &["x-a", "x-z"]),
        ("", "~/api/.*", &["x-y"]),
    ]);
    for (of, target, fields, want) in [
        ("", "/api", &[][..], 0),
        ("", "/api", &["x-a"], 1),
        ("", "/api", &["x-a", "x-b"], 1),
        ("", "/api", &["x-b"], 3),
        ("", "/api", &["x-a", "x-b", "x-c"], 2),
        ("", "/api", &["x-a", "x-z"], 5),
        ("", "/api/x", &["x-a", "x-b", "x-c", "x-y"], 6),
        ("", "/api", &["x-y"], 0),
        ("a.example", "/api/v1", &["x-z"], 4),
        ("a.example", "/api/v1", &["x-a"], 1),
        ("a.example", "/api/v1", &[], 0),
    ] {
        assert_eq!(row(&table, of, target, fields), Some(want), "{of} {target} {fields:?}");
    }
}

#[test]
fn without_a_match_there_is_no_route() {
    let some = table(&[("", "/api", &[]), ("", "/x", &["x-a"])]);
    let all = table(&[("", "/", &[]), ("", "~.*", &[])]);
    for target in ["/", "/x", "*", ""] {
        assert_eq!(row(&some, "", target, &[]), None, "{target}");
    }
    for target in ["*", "", "a"] {
        assert_eq!(row(&all, "", target, &[]), None, "{target}");
    }
    assert_eq!(row(&RouteTable::default(), "a", "/", &[]), None);
}
