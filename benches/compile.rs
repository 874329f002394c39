//! How long a config takes from text to snapshot, by how many backends and routes it has.
//!
//! `cargo bench --bench compile`. `parse` is from text to checked values, `compile` from these to
//! what the data plane reads, for the first time; `again` is a reload that changes nothing, where
//! backends and their counts are carried over.
#![allow(clippy::panic, reason = "a bench may panic")]
#![allow(missing_docs, reason = "the macros of criterion make functions without docs")]

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use vanne::config::{self, Config, Environment, Format, Source};
use vanne::control::compile::{self, Compiled, Means};
use vanne::control::kept::Kept;
use vanne::data::generation::Generation;
use vanne::observe::metrics::Metrics;
use vanne::types::clock;

/// No variable is set.
struct Nothing;

impl Environment for Nothing {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }
}

/// A config with one pool of so many backends, and so many routes to it.
fn text(backends: usize, routes: usize) -> String {
    let listed: Vec<String> = (0..backends)
        .map(|n| format!("\"10.{}.{}.1:80 weight={}\"", n / 250, n % 250, n % 3 + 1))
        .collect();
    let mut text = format!(
        "[listener.http]\naddress = \"127.0.0.1:8080\"\n[pool.a]\nalgorithm = \"weighted\"\n\
         backends = [{}]\n[[route]]\nname = \"all\"\npool = \"a\"\n",
        listed.join(",")
    );
    for n in 1..routes {
        let matches = match n % 4 {
            0 => format!("host = \"h{n}.example.com\""),
            1 => format!("path_exact = \"/exact/p{n}\""),
            2 => format!("path = \"/header/p{n}\", header = {{ x-version = \"2\" }}"),
            _ => format!("path = \"/api/service-{}/p{n}\"", n / 100),
        };
        text += &format!("[[route]]\nname = \"r{n}\"\npool = \"a\"\nmatch = {{ {matches} }}\n");
    }
    text
}

fn parse(text: &str) -> Config {
    let source = Source { name: "a", text, format: Format::Toml, folder: Path::new(".") };
    let Ok(loaded) = config::parse(&source, &Nothing) else { panic!("the config is right") };
    loaded.config
}

fn compile(config: &Config, metrics: &Arc<Metrics>, kept: &mut Kept) -> Compiled {
    let mut means = Means { metrics, kept, now: clock::now() };
    let compiled = compile::snapshot(config, &Generation::new(1), &mut means);
    compiled.unwrap_or_else(|error| panic!("{error}"))
}

fn bench(criterion: &mut Criterion) {
    for (backends, routes) in [(1, 10), (100, 10), (5000, 10), (1, 1000), (100, 1000), (5000, 1000)]
    {
        let mut group =
            criterion.benchmark_group(format!("config/{backends}-backends/{routes}-routes"));
        group.sample_size(10).warm_up_time(Duration::from_millis(300));
        group.measurement_time(Duration::from_secs(1));
        let text = text(backends, routes);
        let config = parse(&text);
        let Ok(metrics) = Metrics::new(1) else { panic!("metrics are right") };
        let metrics = Arc::new(metrics);
        group.bench_function("parse", |bench| bench.iter(|| parse(black_box(&text))));
        group.bench_function("compile", |bench| {
            bench.iter(|| compile(&config, &metrics, &mut Kept::default()));
        });
        let mut kept = Kept::default();
        let first = compile(&config, &metrics, &mut kept);
        group.bench_function("again", |bench| bench.iter(|| compile(&config, &metrics, &mut kept)));
        drop(first);
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
