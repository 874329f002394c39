//! 2 · Paths: the routes of one host, found by path.
//!
//! Exact paths are in one table. Prefixes are a tree of segments: going down takes a step
//! for each segment of the path, and from there up again each prefix is met, the longest
//! first. A pattern waits at the segments that it begins with literally, before the prefix
//! that ends there: so it is only tried where it could fit, and a longer prefix beats it.

use super::predicate::Predicate;
use super::term::PathTerm;
use crate::data::snapshot::Route;
use crate::types::pattern::Pattern;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use vanne_filters::RequestHead;

/// The routes of one host.
#[derive(Default)]
pub(super) struct Paths {
    exact: HashMap<Box<[u8]>, Candidates>,
    /// The longest exact path: no longer one is looked for.
    exact_bytes_max: usize,
    /// The tree of prefixes; the first is the root, for `/`.
    segments: Vec<Segment>,
}

/// A place in the tree.
#[derive(Default)]
struct Segment {
    parent: Option<usize>,
    next: HashMap<Box<[u8]>, usize>,
    candidates: Candidates,
}

/// Routes of one place, in the order in which they are tried.
#[derive(Default)]
struct Candidates(Vec<Candidate>);

struct Candidate {
    pattern: Option<Pattern>,
    predicate: Predicate,
    route: Arc<Route>,
}

impl Paths {
    /// Adds `route` for requests to `path` of which `predicate` holds.
    pub(super) fn add(&mut self, path: &PathTerm, predicate: Predicate, route: Arc<Route>) {
        let (prefix, pattern) = match path {
            PathTerm::Exact(path) => {
                self.exact_bytes_max = self.exact_bytes_max.max(path.len());
                let candidates = self.exact.entry(path.clone()).or_default();
                return candidates.add(Candidate { pattern: None, predicate, route });
            }
            PathTerm::Prefix(path) => (&**path, None),
            PathTerm::Pattern(pattern) => (PathTerm::begin_of(pattern), Some(pattern.clone())),
        };
        let at = self.at(prefix);
        if let Some(segment) = self.segments.get_mut(at) {
            segment.candidates.add(Candidate { pattern, predicate, route });
        }
    }

    /// The most specific route for `path`, which is that of `head`.
    /// Cost: a look-up for each segment, while there are prefixes as long; then what the
    /// routes that were found ask for. No allocation.
    pub(super) fn find(
        &self,
        path: &[u8],
        head: &RequestHead<'_>,
        client: IpAddr,
    ) -> Option<&Arc<Route>> {
        if path.first() != Some(&b'/') {
            return None;
        }
        let exact = Some(path).filter(|path| path.len() <= self.exact_bytes_max);
        if let Some(route) = exact
            .and_then(|path| self.exact.get(path))
            .and_then(|candidates| candidates.first(path, head, client))
        {
            return Some(route);
        }
        let mut segment = self.deepest(path)?;
        loop {
            if let Some(route) = segment.candidates.first(path, head, client) {
                return Some(route);
            }
            segment = self.segments.get(segment.parent?)?;
        }
    }

    /// The place of the longest prefix of `path` that the tree knows.
    fn deepest(&self, path: &[u8]) -> Option<&Segment> {
        let mut segment = self.segments.first()?;
        for name in names(path) {
            match segment.next.get(name).and_then(|next| self.segments.get(*next)) {
                Some(next) => segment = next,
                None => break,
            }
        }
        Some(segment)
    }

    /// Where in the tree `prefix` ends; it is made if it is not there.
    fn at(&mut self, prefix: &[u8]) -> usize {
        if self.segments.is_empty() {
            self.segments.push(Segment::default());
        }
        let mut at = 0;
        for name in names(prefix) {
            let new = self.segments.len();
            let Some(segment) = self.segments.get_mut(at) else { break };
            let next = *segment.next.entry(name.into()).or_insert(new);
            if next == new {
                self.segments.push(Segment { parent: Some(at), ..Segment::default() });
            }
            at = next;
        }
        at
    }
}

/// The segments of `path`; a slash at its end begins none.
fn names(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.strip_suffix(b"/").unwrap_or(path).split(|&byte| byte == b'/').skip(1)
}

/// How many segments `path` has.
pub(super) fn segments(path: &[u8]) -> usize {
    names(path).count()
}

impl Candidates {
    /// Adds one: patterns before the prefix, those that ask for more before others, those
    /// that were there before among equals.
    fn add(&mut self, candidate: Candidate) {
        let rank = |c: &Candidate| Reverse((c.pattern.is_some(), c.predicate.weight()));
        let new = rank(&candidate);
        let at = self.0.partition_point(|other| rank(other) <= new);
        self.0.insert(at, candidate);
    }

    fn first(&self, path: &[u8], head: &RequestHead<'_>, client: IpAddr) -> Option<&Arc<Route>> {
        let takes = |candidate: &&Candidate| {
            candidate.pattern.as_ref().is_none_or(|pattern| pattern.fits(path))
                && candidate.predicate.holds(head, client)
        };
        self.0.iter().find(takes).map(|candidate| &candidate.route)
    }
}
