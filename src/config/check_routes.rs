//! Check of routes: names, what they refer to, and routes that no request can reach.

use super::check_edits::{self, Field};
use super::diagnostics::Problem;
use super::tree::{Entry, Node};
use super::validate::join;
use serde_json::{Value as Json, json};
use std::collections::HashMap;

/// Keys of a `match` of which one at most is given.
const PATHS: [&str; 3] = ["path", "path_exact", "path_regex"];

/// Keys of a route of which exactly one is given: where its requests go.
const TARGETS: [&str; 4] = ["pool", "split", "redirect", "answer"];
/// Parts of a redirect's address.
const PARTS: [&str; 4] = ["scheme", "host", "port", "path"];
/// What to say of a date.
const NO_DATE: &str = "no date: it is that of the answer";

/// Adds all that is wrong with the routes of `root`.
pub(super) fn check(root: &Node, problems: &mut Vec<Problem>) {
    let mut names: HashMap<&str, usize> = HashMap::new();
    let mut places: HashMap<String, String> = HashMap::new();
    for (index, route) in root.get("route").map(Node::items).unwrap_or_default().iter().enumerate()
    {
        let key = format!("route[{index}]");
        check_reference(root, route, &key, "pool", problems);
        check_reference(root, route, &key, "cors", problems);
        check_name(route, index, &mut names, problems);
        check_target(route, &key, problems);
        if let Some(split) = route.get("split") {
            check_split(root, split, &join(&key, "split"), problems);
        }
        if let Some(redirect) = route.get("redirect") {
            check_redirect(redirect, &join(&key, "redirect"), problems);
        }
        if let Some(answer) = route.get("answer") {
            check_answer(answer, &join(&key, "answer"), problems);
        }
        if let Some(mirror) = route.get("mirror") {
            check_mirror(root, mirror, &join(&key, "mirror"), problems);
        }
        check_edits::check(route, &key, problems);
        if let Some(matches) = route.get("match") {
            check_match(matches, &join(&key, "match"), problems);
        }
        check_place(route, &key, &mut places, problems);
    }
}

fn name_of(route: &Node) -> &str {
    route.get("name").and_then(Node::text).unwrap_or("?")
}

fn check_name<'a>(
    route: &'a Node,
    index: usize,
    names: &mut HashMap<&'a str, usize>,
    problems: &mut Vec<Problem>,
) {
    let name = name_of(route);
    if let Some(first) = names.insert(name, index).filter(|_| name != "?") {
        let span = route.get("name").map_or(route.span.clone(), |node| node.span.clone());
        let message = format!("`{name}` is already the name of route[{first}]");
        problems.push(
            Problem::new(&format!("route[{index}].name"), span, message)
                .accepts("a name of its own"),
        );
    }
}

/// A route leads to exactly one place.
fn check_target(route: &Node, key: &str, problems: &mut Vec<Problem>) {
    let accepted = format!("exactly one of {}", TARGETS.join(", "));
    let is_target = |entry: &&Entry| TARGETS.contains(&entry.key.as_str());
    let targets: Vec<&Entry> = route.entries().iter().filter(is_target).collect();
    match targets[..] {
        [] => {
            let span = route.get("name").map_or(route.span.clone(), |node| node.span.clone());
            problems.push(Problem::new(key, span, "this route leads nowhere").accepts(accepted));
        }
        [_] => {}
        [first, ref others @ ..] => {
            for other in others {
                let message = format!("`{}` beside `{}`", other.key, first.key);
                let key = join(key, &other.key);
                problems.push(
                    Problem::new(&key, other.key_span.clone(), message).accepts(accepted.clone()),
                );
            }
        }
    }
}

