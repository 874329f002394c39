//! 2 · Order: which of two routes is asked first, for those who want to read the table.
//!
//! Look-ups do not use it: they find the same by way of hosts and paths. A test holds both
//! together.

use super::paths::segments;
use super::{HostTerm, Match, PathTerm};
use std::cmp::Reverse;

/// Where a route stands: lower is asked first. Routes of one rank are asked in the order of the
/// config, or can never take the same request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    host: (u8, Reverse<usize>, Box<str>),
    path: (bool, Reverse<usize>, Box<[u8]>),
    candidate: Reverse<(bool, usize)>,
}

impl Match {
    /// Where a route with this match stands.
    #[must_use]
    pub fn rank(&self) -> Rank {
        let host = match &self.host {
            Some(HostTerm::Exact(host)) => (0, Reverse(0), host.to_ascii_lowercase().into()),
            Some(HostTerm::Below(host)) => {
                (1, Reverse(host.len()), host.to_ascii_lowercase().into())
            }
            None => (2, Reverse(0), "".into()),
        };
        let (path, is_pattern) = match &self.path {
            PathTerm::Exact(path) => ((false, Reverse(0), path.clone()), false),
            PathTerm::Prefix(path) => ((true, Reverse(segments(path)), path.clone()), false),
            PathTerm::Pattern(pattern) => {
                let begin = PathTerm::begin_of(pattern);
                ((true, Reverse(segments(begin)), begin.into()), true)
            }
        };
        Rank { host, path, candidate: Reverse((is_pattern, self.predicate.weight())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::route::{Condition, Predicate, RouteTable, ValueTerm};
    use crate::data::snapshot::tests::route_named;
    use vanne_filters::{FieldSlice, RequestHead, Version};

    fn matches(host: &str, path: &str, weight: usize) -> Match {
        let field = || Condition::Field("x-a".into(), ValueTerm::Present);
        Match {
            host: match host.strip_prefix("*.") {
                _ if host.is_empty() => None,
                Some(end) => Some(HostTerm::Below(end.into())),
                None => Some(HostTerm::Exact(host.into())),
            },
            path: match path.split_at(1) {
                ("=", exact) => PathTerm::Exact(exact.as_bytes().into()),
                ("~", pattern) => PathTerm::Pattern(pattern.parse().unwrap()),
                _ => PathTerm::prefix(path),
            },
            predicate: Predicate::new((0..weight).map(|_| field()).collect()),
        }
    }

    fn takes(table: &RouteTable, host: &str, path: &str, has_field: bool) -> Option<String> {
        let fields = [("host", host), ("x-a", "1")];
        let fields = FieldSlice(if has_field { &fields } else { &fields[..1] });
        let head = RequestHead::new("GET", path.as_bytes(), Version::Http11, &fields);
        let client = std::net::Ipv4Addr::LOCALHOST.into();
        table.find(&head, client).map(|route| route.id.to_string())
    }

    /// The first by rank that takes a request alone is the one that the table finds.
    #[test]
    fn the_order_is_that_of_the_table() {
        let hosts = ["", "a.example", "*.example", "*.a.example", "b.a.example"];
        let paths = ["/", "/x", "/x/y", "=/x", "=/x/y", "~/x/[a-z]+", "~/x.*", "~/x/y/?"];
        let mut rows = Vec::new();
        for (index, host) in hosts.iter().enumerate() {
            for (at, path) in paths.iter().enumerate() {
                rows.extend((0..2).map(|weight| (host, path, (weight + at + index) % 3)));
            }
        }
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..60 {
            let some: Vec<_> = (0..12).filter_map(|_| rng.choice(&rows)).collect();
            let mut whole = RouteTable::default();
            let mut ranked: Vec<_> = some
                .iter()
                .enumerate()
                .map(|(index, (host, path, weight))| {
                    let matches = matches(host, path, *weight);
                    let name = format!("r{index:02}");
                    whole.add(matches.clone(), route_named(&name));
                    let mut alone = RouteTable::default();
                    alone.add(matches.clone(), route_named(&name));
                    (matches.rank(), index, alone)
                })
                .collect();
            ranked.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
            for (host, path, has_field) in asked() {
                let first =
                    ranked.iter().find_map(|(.., alone)| takes(alone, host, path, has_field));
                let found = takes(&whole, host, path, has_field);
                assert_eq!(found, first, "{host}{path} {some:?}");
            }
        }
    }

    /// Requests by host, path and whether they have the field.
    fn asked() -> impl Iterator<Item = (&'static str, &'static str, bool)> {
        let hosts = ["a.example", "b.a.example", "c.a.example", "other"];
        let paths = ["/", "/x", "/x/", "/x/y", "/x/yz", "/x/y/z", "/xy"];
        let pairs = hosts.into_iter().flat_map(move |host| paths.map(|path| (host, path)));
        pairs.flat_map(|(host, path)| [(host, path, false), (host, path, true)])
    }
}
