//! One request's panic is one 500, one log line, one count; the next request is served.
//!
//! No config makes Vanne panic, so this runs the workers in this process, with a filter that does.

#![expect(clippy::unwrap_used, reason = "a test; and it is about panics")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use vanne::config::{self, Format, Source};
use vanne::control::compile::{self, Means};
use vanne::control::kept::Kept;
use vanne::data::chain::Chain;
use vanne::data::engine::worker::{Setup, Workers};
use vanne::data::fallback::Fallbacks;
use vanne::data::generation::Generation;
use vanne::data::lifecycle::Stage;
use vanne::data::listener::accept::ListeningSocket;
use vanne::data::rate_limit::RouteLimits;
use vanne::data::route::{Match, RouteMetrics, RouteTable};
use vanne::data::snapshot::{Publisher, Route, Snapshot};
use vanne::data::target;
use vanne::observe::access_log::{AccessLog, Target};
use vanne::observe::metrics::{ACCESS_LOG_DROPPED, Metrics};
use vanne::types::clock;
use vanne::types::moment::Moment;
use vanne_filters::{
    Asked, FieldSlice, Filter, HeadEdits, RequestHead, ResponseHead, Verdict, Version,
};

/// Panics when the target says so: on the request, or on the answer.
struct Panics;

impl Filter for Panics {
    fn kind(&self) -> &'static str {
        "panics"
    }
    fn on_request(&self, head: &RequestHead<'_>, _: &mut HeadEdits) -> Verdict {
        assert!(head.path() != b"/panic", "asked to");
        Verdict::Continue
    }
    fn on_response(&self, _: Asked, head: &ResponseHead<'_>, _: &mut HeadEdits) {
        assert!(head.status != 201, "asked to");
    }
}

/// A port that was free a moment ago.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A backend that answers 201 to `/created` and 200 to the rest.
fn backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).unwrap_or(0);
            let status = if bytes.starts_with(b"GET /created") { 201 } else { 200 };
            if count > 0 {
                let head =
                    format!("HTTP/1.1 {status} OK\r\nContent-Length: 2\r\nConnection: close");
                drop(stream.write_all(format!("{head}\r\n\r\nok").as_bytes()));
            }
        }
    });
    address
}

fn snapshot(config: &config::Config, means: &mut Means<'_>) -> Snapshot {
    let generation = Generation::new(1);
    let compiled = compile::snapshot(config, &generation, means).unwrap();
    for plan in &compiled.pools {
        plan.publish(Moment::of(means.now));
    }
    let head = RequestHead::new("GET", b"/", Version::Http11, &FieldSlice(&[]));
    let plain = compiled.snapshot.routes.find(&head, Ipv4Addr::LOCALHOST.into()).unwrap();
    let pool = plain.target.pool().unwrap();
    let target = target::Target::Pool(Arc::clone(pool));
    let route = Route {
        id: plain.id.clone(),
        metrics: RouteMetrics::new(
            means.metrics,
            plain.id.as_str(),
            (&target, &Fallbacks::default()),
            false,
        ),
        target,
        limits: RouteLimits::default(),
        gate: None,
        user_limits: RouteLimits::default(),
        own_fields: Arc::default(),
        waf: None,
        chain: Chain::new(vec![Arc::new(Panics)]),
        edits: plain.edits.clone(),
        priority: plain.priority,
        overload: None,
        fallbacks: Fallbacks::default(),
        mirror: None,
        log: Arc::clone(&plain.log),
        total: plain.total,
        tunnel_idle: plain.tunnel_idle,
        generation: Arc::clone(&generation),
    };
    let mut routes = RouteTable::default();
    routes.add(Match::prefix("/"), Arc::new(route));
    Snapshot { routes, generation, ..compiled.snapshot }
}

fn get(address: SocketAddr, target: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_panic_costs_one_request() {
    let http = free();
    let text = format!(
        "[process]\nworkers = 1\n[listener.http]\naddress = \"{http}\"\n\
         [pool.a]\nbackends = [\"{}\"]\n[[route]]\nname = \"a\"\npool = \"a\"\n",
        backend()
    );
    let source = Source { name: "test", text: &text, format: Format::Toml, folder: ".".as_ref() };
    let config = config::parse(&source, &config::ProcessEnvironment).unwrap().config;
    let metrics = Arc::new(Metrics::new(1).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let dropped = metrics.handle(&ACCESS_LOG_DROPPED, []);
    let access_log = Arc::new(AccessLog::start(&Target::File(log.clone()), 1, &dropped).unwrap());
    let mut kept = Kept::default();
    let mut means = Means { metrics: &metrics, kept: &mut kept, now: clock::now() };
    let (id, listener) = config.listener.first_key_value().unwrap();
    let rules = compile::listener(id, listener, &config.page, None, &mut means).unwrap();
    let workers = Workers::start(Setup {
        is_lean: false,
        workers: 1,
        idle_connections: 1,
        sockets: vec![Arc::new(ListeningSocket::bind(rules).unwrap())],
        blocklist: Arc::default(),
        publisher: Publisher::new(snapshot(&config, &mut means)),
        metrics: Arc::clone(&metrics),
        access_log: Arc::clone(&access_log),
        waf_log: Arc::clone(&access_log),
    })
    .unwrap();

    assert!(get(http, "/").starts_with("HTTP/1.1 200 "));
    let answer = get(http, "/panic");
    assert!(answer.starts_with("HTTP/1.1 500 ") && answer.contains(": panic"), "{answer}");
    let answer = get(http, "/created");
    assert!(answer.starts_with("HTTP/1.1 500 ") && answer.contains(": panic"), "{answer}");
    assert!(get(http, "/").starts_with("HTTP/1.1 200 "));

    let text = metrics.render().unwrap();
    assert!(text.contains("vanne_panics_total 2"), "{text}");
    assert!(text.contains("vanne_requests_in_flight 0"), "{text}");
    workers.advance(Stage::Closing);
    workers.join();
    access_log.stop();
    let lines = std::fs::read_to_string(log).unwrap();
    assert_eq!(lines.matches("\"end\":\"panic\"").count(), 2, "{lines}");
    assert_eq!(lines.lines().count(), 4, "{lines}");
}
