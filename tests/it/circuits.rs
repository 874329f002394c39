//! Circuits of backends: what opens them, what brings them back, and what operators say.

use crate::harness::admin::{Asked, Lab, problem};
use crate::harness::client::ask;
use crate::harness::origin::{Origin, ok};
use crate::harness::ports::Port;
use crate::harness::vanne::{Vanne, binary, list};
use crate::harness::{eventually_async, ms};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

const ERROR: &str = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 3\r\n\r\nbad";
const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy";

/// How a backend answers now: what, and after how long.
type Mood = Arc<Mutex<(String, Duration)>>;

/// A backend whose mood changes.
struct Moody {
    origin: Origin,
    mood: Mood,
}

impl Moody {
    async fn start(answer: &str) -> Self {
        let mood: Mood = Arc::new(Mutex::new((answer.to_owned(), Duration::ZERO)));
        let shared = Arc::clone(&mood);
        let origin = Origin::start(move |mut conn| {
            let mood = Arc::clone(&shared);
            async move {
                while conn.request().await.is_some() {
                    let (answer, delay) = mood.lock().clone();
                    tokio::time::sleep(delay).await;
                    conn.send(answer.as_bytes()).await;
                }
            }
        })
        .await;
        Self { origin, mood }
    }

    fn answers(&self, answer: &str) {
        self.answers_after(answer, Duration::ZERO);
    }

    fn answers_after(&self, answer: &str, delay: Duration) {
        *self.mood.lock() = (answer.to_owned(), delay);
    }

    fn address(&self) -> SocketAddr {
        self.origin.address
    }

    fn asked(&self) -> usize {
        self.origin.requests().len()
    }
}

/// A pool of these whose requests are not tried again.
fn pool(backends: &[SocketAddr], rules: &str) -> String {
    format!(
        "admin.socket = \"@dir/admin.sock\"\n[pool.app]\nbackends = {}\nretries.attempts = 0\n\
         {rules}\n[[route]]\nname = \"all\"\npool = \"app\"\n",
        list(backends)
    )
}

/// The only backend of a pool, which no guard keeps in service.
async fn alone(answer: &str, rules: &str) -> (Moody, Vanne) {
    let backend = Moody::start(answer).await;
    let rules = format!("guard = \"0%\"\n{rules}");
    let vanne = Vanne::start(&pool(&[backend.address()], &rules)).await;
    (backend, vanne)
}

