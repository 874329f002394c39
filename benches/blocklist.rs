//! What the blocklist costs: a look-up among a million networks, one more block, and reading all.
//!
//! `cargo bench --bench blocklist`. What is asked: a million loaded in a second and in 100 MB, at
//! most 100 ns a look-up, no allocation. Times are those for which the threads had a core.
#![allow(clippy::panic, clippy::print_stdout, reason = "a bench may panic, and prints its table")]

#[path = "common/on_core.rs"]
mod on_core;

use ipnet::IpNet;
use on_core::{nanoseconds, timed};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;
use vanne::data::listener::blocklist::{Block, Blocklist, Lists, Origin};
use vanne::types::hash::mix;
use vanne::types::moment::Moment;
use vanne_filters::address::Prefixes;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const NETWORKS: u64 = 1_000_000;
const LOOKS: u64 = 2_000_000;

/// An address: `number` of those that are blocked, spread as `kind` says.
fn address(kind: &str, number: u64) -> IpAddr {
    let low = mix(number);
    match kind {
        "IPv4 spread" => Ipv4Addr::from_bits((low >> 32) as u32).into(),
        // All in one /8: as those of one provider are.
        "IPv4 in a heap" => Ipv4Addr::from_bits(0x0a00_0000 | (low as u32 & 0x00ff_ffff)).into(),
        // In what is given out of 2000::/3.
        _ => {
            let high = (1 << 61) | (low >> 3);
            Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(mix(low))).into()
        }
    }
}

/// Leading bits of networks of IPv6 in lists that have all sorts.
const MIXED: [u8; 16] = [32, 36, 40, 44, 48, 48, 52, 56, 56, 60, 64, 64, 64, 96, 128, 128];

fn networks(kind: &str) -> Vec<(IpNet, Origin)> {
    let network = |number: u64| {
        let address = address(kind, number);
        // One of eight is a network, as in lists that are given out.
        let bits = match (kind, number % 8) {
            ("IPv6 mixed", _) => MIXED.get(mix(!number) as usize % 16).copied().unwrap_or(64),
            ("IPv6", _) => 64,
            (_, 0) => 24,
            _ => 32,
        };
        let origin = Origin { file: 1, line: u32::try_from(number).unwrap_or(u32::MAX) };
        IpNet::new(address, bits).ok().map(|network| (network, origin))
    };
    (0..NETWORKS).filter_map(network).collect()
}

/// Looks so many addresses up, which it makes as well; of four, one is blocked.
fn looks(list: &Blocklist, kind: &str, (seed, count): (u64, u64)) {
    for number in 0..count {
        let which = mix(seed ^ number);
        let number = if which.is_multiple_of(4) { which % NETWORKS } else { which };
        black_box(list.is_blocked(address(kind, number), Moment::default()));
    }
}

fn costs(kind: &str) {
    let entries = networks(kind);
    let region = Region::new(ALLOCATOR);
    let mut deny = Prefixes::default();
    let built = timed(|| deny = Prefixes::new(entries));
    let change = region.change();
    let kept = deny.bytes() >> 20;
    let list = Blocklist::default();
    list.set_lists(Lists { deny, ..Lists::default() });
    looks(&list, kind, (1, LOOKS / 10));
    let region = Region::new(ALLOCATOR);
    looks(&list, kind, (1, LOOKS / 10));
    let allocations = region.change().allocations;
    let look = |thread, count| looks(&list, kind, (mix(thread), count));
    let [one, four] = [1, 4].map(|threads| nanoseconds(threads, LOOKS, look));
    println!(
        "{kind:<16}{:>9.0}{kept:>9}{:>11}{one:>12.0}{four:>12.0}{allocations:>13}",
        built.as_secs_f64() * 1000.0,
        change.bytes_allocated >> 20
    );
}

/// What one more block takes beside a million networks and `count` blocks.
fn more(count: u64) {
    let list = Blocklist::default();
    let deny = Prefixes::new(networks("IPv4 spread"));
    list.set_lists(Lists { deny, ..Lists::default() });
    let block = |number: u64| {
        let network = IpNet::from(address("IPv4 spread", number << 32));
        (network, Arc::new(Block::until(None)))
    };
    list.add((0..count).map(block).collect(), Moment::default());
    let added = 2000;
    let mut longest = Duration::ZERO;
    let time = timed(|| {
        for number in count..count + added {
            let one = timed(|| list.add(vec![block(number)], Moment::default()));
            longest = longest.max(one);
        }
    });
    println!(
        "one more block beside {count}: {:.0} us, at most {:.1} ms; a look-up then {:.0} ns",
        time.as_secs_f64() * 1e6 / added as f64,
        longest.as_secs_f64() * 1e3,
        nanoseconds(1, LOOKS, |thread, count| looks(&list, "IPv4 spread", (mix(thread), count)))
    );
}

fn main() {
    println!(
        "{:<16}{:>9}{:>9}{:>11}{:>12}{:>12}{:>13}",
        "a million", "ms", "MiB", "MiB in all", "ns 1 thread", "4 threads", "allocations"
    );
    for kind in ["IPv4 spread", "IPv4 in a heap", "IPv6", "IPv6 mixed"] {
        costs(kind);
    }
    [0, 100_000].into_iter().for_each(more);
}
