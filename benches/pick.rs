//! How long it takes to pick a backend: by algorithm, size of the pool and threads at once.
//!
//! `cargo bench --bench pick`. What is asked: at most 200 ns and no allocation at 5,000
//! backends. A pick here is all of it: the algorithm, the place that is taken, and its return.
#![allow(clippy::panic, clippy::print_stdout, reason = "a bench may panic, and prints its table")]

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use vanne::config::{self, Environment, Format, Source};
use vanne::control::compile::{self, Means};
use vanne::control::kept::Kept;
use vanne::data::balance::{ALGORITHMS, Choice};
use vanne::data::generation::Generation;
use vanne::data::pool::{Live, Picked};
use vanne::observe::metrics::Metrics;
use vanne::types::clock;
use vanne::types::hash::mix;
use vanne::types::moment::Moment;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const PICKS: u64 = 200_000;
const ROUNDS: usize = 5;

/// No variable is set.
struct Nothing;

impl Environment for Nothing {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }
}

/// A pool of so many backends with weights of 1 to 3, and latencies.
fn pool(algorithm: &str, size: usize) -> Arc<Live> {
    let backends: Vec<String> = (0..size)
        .map(|n| format!("\"10.{}.{}.1:80 weight={}\"", n / 250, n % 250, n % 3 + 1))
        .collect();
    let text = format!(
        "listener.http.address = \"127.0.0.1:8080\"\n[pool.a]\nalgorithm = \"{algorithm}\"\n\
         backends = [{}]\n[[route]]\nname = \"a\"\npool = \"a\"\n",
        backends.join(",")
    );
    let source = Source { name: "a", text: &text, format: Format::Toml, folder: Path::new(".") };
    let Ok(loaded) = config::parse(&source, &Nothing) else { panic!("the config is right") };
    let Ok(metrics) = Metrics::new(1) else { panic!("metrics are right") };
    let mut kept = Kept::default();
    let mut means = Means { metrics: &Arc::new(metrics), kept: &mut kept, now: clock::now() };
    let compiled = compile::snapshot(&loaded.config, &Generation::new(1), &mut means);
    let Ok(compiled) = compiled else { panic!("the config compiles") };
    let Some(plan) = compiled.pools.first() else { panic!("there is a pool") };
    let now = Moment::of(clock::now());
    plan.publish(now);
    for (number, listed) in (1..).zip(&plan.listed) {
        let time = std::time::Duration::from_millis(number % 20 + 1);
        listed.backend.state.latency.observe(time, now);
    }
    Arc::clone(&plan.live)
}

fn picks(live: &Arc<Live>, seed: u64, count: u64, now: Moment) {
    for number in 0..count {
        let random = mix(seed ^ number);
        let choice = Choice { key: random, random, now, ..Choice::default() };
        match black_box(live.pick(black_box(&choice))) {
            Picked::Backend(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Nanoseconds that a pick takes a thread, when so many pick at once: the best of a few rounds.
fn nanoseconds(live: &Arc<Live>, threads: u64, now: Moment) -> f64 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let count = PICKS / threads;
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let began = clock::now();
        std::thread::scope(|scope| {
            for thread in 0..threads {
                scope.spawn(move || picks(live, mix(thread), count, now));
            }
        });
        let busy = usize::try_from(threads).unwrap_or(cores).min(cores);
        #[allow(clippy::cast_precision_loss, reason = "a rough figure")]
        let each = began.elapsed().as_nanos() as f64 * busy as f64 / (count * threads) as f64;
        best = best.min(each);
    }
    best
}

fn main() {
    println!(
        "{:<22}{:>9}{:>12}{:>12}{:>12}{:>13}",
        "algorithm", "backends", "1 thread", "4 threads", "64 threads", "allocations"
    );
    for algorithm in ALGORITHMS {
        for size in [3, 100, 5000] {
            let live = pool(algorithm.name, size);
            let now = Moment::of(clock::now());
            picks(&live, 0, 1000, now);
            let region = Region::new(ALLOCATOR);
            picks(&live, 1, 10_000, now);
            let allocations = region.change().allocations;
            let [one, four, many] = [1, 4, 64].map(|threads| nanoseconds(&live, threads, now));
            println!(
                "{:<22}{size:>9}{one:>9.0} ns{four:>9.0} ns{many:>9.0} ns{allocations:>13}",
                algorithm.name
            );
        }
    }
}
