//! How often one address may connect.

use super::{Listener, client};
use crate::data::rate_limit::part::write_address;
use crate::data::rate_limit::shared::tick;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use vanne_filters::rate_limit::{Quota, Table, Take};

/// A limit of new connections by address.
pub struct ConnectionRate {
    /// How many.
    pub quota: Quota,
    /// Leading bits of an IPv6 address that are one client.
    pub ipv6_prefix: u8,
    /// Who connected of late. It outlives reloads.
    pub table: Arc<Table>,
}

impl Listener {
    /// Whether `address` may connect now. Proxies that are trusted always may: behind one are many
    /// clients.
    /// Cost: a hash and a short lock.
    #[must_use]
    pub fn admits(&self, address: IpAddr, now: Instant) -> bool {
        let Some(rate) = &self.connection_rate else { return true };
        if client::is_trusted(address, &self.trusted_proxies) {
            return true;
        }
        let key = rate.table.key_of(|hasher| write_address(address, rate.ipv6_prefix, hasher));
        let take = Take { quota: &rate.quota, cost: 1, patience: Duration::ZERO };
        rate.table.take(key, tick(now), take).is_ok()
    }
}
