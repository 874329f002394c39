//! Check of routes that ask who sends a request, beside wider ones to the same pool that do not: a
//! backend that reads a path otherwise than the routes do answers what was to be asked about.

use super::diagnostics::Problem;
use super::tree::{Entry, Node};

/// What a listener can do about paths in another spelling: its key, and how the path of a route could
/// be spelled without it.
const SPELLINGS: [(&str, &str); 3] =
    [("dot_segments", "/x/.."), ("encoded_slashes", "/x/..%2f"), ("repeated_slashes", "/")];

/// Warns of routes in `root` with an identity that is not asked in another spelling of their path.
pub(super) fn check(root: &Node, problems: &mut Vec<Problem>) {
    let listeners = root.get("listener").map(Node::entries).unwrap_or_default();
    let passes = |key: &str| {
        listeners.iter().any(|listener| {
            let set = listener.node.get("paths").and_then(|paths| paths.get(key));
            set.and_then(Node::text).is_none_or(|text| text == "pass")
        })
    };
    let open: Vec<_> = SPELLINGS.into_iter().filter(|(key, _)| passes(key)).collect();
    let Some((_, spelling)) = open.first().copied() else { return };
    let keys: Vec<String> = open.iter().map(|(key, _)| format!("`{key}`")).collect();
    let routes = root.get("route").map(Node::items).unwrap_or_default();
    for (index, route) in routes.iter().enumerate().filter(|(_, route)| asks(route)) {
        let wider = routes.iter().find(|other| !asks(other) && shadows(other, route));
        let (Some(wider), Some(identity)) = (wider, route.get("identity")) else { continue };
        let (name, path) = (text(wider, "name"), path(route).unwrap_or_default());
        let spelled = match spelling.ends_with("%2f") {
            true => format!("{spelling}{}", path.trim_start_matches('/')),
            false => format!("{spelling}{path}"),
        };
        let message = format!("`{spelled}` goes by route `{name}` to the same pool, unasked");
        let accepted = format!(
            "{} other than \"pass\" in `paths` of each listener, or `identity` there too",
            keys.join(", ")
        );
        let key = format!("route[{index}].identity");
        let problem = Problem::new(&key, identity.span.clone(), message);
        problems.push(problem.accepts(accepted).warning());
    }
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

/// Whether `wider` takes what `route` does not, to the same pool.
fn shadows(wider: &Node, route: &Node) -> bool {
    let own = pools(route);
    is_of_host(wider, route)
        && is_above(wider, route)
        && pools(wider).iter().any(|pool| own.contains(pool))
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

/// Whether the paths of `wider` are all below a prefix that the path of `route` is below, too.
fn is_above(wider: &Node, route: &Node) -> bool {
    let of = |key: &str| wider.get("match").and_then(|to| to.get(key)).and_then(Node::text);
    if of("path_exact").or(of("path_regex")).is_some() {
        return false;
    }
    let bare = |path: &'_ str| path.strip_suffix('/').unwrap_or(path).to_owned();
    let (Some(own), prefix) = (path(route), bare(of("path").unwrap_or_default())) else {
        return false;
    };
    let rest = bare(own).strip_prefix(&prefix).map(str::to_owned);
    rest.is_some_and(|rest| rest.starts_with('/'))
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