async fn verb(vanne: &Vanne, args: &[&str]) -> Value {
    let mut command = Command::new(binary());
    command.arg("circuit").args(args).arg("--json");
    command.arg("--socket").arg(vanne.file("admin.sock"));
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn circuit(vanne: &Vanne, backend: SocketAddr) -> Value {
    verb(vanne, &["show", &format!("app/{backend}")]).await
}

async fn is(vanne: &Vanne, backend: SocketAddr, state: &str) -> Value {
    let mut last = Value::Null;
    let deadline = tokio::time::Instant::now() + crate::harness::PATIENCE;
    while tokio::time::Instant::now() < deadline {
        last = circuit(vanne, backend).await;
        if last["state"] == state {
            return last;
        }
    }
    panic!("it never is {state}: {last}")
}

/// Why it changed, the oldest change first.
fn causes(circuit: &Value) -> Vec<String> {
    let changes = circuit["changes"].as_array().unwrap().iter();
    changes.map(|change| change["cause"].as_str().unwrap().to_owned()).collect()
}

async fn asks(vanne: &Vanne, count: usize) {
    for _ in 0..count {
        vanne.get("/").await;
    }
}

/// How many requests it takes until the only backend's circuit is open.
async fn calls_until_open(vanne: &Vanne, backend: &Moody) -> usize {
    let before = backend.asked();
    eventually_async("the circuit opens", async || {
        let answer = vanne.get("/").await;
        answer.text().contains("no_healthy_backend").then_some(())
    })
    .await;
    backend.asked() - before
}

#[tokio::test]
async fn a_circuit_opens_after_failures_in_a_row_and_probes_close_it() {
    let rules = "breaker = { failures = 3, open_for = \"300ms\", half_open_successes = 2 }";
    let (bad, good) = (Moody::start(ERROR).await, Moody::start(&ok("good")).await);
    let vanne = Vanne::start(&pool(&[bad.address(), good.address()], rules)).await;
    asks(&vanne, 6).await;
    assert_eq!(bad.asked(), 3);
    assert_eq!(vanne.get("/").await.text(), "good");
    // Its probes fail: it is open again, as often as they do.
    eventually_async("a probe has failed", async || {
        vanne.get("/").await;
        (bad.asked() >= 5).then_some(())
    })
    .await;
    bad.answers(&ok("well"));
    eventually_async("it is closed", async || {
        vanne.get("/").await;
        (circuit(&vanne, bad.address()).await["state"] == "closed").then_some(())
    })
    .await;
    let circuit = circuit(&vanne, bad.address()).await;
    let causes = causes(&circuit);
    assert_eq!(causes[..3], ["failures_in_a_row", "time_over", "probe_failed"], "{circuit}");
    assert_eq!(causes.last().unwrap(), "probes_passed");
    assert_eq!((&circuit["calls"], &circuit["impact"]), (&json!(0), &json!("None")), "anew");
    for (to, cause) in
        [("open", "failures_in_a_row"), ("open", "probe_failed"), ("closed", "probes_passed")]
    {
        let labels = [("pool", "app"), ("to", to), ("cause", cause)];
        let count = causes.iter().filter(|one| *one == cause).count();
        vanne.metric_is("vanne_circuit_changes_total", &labels, count as f64).await;
    }
    let labels = [("pool", "app"), ("backend", &bad.address().to_string())];
    vanne.metric_is("vanne_backend_up", &labels, 1.0).await;
    for line in ["circuit opened", "circuit is half open", "circuit closed"] {
        assert!(vanne.process_log().contains(line), "{line}");
    }
    let probed = vanne.log_lines().iter().any(|line| line["attempts"][0]["by"] == "probe");
    assert!(probed, "the access log tells probes");
}

#[tokio::test]
async fn a_share_of_failures_opens_a_circuit_from_so_many_calls_on() {
    let off = "failures = 0";
    for (rules, calls) in [
        (format!("breaker = {{ {off}, min_calls = 4 }}"), 4),
        (format!("breaker = {{ {off}, min_calls = 7, failure_rate = \"100%\" }}"), 7),
    ] {
        let (backend, vanne) = alone(ERROR, &rules).await;
        assert_eq!(calls_until_open(&vanne, &backend).await, calls, "{rules}");
        let circuit = circuit(&vanne, backend.address()).await;
        assert_eq!(
            (&circuit["cause"], &circuit["failure_rate"]),
            (&json!("failure_rate"), &json!(1.0))
        );
        assert_eq!(circuit["window"], json!({ "failure_status": calls }));
        assert_eq!((&circuit["impact"], &circuit["capacity_lost"]), (&json!("High"), &json!(1.0)));
    }
}

#[tokio::test]
async fn only_the_last_calls_are_remembered_and_only_for_a_time() {
    let rules = "failures = 0, failure_rate = \"60%\"";
    // Of the last four calls three have to fail; of all nine it would be five.
    let rules = [
        format!("breaker = {{ {rules}, window = 4, min_calls = 4 }}"),
        format!("breaker = {{ {rules}, window_time = \"2s\", min_calls = 3 }}"),
    ];
    for (rules, pause) in rules.iter().zip([Duration::ZERO, ms(2100)]) {
        let (backend, vanne) = alone(&ok("good"), rules).await;
        asks(&vanne, 6).await;
        tokio::time::sleep(pause).await;
        backend.answers(ERROR);
        assert_eq!(calls_until_open(&vanne, &backend).await, 3, "{rules}");
    }
}

#[tokio::test]
async fn a_share_of_slow_calls_opens_a_circuit() {
    let slow = "slow_call = { longer_than = \"200ms\", rate = \"50%\" }";
    let (backend, vanne) =
        alone(&ok("good"), &format!("breaker = {{ min_calls = 4, {slow} }}")).await;
    asks(&vanne, 2).await;
    backend.answers_after(&ok("late"), ms(300));
    assert_eq!(calls_until_open(&vanne, &backend).await, 2);
    let circuit = circuit(&vanne, backend.address()).await;
    assert_eq!((&circuit["cause"], &circuit["slow_rate"]), (&json!("slow_rate"), &json!(0.5)));
    assert_eq!(circuit["window"], json!({ "slow": 2, "success": 2 }));
    let labels =
        [("pool", "app"), ("outcome", "slow"), ("backend", &backend.address().to_string())];
    vanne.metric_is("vanne_attempts_total", &labels, 2.0).await;
    // Off: it is told, and nothing else.
    let off = slow.replace("50%", "0%");
    let (backend, vanne) =
        alone(&ok("late"), &format!("breaker = {{ min_calls = 2, {off} }}")).await;
    backend.answers_after(&ok("late"), ms(300));
    asks(&vanne, 6).await;
    assert_eq!(self::circuit(&vanne, backend.address()).await["state"], "closed");
}

#[tokio::test]
async fn what_counts_as_a_failure_is_the_pools_to_say() {
    let (backend, vanne) = alone(ERROR, "breaker = { failures = 2, counts = [\"gateway\"] }").await;
    asks(&vanne, 12).await;
    assert_eq!(circuit(&vanne, backend.address()).await["failures"], 0);
    backend.answers(BUSY);
    assert_eq!(calls_until_open(&vanne, &backend).await, 2);
}

#[tokio::test]
async fn a_circuit_is_open_for_longer_with_each_repeat() {
    let rules = "breaker = { failures = 1, open_for = \"100ms\", backoff = 3, open_for_max = \"200ms\",\
                 jitter = \"50%\" }";
    let (backend, vanne) = alone(ERROR, rules).await;
    eventually_async("it has opened four times", async || {
        vanne.get("/").await;
        (circuit(&vanne, backend.address()).await["repeats"] == 4).then_some(())
    })
    .await;
    let circuit = circuit(&vanne, backend.address()).await;
    let time =
        |change: &Value| -> jiff::Timestamp { change["time"].as_str().unwrap().parse().unwrap() };
    let changes = circuit["changes"].as_array().unwrap();
    let open: Vec<f64> = changes
        .windows(2)
        .filter(|pair| pair[0]["to"] == "open")
        .map(|pair| time(&pair[1]).duration_since(time(&pair[0])).as_secs_f64())
        .collect();
    // 100 ms, then 300, of which 200 may be; chance makes each up to half as long again.
    assert!(open[0] >= 0.095 && open[1..3].iter().all(|time| *time >= 0.195), "{open:?}");
    assert!(open.iter().any(|time| (time - 0.1).abs() > 0.002 && (time - 0.2).abs() > 0.002));
}

#[tokio::test]
async fn no_more_probes_are_under_way_than_may_be() {
    let rules = "breaker = { failures = 1, open_for = \"50ms\", half_open_probes = 2, half_open_successes = 4 }";
    let (backend, vanne) = alone(ERROR, rules).await;
    calls_until_open(&vanne, &backend).await;
    backend.answers_after(&ok("well"), ms(300));
    is(&vanne, backend.address(), "half_open").await;
    let before = backend.asked();
    let vanne = Arc::new(vanne);
    for (succeeded, state) in [(2, "half_open"), (0, "closed")] {
        let requests: Vec<_> = (0..6)
            .map(|_| {
                let vanne = Arc::clone(&vanne);
                tokio::spawn(async move { vanne.get("/").await.status() })
            })
            .collect();
        let mut statuses = Vec::new();
        for request in requests {
            statuses.push(request.await.unwrap());
        }
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 200, 503, 503, 503, 503]);
        let circuit = circuit(&vanne, backend.address()).await;
        assert_eq!(
            (&circuit["state"], &circuit["probes_succeeded"]),
            (&json!(state), &json!(succeeded))
        );
    }
    assert_eq!(backend.asked() - before, 4);
}

