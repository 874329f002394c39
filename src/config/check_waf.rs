//! Check of web application firewalls: what needs something beside it, and names.

use super::check_routes::check_defined;
use super::diagnostics::Problem;
use super::tree::{Entry, Node, Value};
use super::validate::join;
use super::waf::{DEFAULT, NONE};
use crate::types::units::ByteSize;

/// The longest body that may be looked at.
const BODY_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Adds all that is wrong with the firewalls of `root`, and where routes name them.
pub(super) fn check(root: &Node, problems: &mut Vec<Problem>) {
    let wafs = root.get("waf").map(Node::entries).unwrap_or_default();
    for waf in wafs {
        let key = format!("waf.{}", waf.key);
        check_rules(&waf.node, &key, problems);
        if waf.key == NONE {
            let message = format!("`{NONE}` is what a route says that has none");
            let problem = Problem::new(&key, waf.key_span.clone(), message);
            problems.push(problem.accepts("another name"));
        }
        check_sample(&waf.node, &key, problems);
        for body in ["body", "answer_body"] {
            check_body(&waf.node, body, &key, problems);
        }
        check_types(&waf.node, &key, problems);
        let exclusions = waf.node.get("exclusions").map(Node::items).unwrap_or_default();
        for (index, exclusion) in exclusions.iter().enumerate() {
            check_exclusion(root, exclusion, &format!("{key}.exclusions[{index}]"), problems);
        }
    }
    let routes = root.get("route").map(Node::items).unwrap_or_default();
    let named = |route: &Node| Some(route.get("waf")?.text()?.to_owned());
    for (index, route) in routes.iter().enumerate() {
        if let (Some(node), Some(name)) = (route.get("waf"), named(route))
            && name != NONE
        {
            check_defined(root, ("waf", &name), node, &format!("route[{index}].waf"), problems);
        }
    }
    let used: Vec<String> = routes.iter().filter_map(named).collect();
    let is_unused = |waf: &&Entry| waf.key != DEFAULT && !used.contains(&waf.key);
    for waf in wafs.iter().filter(is_unused) {
        let message = format!("no route uses waf `{}`", waf.key);
        let key = format!("waf.{}", waf.key);
        problems.push(Problem::new(&key, waf.key_span.clone(), message).warning());
    }
}

fn check_rules(waf: &Node, key: &str, problems: &mut Vec<Problem>) {
    let is_off = waf.get("mode").and_then(Node::text) == Some("off");
    let has_rules = waf.get("rules").is_some_and(|rules| !rules.items().is_empty());
    let has_own = waf.get("own_rules").is_some_and(|own| matches!(own.value, Value::Bool(true)));
    if !is_off && !has_rules && !has_own && waf.get("crs").is_none() {
        problems.push(
            Problem::new(key, waf.span.clone(), "it has no rules")
                .accepts("`own_rules = true`, `crs = \"DIR\"` or `rules = [\"waf/*.conf\"]`"),
        );
    }
}

/// A part of the requests may be looked at only where nobody is to be refused.
fn check_sample(waf: &Node, key: &str, problems: &mut Vec<Problem>) {
    let Some(sample) = waf.get("sample") else { return };
    if waf.get("mode").and_then(Node::text) != Some("detect") {
        let message = "a share of the requests cannot be refused";
        problems.push(
            Problem::new(&join(key, "sample"), sample.span.clone(), message)
                .accepts("`mode = \"detect\"` beside it"),
        );
    }
}

fn check_body(waf: &Node, body: &str, key: &str, problems: &mut Vec<Problem>) {
    let Some(node) = waf.get(body).and_then(|body| body.get("max")) else { return };
    let size = node.text().and_then(|text| text.parse::<ByteSize>().ok());
    let Some(size) = size.map(ByteSize::as_bytes) else { return };
    if !(1..=BODY_BYTES_MAX).contains(&size) {
        let message = format!("{size} bytes are out of range");
        problems.push(
            Problem::new(&format!("{key}.{body}.max"), node.span.clone(), message)
                .accepts("a number of bytes from 1B to 16MiB"),
        );
    }
}

/// Types of content go to the rules by their names alone.
fn check_types(waf: &Node, key: &str, problems: &mut Vec<Problem>) {
    let Some(types) = waf.get("answer_body").and_then(|body| body.get("types")) else { return };
    let key = format!("{key}.answer_body.types");
    for (index, node) in types.items().iter().enumerate() {
        let Some(text) = node.text().filter(|text| !is_type(text)) else { continue };
        problems.push(
            Problem::new(
                &format!("{key}[{index}]"),
                node.span.clone(),
                format!("`{text}` is no type"),
            )
            .accepts("a type of content without parameters, like `text/html`"),
        );
    }
}

fn is_type(text: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte))
    };
    text.split_once('/').is_some_and(|(kind, rest)| is_name(kind) && is_name(rest))
}

fn check_exclusion(root: &Node, exclusion: &Node, key: &str, problems: &mut Vec<Problem>) {
    let (rule, tag) = (exclusion.get("rule"), exclusion.get("tag"));
    if rule.is_some() == tag.is_some() {
        problems.push(
            Problem::new(key, exclusion.span.clone(), "which rules is not clear")
                .accepts("`rule` or `tag`, one of them"),
        );
    }
    for name in ["tag", "target"] {
        let Some(node) = exclusion.get(name) else { continue };
        let is_odd = |c: char| c.is_control() || matches!(c, '"' | '\\' | '\'' | ' ' | '|' | ',');
        if node.text().is_some_and(|text| text.is_empty() || text.contains(is_odd)) {
            problems.push(
                Problem::new(&join(key, name), node.span.clone(), "it cannot be one name")
                    .accepts("a text without blanks, quotes, commas, `|` and `\\`"),
            );
        }
    }
    let Some(node) = exclusion.get("route") else { return };
    let Some(name) = node.text() else { return };
    let routes = root.get("route").map(Node::items).unwrap_or_default();
    let mut names = routes.iter().filter_map(|route| route.get("name")?.text());
    if !names.any(|known| known == name) {
        let message = format!("no route is called `{name}`");
        let names = routes.iter().filter_map(|route| route.get("name")?.text());
        problems.push(
            Problem::new(&join(key, "route"), node.span.clone(), message)
                .accepts("the name of a route")
                .suggests(name, names.collect::<Vec<_>>()),
        );
    }
}
