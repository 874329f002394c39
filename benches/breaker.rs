//! What circuits cost an attempt: permit, outcome and count, by size of the pool and threads at
//! once.
//!
//! `cargo bench --bench breaker`. What is asked: at most 150 ns and no allocation, whatever the
//! pool's size and however many threads are at it. `circuit` is a permit asked for and the call
//! settled; `place` is a place in the backend's count taken and given back, with the permit but
//! not settled, for comparison. Both in time that the threads had a core. One call of
//! a thousand fails, one of fifty where it says `failing`: so nothing opens. `one backend` has
//! all threads at the same one.
#![allow(clippy::panic, clippy::print_stdout, reason = "a bench may panic, and prints its table")]

#[path = "common/on_core.rs"]
mod on_core;

use on_core::nanoseconds;
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
    /// All go to one backend.
    is_one: bool,
    /// What each call does: its circuit alone, or its place alone.
    part: Part,
    /// One call of so many fails.
    failing: u64,
}

#[derive(Clone, Copy)]
enum Part {
    Circuit,
    Place,
}

/// Makes so many calls.
fn calls(live: &Arc<Live>, members: &Members, case: Case, seed: u64, count: u64) {
    let size = members.all.len() as u64;
    for number in 0..count {
        let random = mix(seed ^ number);
        let at = if case.is_one { 0 } else { usize::try_from(random % size).unwrap_or_default() };
        let Some(member) = members.all.get(at) else { panic!("there is one") };
        match case.part {
            Part::Place => drop(black_box(live.enter(black_box(member)))),
            Part::Circuit => {
                let outcome = match (random >> 32).is_multiple_of(case.failing) {
                    true => Outcome::Failure(Category::Status),
                    false => Outcome::Success,
                };
                let circuit = &black_box(member).backend.state.breaker;
                let now = Moment::from_micros(number);
                black_box(circuit.settle(circuit.call(), outcome, TIME, now));
            }
        }
    }
}

/// A pool of so many backends, all threads at one of them or not, one call of so many that
/// fails, and more of the config.
type Row = (&'static str, usize, bool, u64, &'static str);

const ROWS: [Row; 6] = [
    ("spread", 3, false, 1000, ""),
    ("spread", 100, false, 1000, ""),
    ("spread", 5000, false, 1000, ""),
    ("one backend", 3, true, 1000, ""),
    ("one backend, failing", 3, true, 50, ""),
    ("one backend, timed", 3, true, 1000, "breaker.window_time = \"60s\""),
];

fn main() {
    println!(
        "{:<10}{:<22}{:>9}{:>10}{:>11}{:>12}{:>13}",
        "ns", "", "backends", "1 thread", "4 threads", "64 threads", "allocations"
    );
    for ((name, size, is_one, failing, more), (label, part)) in ROWS.into_iter().flat_map(|row| {
        [("circuit", Part::Circuit), ("place", Part::Place)].map(|part| (row, part))
    }) {
        let live = pool(size, more);
        let case = Case { is_one, part, failing };
        let members = live.members();
        calls(&live, &members, case, 0, 20_000);
        let region = Region::new(ALLOCATOR);
        calls(&live, &members, case, 1, 20_000);
        let allocations = region.change().allocations;
        drop(members);
        let [one, four, many] = [1, 4, 64].map(|threads| {
            nanoseconds(threads, CALLS, |thread, count| {
                calls(&live, &live.members(), case, mix(thread), count);
            })
        });
        println!(
            "{label:<10}{name:<22}{size:>9}{one:>10.0}{four:>11.0}{many:>12.0}{allocations:>13}"
        );
        assert_eq!(live.guard.out(), 0, "nothing has opened");
    }
}