#[tokio::test]
async fn an_answer_without_an_end_is_a_good_probe() {
    let rules = "breaker = { failures = 1, open_for = \"50ms\", half_open_successes = 1 }";
    let (backend, vanne) = alone(ERROR, rules).await;
    calls_until_open(&vanne, &backend).await;
    backend.answers("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n");
    is(&vanne, backend.address(), "half_open").await;
    let mut client = crate::harness::Client::connect(vanne.http).await;
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    is(&vanne, backend.address(), "closed").await;
}

#[tokio::test]
async fn a_backend_may_have_numbers_of_its_own() {
    let (a, b) = (Moody::start(ERROR).await, Moody::start(ERROR).await);
    let own = |rules: &str| {
        let off = "failures = 0, failure_rate = \"0%\", slow_call = { rate = \"0%\" }";
        let breaker =
            format!("breaker = {{ {off}, backends.\"{}\" = {{ {rules} }} }}", a.address());
        pool(&[a.address(), b.address()], &breaker)
    };
    for (rules, cause) in [
        ("failures = 2, open_for = \"100ms\"", "failures_in_a_row"),
        ("failure_rate = \"70%\"", "failure_rate"),
        ("slow_call = { longer_than = \"1ms\", rate = \"100%\" }", "slow_rate"),
    ] {
        for backend in [&a, &b] {
            backend.answers_after(ERROR, ms(5));
        }
        let vanne = Vanne::start(&own(rules)).await;
        asks(&vanne, 24).await;
        assert_eq!(causes(&circuit(&vanne, a.address()).await).first().unwrap(), cause);
        assert_eq!(circuit(&vanne, b.address()).await["state"], "closed", "{rules}");
        if rules.contains("open_for") {
            is(&vanne, a.address(), "half_open").await;
        }
    }
}

