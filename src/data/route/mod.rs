//! 2 · Route: which route a request takes.
//!
//! A route is chosen by host (exact, any case, without port), then by the longest path
//! prefix of whole segments: `/api` matches `/api` and `/api/x`, not `/apix`. A route
//! that names a host beats all that do not, as long as its path matches. Among equals
//! the first in the config wins (config warns of the others).

use std::collections::HashMap;
use std::sync::Arc;

use super::snapshot::Route;

/// All routes, compiled for look-up.
#[derive(Default)]
pub struct RouteTable {
    hosts: HashMap<Box<[u8]>, Paths>,
    any_host: Paths,
}

/// Routes of one host by path prefix, without a trailing slash; the root is empty.
type Paths = HashMap<Box<[u8]>, Arc<Route>>;

impl RouteTable {
    /// Adds `route` for requests to `host` (any, if `None`) whose path is below `path`.
    /// A route that is there already with the same host and path stays.
    pub fn add(&mut self, host: Option<&str>, path: &str, route: Arc<Route>) {
        let paths = match host {
            Some(host) => {
                self.hosts.entry(host.to_ascii_lowercase().into_bytes().into()).or_default()
            }
            None => &mut self.any_host,
        };
        let prefix = path.as_bytes().strip_suffix(b"/").unwrap_or(path.as_bytes());
        paths.entry(prefix.into()).or_insert(route);
    }

    /// The route for a request to `host` with `path` (raw, without query).
    /// Cost: one look-up per path segment, twice at most; allocates nothing unless the
    /// host has upper-case letters.
    #[must_use]
    pub fn find(&self, host: Option<&[u8]>, path: &[u8]) -> Option<&Arc<Route>> {
        let of_host = host.and_then(|host| {
            if host.iter().any(u8::is_ascii_uppercase) {
                self.hosts.get(host.to_ascii_lowercase().as_slice())
            } else {
                self.hosts.get(host)
            }
        });
        of_host.and_then(|paths| longest(paths, path)).or_else(|| longest(&self.any_host, path))
    }
}

/// The entry with the longest prefix of `path` that ends where a segment does.
fn longest<'a>(paths: &'a Paths, path: &[u8]) -> Option<&'a Arc<Route>> {
    let mut prefix = path.strip_suffix(b"/").unwrap_or(path);
    loop {
        if let Some(route) = paths.get(prefix) {
            return Some(route);
        }
        let cut = prefix.iter().rposition(|&b| b == b'/')?;
        prefix = prefix.get(..cut)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::snapshot::tests::route_named;

    fn table() -> RouteTable {
        let mut table = RouteTable::default();
        for (name, host, path) in [
            ("root", None, "/"),
            ("api", None, "/api"),
            ("api-v2", None, "/api/v2/"),
            ("a-only", Some("A.example"), "/only"),
            ("a-root-late", Some("a.example"), "/only"),
        ] {
            table.add(host, path, route_named(name));
        }
        table
    }

    #[test]
    fn the_longest_prefix_of_whole_segments_wins() {
        let table = table();
        for (host, path, want) in [
            (None, "/", "root"),
            (None, "/apix", "root"),
            (None, "/api", "api"),
            (None, "/api/", "api"),
            (None, "/api/x/y", "api"),
            (None, "/api/v2", "api-v2"),
            (None, "/api/v2/", "api-v2"),
            (None, "/api/v22", "api"),
            (Some("b.example"), "/only", "root"),
            (Some("a.EXAMPLE"), "/only/x", "a-only"),
            (Some("a.example"), "/other", "root"),
            (None, "//x", "root"),
        ] {
            let found = table.find(host.map(str::as_bytes), path.as_bytes()).unwrap();
            assert_eq!(found.id.as_str(), want, "{host:?} {path}");
        }
    }

    #[test]
    fn without_a_match_there_is_no_route() {
        let mut table = RouteTable::default();
        table.add(None, "/api", route_named("api"));
        assert!(table.find(None, b"/").is_none());
        assert!(table.find(None, b"*").is_none());
        assert!(table.find(None, b"").is_none());
    }
}
