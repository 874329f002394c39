//! 1 · Blocklist: addresses that may not come in.
//!
//! Looked at when a connection is accepted, by its peer; and at each request, by who sent it,
//! but only where that is another, or the list has changed since. What config and files say is
//! replaced as a whole; blocks that are made while the process runs are added one by one. `allow`
//! wins over all of them.
//!
//! Read by all workers without a lock; control writes.

use super::automatic::Watchman;
use super::client::{Client, is_trusted};
use super::places::{PlaceRules, Places};
use crate::data::exchange::Exchange;
use crate::observe::metrics::{BLOCKED, Counter, Metrics};
use crate::types::moment::Moment;
use arc_swap::{ArcSwap, ArcSwapOption};
use ipnet::IpNet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use vanne_filters::address::{Bits, Layered, Prefixes};

/// Where a network stands: in the config, or in a file that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Which of the files, counted from one; zero: the config itself.
    pub file: u16,
    /// The line of the file, from one; in the config the place in its list, from zero.
    pub line: u32,
}

/// What config and files say. Immutable.
#[derive(Debug, Default)]
pub struct Lists {
    /// Networks that are never blocked.
    pub allow: Prefixes<Origin>,
    /// Networks that are.
    pub deny: Prefixes<Origin>,
    /// Countries and operators that are.
    pub places: PlaceRules,
}

/// A block that was made while the process runs: it holds until its time is over, or until it is
/// lifted.
#[derive(Debug)]
pub struct Block {
    /// In microseconds, as a [`Moment`] is.
    until: AtomicU64,
}

impl Block {
    /// A block that holds until then; `None`: for good.
    #[must_use]
    pub fn until(until: Option<Moment>) -> Self {
        Self { until: AtomicU64::new(until.map_or(u64::MAX, Moment::as_micros)) }
    }

    /// It holds no longer.
    pub fn lift(&self) {
        self.until.store(0, Ordering::Relaxed);
    }

    /// Whether it holds at `now`.
    #[must_use]
    pub fn holds(&self, now: Moment) -> bool {
        now.as_micros() < self.until.load(Ordering::Relaxed)
    }
}

/// Blocks that were made while the process runs.
pub type Blocks = Layered<Arc<Block>>;

/// Where somebody was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// When a connection was accepted: it was closed.
    Accept,
    /// On a connection that was open already: it was closed, or what it carried was cut.
    Open,
    /// At a request: it was refused.
    Request,
}

impl Met {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Accept, Self::Open, Self::Request];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Open => "open",
            Self::Request => "request",
        }
    }
}

/// What holds now.
#[derive(Default)]
struct View {
    lists: Arc<Lists>,
    blocks: Blocks,
}

/// The addresses that may not come in; one for the process.
#[derive(Default)]
pub struct Blocklist {
    view: ArcSwap<View>,
    /// Counts how often it was changed so that somebody may be blocked who was not.
    version: AtomicU64,
    /// Who notices addresses that are to be blocked, if that is asked for.
    watchman: ArcSwapOption<Watchman>,
    /// Where addresses are.
    places: Arc<Places>,
    /// `vanne_blocked_total`, in the order of [`Met::ALL`].
    counts: [Counter; Met::ALL.len()],
}

