//! Check of fallbacks and pages: what they name, in which order, and what nobody would see.

use super::check_edits::{self, Field};
use super::check_routes::check_defined;
use super::diagnostics::Problem;
use super::fallback::{FallbackCache, FallbackStep};
use super::page::PageSource;
use super::tree::{Entry, Node};
use super::validate::join;
use crate::types::units::ByteSize;
use std::collections::HashSet;

/// The two forms of a page's body, each with the key of its file.
const BODIES: [(&str, &str); 2] = [("html", "html_file"), ("json", "json_file")];

/// Adds all that is wrong with the fallbacks and pages of `root`.
pub(super) fn check(root: &Node, problems: &mut Vec<Problem>) {
    for pool in tables(root, "pool") {
        if let Some(chain) = pool.node.get("fallback") {
            let key = format!("pool.{}.fallback", pool.key);
            check_chain(root, chain, &key, &[&pool.key], problems);
        }
    }
    let routes = root.get("route").map(Node::items).unwrap_or_default();
    for (index, route) in routes.iter().enumerate() {
        let key = format!("route[{index}]");
        if let Some(chain) = route.get("fallback") {
            check_route(root, route, chain, &join(&key, "fallback"), problems);
        }
        check_errors(root, route, &key, problems);
    }
    for listener in tables(root, "listener") {
        check_errors(root, &listener.node, &format!("listener.{}", listener.key), problems);
    }
    for page in tables(root, "page") {
        check_page(&page.node, &format!("page.{}", page.key), problems);
    }
    check_cache(root, problems);
}

/// Every page that `root` names, by whatever key.
pub(super) fn pages_used(root: &Node) -> HashSet<String> {
    let mut used = HashSet::new();
    let routes = root.get("route").map(Node::items).unwrap_or_default();
    let listeners = tables(root, "listener").map(|entry| &entry.node);
    let pools = tables(root, "pool").map(|entry| &entry.node);
    for table in routes.iter().chain(listeners).chain(pools) {
        let steps = table.get("fallback").map(Node::items).unwrap_or_default();
        let pages = table.get("error_pages").map(Node::entries).unwrap_or_default();
        let of_steps = steps.iter().filter_map(|step| step.text()?.strip_prefix("static:"));
        let of_errors = pages.iter().filter_map(|page| page.node.text());
        used.extend(of_steps.chain(of_errors).map(str::to_owned));
    }
    used
}

/// Whether some chain of `root` leads to the pool called `name`.
pub(super) fn falls_back_to(root: &Node, name: &str) -> bool {
    let routes = root.get("route").map(Node::items).unwrap_or_default();
    let pools = tables(root, "pool").map(|entry| &entry.node);
    let mut steps = routes
        .iter()
        .chain(pools)
        .flat_map(|table| table.get("fallback").map(Node::items).unwrap_or_default());
    steps.any(|step| step.text().and_then(|text| text.strip_prefix("pool:")) == Some(name))
}

fn tables<'a>(root: &'a Node, kind: &str) -> impl Iterator<Item = &'a Entry> {
    root.get(kind).map(Node::entries).unwrap_or_default().iter()
}

/// A route's chain is for requests that went to a pool.
fn check_route(root: &Node, route: &Node, chain: &Node, key: &str, problems: &mut Vec<Problem>) {
    let pool = route.get("pool").and_then(Node::text);
    if pool.is_none() && route.get("split").is_none() {
        let message = "no backend gets the requests of this route";
        let problem = Problem::new(key, chain.span.clone(), message);
        problems.push(problem.accepts("this only beside `pool` or `split`"));
        return;
    }
    check_chain(root, chain, key, &pool.into_iter().collect::<Vec<_>>(), problems);
}

