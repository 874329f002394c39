//! Check of routes that ask who sends a request, beside others to the same pool that do not: a
//! backend that reads a path otherwise than the routes do answers what was to be asked about.

use super::diagnostics::Problem;
use super::tree::{Entry, Node};
use std::cmp::Reverse;

/// What a listener can do about paths in another spelling. The last only helps out of a wider route.
const SPELLINGS: [&str; 3] = ["dot_segments", "encoded_slashes", REPEATED];
const REPEATED: &str = "repeated_slashes";

/// Warns of routes in `root` with an identity that is not asked in another spelling of their path.
pub(super) fn check(root: &Node, problems: &mut Vec<Problem>) {
    let listeners = root.get("listener").map(Node::entries).unwrap_or_default();
    let is_open = |key: &&str| listeners.iter().any(|listener| passes(&listener.node, key));
    let open: Vec<_> = SPELLINGS.into_iter().filter(is_open).collect();
    let routes = root.get("route").map(Node::items).unwrap_or_default();
    for (index, route) in routes.iter().enumerate().filter(|(_, route)| asks(route)) {
        let unasked = routes.iter().filter(|other| !asks(other) && shares_backends(other, route));
        let ways = unasked.filter_map(|other| Some((other, way_round(&open, other, route)?)));
        let widest = ways.min_by_key(|(_, (keys, _))| Reverse(keys.len()));
        let Some(((other, (keys, spelled)), identity)) = widest.zip(route.get("identity")) else {
            continue;
        };
        let message = format!(
            "`{spelled}` goes by route `{}` to the same pool, unasked",
            text(other, "name")
        );
        let keys: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
        let accepted = format!(
            "{} other than \"pass\" in `paths` of each listener, or `identity` there too",
            keys.join(", ")
        );
        let key = format!("route[{index}].identity");
        let problem = Problem::new(&key, identity.span.clone(), message);
        problems.push(problem.accepts(accepted).warning());
    }
}

/// Whether `listener` passes on paths in this spelling.
fn passes(listener: &Node, key: &str) -> bool {
    let said = |key| listener.get("paths").and_then(|paths| paths.get(key)).and_then(Node::text);
    // Whoever refuses dot segments takes what some read as a slash for one there.
    let is_refused_anyway = key == "encoded_slashes" && said("dot_segments") == Some("reject");
    said(key).is_none_or(|text| text == "pass") && !is_refused_anyway
}

/// How the path of `route` can be spelled so that `other` takes it, and what of `open` allows that.
fn way_round(
    open: &[&'static str],
    other: &Node,
    route: &Node,
) -> Option<(Vec<&'static str>, String)> {
    let of = |key: &str| other.get("match").and_then(|to| to.get(key)).and_then(Node::text);
    if of("path_exact").or(of("path_regex")).is_some() {
        return None;
    }
    let prefix = bare(of("path").unwrap_or_default());
    let path = path(route).unwrap_or_default();
    let below = bare(path).strip_prefix(prefix);
    if below == Some("") {
        return None;
    }
    let below = below.filter(|below| below.starts_with('/'));
    let (up, rest) = match below {
        Some(below) => ("/x/..".to_owned(), below),
        None => ("/..".repeat(prefix.matches('/').count()), path),
    };
    let allows = |key: &&str| below.is_some() || *key != REPEATED;
    let keys: Vec<_> = open.iter().copied().filter(allows).collect();
    let spelled = match *keys.first()? {
        REPEATED => format!("{prefix}/{rest}"),
        "encoded_slashes" => format!("{prefix}{up}%2f{}", rest.trim_start_matches('/')),
        _ => format!("{prefix}{up}{rest}"),
    };
    Some((keys, spelled))
}

fn bare(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

fn text<'a>(node: &'a Node, key: &str) -> &'a str {
    node.get(key).and_then(Node::text).unwrap_or("?")
}

/// Whether nobody passes `route` unknown.
fn asks(route: &Node) -> bool {
    let identity = route.get("identity");
    let mode = identity.and_then(|identity| identity.get("mode")).and_then(Node::text);
    identity.is_some() && mode != Some("optional")
}

/// Whether `other` takes requests for hosts of `route`, to backends of it.
fn shares_backends(other: &Node, route: &Node) -> bool {
    let own = pools(route);
    is_of_host(other, route) && pools(other).iter().any(|pool| own.contains(pool))
}

/// Whether `wider` takes hosts that `route` does.
fn is_of_host(wider: &Node, route: &Node) -> bool {
    let (Some(wide), narrow) = (host(wider), host(route)) else { return true };
    let Some(narrow) = narrow else { return false };
    wide == narrow || wide.strip_prefix('*').is_some_and(|end| narrow.ends_with(end))
}

fn host(route: &Node) -> Option<String> {
    Some(route.get("match")?.get("host")?.text()?.to_ascii_lowercase())
}

/// The path that `route` is for, as far as it is said.
fn path(route: &Node) -> Option<&str> {
    let matches = route.get("match")?;
    ["path", "path_exact", "path_regex"].iter().find_map(|key| matches.get(key)?.text())
}

/// The pools that requests of `route` go to.
fn pools(route: &Node) -> Vec<&str> {
    let split = route.get("split").and_then(|split| split.get("pools"));
    let of_split = split.map(Node::entries).unwrap_or_default().iter();
    let own = route.get("pool").and_then(Node::text);
    own.into_iter().chain(of_split.map(|entry: &Entry| &*entry.key)).collect()
}