#[tokio::test]
async fn the_guard_keeps_a_share_of_a_pool_in_service_and_says_so() {
    let (a, b) = (Moody::start(ERROR).await, Moody::start(ERROR).await);
    let addresses = [a.address(), b.address()];
    for (guard, active) in [("50%", 1.0), ("0%", 0.0), ("100%", 2.0)] {
        let rules = format!("breaker.failures = 2\nguard = \"{guard}\"");
        let vanne = Vanne::start(&pool(&addresses, &rules)).await;
        asks(&vanne, 8).await;
        vanne.metric_is("vanne_pool_backends_active", &[("pool", "app")], active).await;
        if active == 1.0 {
            assert_eq!(vanne.get("/").await.status(), 500, "still in service");
            let circuits = verb(&vanne, &["list"]).await;
            let states: Vec<_> = circuits.as_array().unwrap().iter().map(|c| &c["state"]).collect();
            assert_eq!(states, ["open", "closed"]);
            assert_eq!(
                (&circuits[1]["guarded"], &circuits[1]["cause"]),
                (&json!(true), &json!("failures_in_a_row"))
            );
            let guarded =
                vanne.metrics().await.value("vanne_circuit_guarded_total", &[("pool", "app")]);
            assert!(guarded.unwrap() > 1.0);
            vanne.says("the guard keeps a share of the pool").await;
        }
        if active == 0.0 {
            assert_eq!(vanne.get("/").await.refusal(), (503, "no_healthy_backend".into()));
        }
    }
}

#[tokio::test]
async fn the_guard_is_off_where_all_who_come_have_somewhere_else_to_go() {
    let (a, b) = (Moody::start(ERROR).await, Moody::start(ERROR).await);
    let addresses = [a.address(), b.address()];
    let chain = "fallback = [\"static:sorry\"]\n";
    let other = "[[route]]\nname = \"other\"\npool = \"app\"\nmatch = { path = \"/other\" }\n";
    for (of_pool, routes, active) in [
        ("", String::new(), 1.0),
        ("", chain.to_owned(), 0.0),
        ("", format!("{chain}{other}"), 1.0),
        ("", format!("{chain}{other}{chain}"), 0.0),
        (chain, other.to_owned(), 0.0),
        (chain, format!("{other}fallback = []\n"), 1.0),
    ] {
        let config = pool(&addresses, &format!("breaker.failures = 2\n{of_pool}"));
        let config = format!("{config}{routes}[page.sorry]\nhtml = \"sorry\"\n");
        let vanne = Vanne::start(&config).await;
        asks(&vanne, 8).await;
        vanne.metric_is("vanne_pool_backends_active", &[("pool", "app")], active).await;
    }
}

