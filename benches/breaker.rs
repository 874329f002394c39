//! What circuits cost an attempt: permit, outcome and count, by size of the pool and threads at
//! once.
//!
//! `cargo bench --bench breaker`. What is asked: at most 150 ns and no allocation, whatever the
//! pool's size. Measured is a place taken in a backend and given back, with its call settled
//! between, and without: what the circuit costs is the difference, in time that the threads had
//! a core. One call of fifty fails, so that nothing opens. `one backend` has all threads at the same one.
#![allow(clippy::panic, clippy::print_stdout, reason = "a bench may panic, and prints its table")]

#[path = "common/on_core.rs"]
mod on_core;

use on_core::timed;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use vanne::config::{self, Environment, Format, Source};
use vanne::control::compile::{self, Means};
use vanne::control::kept::Kept;
use vanne::control::pools::Pools;
use vanne::data::generation::Generation;
use vanne::data::outcome::{Category, Outcome};
use vanne::data::pool::{Live, Members};
use vanne::observe::metrics::Metrics;
use vanne::types::clock;
use vanne::types::hash::mix;
use vanne::types::moment::Moment;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CALLS: u64 = 400_000;
const ROUNDS: usize = 7;
const TIME: Duration = Duration::from_millis(3);

/// No variable is set.
struct Nothing;

impl Environment for Nothing {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }
}

/// A pool of so many backends whose circuits go by the defaults, and by more.
fn pool(size: usize, more: &str) -> Arc<Live> {
    let backends: Vec<String> =
        (0..size).map(|n| format!("\"10.{}.{}.1:80\"", n / 250, n % 250)).collect();
    let text = format!(
        "listener.http.address = \"127.0.0.1:8080\"\n[pool.a]\nbackends = [{}]\n{more}\n\
         [[route]]\nname = \"a\"\npool = \"a\"\n",
        backends.join(",")
    );
    let source = Source { name: "a", text: &text, format: Format::Toml, folder: Path::new(".") };
    let Ok(loaded) = config::parse(&source, &Nothing) else { panic!("the config is right") };
    let Ok(metrics) = Metrics::new(1) else { panic!("metrics are right") };
    let mut kept = Kept::default();
    let mut means = Means { metrics: &Arc::new(metrics), kept: &mut kept, now: clock::now() };
    let compiled = compile::snapshot(&loaded.config, &Generation::new(1), &mut means);
    let Ok(compiled) = compiled else { panic!("the config compiles") };
    let Some(live) = compiled.pools.first().map(|plan| Arc::clone(&plan.live)) else {
        panic!("there is a pool")
    };
    Pools::default().apply(compiled.pools, &mut means);
    live
}

/// What is measured.
#[derive(Clone, Copy)]
struct Case {
    threads: u64,
    /// All go to one backend.
    is_one: bool,
    settles: bool,
}

/// Makes so many calls.
fn calls(live: &Arc<Live>, members: &Members, case: Case, seed: u64, count: u64) {
    let size = members.all.len() as u64;
    for number in 0..count {
        let random = mix(seed ^ number);
        let at = if case.is_one { 0 } else { usize::try_from(random % size).unwrap_or_default() };
        let place = members.all.get(at).and_then(|member| live.enter(black_box(member)));
        let Some(mut place) = place else { panic!("there is room") };
        if case.settles {
            let outcome = match random >> 32 & 0xffff {
                0..1311 => Outcome::Failure(Category::Status),
                _ => Outcome::Success,
            };
            black_box(place.settle(outcome, TIME, Moment::from_micros(number)));
        }
    }
}

/// Nanoseconds of a core that a call takes: the best of a few rounds.
fn nanoseconds(live: &Arc<Live>, case: Case) -> f64 {
    let members = live.members();
    let count = CALLS / case.threads;
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let times: Duration = std::thread::scope(|scope| {
            let start = |thread| {
                let members = &members;
                scope.spawn(move || timed(|| calls(live, members, case, mix(thread), count)))
            };
            let threads: Vec<_> = (0..case.threads).map(start).collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).sum()
        });
        #[allow(clippy::cast_precision_loss, reason = "a rough figure")]
        let each = times.as_nanos() as f64 / (count * case.threads) as f64;
        best = best.min(each);
    }
    best
}

fn main() {
    println!(
        "{:<24}{:>9}{:>12}{:>12}{:>12}{:>13}",
        "circuit alone, ns", "backends", "1 thread", "4 threads", "64 threads", "allocations"
    );
    for (name, size, is_one, more) in [
        ("spread", 3, false, ""),
        ("spread", 100, false, ""),
        ("spread", 5000, false, ""),
        ("one backend", 3, true, ""),
        ("one backend, timed", 3, true, "breaker.window_time = \"60s\""),
    ] {
        let live = pool(size, more);
        let case = Case { threads: 1, is_one, settles: true };
        let members = live.members();
        calls(&live, &members, case, 0, 20_000);
        let region = Region::new(ALLOCATOR);
        calls(&live, &members, case, 1, 20_000);
        let allocations = region.change().allocations;
        drop(members);
        let [one, four, many] = [1, 4, 64].map(|threads| {
            let with = nanoseconds(&live, Case { threads, ..case });
            with - nanoseconds(&live, Case { threads, settles: false, ..case })
        });
        println!("{name:<24}{size:>9}{one:>12.0}{four:>12.0}{many:>12.0}{allocations:>13}");
        assert_eq!(live.guard.out(), 0, "nothing has opened");
    }
}
