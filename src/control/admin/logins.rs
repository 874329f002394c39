//! Logins that failed: who shows too many wrong tokens has to wait.
//!
//! Counted by address (IPv6: by /64, which is one client), for a bounded number of addresses.

use crate::types::moment::Moment;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// Failures that an address has within [`WINDOW`] before it has to wait.
const FAILURES_MAX: u32 = 10;
/// For how long failures count, from the first one on.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered; beyond that the one whose time is over first is forgotten.
const ADDRESSES_MAX: usize = 1024;

/// Who failed of late.
#[derive(Default)]
pub(super) struct Failures(HashMap<IpAddr, Failed>);

#[derive(Clone, Copy)]
struct Failed {
    since: Moment,
    count: u32,
}

impl Failures {
    /// How long `client` has to wait still; `None`: it may try.
    pub(super) fn wait(&self, client: IpAddr, now: Moment) -> Option<Duration> {
        let failed = self.0.get(&key(client))?;
        let left = failed.since.after(WINDOW).since(now);
        (failed.count >= FAILURES_MAX && !left.is_zero()).then_some(left)
    }

    /// `client` failed.
    pub(super) fn note(&mut self, client: IpAddr, now: Moment) {
        self.0.retain(|_, failed| now.since(failed.since) < WINDOW);
        let key = key(client);
        if self.0.len() >= ADDRESSES_MAX && !self.0.contains_key(&key) {
            let oldest = self.0.iter().min_by_key(|(_, failed)| failed.since).map(|(ip, _)| *ip);
            oldest.map(|oldest| self.0.remove(&oldest));
        }
        self.0.entry(key).or_insert(Failed { since: now, count: 0 }).count += 1;
    }
}

fn key(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_failures_a_minute_are_enough() {
        let mut failures = Failures::default();
        let at = |seconds| Moment::default().after(Duration::from_secs(seconds));
        let [one, same, other] = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"];
        let [one, same, other] = [one, same, other].map(|ip| ip.parse::<IpAddr>().unwrap());
        for second in 0..10 {
            assert_eq!(failures.wait(one, at(second)), None);
            failures.note(if second % 2 == 0 { one } else { same }, at(second));
        }
        assert_eq!(failures.wait(one, at(10)), Some(Duration::from_secs(50)));
        assert_eq!(failures.wait(other, at(10)), None);
        assert_eq!(failures.wait(one, at(60)), None);
        failures.note(one, at(60));
        assert_eq!(failures.wait(one, at(61)), None, "it counts anew");
    }

    #[test]
    fn only_so_many_addresses_are_remembered() {
        let mut failures = Failures::default();
        for number in 0..5000_u32 {
            failures.note(IpAddr::from(number.to_be_bytes()), Moment::default());
        }
        assert_eq!(failures.0.len(), ADDRESSES_MAX);
    }
}
