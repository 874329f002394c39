//! 2 · Route: which route a request takes.
//!
//! The most specific that takes it: its host first (exact, then wildcards by length, then
//! none), then its path (exact, then the longest prefix, patterns among those by what they
//! begin with literally), then how much else it asks for, then the order of the config. A
//! route whose predicate does not hold is passed over, down to less specific paths and hosts.
//!
//! Hosts are looked up here, paths in `paths`; what else may be asked for is `predicate`.

mod metrics;
mod order;
mod paths;
pub mod predicate;
pub mod term;

pub use metrics::{Ended, RouteMetrics};
pub use order::Rank;
pub use predicate::{Condition, Predicate};
pub use term::{HostTerm, PathTerm, ValueTerm};

use super::snapshot::Route;
use paths::Paths;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use vanne_filters::RequestHead;

/// Longest name of a host (RFC 1035 §2.3.4), without the dot of the root. Admission refuses longer
/// ones.
pub const HOST_BYTES_MAX: usize = 253;

/// Which requests a route takes.
#[derive(Clone, Debug)]
pub struct Match {
    /// Their host; `None` for any.
    pub host: Option<HostTerm>,
    /// Their path.
    pub path: PathTerm,
    /// What else must hold of them.
    pub predicate: Predicate,
}

impl Match {
    /// All requests, to any host, whose path is below `prefix`.
    #[must_use]
    pub fn prefix(prefix: &str) -> Self {
        Self { host: None, path: PathTerm::prefix(prefix), predicate: Predicate::default() }
    }
}

/// All routes, compiled for look-up.
#[derive(Default)]
pub struct RouteTable {
    exact: HashMap<Box<[u8]>, Paths>,
    below: HashMap<Box<[u8]>, Paths>,
    /// The longest key of `below`: no longer end of a host is looked for.
    below_bytes_max: usize,
    any: Paths,
}

impl RouteTable {
    /// Adds `route` for requests that `matches`. One of two that take the same is found: that
    /// which was added first.
    pub fn add(&mut self, matches: Match, route: Arc<Route>) {
        let key = |host: &str| Box::from(host.to_ascii_lowercase().as_bytes());
        let paths = match &matches.host {
            Some(HostTerm::Exact(host)) => self.exact.entry(key(host)).or_default(),
            Some(HostTerm::Below(host)) => {
                self.below_bytes_max = self.below_bytes_max.max(host.len());
                self.below.entry(key(host)).or_default()
            }
            None => &mut self.any,
        };
        paths.add(&matches.path, matches.predicate, route);
    }

    /// The route for the request with this `head`, sent by `client`, as it is believed.
    /// Cost: for the host, and each of its ends if there are wildcards, one look-up; then
    /// that of `paths`. Allocates nothing.
    #[must_use]
    pub fn find<'t>(&'t self, head: &RequestHead<'_>, client: IpAddr) -> Option<&'t Arc<Route>> {
        let path = head.path();
        let mut room = [0; HOST_BYTES_MAX];
        let host = head.host().map(named);
        let host = host.and_then(|host| lower_case(host, &mut room)).unwrap_or_default();
        let find = |paths: &'t Paths| paths.find(path, head, client);
        self.exact
            .get(host)
            .and_then(find)
            .or_else(|| self.ends(host).filter_map(|end| self.below.get(end)).find_map(find))
            .or_else(|| find(&self.any))
    }

    /// The ends of `host` that a wildcard may stand before, the longest first.
    fn ends<'a>(&self, host: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let longest = self.below_bytes_max;
        let dots = host.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'.');
        dots.filter_map(move |(at, _)| host.get(at + 1..).filter(|end| end.len() <= longest))
    }
}

/// `host` without the dot of the root at its end: the same host (RFC 3986 §3.2.2), and backends
/// take it for that.
#[must_use]
pub fn named(host: &[u8]) -> &[u8] {
    host.strip_suffix(b".").unwrap_or(host)
}

/// `host` in lower case; `None` if it is too long for any.
fn lower_case<'a>(host: &'a [u8], room: &'a mut [u8; HOST_BYTES_MAX]) -> Option<&'a [u8]> {
    let room = room.get_mut(..host.len())?;
    if !host.iter().any(u8::is_ascii_uppercase) {
        return Some(host);
    }
    room.copy_from_slice(host);
    room.make_ascii_lowercase();
    Some(room)
}

#[cfg(test)]
mod tests;