impl Blocklist {
    /// Nobody is blocked yet.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        let mut group = metrics.group();
        let counts = Met::ALL.map(|met| group.handle(&BLOCKED, [met.as_str()]));
        Self { counts, ..Self::default() }
    }

    /// Whether `address` may not come in.
    /// Cost: two or three look-ups of less than 100 ns each, and where countries or operators are
    /// named one or two in their files; no lock, no allocation.
    #[must_use]
    pub fn is_blocked(&self, address: IpAddr, now: Moment) -> bool {
        let (view, bits) = (self.view.load(), Bits::from(address));
        let is_named = view.blocks.any(bits, |block| block.holds(now))
            || view.lists.deny.contains(bits)
            || view.lists.places.blocks(address, &self.places).is_some();
        is_named && !view.lists.allow.contains(bits)
    }

    /// Whether the peer `client` may not come in where these networks are `trusted`: a proxy is
    /// judged by whom it speaks for.
    /// Cost: a comparison, unless something has changed since it was asked last.
    #[must_use]
    pub fn turns_away(&self, client: &Client, trusted: &[IpNet], now: Moment) -> bool {
        // What is read after the version is at least as new.
        let version = self.version.load(Ordering::Acquire);
        if client.cleared_at.load(Ordering::Relaxed) == version + 1 {
            return false;
        }
        let peer = client.address.ip();
        let is_blocked = self.is_blocked(peer, now) && !is_trusted(peer, trusted);
        if !is_blocked {
            client.cleared_at.store(version + 1, Ordering::Relaxed);
        }
        is_blocked
    }

    /// Counts somebody who was turned away.
    pub fn count(&self, met: Met) {
        if let Some(count) = self.counts.get(met as usize) {
            count.inc();
        }
    }

    /// Notes the answer to `exchange`, which has ended: some of them too often get a block.
    /// Cost: a load, unless that is asked for.
    pub fn note(&self, exchange: &Exchange, now: Instant) {
        if let Some(watchman) = &*self.watchman.load() {
            watchman.note(exchange, |sender| self.lists().allow.contains(sender), now);
        }
    }

    /// Who notices addresses that are to be blocked.
    #[must_use]
    pub fn watchman(&self) -> Option<Arc<Watchman>> {
        self.watchman.load_full()
    }

    /// From now on that is `watchman`, or nobody.
    pub fn set_watchman(&self, watchman: Option<Watchman>) {
        self.watchman.store(watchman.map(Arc::new));
    }

    /// Where addresses are.
    #[must_use]
    pub fn places(&self) -> &Arc<Places> {
        &self.places
    }

    /// What config and files say now.
    #[must_use]
    pub fn lists(&self) -> Arc<Lists> {
        Arc::clone(&self.view.load().lists)
    }

    /// From now on config and files say this. For control's one thread.
    pub fn set_lists(&self, lists: Lists) {
        let blocks = self.view.load().blocks.clone();
        self.publish(View { lists: Arc::new(lists), blocks });
    }

    /// Adds blocks to those that there are. For control's one thread.
    /// Cost: some 500 of them are copied; now and then all.
    pub fn add(&self, blocks: Vec<(IpNet, Arc<Block>)>, now: Moment) {
        let view = self.view.load();
        let blocks = view.blocks.with(blocks, |block| !block.holds(now));
        self.publish(View { lists: Arc::clone(&view.lists), blocks });
    }

    /// Whoever was looked at is to be looked at again: whom it trusts may have changed.
    pub fn look_again(&self) {
        self.version.fetch_add(1, Ordering::Release);
    }

    fn publish(&self, view: View) {
        self.view.store(Arc::new(view));
        self.look_again();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn lists(allow: &[&str], deny: &[&str]) -> Lists {
        let prefixes = |networks: &[&str]| {
            let origin = Origin { file: 0, line: 0 };
            Prefixes::new(networks.iter().map(|text| (net(text), origin)).collect())
        };
        Lists { allow: prefixes(allow), deny: prefixes(deny), ..Lists::default() }
    }

    fn at(seconds: u64) -> Moment {
        Moment::default().after(Duration::from_secs(seconds))
    }

    fn blocked(list: &Blocklist, address: &str, seconds: u64) -> bool {
        list.is_blocked(address.parse().unwrap(), at(seconds))
    }

    #[test]
    fn allow_wins_over_deny_and_over_blocks() {
        let list = Blocklist::default();
        list.set_lists(lists(&["10.1.0.0/16", "fd00::1/128"], &["10.0.0.0/8", "fd00::/8"]));
        list.add(vec![(net("0.0.0.0/0"), Arc::new(Block::until(None)))], at(0));
        for (address, want) in [
            ("10.1.2.3", false),
            ("::ffff:10.1.2.3", false),
            ("10.2.2.3", true),
            ("192.0.2.1", true),
            ("::ffff:192.0.2.1", true),
            ("fd00::1", false),
            ("fd00::2", true),
            ("2001:db8::1", false),
        ] {
            assert_eq!(blocked(&list, address, 0), want, "{address}");
        }
    }

    #[test]
    fn blocks_that_overlap_end_each_at_its_time() {
        let list = Blocklist::default();
        let short = Arc::new(Block::until(Some(at(10))));
        let wide = Arc::new(Block::until(Some(at(20))));
        list.add(vec![(net("192.0.2.1/32"), short), (net("192.0.2.0/24"), wide)], at(0));
        let held = [9, 10, 19, 20].map(|time| blocked(&list, "192.0.2.1", time));
        assert_eq!(held, [true, true, true, false]);
        let long = Arc::new(Block::until(Some(at(30))));
        list.add(vec![(net("192.0.2.1/32"), Arc::clone(&long))], at(0));
        assert!(blocked(&list, "192.0.2.1", 29) && !blocked(&list, "192.0.2.2", 29));
        long.lift();
        assert!(!blocked(&list, "192.0.2.1", 29));
    }

    #[test]
    fn who_was_let_in_is_looked_at_again_when_something_changes() {
        let list = Blocklist::default();
        let client = Client::new("192.0.2.1:1000".parse().unwrap(), 80, false);
        let away = |trusted: &[IpNet]| list.turns_away(&client, trusted, at(0));
        assert!(!away(&[]));
        list.add(vec![(net("192.0.2.0/24"), Arc::new(Block::until(None)))], at(0));
        assert!(away(&[]) && away(&[]));
        assert!(!away(&[net("192.0.2.1/32")]), "a proxy that is trusted is not judged itself");
        list.look_again();
        assert!(away(&[]), "it is trusted no longer");
    }
}
