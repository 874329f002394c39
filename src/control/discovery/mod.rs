//! Discovery: where backends of a pool come from that its config does not name.
//!
//! A source is started with what its pool says and pushes the whole list whenever the answer
//! changes: nobody polls it, and nothing is lost when two changes become one. Nothing that it
//! fails at empties the list: the last good one stays and is marked stale, with the reason. It
//! ends when its [`Source`] is dropped. What is pushed is sorted by address and has each once,
//! so the order of an answer never matters.
//!
//! A pool may name more than one source: each pushes its own list, to be joined by who reads
//! them. To add one: a file, its `mod` line, its part of [`Origin`], and its row in
//! [`SOURCES`].

mod dns;
pub mod file;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
mod shared;

pub use shared::Shared;

use super::task::Task;
use crate::config;
use crate::data::pool::Pod;
use futures::future::BoxFuture;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokio::sync::mpsc;

/// The most backends that a source may find; more are a fault, like an answer that cannot be
/// read.
pub const FOUND_MAX: usize = 10_000;

/// A backend that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its weight, if the source knows one: 0 to 1000.
    pub weight: Option<u16>,
    /// Requests that it may work on at once, if the source knows.
    pub max_requests: Option<u32>,
    /// It is used when none of the others can be.
    pub is_backup: bool,
    /// It ends: it gets no new traffic, and sticky clients may still come.
    pub is_leaving: bool,
    /// What tells it from another one that has its address later, if the source knows.
    pub identity: Option<Arc<str>>,
    /// What an orchestrator says of it, if one does.
    pub pod: Option<Arc<Pod>>,
}

impl Found {
    /// A backend at `address` of which nothing else is known.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        Self {
            address,
            weight: None,
            max_requests: None,
            is_backup: false,
            is_leaving: false,
            identity: None,
            pod: None,
        }
    }
}

/// What a source knows now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// All backends, by address.
    pub backends: Vec<Found>,
    /// Whether that is what the source says now.
    pub state: State,
    /// What an operator should know about the list, in words, if there is anything.
    pub note: Option<String>,
}

impl Update {
    /// Whether it has a list: also an empty one that is true, and one that was kept.
    #[must_use]
    pub fn has_list(&self) -> bool {
        self.state == State::Fresh || !self.backends.is_empty()
    }
}

/// How good a list is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is what the source says.
    Fresh,
    /// All or part of it is what the source said last. The list is empty if it never said
    /// anything.
    Stale {
        /// Since when.
        since: Instant,
        /// Why: in words for an operator.
        reason: String,
    },
}

/// What a pool says about where its backends come from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Origin {
    /// Its `backends_file`.
    pub backends_file: Option<PathBuf>,
    /// Its `dns`.
    pub dns: Option<config::Dns>,
    /// Its `kubernetes`, and all else that following a Service goes by.
    pub kubernetes: Option<Following>,
}

/// How a pool follows a Service of Kubernetes.
#[derive(Clone, Debug, PartialEq)]
pub struct Following {
    /// Which Service.
    pub service: config::KubernetesService,
    /// How the API server is reached.
    pub api: config::Kubernetes,
    /// Where the last list is kept, if it is: a file.
    pub kept_at: Option<PathBuf>,
    /// What the pool speaks with its backends.
    pub protocol: config::PoolProtocol,
    /// Whether it speaks TLS with them.
    pub is_tls: bool,
}

/// One kind of source.
pub struct SourceRow {
    /// Its name, in status and logs.
    pub name: &'static str,
    /// Its work, if the pool names it. Ends when nobody listens any more, or there is nothing
    /// left to say.
    pub run: fn(&Origin, Outlet, &Shared) -> Option<BoxFuture<'static, ()>>,
}

/// All kinds of sources, in alphabetical order.
pub const SOURCES: &[SourceRow] = &[
    SourceRow { name: "dns", run: dns::run },
    SourceRow { name: "file", run: file::run },
    #[cfg(feature = "kubernetes")]
    SourceRow { name: "kubernetes", run: kubernetes::run },
];

/// Tells sources apart: a late push of one that was dropped is not of the one that came after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(u64);

/// What a source has to say, and which one it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// Which source.
    pub source: SourceId,
    /// What it knows now.
    pub update: Update,
}

/// Where a source pushes.
pub struct Outlet {
    source: SourceId,
    to: mpsc::Sender<Pushed>,
}

impl Outlet {
    /// Pushes `update`; waits while too much waits already. Whether anybody listens.
    async fn push(&self, update: Update) -> bool {
        let is_in_order = update.backends.is_sorted_by(|a, b| a.address < b.address);
        debug_assert!(is_in_order, "sorted, each address once");
        self.to.send(Pushed { source: self.source, update }).await.is_ok()
    }
}

/// A source that runs. Dropped, it ends.
pub struct Source {
    /// Which one it is.
    pub id: SourceId,
    /// Its kind.
    pub name: &'static str,
    #[expect(dead_code, reason = "held for what its drop does")]
    task: Task,
}

