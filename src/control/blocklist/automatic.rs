//! Blocks that are made by themselves: what the data plane noticed.

use super::entry::{Maker, unix_seconds};
use super::{Blocks, Change, Record};
use crate::config::{AutomaticBlocks, Blocklist, ErrorKey, Network};
use crate::data::listener::automatic::{Suspect, Watchman};
use crate::observe::metrics::{AUTOMATIC_BLOCKS, Counter, Metrics};
use crate::types::clock;
use crate::types::moment::Moment;
use std::time::Duration;
use tokio::sync::mpsc;
use vanne_filters::rate_limit::Table;

/// Suspects that wait to be blocked, at most.
const SUSPECTS_MAX: usize = 1024;

/// How much a bucket may be over, at most.
const PATIENCE: Duration = Duration::from_millis(100);

/// How suspects come.
pub(super) struct Automatic {
    told: mpsc::Sender<Suspect>,
    suspects: Option<mpsc::Receiver<Suspect>>,
    blocked: Counter,
    /// That no more blocks may be made was told.
    is_full: bool,
}

impl Automatic {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let (told, suspects) = mpsc::channel(SUSPECTS_MAX);
        let blocked = metrics.handle(&AUTOMATIC_BLOCKS, []);
        Self { told, suspects: Some(suspects), blocked, is_full: false }
    }
}

impl Blocks {
    /// Those who are to be blocked. For one listener: a second gets none.
    #[must_use]
    pub fn suspects(&mut self) -> mpsc::Receiver<Suspect> {
        self.automatic.suspects.take().unwrap_or_else(|| mpsc::channel(1).1)
    }

    /// Has the data plane look for what `config` says. Buckets stay while that does.
    pub(super) fn set_watchman(&self, config: &Blocklist) {
        if self.config.automatic == config.automatic {
            return;
        }
        let watchman = |automatic: &AutomaticBlocks| {
            let status = |key: &ErrorKey| match key {
                ErrorKey::Status(status) => Some(*status),
                ErrorKey::Reason(_) => None,
            };
            let reason = |key: &ErrorKey| match key {
                ErrorKey::Reason(reason) => Some(*reason),
                ErrorKey::Status(_) => None,
            };
            Some(Watchman {
                statuses: automatic.on.iter().filter_map(status).collect(),
                reasons: automatic.on.iter().filter_map(reason).collect(),
                quota: automatic.quota()?,
                patience: (automatic.within.as_duration() / automatic.after / 2).min(PATIENCE),
                table: Table::new(usize::try_from(automatic.max_addresses).unwrap_or(usize::MAX)),
                told: self.automatic.told.clone(),
            })
        };
        self.shared.set_watchman(config.automatic.as_ref().and_then(watchman));
    }

    /// Blocks those of `suspects` who are not blocked yet.
    pub fn block_suspects(&mut self, suspects: impl Iterator<Item = Suspect>) {
        let (now, wall) = (Moment::of(clock::now()), clock::wall());
        let Some(config) = self.config.automatic.clone() else { return };
        let (since, seconds) =
            (unix_seconds(wall), config.block_for.as_duration().as_secs().max(1));
        let max = usize::try_from(self.config.max_blocks).unwrap_or(usize::MAX);
        let mut records: Vec<Record> = Vec::new();
        for Suspect { network, status } in suspects.take(SUSPECTS_MAX) {
            let is_new = records.iter().all(|record| record.cidr.0 != network);
            if !is_new || self.shared.is_blocked(network.addr(), now) {
                continue;
            }
            if self.entries.len() + records.len() >= max {
                self.tell_full(max);
                break;
            }
            let AutomaticBlocks { after, within, .. } = config;
            tracing::warn!(%network, status, seconds, "address blocked by itself");
            records.push(Record {
                cidr: Network(network),
                by: Maker::Automatic,
                owner: "vanne".to_owned(),
                reason: Some(format!("{after} in {within}, the last with status {status}")),
                since,
                seconds: Some(seconds),
                until: Some(since.saturating_add(seconds)),
            });
        }
        if records.is_empty() {
            return;
        }
        self.automatic.is_full &= self.entries.len() + records.len() >= max;
        self.automatic.blocked.inc_by(records.len() as u64);
        if let Err(error) = self.change(Change::block(records, now, wall), now, wall) {
            tracing::error!(%error, "blocks are not kept: a restart undoes them");
        }
    }

    fn tell_full(&mut self, max: usize) {
        if !std::mem::replace(&mut self.automatic.is_full, true) {
            tracing::error!(
                max,
                "no address is blocked by itself: blocklist.max_blocks hold already"
            );
        }
    }
}
