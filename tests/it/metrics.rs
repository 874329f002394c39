//! What moves each metric. Those that tell of one feature only move in that feature's tests.

use crate::harness::client::{Client, ask};
use crate::harness::metrics::Metrics;
use crate::harness::origin::Origin;
use crate::harness::vanne::{Settings, Vanne, binary};
use crate::harness::{eventually_async, ms};
use std::process::Command;

const SOCKET: Settings<'_> = Settings {
    process: "",
    listener: "",
    pool: "",
    route: "",
    more: "[admin]\nsocket = \"@dir/admin.sock\"",
};

/// A backend whose answers have the status that the target says, and come late at `/slow`.
async fn origin() -> Origin {
    Origin::start(|mut conn| async move {
        while let Some(request) = conn.request().await {
            let target = request.head.word(1).to_owned();
            if target == "/slow" {
                tokio::time::sleep(ms(300)).await;
            }
            let status = target.trim_start_matches('/').parse().unwrap_or(200_u16);
            conn.send(format!("HTTP/1.1 {status} X\r\nContent-Length: 4\r\n\r\nabcd")).await;
        }
    })
    .await
}

fn value(metrics: &Metrics, name: &str, labels: &[(&str, &str)]) -> f64 {
    metrics.value(name, labels).unwrap_or_else(|| panic!("{name}{labels:?} is not there"))
}

#[tokio::test]
async fn requests_attempts_and_bytes_are_counted_by_backend_and_add_up_to_the_routes() {
    let origins = [origin().await, origin().await];
    let addresses = origins.each_ref().map(|origin| origin.address);
    let vanne = Vanne::before(&addresses).await;
    for target in ["/200", "/200", "/404", "/500", "/503"] {
        vanne.get(target).await;
    }
    // Without a route: `-`.
    ask(vanne.http, "BREW / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n").await;
    vanne.metric_is("vanne_requests_total", &[], 6.0).await;
    let metrics = vanne.metrics().await;
    let backends: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    for class in ["2xx", "4xx", "5xx"] {
        let of_route =
            value(&metrics, "vanne_requests_total", &[("route", "all"), ("class", class)]);
        let of_backends: f64 = backends
            .iter()
            .map(|backend| [("pool", "app"), ("backend", backend), ("class", class)])
            .map(|labels| value(&metrics, "vanne_backend_requests_total", &labels))
            .sum();
        assert_eq!((class, of_route), (class, of_backends));
        assert!(of_route > 0.0);
    }
    let pairs = [
        ("vanne_received_bytes_total", "vanne_backend_sent_bytes_total"),
        ("vanne_sent_bytes_total", "vanne_backend_received_bytes_total"),
    ];
    for (of_route, of_backends) in pairs {
        let bytes = value(&metrics, of_route, &[("route", "all")]);
        assert_eq!(bytes, value(&metrics, of_backends, &[("pool", "app")]));
        assert!(bytes > 100.0, "{bytes}");
    }
    let outcomes = [("success", 3.0), ("failure_status", 1.0), ("failure_gateway", 1.0)];
    for (outcome, count) in outcomes {
        let labels = [("pool", "app"), ("outcome", outcome)];
        assert_eq!(value(&metrics, "vanne_attempts_total", &labels), count, "{outcome}");
    }
    let unrouted = [("route", "-"), ("pool", "-"), ("class", "4xx")];
    assert_eq!(value(&metrics, "vanne_requests_total", &unrouted), 1.0);
    assert!(value(&metrics, "vanne_sent_bytes_total", &[("route", "-")]) > 100.0);
}

