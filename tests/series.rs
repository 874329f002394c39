//! Backends that come and go leave nothing: no series, no memory.
//!
//! The only test here, since the allocator counts for the whole process.
#![cfg(test)]

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use vanne::config::{self, Config, Environment, Format, Source};
use vanne::control::compile::{self, Means};
use vanne::control::kept::Kept;
use vanne::control::pools::Pools;
use vanne::data::generation::Generation;
use vanne::data::outcome::Outcome;
use vanne::observe::metrics::Metrics;
use vanne::types::clock;
use vanne::types::moment::Moment;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// No variable is set.
struct Nothing;

impl Environment for Nothing {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }
}

const BACKENDS: usize = 1000;
const ROUNDS: u64 = 50;
/// Longer than a backend that has left is remembered.
const LATER: Duration = Duration::from_secs(61);
/// What the tables themselves may have grown by.
const BYTES_MAX: usize = 64 * 1024;

/// A config with so many backends, other ones in each round.
fn config(round: u64, count: usize) -> Config {
    let mut text = String::from("[listener.http]\naddress = \"127.0.0.1:8080\"\n");
    write!(text, "[pool.app]\nbackends = [").unwrap();
    for index in 0..count {
        write!(text, "\"10.{round}.{}.{}:80\",", index / 250, index % 250).unwrap();
    }
    text.push_str("]\n[[route]]\nname = \"all\"\npool = \"app\"\n");
    let source = Source { name: "a", text: &text, format: Format::Toml, folder: Path::new(".") };
    config::parse(&source, &Nothing).unwrap().config
}

struct Proxy {
    metrics: Arc<Metrics>,
    kept: Kept,
    pools: Pools,
    now: Instant,
}

impl Proxy {
    /// Uses a config, has every backend do something, and lets time pass.
    fn uses(&mut self, round: u64, count: usize) {
        let mut means = Means { metrics: &self.metrics, kept: &mut self.kept, now: self.now };
        let compiled =
            compile::snapshot(&config(round, count), &Generation::new(round), &mut means);
        self.pools.apply(compiled.unwrap().pools, &mut means);
        self.kept.commit();
        self.pools.tend(Moment::of(self.now));
        for listed in &self.pools.plan(&"app".parse().unwrap()).unwrap().listed {
            let state = &listed.backend.state;
            state.metrics.count_attempt(Outcome::Success);
            state.window.note(Duration::from_millis(3), false, Moment::of(self.now));
        }
        self.now += LATER;
        self.kept.forget(self.now);
    }

    fn series(&self) -> usize {
        let text = self.metrics.render().unwrap();
        text.lines().filter(|line| line.starts_with("vanne_")).count()
    }
}

fn bytes() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

#[test]
fn backends_that_come_and_go_leave_no_series_and_no_memory() {
    let metrics = Arc::new(Metrics::new(4).unwrap());
    let (kept, pools) = (Kept::default(), Pools::default());
    let mut proxy = Proxy { metrics, kept, pools, now: clock::now() };
    // What is made once, and tables of their full size, are made now.
    proxy.uses(100, BACKENDS);
    proxy.uses(1, BACKENDS);
    proxy.uses(2, 1);
    let (series, before) = (proxy.series(), bytes());

    for round in 0..ROUNDS {
        proxy.uses(3 + round, BACKENDS);
        let of_backends = proxy.series() - series;
        assert!((20_000..30_000).contains(&of_backends), "{of_backends}");
    }
    proxy.uses(2, 1);
    assert_eq!(proxy.series(), series);
    let more = bytes().saturating_sub(before);
    println!("{series} series before and after; {more} bytes more");
    assert!(more < BYTES_MAX, "{more} bytes more after {ROUNDS} rounds of {BACKENDS} backends");
}