/// A split is between pools that there are, and somebody has to get something.
fn check_split(root: &Node, split: &Node, key: &str, problems: &mut Vec<Problem>) {
    let Some(pools) = split.get("pools") else { return };
    let defined: Vec<&str> =
        root.get("pool").map(Node::entries).unwrap_or_default().iter().map(|e| &*e.key).collect();
    for entry in pools.entries().iter().filter(|entry| !defined.contains(&&*entry.key)) {
        let key = join(&join(key, "pools"), &entry.key);
        let message = format!("no pool is called `{}`", entry.key);
        problems.push(
            Problem::new(&key, entry.key_span.clone(), message)
                .accepts(format!("one of {}", defined.join(", ")))
                .suggests(&entry.key, defined.clone()),
        );
    }
    if pools.entries().iter().all(|entry| entry.node.to_json() == json!(0)) {
        problems.push(
            Problem::new(&join(key, "pools"), pools.span.clone(), "no pool gets anything")
                .accepts("at least one with a weight above 0, like { stable = 90, canary = 10 }"),
        );
    }
}

/// A redirect leads to one address, and not to its own.
fn check_redirect(redirect: &Node, key: &str, problems: &mut Vec<Problem>) {
    let part = redirect.entries().iter().find(|entry| PARTS.contains(&entry.key.as_str()));
    match (redirect.get("to"), part) {
        (Some(_), Some(part)) => {
            let message = format!("`{}` beside `to`, which is the whole address", part.key);
            problems.push(
                Problem::new(&join(key, &part.key), part.key_span.clone(), message)
                    .accepts(format!("`to`, or some of {}", PARTS.join(", "))),
            );
        }
        (None, None) => {
            let message = "this redirect leads to where it comes from";
            problems.push(
                Problem::new(key, redirect.span.clone(), message)
                    .accepts(format!("`to`, or some of {}", PARTS.join(", "))),
            );
        }
        _ => {}
    }
}

/// An answer has one body, if its status allows for one, and no fields that are not its own.
fn check_answer(answer: &Node, key: &str, problems: &mut Vec<Problem>) {
    let body_of = |name: &str| answer.entries().iter().find(|entry| entry.key == name);
    let body = body_of("body").or(body_of("body_file"));
    if let (Some(_), Some(file)) = (body_of("body"), body_of("body_file")) {
        let problem = Problem::new(&join(key, "body_file"), file.key_span.clone(), "a second body");
        problems.push(problem.accepts("either `body` or `body_file`"));
    }
    let status = answer.get("status").map(Node::to_json).and_then(|status| status.as_u64());
    if let (Some(status @ (204 | 205 | 304)), Some(body)) = (status, body) {
        let message = format!("an answer {status} has no body");
        problems.push(
            Problem::new(&join(key, &body.key), body.key_span.clone(), message)
                .accepts("no body, or another status"),
        );
    }
    let instead = [("content-type", "`content_type` for it"), ("date", NO_DATE)];
    for field in answer.get("headers").map(Node::entries).unwrap_or_default() {
        let place = Field { name: &field.key, table: &join(key, "headers"), span: &field.key_span };
        check_edits::check_field(place, &instead, problems);
    }
}

/// Copies are sent by HTTP/1.1.
fn check_mirror(root: &Node, mirror: &Node, key: &str, problems: &mut Vec<Problem>) {
    check_reference(root, mirror, key, "pool", problems);
    let Some(node) = mirror.get("pool") else { return };
    let pool = node.text().and_then(|name| root.get("pool")?.get(name));
    if pool.and_then(|pool| pool.get("protocol")?.text()) == Some("h2") {
        let message = "copies are sent by HTTP/1.1, and this pool speaks only HTTP/2";
        problems.push(
            Problem::new(&join(key, "pool"), node.span.clone(), message)
                .accepts("a pool whose `protocol` is \"http/1.1\" or \"auto\""),
        );
    }
}

