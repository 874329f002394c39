//! What is done for every request without allocating stays so: counted by an allocator.
//!
//! To add something: a block in the test, which is the only one, since the allocator counts for
//! the whole process.
#![cfg(test)]

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use vanne::config::{self, Environment, Format, Source};
use vanne::control::compile::{self, Means};
use vanne::control::kept::Kept;
use vanne::data::generation::Generation;
use vanne::data::snapshot::Snapshot;
use vanne::observe::metrics::Metrics;
use vanne::types::clock;
use vanne_filters::{FieldSlice, RequestHead, Version};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// No variable is set.
struct Nothing;

impl Environment for Nothing {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }
}

const ROUTES: &str = r#"
[listener.http]
address = "127.0.0.1:8080"
[pool.a]
backends = ["127.0.0.1:9000"]
[[route]]
name = "wildcard"
pool = "a"
match = { host = "*.example.com", path = "/deep", client = ["192.0.2.0/24"] }
[[route]]
name = "pattern"
pool = "a"
match = { path_regex = "/users/[0-9]+(/.*)?", cookie = { theme = { regex = "d.*k" } } }
[[route]]
name = "values"
pool = "a"
match = { path = "/users", header = { x-a = { contains = "b" } }, query = { q = { suffix = "z" } } }
[[route]]
name = "composed"
pool = "a"
match = { method = ["GET"], any = [{ path = "/x" }, { not = { host = "a.example" } }] }
"#;

fn snapshot() -> Snapshot {
    let source = Source { name: "a", text: ROUTES, format: Format::Toml, folder: Path::new(".") };
    let loaded = config::parse(&source, &Nothing).unwrap();
    let metrics = Arc::new(Metrics::new(1).unwrap());
    let mut kept = Kept::default();
    let mut means = Means { metrics: &metrics, kept: &mut kept, now: clock::now() };
    compile::snapshot(&loaded.config, &Generation::new(1), &mut means).unwrap().snapshot
}

#[test]
fn finding_a_route_allocates_nothing() {
    let snapshot = snapshot();
    let fields = FieldSlice(&[
        ("host", "WWW.Example.com"),
        ("cookie", "session=1; theme=dark"),
        ("x-a", "abc"),
    ]);
    let targets = ["/deep/x", "/users/17/x", "/users/x?a&q=xyz", "/other"];
    let find = |target: &str| {
        let head = RequestHead::new("GET", target.as_bytes(), Version::Http11, &fields);
        let route = snapshot.routes.find(&head, Ipv4Addr::LOCALHOST.into()).unwrap();
        route.id.as_str().to_owned()
    };
    // The first time the patterns make their caches.
    assert_eq!(targets.map(find), ["composed", "pattern", "values", "composed"]);
    let region = Region::new(ALLOCATOR);
    for target in targets {
        let head = RequestHead::new("GET", target.as_bytes(), Version::Http11, &fields);
        assert!(snapshot.routes.find(&head, Ipv4Addr::LOCALHOST.into()).is_some());
    }
    assert_eq!(region.change().allocations, 0);
}
