//! What a rate limit costs a request: a key, a look, a count; by keys and threads at once.
//!
//! `cargo bench --bench rate_limit`. What is asked: at most 120 ns and no allocation. Times are
//! those for which the threads had a core. Last: how much memory a million buckets take, and
//! what becomes of an honest key beside ten million that come once.
#![allow(clippy::panic, clippy::print_stdout, reason = "a bench may panic, and prints its table")]

#[path = "common/on_core.rs"]
mod on_core;

use arrayvec::ArrayVec;
use on_core::nanoseconds;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::hint::black_box;
use std::time::Duration;
use vanne::types::hash::mix;
use vanne_filters::rate_limit::{Key, Level, Pass, Quota, Refused, Table, Take, Tick, take_all};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CALLS: u64 = 2_000_000;

/// A limit: its buckets, and what they are like.
type Limit = (Table, Quota);

fn at(micros: u64) -> Tick {
    Tick::after(Duration::from_micros(micros))
}

fn limit(keys_max: usize, rate: u32, burst: u32) -> Limit {
    let Some(quota) = Quota::new(rate, Duration::from_secs(1), burst) else { panic!("a quota") };
    (Table::new(keys_max), quota)
}

/// A bucket of a limit.
struct Bucket<'a>(&'a Limit, Key);

impl Level for Bucket<'_> {
    fn take(&self, now: Tick) -> Result<Pass, Refused> {
        let Self((table, quota), key) = self;
        table.take(*key, now, Take { quota, cost: 1, patience: Duration::ZERO })
    }

    fn give_back(&self, now: Tick) {
        let Self((table, quota), key) = self;
        table.give_back(*key, quota, now, 1);
    }
}

fn level<'a>(limit: &'a Limit, of: &[u8]) -> Bucket<'a> {
    Bucket(limit, limit.0.key(of))
}

fn passes<'a>(levels: impl Iterator<Item = Bucket<'a>>, now: Tick) -> bool {
    let mut taken = ArrayVec::<_, 2>::new();
    black_box(take_all(levels, now, &mut taken)).is_ok()
}

/// Asks one limit, or two, of which the second counts all, for requests of `keys` addresses.
fn calls(one: &Limit, all: Option<&Limit>, (keys, seed, count): (u64, u64, u64)) {
    for number in 0..count {
        let address = (mix(seed ^ number) % keys).to_le_bytes();
        let now = at(number);
        let passes = match all {
            None => passes([level(one, &address)].into_iter(), now),
            Some(all) => passes([level(one, &address), level(all, b"")].into_iter(), now),
        };
        black_box(passes);
    }
}

fn costs() {
    println!(
        "{:<26}{:>9}{:>12}{:>12}{:>12}{:>13}",
        "a request, ns", "keys", "1 thread", "4 threads", "64 threads", "allocations"
    );
    for (name, keys, is_twice) in [
        ("one limit", 1, false),
        ("one limit", 1000, false),
        ("one limit", 1_000_000, false),
        ("by address and for all", 1000, true),
    ] {
        let (one, all) = (limit(1_000_000, 100_000, 1_000_000), limit(1, 1_000_000, 1_000_000));
        let all = is_twice.then_some(&all);
        // Grown and warm.
        calls(&one, all, (keys, 1, CALLS));
        let region = Region::new(ALLOCATOR);
        calls(&one, all, (keys, 1, CALLS / 10));
        let allocations = region.change().allocations;
        let [alone, four, many] = [1, 4, 64].map(|threads| {
            nanoseconds(threads, CALLS, |thread, count| {
                calls(&one, all, (keys, mix(thread), count));
            })
        });
        println!("{name:<26}{keys:>9}{alone:>12.0}{four:>12.0}{many:>12.0}{allocations:>13}");
    }
}

/// A million buckets that are not full, and what they occupy.
fn memory() {
    let (table, quota) = limit(1_000_000, 1, 100);
    for number in 0..1_000_000_u64 {
        let take = Take { quota: &quota, cost: 1, patience: Duration::ZERO };
        black_box(table.take(table.key(&number.to_le_bytes()), at(1), take).is_ok());
    }
    let (kept, mib) = (table.len(at(2)), table.bytes() >> 20);
    println!("a million keys: {kept} kept, {mib} MiB");
}

/// Ten million addresses in a minute, each once, and one honest key that asks for more than it
/// may have: its verdicts are those that it has alone.
fn honest() {
    const ONE_OFF: u64 = 10_000_000;
    let ((table, quota), (alone, _)) = (limit(100_000, 100, 200), limit(10, 100, 200));
    let take = Take { quota: &quota, cost: 1, patience: Duration::ZERO };
    let (mut asked, mut other) = (0, 0);
    for number in 0..ONE_OFF {
        let now = at(number * 6);
        black_box(table.take(table.key(&number.to_le_bytes()), now, take).is_ok());
        if number.is_multiple_of(1389) {
            asked += 1;
            let want = alone.take(alone.key(b"honest"), now, take);
            other += u32::from(table.take(table.key(b"honest"), now, take) != want);
        }
    }
    println!(
        "{ONE_OFF} keys that come once: {other} of {asked} verdicts on an honest key are others, {} KiB",
        table.bytes() >> 10
    );
}

fn main() {
    costs();
    memory();
    honest();
}