#[tokio::test]
async fn the_last_one_stays_in_service_where_nobody_would_tell_that_it_is_back() {
    let (a, b) = (Port::take(), Port::take());
    let vanne = Vanne::start(&pool(&[a.address, b.address], "breaker.failures = 2")).await;
    asks(&vanne, 8).await;
    vanne.metric_is("vanne_pool_backends_active", &[("pool", "app")], 1.0).await;
    assert_eq!(vanne.get("/").await.refusal(), (502, "connect_refused".into()));
}

#[tokio::test]
async fn who_refuses_connections_is_not_guarded_and_comes_back_when_a_check_passes() {
    let ports = [Port::take(), Port::take()];
    let addresses = ports.each_ref().map(|port| port.address);
    let rules = "health = { type = \"tcp\", interval = \"200ms\", fall = 100 }\n\
                 breaker = { failures = 2, open_for = \"1h\" }";
    let listen = async |address| tokio::net::TcpListener::bind(address).await.unwrap();
    let listeners = [listen(addresses[0]).await, listen(addresses[1]).await];
    let vanne = Vanne::start(&pool(&addresses, rules)).await;
    eventually_async("both were found well", async || {
        let metrics = vanne.metrics().await;
        let passed = addresses.map(|address| {
            let labels = [("backend", &*address.to_string()), ("result", "passed")];
            metrics.value("vanne_checks_total", &labels)
        });
        passed.iter().all(|count| count.is_some_and(|count| count > 0.0)).then_some(())
    })
    .await;
    drop(listeners);
    asks(&vanne, 8).await;
    vanne.metric_is("vanne_pool_backends_active", &[("pool", "app")], 0.0).await;
    assert_eq!(vanne.get("/").await.refusal(), (503, "no_healthy_backend".into()));
    // It is there again: long before its time.
    let _listener = listen(addresses[0]).await;
    let circuit = is(&vanne, addresses[0], "half_open").await;
    assert_eq!(causes(&circuit).last().unwrap(), "check_passed");
    assert_eq!(self::circuit(&vanne, addresses[1]).await["state"], "open");
}

#[tokio::test]
async fn a_reload_leaves_circuits_as_they_are() {
    let (backend, vanne) = alone(ERROR, "breaker.failures = 3").await;
    asks(&vanne, 2).await;
    let more = "guard = \"0%\"\nbreaker = { failures = 3, window = 50 }";
    vanne.reload(&pool(&[backend.address()], more)).await;
    assert_eq!(circuit(&vanne, backend.address()).await["calls"], 2, "also in another window");
    assert_eq!(calls_until_open(&vanne, &backend).await, 1);
    vanne.reload(&pool(&[backend.address()], "guard = \"0%\"\nbreaker.failures = 9")).await;
    assert_eq!(circuit(&vanne, backend.address()).await["state"], "open");
    // Who leaves is forgotten.
    vanne.reload(&pool(&[], "guard = \"0%\"")).await;
    vanne.reload(&pool(&[backend.address()], "guard = \"0%\"")).await;
    assert_eq!(circuit(&vanne, backend.address()).await["state"], "closed");
}

#[tokio::test]
async fn a_backend_that_does_worse_than_the_others_is_an_outlier() {
    let off = "breaker = { failures = 0, failure_rate = \"0%\", slow_call.rate = \"0%\" }";
    let outliers =
        |more: &str| format!("{off}\noutliers = {{ min_backends = 3, min_requests = 10, {more} }}");
    let (errors, slow) =
        ("more_errors = \"30%\", times_slower = 0", "more_errors = \"0%\", times_slower = 3");
    for (rules, cause) in [(errors, "outlier_errors"), (slow, "outlier_latency")] {
        let others = [Moody::start(&ok("a")).await, Moody::start(&ok("b")).await];
        let worse = Moody::start(ERROR).await;
        let delay = if cause == "outlier_latency" { ms(250) } else { Duration::ZERO };
        worse.answers_after(ERROR, delay);
        let addresses = [worse.address(), others[0].address(), others[1].address()];
        let vanne = Vanne::start(&pool(&addresses, &outliers(rules))).await;
        // More than are asked for: of a minute that has gone by a part counts.
        asks(&vanne, 45).await;
        let circuit = is(&vanne, worse.address(), "open").await;
        assert_eq!(circuit["cause"], cause);
        assert_eq!(circuit["impact"], "Medium");
        for other in &others {
            assert_eq!(self::circuit(&vanne, other.address()).await["state"], "closed");
        }
    }
}

