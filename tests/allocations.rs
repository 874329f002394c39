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
use std::time::UNIX_EPOCH;
use vanne::config::{self, Config, Environment, Format, Source};
use vanne::control::compile::{self, Means};
use vanne::control::kept::Kept;
use vanne::data::exchange::{Action, Beginning, Event, Running, Waiting};
use vanne::data::finish::{Logs, RequestMetrics, Traffic, finish};
use vanne::data::generation::Generation;
use vanne::data::listener::carrier::Cell;
use vanne::data::listener::{Client, Slot};
use vanne::data::log_line;
use vanne::data::snapshot::{Publisher, Reader, Snapshot};
use vanne::observe::access_log::{AccessLog, LogRing, Target};
use vanne::observe::metrics::Counter;
use vanne::observe::metrics::Metrics;
use vanne::types::clock;
use vanne::types::moment::Moment;
use vanne::types::request_id::RequestId;
use vanne_filters::{FieldSlice, RequestHead, ResponseHead, Version};

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

/// What `text` compiles to; its pools have their members.
fn compiled(text: &str, look: impl FnOnce(&Config, &mut Means<'_>)) -> Snapshot {
    let source = Source { name: "a", text, format: Format::Toml, folder: Path::new(".") };
    let loaded = config::parse(&source, &Nothing).unwrap();
    let metrics = Arc::new(Metrics::new(1).unwrap());
    let mut kept = Kept::default();
    let mut means = Means { metrics: &metrics, kept: &mut kept, now: clock::now() };
    let compiled = compile::snapshot(&loaded.config, &Generation::new(1), &mut means).unwrap();
    for plan in &compiled.pools {
        plan.publish(Moment::of(means.now));
    }
    look(&loaded.config, &mut means);
    compiled.snapshot
}

/// A request that is over, as the access log of this config sees it.
fn ended(access_log: &str) -> Running {
    let mut listener = None;
    let snapshot = compiled(&format!("{ROUTES}{access_log}"), |config, means| {
        let (id, own) = config.listener.first_key_value().unwrap();
        let rules = compile::listener(id, own, &config.page, None, means).unwrap();
        listener = Some(Arc::new(rules));
    });
    let now = clock::now();
    let mut running = Running::begin(Beginning {
        snapshot: Arc::new(Arc::new(snapshot)),
        listener: Arc::new(listener.unwrap()),
        client: Arc::new(Client::new("192.0.2.1:1000".parse().unwrap(), 80, false)),
        id: RequestId::next(&mut fastrand::Rng::with_seed(1)),
        now,
        wall: UNIX_EPOCH,
    });
    let fields = FieldSlice(&[("host", "a.test"), ("user-agent", "curl/8.0 \"x\"")]);
    let head = RequestHead::new("GET", b"/x?a=1&token=S&%74oken=S", Version::Http11, &fields);
    let exchange = running.exchange_mut().unwrap();
    drop(exchange.step(Event::Request { head, has_body: false }, now));
    drop(exchange.step(Event::Connected { is_reused: true }, now));
    let fields = FieldSlice(&[("server", "s")]);
    drop(exchange.step(Event::Response(ResponseHead { status: 200, fields: &fields }), now));
    drop(exchange.step(Event::Ended, now));
    assert_eq!(exchange.status(), Some(200));
    running
}

/// Fails unless `work` allocates nothing. The allocator counts for all threads, and those of the
/// access log begin when they come to it: so it may take a few tries until only `work` is counted.
fn allocates_nothing(name: &str, mut work: impl FnMut()) {
    let mut counts = Vec::new();
    for _ in 0..10 {
        let region = Region::new(ALLOCATOR);
        work();
        counts.push(region.change().allocations);
        if counts.last() == Some(&0) {
            return;
        }
    }
    panic!("{name}: {counts:?} allocations");
}

fn finding_a_route_allocates_nothing() {
    let snapshot = compiled(ROUTES, |_, _| ());
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
    allocates_nothing("finding a route", || {
        for target in targets {
            let head = RequestHead::new("GET", target.as_bytes(), Version::Http11, &fields);
            assert!(snapshot.routes.find(&head, Ipv4Addr::LOCALHOST.into()).is_some());
        }
    });
}

fn writing_a_line_of_the_log_allocates_nothing() {
    let dropped = Counter::default();
    let log = AccessLog::start(&Target::Nothing, 1, &dropped).unwrap();
    let ring = log.ring(0).unwrap();
    let text = r#"format = '{client} {time} {request_id} {target} {ms.total} "{request_header:user-agent}"'"#;
    for format in ["format = \"json\"", "format = \"ecs\"", "format = \"httplog\"", text] {
        let keys = "sample = [{ share = \"100%\" }]\n\
                    headers = { request = { user-agent = \"99B\" }, response = { server = \"9B\" } }";
        let running = ended(&format!("[access_log]\n{format}\n{keys}\n"));
        let traffic = Traffic { bytes_in: 100, bytes_out: 1000 };
        let exchange = running.exchange().unwrap();
        let write = || log_line::write(exchange, traffic, &ring, clock::now());
        // The first time the buffer grows.
        write();
        allocates_nothing(format, || (0..100).for_each(|_| write()));
    }
    log.stop();
    assert_eq!(dropped.get(), 0);
}

/// What serves requests here: all of a worker but the sockets.
struct Lab {
    reader: Reader,
    slot: Slot,
    client: Arc<Client>,
    metrics: RequestMetrics,
    log: AccessLog,
    cell: Cell,
    rng: fastrand::Rng,
}

impl Lab {
    fn new(text: &str) -> Self {
        let mut rest = None;
        let snapshot = compiled(text, |config, means| {
            let (id, own) = config.listener.first_key_value().unwrap();
            let rules = compile::listener(id, own, &config.page, None, means).unwrap();
            let slot = Slot::new(rules);
            rest = Some((slot, RequestMetrics::new(means.metrics)));
        });
        let (slot, metrics) = rest.unwrap();
        Self {
            reader: Publisher::new(snapshot).reader(),
            slot,
            client: Arc::new(Client::new("192.0.2.1:1000".parse().unwrap(), 80, false)),
            metrics,
            log: AccessLog::start(&Target::Nothing, 1, &Counter::default()).unwrap(),
            cell: Cell::default(),
            rng: fastrand::Rng::with_seed(1),
        }
    }

    /// Serves one request as an engine does.
    fn serve(&mut self, ring: &LogRing) {
        self.cell.wake_up();
        let running = Running::begin(Beginning {
            snapshot: self.reader.load(),
            listener: self.slot.rules(),
            client: Arc::clone(&self.client),
            id: RequestId::next(&mut self.rng),
            now: self.cell.now(),
            wall: UNIX_EPOCH,
        });
        self.cell.begin(running);
        let fields = FieldSlice(&REQUEST);
        let head = RequestHead::new("GET", b"/api/items?page=2", Version::Http11, &fields);
        let action = self.cell.step(Event::Request { head, has_body: false });
        assert!(matches!(action, Action::Attempt(_)));
        drop(self.cell.step(Event::Connected { is_reused: true }));
        drop(self.cell.step(Event::Parked(Waiting::Backend)));
        let fields = FieldSlice(&ANSWER);
        let head = ResponseHead { status: 200, fields: &fields };
        drop(self.cell.step(Event::Response(head)));
        drop(self.cell.step(Event::ResponseBody));
        assert!(matches!(self.cell.step(Event::Ended), Action::Done));
        let traffic = Traffic { bytes_in: 400, bytes_out: 1400 };
        let now = self.cell.now();
        self.cell.end(|exchange| {
            assert!(exchange.response_edits().len() > 3 && exchange.request_edits().len() > 5);
            finish(exchange, traffic, &self.metrics, Logs { access: Some(ring), waf: None }, now);
        });
    }
}

/// What browsers send, behind a proxy that says who they are.
const REQUEST: [(&str, &str); 8] = [
    ("Host", "www.example.com"),
    ("Connection", "keep-alive, close, TE"),
    ("TE", "trailers"),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("Accept", "text/html,application/xhtml+xml"),
    ("Cookie", "session=0123456789abcdef; theme=dark"),
    ("X-Forwarded-For", "192.0.2.7"),
    ("X-Forwarded-Host", "other.example"),
];

/// What a backend answers.
const ANSWER: [(&str, &str); 5] = [
    ("content-type", "text/html; charset=utf-8"),
    ("content-length", "1024"),
    ("connection", "keep-alive"),
    ("server", "demo"),
    ("set-cookie", "session=0123456789abcdef; Path=/; HttpOnly"),
];

fn serving_a_request_allocates_nothing() {
    let mut lab = Lab::new(
        r#"
        [listener.http]
        address = "127.0.0.1:8080"
        [pool.a]
        backends = ["127.0.0.1:9000", "127.0.0.1:9001"]
        [security_headers.site]
        preset = "strict"
        content_security_policy = "default-src 'self'"
        [[route]]
        name = "all"
        match = { path = "/api" }
        pool = "a"
        security_headers = "site"
        rewrite = { path_prefix = "/v2" }
        headers.request = { remove = ["cookie"], set = { x-from = "{client} for {host}" } }
        headers.response = { add = { x-id = "{request_id}" } }
        [access_log]
        headers = { request = { user-agent = "99B" }, response = { server = "9B" } }
        "#,
    );
    let ring = lab.log.ring(0).unwrap();
    // The first ones make what the others use again.
    (0..10).for_each(|_| lab.serve(&ring));
    allocates_nothing("a request", || (0..1000).for_each(|_| lab.serve(&ring)));
    lab.log.stop();
}

fn serving_a_guarded_request_allocates_nothing() {
    let mut lab = Lab::new(
        r#"
        [listener.http]
        address = "127.0.0.1:8080"
        [pool.a]
        backends = ["127.0.0.1:9000"]
        [waf.default]
        own_rules = true
        [[route]]
        name = "all"
        pool = "a"
        headers.request = { set = { x-a = "1" } }
        headers.response = { set = { x-b = "1" } }
        "#,
    );
    let ring = lab.log.ring(0).unwrap();
    // The first ones make the thread's caches, and what a transaction leaves to the next.
    (0..10).for_each(|_| lab.serve(&ring));
    allocates_nothing("a guarded request", || (0..1000).for_each(|_| lab.serve(&ring)));
    lab.log.stop();
}

#[test]
fn what_every_request_does_without_allocating_stays_so() {
    finding_a_route_allocates_nothing();
    writing_a_line_of_the_log_allocates_nothing();
    serving_a_request_allocates_nothing();
    serving_a_guarded_request_allocates_nothing();
}
