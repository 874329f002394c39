//! Active health, and where backends come from: a file, DNS.

use crate::harness::dns::{NameServer, Zone};
use crate::harness::origin::{Origin, ok};
use crate::harness::ports::Port;
use crate::harness::vanne::{Vanne, binary, list};
use crate::harness::{eventually_async, ms};
use serde_json::Value;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

fn pool(backends: &[SocketAddr], rules: &str) -> String {
    format!(
        "admin.socket = \"@dir/admin.sock\"\n[pool.app]\nbackends = {}\n{rules}\n\
         [[route]]\nname = \"all\"\npool = \"app\"\n",
        list(backends)
    )
}

/// What there is to tell of the pool.
async fn status(vanne: &Vanne) -> Value {
    let mut command = Command::new(binary());
    command.args(["backend", "list", "--json", "--socket"]).arg(vanne.file("admin.sock"));
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let pools: Value = serde_json::from_slice(&output.stdout).unwrap();
    pools[0].clone()
}

/// Waits until the first backend's state is this; gives what there is to tell of it.
async fn state_is(vanne: &Vanne, state: &str) -> Value {
    eventually_async(&format!("the state is {state}"), async || {
        let backend = status(vanne).await["backends"][0].clone();
        (backend["state"] == state).then_some(backend)
    })
    .await
}

