//! Hearing: what the store says is taken in.

use super::super::entry::Entry;
use super::super::state::Line;
use super::super::{Blocks, Change};
use super::store::Answer;
use super::{ASK_EVERY, FULL_PAUSE, GATHERED_MAX, Heard, Trouble, Untold};
use crate::config::Network;
use crate::control::redis::Fault;
use crate::types::moment::Moment;
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::time::SystemTime;

impl Blocks {
    /// Takes in what came of asking the store.
    pub fn hear(&mut self, heard: Heard, now: Moment, wall: SystemTime) {
        if heard.round != self.sharing.round {
            return;
        }
        self.sharing.is_asking = false;
        self.sharing.next = now.after(ASK_EVERY);
        let answer = match heard.answer {
            Ok(answer) => answer,
            Err(error) => return self.tell_failure(&error),
        };
        if std::mem::take(&mut self.sharing.is_told) {
            tracing::info!("blocks are shared again");
        }
        let mut lines = self.settle(&answer, now);
        let is_other = answer.id != self.sharing.known.id;
        if is_other && self.sharing.has_begun() {
            tracing::warn!("redis has lost blocks that replicas share: it is told of them again");
        }
        self.sharing.follow(&answer);
        if is_other {
            self.tell_again();
        }
        let is_more = answer.is_more;
        self.sharing.gathered.extend(answer.read);
        let mut change = Change::default();
        if !is_more || self.sharing.gathered.len() >= GATHERED_MAX {
            change = self.gathered(is_more, now, wall);
        }
        lines.extend(self.sharing.step(is_more, now));
        self.take_in(Change { lines, ..change }, now, wall);
        if is_more || self.sharing.untold.values().any(|untold| untold.due <= now) {
            self.sharing.next = now;
        }
    }

    pub(super) fn take_in(&mut self, change: Change, now: Moment, wall: SystemTime) {
        if change.is_empty() {
            return;
        }
        if let Err(error) = self.change(change, now, wall) {
            tracing::error!(%error, "shared blocks are not kept: a restart undoes them");
        }
    }

    fn tell_failure(&mut self, error: &Fault) {
        // That Redis is away the link tells.
        if !matches!(error, Fault::Away) {
            self.sharing.count(Trouble::Asking, 1);
            if !std::mem::replace(&mut self.sharing.is_told, true) {
                tracing::warn!(%error, "blocks are not shared: each replica goes on by itself");
            }
        }
    }

    /// What was told is told now, but for what found no room.
    fn settle(&mut self, answer: &Answer, now: Moment) -> Vec<Line> {
        let mut lines = Vec::new();
        let sent = std::mem::take(&mut self.sharing.sent);
        for (place, (network, number)) in sent.into_iter().enumerate() {
            let untold = self.sharing.untold.get_mut(&network);
            match untold.filter(|untold| untold.number == number) {
                Some(untold) if answer.full.contains(&place) => {
                    untold.due = now.after(FULL_PAUSE);
                }
                Some(Untold { is_kept, .. }) => {
                    lines.extend((!*is_kept).then_some(Line::Told(Network(network))));
                    self.sharing.forget(&network);
                }
                None => {}
            }
        }
        if !answer.full.is_empty() {
            self.sharing.count(Trouble::Full, answer.full.len());
        }
        lines
    }

    /// The store is another, which knows nothing of what was told before this.
    fn tell_again(&mut self) {
        let untold = &mut self.sharing.untold;
        for (network, entry) in &mut self.entries {
            entry.is_stored = false;
            let kept = Untold { number: 0, is_kept: true, due: Moment::default() };
            untold.entry(*network).or_insert(kept);
        }
    }

    /// What is to be changed by all that was gathered.
    fn gathered(&mut self, is_more: bool, now: Moment, wall: SystemTime) -> Change {
        let gathered = std::mem::take(&mut self.sharing.gathered);
        let count = gathered.len();
        let readable: Vec<_> =
            gathered.into_iter().filter_map(|read| read.entry(now, wall)).collect();
        let odd = count - readable.len();
        // What was said last of a network counts.
        let mut latest = BTreeMap::from_iter(readable);
        // What we have to say is newer.
        latest.retain(|network, _| !self.sharing.has_to_say(network));
        let mut change = Change::default();
        let max = usize::try_from(self.config.max_blocks).unwrap_or(usize::MAX);
        let (mut room, mut full) = (max.saturating_sub(self.entries.len()), 0);
        for (network, entry) in latest {
            self.sharing.forget(&network);
            match entry {
                None => change.lifted.extend(self.hear_lifted(network)),
                Some(_) if room == 0 && !self.entries.contains_key(&network) => full += 1,
                Some(entry) => {
                    room -= usize::from(!self.entries.contains_key(&network));
                    change.blocked.extend(self.hear_blocked(network, entry));
                }
            }
        }
        self.tell_left_out(odd, full, now);
        if !is_more {
            change.lifted.extend(self.gone());
        }
        change
    }

    /// The network, if there is a block of it to be lifted.
    fn hear_lifted(&mut self, network: IpNet) -> Option<IpNet> {
        let known = self.entries.get_mut(&network)?;
        // Where all was read, it is not found missing, too.
        known.is_stored = false;
        Some(network)
    }

    /// The block, if it is another than the one that is known.
    fn hear_blocked(&mut self, network: IpNet, entry: Entry) -> Option<Entry> {
        if let Some(found) = &mut self.sharing.known.found {
            found.insert(network);
        }
        match self.entries.get_mut(&network) {
            Some(known) if known.is_like(&entry) => {
                known.is_stored = true;
                None
            }
            _ => Some(Entry { is_stored: true, ..entry }),
        }
    }

    /// Blocks that the store had, and has not any more, if all of it was read.
    fn gone(&mut self) -> Vec<IpNet> {
        let Some(found) = self.sharing.known.found.take() else { return Vec::new() };
        self.sharing.known.base = self.sharing.known.from;
        let untold = &self.sharing.untold;
        let is_gone = |(network, entry): &(&IpNet, &Entry)| {
            entry.is_stored && !found.contains(*network) && !untold.contains_key(*network)
        };
        self.entries.iter().filter(is_gone).map(|(network, _)| *network).collect()
    }

    fn tell_left_out(&mut self, odd: usize, full: usize, now: Moment) {
        if odd > 0 {
            self.sharing.count(Trouble::Entry, odd);
            tracing::warn!(odd, "what is no block is left out of those that replicas share");
        }
        if full > 0 {
            self.sharing.count(Trouble::Full, full);
            self.sharing.read_anew.get_or_insert(now.after(FULL_PAUSE));
            tracing::warn!(
                full,
                "blocks of other replicas left out: blocklist.max_blocks are there"
            );
        }
    }
}