#[tokio::test]
async fn connections_to_backends_and_how_long_answers_take_are_measured() {
    let origin = origin().await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = Client::connect(vanne.http).await;
    for target in ["/", "/", "/slow"] {
        assert_eq!(client.get(target).await.status(), 200);
    }
    let pool = |kind| [("pool", "app"), ("kind", kind)];
    vanne.metric_is("vanne_pool_connections_total", &pool("reused"), 2.0).await;
    let metrics = vanne.metrics().await;
    assert_eq!(value(&metrics, "vanne_pool_connections_total", &pool("new")), 1.0);
    assert_eq!(value(&metrics, "vanne_pool_connect_seconds_count", &[("pool", "app")]), 1.0);
    assert_eq!(value(&metrics, "vanne_pool_first_byte_seconds_count", &[("pool", "app")]), 3.0);
    let sum = value(&metrics, "vanne_pool_first_byte_seconds_sum", &[("pool", "app")]);
    assert!((0.3..1.0).contains(&sum), "{sum}");
    let quantile = |q| value(&metrics, "vanne_backend_latency_seconds", &[("quantile", q)]);
    assert!(quantile("0.5") < 0.1 && (0.29..1.0).contains(&quantile("0.99")));
}

#[tokio::test]
async fn what_operators_and_checks_say_of_a_backend_is_shown() {
    let origin = origin().await;
    let pool = "health = { path = \"/\", interval = \"100ms\", timeout = \"100ms\" }";
    let vanne = Vanne::with(&[origin.address], Settings { pool, ..SOCKET }).await;
    let backend = origin.address.to_string();
    let state = |state| [("pool", "app"), ("backend", &*backend), ("state", state)];
    vanne.metric_is("vanne_backend_state", &state("up"), 1.0).await;
    vanne.metric_is("vanne_backend_weight", &[("backend", &backend)], 1.0).await;
    let say = |words: &[&str]| {
        let mut command = Command::new(binary());
        command.args(["backend", words[0], "app", &backend]).args(&words[1..]);
        let output = command.arg("--socket").arg(vanne.file("admin.sock")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    say(&["weight", "--to", "7"]);
    vanne.metric_is("vanne_backend_weight", &[("backend", &backend)], 7.0).await;
    let changed = |metrics: &Metrics| {
        value(metrics, "vanne_backend_last_change_timestamp_seconds", &[("backend", &backend)])
    };
    let before = changed(&vanne.metrics().await);
    assert!(before > 1.7e9, "{before}");
    tokio::time::sleep(ms(1100)).await;
    say(&["drain"]);
    vanne.metric_is("vanne_backend_state", &state("drain"), 1.0).await;
    let metrics = vanne.metrics().await;
    assert_eq!(metrics.value("vanne_backend_state", &state("up")), None);
    assert!(changed(&metrics) > before);
    let results = |result| [("backend", &*backend), ("result", result)];
    eventually_async("checks that passed", async || {
        let passed = vanne.metrics().await.value("vanne_checks_total", &results("passed"));
        (passed >= Some(3.0)).then_some(())
    })
    .await;
    drop(origin);
    eventually_async("checks that failed", async || {
        let failed = vanne.metrics().await.value("vanne_checks_total", &results("failed"));
        (failed >= Some(1.0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_becomes_of_a_sticky_clients_token_is_counted() {
    let origins = [origin().await, origin().await];
    let addresses = origins.each_ref().map(|origin| origin.address);
    let settings = Settings { pool: "sticky = { cookie = \"ID\" }", ..SOCKET };
    let vanne = Vanne::with(&addresses, settings).await;
    let ask = async |cookie: &str| {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{cookie}Connection: close\r\n\r\n");
        crate::harness::client::ask(vanne.http, &request).await
    };
    let first = ask("").await;
    let set = first.head.field("set-cookie").unwrap();
    let cookie = format!("Cookie: {}\r\n", set.split(';').next().unwrap());
    for _ in 0..3 {
        ask(&cookie).await;
    }
    let at = usize::from(origins[0].requests().is_empty());
    let mut command = Command::new(binary());
    command.args(["backend", "maint", "app", &addresses[at].to_string(), "--socket"]);
    assert!(command.arg(vanne.file("admin.sock")).status().unwrap().success());
    ask(&cookie).await;
    for (result, count) in [("new", 1.0), ("hit", 3.0), ("moved", 1.0)] {
        let labels = [("pool", "app"), ("result", result)];
        vanne.metric_is("vanne_sticky_total", &labels, count).await;
    }
}

#[tokio::test]
async fn who_waits_for_a_backend_is_counted_and_timed() {
    let origin = origin().await;
    let pool = "max_requests = 1\nretries.budget = \"20%\"";
    let vanne = Vanne::with(&[origin.address], Settings { pool, ..Settings::default() }).await;
    let slow = async || vanne.get("/slow").await.status();
    let both = async {
        let (a, b) = tokio::join!(slow(), slow());
        assert_eq!((a, b), (200, 200));
    };
    let waits = vanne.metric_is("vanne_pool_queue_length", &[("pool", "app")], 1.0);
    tokio::join!(both, waits);
    let metrics = vanne.metrics().await;
    assert_eq!(value(&metrics, "vanne_pool_queue_length", &[("pool", "app")]), 0.0);
    assert_eq!(value(&metrics, "vanne_pool_queue_seconds_count", &[("pool", "app")]), 1.0);
    assert!(value(&metrics, "vanne_pool_queue_seconds_sum", &[("pool", "app")]) > 0.1);
    // A fifth of a retry for each request.
    assert_eq!(value(&metrics, "vanne_retry_budget", &[("pool", "app")]), 0.0);
    for _ in 0..8 {
        vanne.get("/").await;
    }
    vanne.metric_is("vanne_retry_budget", &[("pool", "app")], 2.0).await;
}

#[tokio::test]
async fn shares_of_a_split_and_its_requests_are_shown_by_pool() {
    let (a, b) = (origin().await, origin().await);
    let config = format!(
        "pool.a.backends = [\"{}\"]\npool.b.backends = [\"{}\"]\n[[route]]\nname = \"all\"\n\
         split = {{ pools = {{ a = 3, b = 1 }} }}\n",
        a.address, b.address
    );
    let vanne = Vanne::start(&config).await;
    for _ in 0..8 {
        vanne.get("/").await;
    }
    let rows = [("a", 0.75, a.requests().len()), ("b", 0.25, b.requests().len())];
    for (pool, share, count) in rows {
        let labels = [("route", "all"), ("pool", pool)];
        vanne.metric_is("vanne_split_share", &labels, share).await;
        vanne.metric_is("vanne_requests_total", &labels, count as f64).await;
    }
}

#[tokio::test]
async fn what_sources_know_is_shown() {
    let origin = origin().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("backends");
    std::fs::write(&path, format!("{}\n127.0.0.1:9\n", origin.address)).unwrap();
    let config =
        format!("pool.app.backends_file = {path:?}\n[[route]]\nname = \"all\"\npool = \"app\"\n");
    let vanne = Vanne::start(&config).await;
    let source = [("pool", "app"), ("source", "file")];
    vanne.metric_is("vanne_source_backends", &source, 2.0).await;
    vanne.metric_is("vanne_source_stale", &source, 0.0).await;
    std::fs::write(&path, "nonsense\n").unwrap();
    vanne.metric_is("vanne_source_stale", &source, 1.0).await;
    vanne.metric_is("vanne_source_backends", &source, 2.0).await;
}

#[tokio::test]
async fn the_process_its_config_and_its_tasks_are_shown() {
    let config = "[admin]\nsocket = \"@dir/admin.sock\"";
    let vanne = Vanne::start(config).await;
    let metrics = vanne.metrics().await;
    assert_eq!(value(&metrics, "vanne_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
    assert!(value(&metrics, "process_open_fds", &[]) > 3.0);
    assert!(value(&metrics, "process_resident_memory_bytes", &[]) > 1e6);
    for kind in ["allocated", "active", "resident"] {
        assert!(value(&metrics, "vanne_allocator_bytes", &[("kind", kind)]) > 1e5, "{kind}");
    }
    let tasks = |metrics: &Metrics| value(metrics, "vanne_tasks", &[]);
    let before = tasks(&metrics);
    for runtime in ["worker-0", "worker-1", "control"] {
        assert!(value(&metrics, "vanne_tasks", &[("runtime", runtime)]) >= 1.0, "{runtime}");
    }
    let clients = [Client::connect(vanne.http).await, Client::connect(vanne.http).await];
    eventually_async("a task for each connection", async || {
        (tasks(&vanne.metrics().await) >= before + 2.0).then_some(())
    })
    .await;
    drop(clients);
    let hash = |metrics: &Metrics| {
        let line = metrics.0.lines().find(|line| line.starts_with("vanne_config_info{"));
        line.unwrap().to_owned()
    };
    let first = hash(&metrics);
    let result = vanne.reload(&format!("{config}\n# the same in other words")).await;
    assert_eq!(result["result"], "unchanged");
    assert_ne!(hash(&vanne.metrics().await), first);
    assert_eq!(vanne.metrics().await.value("vanne_config_info", &[]), Some(1.0));
    vanne.reload(config).await;
    assert_eq!(hash(&vanne.metrics().await), first);
}

#[tokio::test]
async fn what_listeners_let_in_and_refuse_is_counted() {
    let origin = origin().await;
    let listener = "max_connections = 1";
    let vanne = Vanne::with(&[origin.address], Settings { listener, ..Settings::default() }).await;
    let mut only = Client::connect(vanne.http).await;
    assert_eq!(only.get("/").await.status(), 200);
    assert_eq!(vanne.get("/").await.status(), 503);
    let labels = [("listener", "http"), ("reason", "too_many_connections")];
    vanne.metric_is("vanne_connections_refused_total", &labels, 1.0).await;
    drop(only);
    vanne.is_idle().await;
    assert_eq!(ask(vanne.http, "GET / HTTP/1.0\r\n\r\n").await.status(), 200);
    vanne.is_idle().await;
    ask(vanne.http, "no request\r\n\r\n").await;
    for (protocol, count) in [("http/1.0", 1.0), ("http/1.1", 1.0), ("unknown", 2.0)] {
        let labels = [("listener", "http"), ("protocol", protocol)];
        vanne.metric_is("vanne_listener_requests_total", &labels, count).await;
    }
}

#[tokio::test]
async fn lines_that_the_access_log_could_not_take_are_counted() {
    const REQUESTS: usize = 12_000;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let config = format!(
        "[process]\nworkers = 1\n[access_log]\nto = {path:?}\n[[route]]\nname = \"all\"\n\
         answer = {{ status = 204 }}\n"
    );
    let mut vanne = Vanne::start(&config).await;
    let mut client = Client::connect(vanne.http).await;
    for _ in 0..REQUESTS / 100 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100)).await;
        for _ in 0..100 {
            assert_eq!(client.answer("GET").await.status(), 204);
        }
    }
    // Nobody reads before all is asked.
    let labels = [("listener", "http"), ("protocol", "http/1.1")];
    vanne.metric_is("vanne_listener_requests_total", &labels, REQUESTS as f64).await;
    let metrics = vanne.metrics().await;
    let dropped = value(&metrics, "vanne_access_log_dropped_total", &[]) as usize;
    assert!(dropped > 0, "the ring takes fewer lines than there were");
    let reader = std::fs::File::open(&path).unwrap();
    let lines = tokio::task::spawn_blocking(move || {
        let lines = std::io::BufRead::lines(std::io::BufReader::new(reader));
        lines.map(Result::unwrap).collect::<Vec<_>>()
    });
    vanne.sigterm();
    assert_eq!(vanne.exit_within(ms(8000)).await, 0);
    // The process was the last to have the other end: so this ends.
    let lines = lines.await.unwrap();
    for line in &lines {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "torn: {line}");
    }
    // A line is written just after its request was counted.
    assert!((0..=1).contains(&(REQUESTS - dropped - lines.len())), "{dropped} {}", lines.len());
}