/// A backend whose answers to checks are as told: a status for `/health` with this field.
async fn told(status: &Arc<AtomicU16>, body: &'static str) -> Origin {
    let status = Arc::clone(status);
    Origin::start(move |mut conn| {
        let status = Arc::clone(&status);
        async move {
            while let Some(request) = conn.request().await {
                let line = &request.head.line;
                let answer = match line.contains("/health") {
                    true => ok(body).replace("200", &status.load(Ordering::Relaxed).to_string()),
                    false => ok("served"),
                };
                conn.send(answer).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_backend_whose_check_fails_is_left_out_until_it_passes() {
    let status = Arc::new(AtomicU16::new(200));
    let origin = told(&status, "all well").await;
    let rules = "health = { path = \"/health?deep\", interval = \"100ms\", timeout = \"90ms\", \
                 rise = 1, fall = 2, host = \"inner\", method = \"HEAD\", \
                 headers = { x-probe = \"1\" }, status = \"200-299\" }";
    let vanne = Vanne::start(&pool(&[origin.address], rules)).await;
    assert_eq!(vanne.get("/").await.text(), "served");
    state_is(&vanne, "up").await;
    status.store(503, Ordering::Relaxed);
    let backend = state_is(&vanne, "unhealthy").await;
    assert!(backend["check"].as_str().unwrap().contains("503"), "{backend}");
    assert_eq!(vanne.get("/").await.refusal(), (503, "no_healthy_backend".into()));
    vanne.says("backend is down").await;
    let name = origin.address.to_string();
    vanne.metric_is("vanne_backend_up", &[("pool", "app"), ("backend", &name)], 0.0).await;
    status.store(204, Ordering::Relaxed);
    state_is(&vanne, "up").await;
    assert_eq!(vanne.get("/").await.text(), "served");
    let seen = origin.requests();
    let check = seen.iter().find(|head| head.line.contains("/health")).unwrap();
    assert!(check.line.starts_with("HEAD /health?deep "), "{}", check.line);
    assert_eq!((check.field("host"), check.field("x-probe")), (Some("inner"), Some("1")));
}

#[tokio::test]
async fn what_a_check_asks_for_is_what_decides() {
    let status = Arc::new(AtomicU16::new(200));
    let origin = told(&status, "all is well").await;
    let silent = Origin::silent().await;
    let (open, closed) = (origin.address.port(), Port::take());
    let quick = "interval = \"100ms\", fall = 1, rise = 1";
    for (backend, rules, state) in [
        (origin.address, "path = \"/health\", body = \"is well\"".to_owned(), "up"),
        (origin.address, "path = \"/health\", body = \"is ill\"".to_owned(), "unhealthy"),
        (origin.address, "path = \"/health\", body_regex = \"is (well|fine)$\"".to_owned(), "up"),
        (origin.address, "path = \"/health\", body_regex = \"^is\"".to_owned(), "unhealthy"),
        (closed.address, format!("type = \"tcp\", port = {open}"), "up"),
        (origin.address, format!("type = \"tcp\", port = {}", closed.address.port()), "unhealthy"),
        (silent.address, "type = \"tcp\"".to_owned(), "up"),
        (silent.address, "timeout = \"90ms\"".to_owned(), "unhealthy"),
        (origin.address, "type = \"grpc\", service = \"a\"".to_owned(), "unhealthy"),
        (origin.address, "protocol = \"h2\"".to_owned(), "unhealthy"),
        (origin.address, "tls = true".to_owned(), "unhealthy"),
    ] {
        let rules = format!("health = {{ {quick}, {rules} }}");
        let vanne = Vanne::start(&pool(&[backend], &rules)).await;
        eventually_async(&format!("{state} after a check: {rules}"), async || {
            let backend = status_of_first(&vanne).await;
            (backend["check"].is_string() && backend["state"] == state).then_some(())
        })
        .await;
    }
}

async fn status_of_first(vanne: &Vanne) -> Value {
    status(vanne).await["backends"][0].clone()
}

#[tokio::test]
async fn a_backend_is_up_or_down_after_so_many_results_in_a_row() {
    let status = Arc::new(AtomicU16::new(200));
    let origin = told(&status, "").await;
    let rules = "health = { path = \"/health\", interval = \"300ms\", rise = 3, fall = 3 }";
    let vanne = Vanne::start(&pool(&[origin.address], rules)).await;
    eventually_async("a first check", async || {
        status_of_first(&vanne).await["check"].is_string().then_some(())
    })
    .await;
    for (code, state) in [(500, "unhealthy"), (200, "up")] {
        let began = tokio::time::Instant::now();
        status.store(code, Ordering::Relaxed);
        state_is(&vanne, state).await;
        assert!(began.elapsed() > ms(500), "three in a row: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn backends_come_from_a_file_that_is_watched() {
    let (a, b) = (Origin::fixed("a").await, Origin::fixed("b").await);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("backends");
    std::fs::write(&path, format!("# ours\n{} weight=2\n", a.address)).unwrap();
    let vanne = Vanne::start(&pool(&[], &format!("backends_file = {path:?}"))).await;
    let bodies = async |count: usize| {
        let mut bodies = Vec::new();
        for _ in 0..count {
            bodies.push(vanne.get("/").await.text());
        }
        bodies
    };
    eventually_async("the file was read", async || (bodies(1).await == ["a"]).then_some(())).await;
    assert_eq!(status_of_first(&vanne).await["weight"], 2);
    std::fs::write(&path, format!("{}\n{}\n", a.address, b.address)).unwrap();
    eventually_async("b too", async || bodies(4).await.contains(&"b".to_owned()).then_some(()))
        .await;
    // A mistake changes nothing, and is told.
    std::fs::write(&path, "10.0.0.1:80 wait=3\n").unwrap();
    eventually_async("it is stale", async || {
        let stale = status(&vanne).await["sources"][0]["stale"].clone();
        stale
            .as_str()
            .is_some_and(|why| why.contains("backends:1") && why.contains("wait=3"))
            .then_some(())
    })
    .await;
    assert!(bodies(4).await.iter().all(|body| body == "a" || body == "b"));
    // What was found stays over a reload.
    vanne.reload(&pool(&[], &format!("backends_file = {path:?}\nretries.attempts = 2"))).await;
    assert!(bodies(4).await.iter().all(|body| body == "a" || body == "b"));
}

#[tokio::test]
async fn backends_come_from_dns_and_stay_when_it_fails() {
    let (a, b) = (Origin::fixed("a").await, Origin::fixed("b").await);
    let one = |ttl| Zone { addresses: vec![[127, 0, 0, 1].into()], ttl, ..Zone::default() };
    let server = NameServer::start(one(0)).await;
    let dns = |more: &str| {
        let rules =
            format!("dns = {{ name = \"app.test\", servers = [\"{}\"], {more} }}", server.address);
        pool(&[], &rules)
    };
    let by_port = |port: u16| dns(&format!("type = \"a\", port = {port}, min_ttl = \"200ms\""));
    let vanne = Vanne::start(&by_port(a.address.port())).await;
    let answers = async |body: &str| {
        eventually_async(body, async || (vanne.get("/").await.text() == body).then_some(())).await;
    };
    answers("a").await;
    // No answer expires sooner than min_ttl says.
    tokio::time::sleep(ms(1000)).await;
    assert!((3..=8).contains(&server.asked().len()), "{:?}", server.asked());
    server.say(Zone { fails: true, ..one(0) });
    eventually_async("it is stale", async || {
        status(&vanne).await["sources"][0]["stale"].is_string().then_some(())
    })
    .await;
    answers("a").await;
    server.say(Zone { addresses: Vec::new(), ..one(0) });
    tokio::time::sleep(ms(700)).await;
    answers("a").await;
    // Ports and weights of services; the lowest priority is used.
    let services = vec![[1, 3, a.address.port()], [2, 1, b.address.port()]];
    server.say(Zone { services, ..one(3600) });
    let srv = "type = \"srv\", min_ttl = \"200ms\", max_ttl = \"300ms\", empty_after = 2";
    assert_eq!(vanne.reload(&dns(srv)).await["result"], "applied");
    answers("a").await;
    eventually_async("both, each as it should be", async || {
        let backends = status(&vanne).await["backends"].clone();
        let of = |port: u16| {
            let name = format!("127.0.0.1:{port}");
            backends.as_array().unwrap().iter().find(|one| one["backend"] == *name).cloned()
        };
        let (first, second) = (of(a.address.port())?, of(b.address.port())?);
        (first["weight"] == 3 && second["backup"] == true).then_some(())
    })
    .await;
    // However long an answer holds, it is asked for again after max_ttl.
    let services = vec![[1, 1, b.address.port()]];
    server.say(Zone { services, ..one(3600) });
    answers("b").await;
    // Nothing at all is believed after so many times.
    server.say(Zone { ttl: 0, ..Zone::default() });
    eventually_async("it is empty", async || {
        vanne.get("/").await.text().contains("no_backend").then_some(())
    })
    .await;
}