#[tokio::test]
async fn clients_of_a_backend_with_an_open_circuit_move_or_are_refused() {
    for (policy, refused) in [("move", false), ("refuse", true)] {
        let (a, b) = (Moody::start(&ok("a")).await, Moody::start(&ok("b")).await);
        let rules = format!("sticky = {{ header = \"x-id\", when_open = \"{policy}\" }}");
        let vanne = Vanne::start(&pool(&[a.address(), b.address()], &rules)).await;
        let first = vanne.get("/").await;
        let token = first.head.field("x-id").unwrap().to_owned();
        let own = if first.text() == "a" { &a } else { &b };
        let name = format!("app/{}", own.address());
        verb(&vanne, &["open", &name]).await;
        let again =
            ask(vanne.http, &format!("GET / HTTP/1.1\r\nHost: a\r\nX-Id: {token}\r\n\r\n")).await;
        if refused {
            assert_eq!(again.refusal(), (503, "circuit_open".into()));
        } else {
            assert_ne!(again.text(), first.text());
        }
    }
}

#[tokio::test]
async fn operators_force_circuits_and_it_is_told_who() {
    let (a, b) = (Moody::start(&ok("a")).await, Moody::start(&ok("b")).await);
    let audit = "audit_file = \"@dir/audit.log\"";
    let lab = Lab::start(&[a.address(), b.address()], audit, "").await;
    let path = format!("/v1/circuits/app/{}", a.address());
    let order = async |verb: &str, body: &str| {
        let line = format!("POST {path}/{verb}");
        let answer = lab.ask(Asked::new(&line, "operate").with(body)).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        serde_json::from_slice::<Value>(&answer.body).unwrap()
    };
    let open =
        order("force-open", "{\"reason\": \"disk\", \"owner\": \"kim\", \"for_seconds\": 600}")
            .await;
    assert_eq!((&open["state"], &open["impact"]), (&json!("forced_open"), &json!("High")));
    assert_eq!(
        (&open["override"]["owner"], &open["override"]["reason"]),
        (&json!("kim"), &json!("disk"))
    );
    asks(&lab.vanne, 8).await;
    assert_eq!((a.asked(), b.asked()), (0, 8), "nobody comes, on any worker");
    lab.vanne.metric_is("vanne_overrides_active", &[("kind", "circuit")], 1.0).await;
    let state = [("pool", "app"), ("backend", &a.address().to_string()), ("state", "forced_open")];
    lab.vanne.metric_is("vanne_backend_state", &state, 1.0).await;
    let set = &lab.get("/v1/status").await["overrides"][0];
    assert_eq!(set["what"], format!("circuit app/{}", a.address()));
    // A reload leaves it.
    lab.vanne.reload(&lab.config.replace("[[route]]", "retries.attempts = 2\n[[route]]")).await;
    assert_eq!(lab.get(&path).await["state"], "forced_open");
    // It ends with its time.
    order("force-open", "{\"for_seconds\": 1}").await;
    eventually_async("it is closed", async || {
        (lab.get(&path).await["state"] == "closed").then_some(())
    })
    .await;
    // Closed, whatever fails there; then by itself, and reset.
    a.answers(ERROR);
    order("force-closed", "").await;
    asks(&lab.vanne, 24).await;
    let held = lab.get(&path).await;
    assert_eq!(
        (&held["state"], held["failures"].as_u64().unwrap() > 8),
        (&json!("forced_closed"), true)
    );
    order("auto", "").await;
    asks(&lab.vanne, 2).await;
    assert_eq!(lab.get(&path).await["state"], "open");
    assert_eq!(order("reset", "").await["state"], "closed");
    let lines = std::fs::read_to_string(lab.vanne.file("audit.log")).unwrap();
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!((&first["who"], &first["reason"]), (&json!("operate"), &json!("disk")));
    assert_eq!(first["action"], format!("POST {path}/force-open"));
    assert_eq!(
        (&first["before"]["state"], &first["after"]["state"]),
        (&json!("closed"), &json!("forced_open"))
    );
}