/// Starts every source that `origin` names, on the runtime that this is called in. Each pushes
/// at least once, soon: also one that has failed.
#[must_use]
pub fn start(origin: &Origin, to: &mpsc::Sender<Pushed>, shared: &Shared) -> Vec<Source> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let start = |row: &SourceRow| {
        let id = SourceId(NEXT.fetch_add(1, Ordering::Relaxed));
        let work = (row.run)(origin, Outlet { source: id, to: to.clone() }, shared)?;
        Some(Source { id, name: row.name, task: Task::spawn(work) })
    };
    SOURCES.iter().filter_map(start).collect()
}

/// Sorts by address and leaves each once: of two the one that is no backup, then the one with
/// more weight.
fn in_order(mut list: Vec<Found>) -> Vec<Found> {
    list.sort_by(|a, b| {
        let rank = |found: &Found| (found.address, found.is_backup, u16::MAX - weight(found));
        rank(a).cmp(&rank(b))
    });
    list.dedup_by_key(|found| found.address);
    list
}

fn weight(found: &Found) -> u16 {
    found.weight.unwrap_or(1)
}

/// What a source last pushed: it pushes again only when there is something new to say.
#[derive(Default)]
struct Last {
    said: Option<Update>,
}

impl Last {
    /// The last good list; empty before there was one.
    fn backends(&self) -> Vec<Found> {
        self.said.as_ref().map(|said| said.backends.clone()).unwrap_or_default()
    }

    /// What is to be pushed now that `backends` are known, all or in part for a `fault` not
    /// from what the source says now. `None`: nothing new.
    fn next(
        &mut self,
        backends: Vec<Found>,
        fault: Option<String>,
        now: Instant,
    ) -> Option<Update> {
        self.noted(backends, fault, None, now)
    }

    /// The same, with a note.
    fn noted(
        &mut self,
        backends: Vec<Found>,
        fault: Option<String>,
        note: Option<String>,
        now: Instant,
    ) -> Option<Update> {
        let since = match self.said.as_ref().map(|said| &said.state) {
            Some(State::Stale { since, .. }) => *since,
            _ => now,
        };
        let state = fault.map_or(State::Fresh, |reason| State::Stale { since, reason });
        let update = Update { backends, state, note };
        if self.said.as_ref() == Some(&update) {
            return None;
        }
        self.said = Some(update.clone());
        Some(update)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::clock;
    use std::time::Duration;

    #[test]
    fn rows_are_alphabetical() {
        assert!(SOURCES.is_sorted_by_key(|row| row.name));
    }

    #[test]
    fn a_list_is_in_order_and_has_each_address_once() {
        let found = |address: &str, weight, is_backup| Found {
            weight: Some(weight),
            is_backup,
            ..Found::at(address.parse().unwrap())
        };
        let list = vec![
            found("10.0.0.2:80", 1, false),
            found("10.0.0.1:81", 1, false),
            found("10.0.0.1:80", 9, true),
            found("10.0.0.1:80", 1, false),
            found("10.0.0.1:80", 5, false),
        ];
        let want = [
            found("10.0.0.1:80", 5, false),
            found("10.0.0.1:81", 1, false),
            found("10.0.0.2:80", 1, false),
        ];
        assert_eq!(in_order(list), want);
    }

    #[test]
    fn only_what_is_new_is_pushed_and_stale_counts_from_its_first_moment() {
        let now = clock::now();
        let later = now + Duration::from_secs(1);
        let list = || vec![Found::at("10.0.0.1:80".parse().unwrap())];
        let stale = |reason: &str| State::Stale { since: now, reason: reason.to_owned() };
        let mut last = Last::default();
        let fresh = Update { backends: list(), state: State::Fresh, note: None };
        assert_eq!(last.next(list(), None, now), Some(fresh.clone()));
        assert_eq!(last.next(list(), None, now), None);
        let update = last.next(list(), Some("a".into()), now).unwrap();
        assert_eq!(update, Update { backends: list(), state: stale("a"), note: None });
        assert_eq!(last.next(list(), Some("a".into()), later), None);
        assert_eq!(last.next(list(), Some("b".into()), later).unwrap().state, stale("b"));
        assert_eq!(last.next(list(), None, later), Some(fresh));
        assert_eq!(last.backends(), list());
    }

    #[tokio::test]
    async fn every_source_that_is_named_pushes_and_ends_when_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let name = "a.invalid".parse().unwrap();
        let dns =
            serde_json::json!({ "name": name_text(&name), "port": 80, "servers": ["127.0.0.1:1"] });
        let origin = Origin {
            backends_file: Some(folder.path().join("none")),
            dns: Some(serde_json::from_value(dns).unwrap()),
            ..Origin::default()
        };
        let (to, mut pushed) = mpsc::channel(8);
        let sources = start(&origin, &to, &Shared::default());
        drop(to);
        assert_eq!(sources.iter().map(|source| source.name).collect::<Vec<_>>(), ["dns", "file"]);
        let mut said = Vec::new();
        for _ in &sources {
            said.push(pushed.recv().await.unwrap());
        }
        for source in &sources {
            let update = &said.iter().find(|one| one.source == source.id).unwrap().update;
            assert_ne!(update.state, State::Fresh, "{} {update:?}", source.name);
            assert!(update.backends.is_empty(), "{} {update:?}", source.name);
        }
        drop(sources);
        assert_eq!(pushed.recv().await, None, "a source has not ended");
    }

    fn name_text(name: &config::discovery::DnsName) -> String {
        name.to_string()
    }
}
