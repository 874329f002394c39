//! How long it takes to find the route of a request, by how many there are.
//!
//! `cargo bench --bench route`. What is asked: at most 1 µs at 10,000 routes, and no allocation;
//! the latter is checked by `tests/allocations.rs`.
#![allow(clippy::panic, reason = "a bench may panic")]
#![allow(missing_docs, reason = "the macros of criterion make functions without docs")]

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use vanne::config::{self, Environment, Format, Source};
use vanne::control::compile::{self, Means};
use vanne::control::kept::Kept;
use vanne::data::generation::Generation;
use vanne::data::snapshot::Snapshot;
use vanne::observe::metrics::Metrics;
use vanne::types::clock;
use vanne_filters::{FieldSlice, RequestHead, Version};

/// No variable is set.
struct Nothing;

impl Environment for Nothing {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }
}

/// A snapshot of so many routes, a tenth of each kind: by exact host, by wildcard, by exact
/// path, by pattern, by header; the rest by prefix. And one for all else.
fn snapshot(count: usize) -> Snapshot {
    let mut text = String::from(
        "[listener.http]\naddress = \"127.0.0.1:8080\"\n[pool.a]\nbackends = [\"127.0.0.1:9000\"]\n\
         [[route]]\nname = \"all\"\npool = \"a\"\n",
    );
    for index in 0..count {
        let matches = match index % 10 {
            0 => format!("host = \"h{index}.example.com\", path = \"/api\""),
            1 => format!("host = \"*.h{index}.example.com\""),
            2 => format!("path_exact = \"/exact/p{index}\""),
            3 => format!("path_regex = \"/regex/p{index}/[0-9]+\""),
            4 => format!("path = \"/header/p{index}\", header = {{ x-version = \"2\" }}"),
            _ => format!("path = \"/api/v1/service-{}/p{index}\"", index / 100),
        };
        text += &format!("[[route]]\nname = \"r{index}\"\npool = \"a\"\nmatch = {{ {matches} }}\n");
    }
    let source = Source { name: "a", text: &text, format: Format::Toml, folder: Path::new(".") };
    let Ok(loaded) = config::parse(&source, &Nothing) else { panic!("the config is right") };
    let Ok(metrics) = Metrics::new(1) else { panic!("metrics are right") };
    let mut kept = Kept::default();
    let mut means = Means { metrics: &Arc::new(metrics), kept: &mut kept, now: clock::now() };
    let compiled = compile::snapshot(&loaded.config, &Generation::new(1), &mut means);
    compiled.unwrap_or_else(|error| panic!("{error}")).snapshot
}

fn bench(criterion: &mut Criterion) {
    let fields = [
        ("host", "www.example.com"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
        ("accept", "text/html,application/xhtml+xml"),
        ("accept-language", "en-GB,en;q=0.5"),
        ("accept-encoding", "gzip, deflate, br"),
        ("x-version", "2"),
        ("cookie", "session=0123456789abcdef; theme=dark"),
        ("x-request-start", "t=1700000000"),
    ];
    for count in [10, 100, 10_000] {
        let snapshot = snapshot(count);
        let mut group = criterion.benchmark_group(format!("route/{count}"));
        group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
        let last = (count / 10 - 1) * 10;
        for (kind, host, target) in [
            ("host", format!("h{last}.example.com"), "/api/x?y=z".to_owned()),
            ("wildcard", format!("a.b.h{}.example.com", last + 1), "/x/y/z".to_owned()),
            ("exact", String::new(), format!("/exact/p{}", last + 2)),
            ("regex", String::new(), format!("/regex/p{}/12345", last + 3)),
            ("header", String::new(), format!("/header/p{}/x", last + 4)),
            ("prefix", String::new(), format!("/api/v1/service-{}/p{}/x/y", last / 100, last + 5)),
            ("none", String::new(), "/api/v1/service-0/unknown/x/y".to_owned()),
        ] {
            let mut fields = fields;
            if !host.is_empty() {
                fields[0].1 = &host;
            }
            let fields = FieldSlice(&fields);
            let head = RequestHead::new("GET", target.as_bytes(), Version::Http11, &fields);
            let find = || snapshot.routes.find(black_box(&head), Ipv4Addr::LOCALHOST.into());
            let is_own = find().is_some_and(|route| route.id.as_str() != "all");
            assert_eq!(is_own, kind != "none", "{kind}");
            group.bench_function(kind, |bench| bench.iter(find));
        }
        bench_spread(&mut group, &snapshot, count);
        group.finish();
    }
}

/// Another route each time, so that none of it waits in the processor's caches.
fn bench_spread(group: &mut BenchmarkGroup<'_, WallTime>, snapshot: &Snapshot, count: usize) {
    let fields = FieldSlice(&[("host", "www.example.com")]);
    // A stride that is prime to `count` goes through all of them in no order.
    let indices = (0..count).map(|index| index * 7919 % count).filter(|index| index % 10 > 4);
    let target = |index: usize| format!("/api/v1/service-{}/p{index}/x/y", index / 100);
    let targets: Vec<String> = indices.map(target).collect();
    let mut next = targets.iter().cycle();
    group.bench_function("spread", |bench| {
        bench.iter(|| {
            let target = next.next().map_or(&b"/"[..], |target| target.as_bytes());
            let head = RequestHead::new("GET", target, Version::Http11, &fields);
            let route = snapshot.routes.find(&head, Ipv4Addr::LOCALHOST.into());
            route.is_some_and(|route| route.total.is_zero())
        });
    });
}

criterion_group!(benches, bench);
criterion_main!(benches);