#[tokio::test]
async fn circuits_have_their_old_paths_and_wrong_ones_are_refused() {
    let a = Moody::start(&ok("a")).await;
    let lab = Lab::start(&[a.address()], "", "").await;
    lab.vanne.get("/").await;
    let circuits = lab.get("/circuit-breaker/status").await;
    assert_eq!(circuits, lab.get("/v1/circuits").await);
    assert_eq!(circuits[0]["calls"], 1);
    for name in ["app".to_owned(), a.address().to_string(), format!("app%2F{}", a.address())] {
        let detail = lab.get(&format!("/circuit-breaker/metrics/{name}")).await;
        assert_eq!(detail[0]["window"], json!({ "success": 1 }), "{name}");
    }
    let reset = lab.ask(Asked::new("POST /circuit-breaker/reset/app", "operate")).await;
    let reset: Value = serde_json::from_slice(&reset.body).unwrap();
    assert_eq!((&reset[0]["state"], &reset[0]["calls"]), (&json!("closed"), &json!(0)));
    let path = format!("/v1/circuits/app/{}", a.address());
    for (line, token, body, want) in [
        ("POST /circuit-breaker/reset/x", "operate", "", (404, "no_such_circuit")),
        (&*format!("POST {path}/reset"), "read", "", (403, "role")),
        (&*format!("POST {path}/reset"), "operate", "{\"for_seconds\": 9}", (422, "invalid")),
        (&*format!("POST {path}/force-open"), "operate", "{\"for_seconds\": 0}", (422, "invalid")),
        (&*format!("POST {path}/force-open"), "operate", "{\"x\": 0}", (422, "invalid")),
        ("POST /v1/circuits/app/127.0.0.1:1/auto", "operate", "", (404, "no_such_backend")),
        ("GET /v1/circuits/x/127.0.0.1:1", "read", "", (404, "no_such_pool")),
    ] {
        let answer = lab.ask(Asked::new(line, token).with(body)).await;
        assert_eq!(problem(&answer), (want.0, want.1.to_owned()), "{line}");
    }
}

#[tokio::test]
async fn the_verb_shows_and_changes_circuits() {
    let a = Moody::start(ERROR).await;
    let lab = Lab::start(&[a.address()], "", "[pool.app.breaker]\nmin_calls = 100").await;
    asks(&lab.vanne, 4).await;
    let name = format!("app/{}", a.address());
    let shown = lab.prints(&["circuit", "list"]).await;
    assert!(shown.contains(&format!("{name}  closed      4       4     0")), "{shown}");
    asks(&lab.vanne, 1).await;
    let shown = lab.prints(&["circuit", "show", &name]).await;
    for part in [
        "closed; failures_in_a_row, kept closed by the guard",
        "5 calls, 5 failed (100.0 %), 0 slow (0.0 %), 5 failures in a row",
        "in it     failure_status 5",
        "closed -> closed: failures_in_a_row, kept closed by the guard",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    let told = lab.prints(&["circuit", "open", &name, "--for", "5m", "--reason", "why not"]).await;
    assert!(told.starts_with(&format!("{name}: forced_open; set by ")), "{told}");
    assert!(told.contains("why not, "), "{told}");
    assert_eq!(lab.vanne.get("/").await.refusal(), (503, "no_healthy_backend".into()));
    let told = lab.prints(&["circuit", "reset", &name]).await;
    assert_eq!(told, format!("{name}: closed\n"));
    assert_eq!(lab.vanne.get("/").await.status(), 500);
    assert!(lab.prints(&["circuit", "close", &name]).await.contains("forced_closed"));
    assert_eq!(lab.prints(&["circuit", "auto", &name]).await, format!("{name}: closed\n"));
    let wrong = lab.verb(&["circuit", "open", "app"]).await;
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("like api/10.0.0.21:8080"));
}