/// Steps name what there is, once, and none comes after one that always answers. `own`: the pool
/// that the requests come from.
fn check_chain(root: &Node, chain: &Node, key: &str, own: &[&str], problems: &mut Vec<Problem>) {
    let mut seen = HashSet::new();
    let mut last: Option<&str> = None;
    for (index, node) in chain.items().iter().enumerate() {
        let key = format!("{key}[{index}]");
        let Some(text) = node.text() else { continue };
        let Ok(step) = text.parse::<FallbackStep>() else { continue };
        let wrong = |message: String| Problem::new(&key, node.span.clone(), message);
        if let Some(last) = last {
            let message = format!("nothing is left to be done after `{last}`");
            problems.push(wrong(message).accepts("`static` as the last step"));
        } else if !seen.insert(text) {
            let message = format!("`{text}` is there twice");
            problems.push(wrong(message).accepts("each step once"));
        }
        match &step {
            FallbackStep::Cached => {}
            FallbackStep::Pool(pool) if own.contains(&pool.as_str()) => {
                let message = format!("`{pool}` is the pool that could not serve the request");
                problems.push(wrong(message).accepts("another pool"));
            }
            FallbackStep::Pool(pool) => {
                check_defined(root, ("pool", pool.as_str()), node, &key, problems);
            }
            FallbackStep::Static(page) => {
                last = Some(text);
                check_source(root, page, node, &key, problems);
            }
        }
    }
}

/// `error_pages` name pages that there are.
fn check_errors(root: &Node, table: &Node, key: &str, problems: &mut Vec<Problem>) {
    for entry in table.get("error_pages").map(Node::entries).unwrap_or_default() {
        let key = format!("{key}.error_pages.{}", entry.key);
        let page = entry.node.text().and_then(|text| text.parse::<PageSource>().ok());
        if let Some(page) = page {
            check_source(root, &page, &entry.node, &key, problems);
        }
    }
}

fn check_source(
    root: &Node,
    page: &PageSource,
    node: &Node,
    key: &str,
    problems: &mut Vec<Problem>,
) {
    if let PageSource::Named(name) = page {
        check_defined(root, ("page", name.as_str()), node, key, problems);
    }
}

/// A page has a body, each form of it once, if its status allows for one, and no fields that are
/// not its own.
fn check_page(page: &Node, key: &str, problems: &mut Vec<Problem>) {
    let entry = |name: &str| page.entries().iter().find(|entry| entry.key == name);
    for (text, file) in BODIES {
        if let (Some(_), Some(file)) = (entry(text), entry(file)) {
            let problem =
                Problem::new(&join(key, &file.key), file.key_span.clone(), "a second body");
            problems.push(problem.accepts(format!("either `{text}` or `{}`", file.key)));
        }
    }
    let body = BODIES.iter().find_map(|(text, file)| entry(text).or(entry(file)));
    let status = page.get("status").map(Node::to_json).and_then(|status| status.as_u64());
    let has_body = !matches!(status, Some(204 | 205 | 304));
    match body {
        None if has_body => problems.push(
            Problem::new(key, page.span.clone(), "this page has no body")
                .accepts("one of html, html_file, json, json_file"),
        ),
        Some(body) if !has_body => {
            let message = format!("an answer {} has no body", status.unwrap_or_default());
            let problem = Problem::new(&join(key, &body.key), body.key_span.clone(), message);
            problems.push(problem.accepts("no body, or another status"));
        }
        _ => {}
    }
    let instead = [
        ("content-type", "none: it is that of the body"),
        ("date", "no date: it is that of the answer"),
        ("retry-after", "`retry_after` for it"),
    ];
    for field in page.get("headers").map(Node::entries).unwrap_or_default() {
        let place = Field { name: &field.key, table: &join(key, "headers"), span: &field.key_span };
        check_edits::check_field(place, &instead, problems);
    }
}

/// A store has room for the answers that it takes.
fn check_cache(root: &Node, problems: &mut Vec<Problem>) {
    let default = FallbackCache::default();
    let cache = root.get("fallback_cache");
    let size_of = |key: &str, default: ByteSize| {
        let node = cache.and_then(|cache| cache.get(key));
        let size = node.and_then(|node| node.text()?.parse::<ByteSize>().ok());
        (node, size.unwrap_or(default))
    };
    let (size_node, size) = size_of("size", default.size);
    let (entry_node, entry) = size_of("entry_size", default.entry_size);
    if let (true, Some(node)) = (entry.as_bytes() > size.as_bytes(), entry_node.or(size_node)) {
        let message = format!("an entry of {entry} has no place in {size}");
        problems.push(
            Problem::new("fallback_cache.entry_size", node.span.clone(), message)
                .accepts("an `entry_size` of at most `size`"),
        );
    }
}