/// What no request could fulfil, or what says the same twice.
fn check_match(matches: &Node, key: &str, problems: &mut Vec<Problem>) {
    let paths: Vec<&Entry> =
        matches.entries().iter().filter(|entry| PATHS.contains(&entry.key.as_str())).collect();
    if let [first, second, ..] = paths[..] {
        let message = format!("`{}` beside `{}`", second.key, first.key);
        problems.push(
            Problem::new(&join(key, &second.key), second.key_span.clone(), message)
                .accepts("one of path, path_exact, path_regex; further ones in `all`"),
        );
    }
    let mut seen: HashMap<String, &str> = HashMap::new();
    for entry in matches.get("header").map(Node::entries).unwrap_or_default() {
        if let Some(first) = seen.insert(entry.key.to_ascii_lowercase(), &entry.key) {
            let key = format!("{key}.header.{}", entry.key);
            let message = format!("`{}` is the same field as `{first}`", entry.key);
            problems.push(
                Problem::new(&key, entry.key_span.clone(), message)
                    .accepts("each field once; further ones in `all`"),
            );
        }
    }
    for list in ["all", "any"] {
        for (index, inner) in
            matches.get(list).map(Node::items).unwrap_or_default().iter().enumerate()
        {
            check_match(inner, &format!("{key}.{list}[{index}]"), problems);
        }
    }
    if let Some(not) = matches.get("not") {
        check_match(not, &join(key, "not"), problems);
    }
}

/// A route that asks for the same as one before it never gets a request.
fn check_place(
    route: &Node,
    key: &str,
    places: &mut HashMap<String, String>,
    problems: &mut Vec<Problem>,
) {
    let name = name_of(route);
    let matches = route.get("match");
    let key = join(key, "match");
    // What is wrong there was said; nothing else is said because of it.
    if problems.iter().any(|problem| problem.key.starts_with(&key)) {
        return;
    }
    let place = canonical(matches.map_or_else(|| json!({}), Node::to_json), true).to_string();
    if let Some(first) = places.get(&place) {
        let node = matches.or(route.get("name"));
        let span = node.map_or(route.span.clone(), |node| node.span.clone());
        let message = format!("route `{name}` can never match: `{first}` takes its requests");
        problems
            .push(Problem::new(&key, span, message).accepts("a match that no route before it has"));
    } else {
        places.insert(place, name.to_owned());
    }
}

/// `matches` such that two which take the same requests are written the same.
fn canonical(mut matches: Json, is_outermost: bool) -> Json {
    let Json::Object(table) = &mut matches else { return matches };
    if is_outermost && !PATHS.iter().any(|path| table.contains_key(*path)) {
        table.insert("path".into(), "/".into());
    }
    for (key, value) in table.iter_mut() {
        let old = value.take();
        *value = match (key.as_str(), old) {
            ("host", Json::String(host)) => host.to_ascii_lowercase().into(),
            ("path", Json::String(path)) => path.strip_suffix('/').unwrap_or(&path).into(),
            ("header", Json::Object(fields)) => {
                fields.into_iter().map(|(name, to)| (name.to_ascii_lowercase(), to)).collect()
            }
            ("not", not) => canonical(not, false),
            (_, Json::Array(items)) => {
                let mut items: Vec<Json> =
                    items.into_iter().map(|item| canonical(item, false)).collect();
                items.sort_by_key(Json::to_string);
                items.dedup();
                items.into()
            }
            (_, other) => other,
        };
    }
    matches
}

/// `route.KIND` must name a table `[KIND.NAME]`.
fn check_reference(root: &Node, route: &Node, key: &str, kind: &str, problems: &mut Vec<Problem>) {
    let Some(node) = route.get(kind) else { return };
    if let Some(name) = node.text() {
        check_defined(root, (kind, name), node, &join(key, kind), problems);
    }
}

/// There must be a table `[KIND.NAME]`; `node`, at `key`, names it.
pub(super) fn check_defined(
    root: &Node,
    (kind, name): (&str, &str),
    node: &Node,
    key: &str,
    problems: &mut Vec<Problem>,
) {
    let defined: Vec<&str> = root
        .get(kind)
        .map(Node::entries)
        .unwrap_or_default()
        .iter()
        .map(|entry| entry.key.as_str())
        .collect();
    if defined.contains(&name) {
        return;
    }
    let accepted = if defined.is_empty() {
        format!("a table `[{kind}.{name}]`; there is none of its kind")
    } else {
        format!("one of {}", defined.join(", "))
    };
    let message = format!("no {kind} is called `{name}`");
    let problem = Problem::new(key, node.span.clone(), message).accepts(accepted);
    problems.push(problem.suggests(name, defined));
}
