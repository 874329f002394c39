//! Check of what a route changes: fields that are not the config's, and changes of nothing.

use super::diagnostics::Problem;
use super::edits::PathTemplate;
use super::tree::Node;
use super::validate::join;
use crate::types::pattern::Pattern;
use std::ops::Range;

/// Fields that frame a message or are of one connection: never the config's.
const FRAMING: [&str; 9] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// The name of a field where it stands in the config.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    /// The name.
    pub name: &'a str,
    /// The key of the table or list that it is in.
    pub table: &'a str,
    /// Where it stands.
    pub span: &'a Range<usize>,
}

/// Adds all that is wrong with what `route` changes.
pub(super) fn check(route: &Node, key: &str, problems: &mut Vec<Problem>) {
    let headers = route.get("headers");
    for side in ["request", "response"] {
        let Some(edits) = headers.and_then(|headers| headers.get(side)) else { continue };
        let key = format!("{key}.headers.{side}");
        let of_request = [("host", "`rewrite.host` for it")];
        let instead = if side == "request" { &of_request[..] } else { &[] };
        check_fields(edits, &key, instead, problems);
        let is_passed_on = route.get("redirect").or(route.get("answer")).is_none();
        if side == "request" && !is_passed_on && !edits.entries().is_empty() {
            problems.push(nobody_gets(&key, edits));
        }
    }
    for name in ["mirror", "priority", "rewrite"] {
        let is_passed_on = route.get("redirect").or(route.get("answer")).is_none();
        if let (Some(node), false) = (route.get(name), is_passed_on) {
            problems.push(nobody_gets(&join(key, name), node));
        }
    }
    let Some(rewrite) = route.get("rewrite") else { return };
    let key = join(key, "rewrite");
    check_rewrite(route, rewrite, &key, problems);
}

fn nobody_gets(key: &str, node: &Node) -> Problem {
    let message = "no backend gets the requests of this route";
    Problem::new(key, node.span.clone(), message).accepts("this only beside `pool`")
}

fn check_fields(edits: &Node, key: &str, instead: &[(&str, &str)], problems: &mut Vec<Problem>) {
    for list in ["set", "add"] {
        let table = join(key, list);
        for field in edits.get(list).map(Node::entries).unwrap_or_default() {
            let field = Field { name: &field.key, table: &table, span: &field.key_span };
            check_field(field, instead, problems);
        }
    }
    let table = join(key, "remove");
    for field in edits.get("remove").map(Node::items).unwrap_or_default() {
        if let Some(name) = field.text() {
            check_field(Field { name, table: &table, span: &field.span }, instead, problems);
        }
    }
}

/// Whether a field called `name` frames a message, or is of one connection.
pub(super) fn is_framing(name: &str) -> bool {
    FRAMING.iter().any(|framing| name.eq_ignore_ascii_case(framing))
}

/// Refuses a field that the config may not touch; `instead` says for some what to do.
pub(super) fn check_field(field: Field<'_>, instead: &[(&str, &str)], problems: &mut Vec<Problem>) {
    let is = |name: &str| field.name.eq_ignore_ascii_case(name);
    let named = instead.iter().find(|(name, _)| is(name)).map(|(_, accepted)| *accepted);
    let is_framing = is_framing(field.name);
    let other = "other fields: this one is of a connection, or frames a message";
    let Some(accepted) = named.or(is_framing.then_some(other)) else { return };
    let message = format!("`{}` cannot be changed here", field.name);
    let key = join(field.table, field.name);
    problems.push(Problem::new(&key, field.span.clone(), message).accepts(accepted));
}

/// A rewrite changes something, and in one way.
fn check_rewrite(route: &Node, rewrite: &Node, key: &str, problems: &mut Vec<Problem>) {
    let entry = |name: &str| rewrite.entries().iter().find(|entry| entry.key == name);
    if rewrite.entries().is_empty() {
        let problem = Problem::new(key, rewrite.span.clone(), "this rewrite changes nothing");
        problems.push(problem.accepts("some of host, path_prefix, path_regex, path"));
    }
    if let Some(prefix) = entry("path_prefix") {
        let says = |message: &str, accepted: &str| {
            let key = join(key, "path_prefix");
            Problem::new(&key, prefix.key_span.clone(), message).accepts(accepted)
        };
        if let Some(other) = entry("path").or(entry("path_regex")) {
            let message = format!("`path_prefix` beside `{}`", other.key);
            problems.push(says(&message, "either path_prefix, or path"));
        }
        if route.get("match").and_then(|matches| matches.get("path")).is_none() {
            let message = "there is no prefix that it could take the place of";
            problems.push(says(message, "`path` in the route's match"));
        }
    }
    if let (Some(regex), None) = (entry("path_regex"), entry("path")) {
        let problem = Problem::new(
            &join(key, "path_regex"),
            regex.key_span.clone(),
            "path_regex without path does nothing",
        );
        problems.push(problem.accepts("`path` beside it"));
    }
    let path = entry("path").and_then(|path| Some((path, path.node.text()?.parse().ok()?)));
    let Some((path, template)): Option<(_, PathTemplate)> = path else { return };
    let groups = match entry("path_regex").map(|regex| regex.node.text()) {
        None => 0,
        Some(text) => match text.and_then(|text| text.parse::<Pattern>().ok()) {
            Some(pattern) => pattern.groups(),
            None => return,
        },
    };
    if template.group_max() > groups {
        let message = format!("there is no group ${}", template.group_max());
        let problem = Problem::new(&join(key, "path"), path.node.span.clone(), message);
        problems.push(problem.accepts(match groups {
            0 => "no group: `path_regex` has none".to_owned(),
            groups => format!("$1 to ${groups}: `path_regex` has no more groups"),
        }));
    }
}
