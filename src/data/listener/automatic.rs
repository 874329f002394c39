//! 1 · Automatic blocks: who gets answers of some kinds too often.
//!
//! Each address has a bucket of `after`, emptying within `within`, in a bounded table. Whose is
//! full is told to control, which blocks it. Off unless the config asks for it.

use super::client::is_trusted;
use crate::data::exchange::Exchange;
use crate::data::refusal::Refusal;
use crate::types::clock;
use ipnet::IpNet;
use std::net::IpAddr;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use vanne_filters::rate_limit::{Key, Quota, Table, Take, Tick};

/// Leading bits of an IPv6 address that are one client: a provider gives each so many or fewer.
const V6_BITS: u8 = 64;

/// Somebody who is to be blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// Who.
    pub network: IpNet,
    /// The status of the last of the answers.
    pub status: u16,
}

/// What is counted, and who is told.
pub struct Watchman {
    /// Statuses of answers that count.
    pub statuses: Vec<u16>,
    /// Reasons of Vanne's own answers that count.
    pub reasons: Vec<&'static str>,
    /// What a bucket holds, and how fast it empties.
    pub quota: Quota,
    /// How much a bucket may be over: workers' clocks are read one after the other, so an answer
    /// may seem to come before the one that it came after.
    pub patience: Duration,
    /// The buckets.
    pub table: Table,
    /// Who is told; what finds no room there comes again.
    pub told: mpsc::Sender<Suspect>,
}

impl Watchman {
    /// Counts the answer to `exchange`, which has ended, unless who sent it `is_allowed`.
    /// Cost: a comparison or two; if the answer counts, a look-up and a short lock.
    pub fn note(&self, exchange: &Exchange, is_allowed: impl Fn(IpAddr) -> bool, now: Instant) {
        let refusal = exchange.refusal();
        let Some(status) = exchange.status().or(refusal.map(|refusal| refusal.row().status)) else {
            return;
        };
        let is_named = refusal.is_some_and(|refusal| self.reasons.contains(&refusal.reason()));
        let counts = is_named || self.statuses.contains(&status);
        let sender = exchange.sender().to_canonical();
        // A proxy speaks for many, and the machine for itself.
        let is_spared =
            sender.is_loopback() || is_trusted(sender, &exchange.listener.trusted_proxies);
        let is_over = refusal == Some(Refusal::Blocked);
        if !counts || is_over || is_spared || is_allowed(sender) {
            return;
        }
        let Some(network) = network_of(sender) else { return };
        let take = Take { quota: &self.quota, cost: 1, patience: self.patience };
        if self.table.take(self.key(network), tick(now), take).is_err() {
            let suspect = Suspect { network, status };
            if self.told.try_send(suspect).is_err() {
                tracing::debug!(%network, "suspect not heard: it is told of with its next answer");
            }
        }
    }

    /// Begins anew with `network`, of which a block was lifted.
    pub fn forgive(&self, network: IpNet, now: Instant) {
        self.table.give_back(self.key(network), &self.quota, tick(now), self.quota.burst());
    }

    fn key(&self, network: IpNet) -> Key {
        match network.addr() {
            IpAddr::V4(address) => self.table.key(&address.octets()),
            IpAddr::V6(address) => self.table.key(&address.octets()),
        }
    }
}

fn tick(now: Instant) -> Tick {
    Tick::after(now.saturating_duration_since(clock::epoch()))
}

/// Whom an address stands for.
fn network_of(address: IpAddr) -> Option<IpNet> {
    let bits = if address.is_ipv4() { 32 } else { V6_BITS };
    Some(IpNet::new(address, bits).ok()?.trunc())
}
