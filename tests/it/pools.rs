//! How a pool spreads requests, whom it leaves out, and what it does when all are busy.

use crate::harness::client::{Client, ask};
use crate::harness::origin::{Origin, ok};
use crate::harness::ports::Port;
use crate::harness::vanne::Vanne;
use crate::harness::{eventually_async, ms, takes, timed};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// A config with one pool of these backends, each with what is said of it.
fn pool(backends: &[(SocketAddr, &str)], rules: &str) -> String {
    let entries: Vec<_> =
        backends.iter().map(|(address, words)| format!("\"{address} {words}\"")).collect();
    format!(
        "admin.socket = \"@dir/admin.sock\"\n[pool.app]\nbackends = [{}]\n{rules}\n[[route]]\nname = \"all\"\npool = \"app\"\n",
        entries.join(", ")
    )
}

/// What `count` requests were answered with, and how often.
async fn answers(vanne: &Vanne, count: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..count {
        *counts.entry(vanne.get("/").await.text()).or_default() += 1;
    }
    counts
}

fn counts(expected: &[(&str, usize)]) -> BTreeMap<String, usize> {
    expected.iter().map(|(body, count)| ((*body).to_owned(), *count)).collect()
}

#[tokio::test]
async fn weights_are_shares_and_weight_0_takes_nothing_new() {
    let (a, b, c) = (Origin::fixed("a").await, Origin::fixed("b").await, Origin::fixed("c").await);
    let entries = [(a.address, "weight=3"), (b.address, ""), (c.address, "weight=0")];
    let vanne = Vanne::start(&pool(&entries, "algorithm = \"weighted\"")).await;
    assert_eq!(answers(&vanne, 40).await, counts(&[("a", 30), ("b", 10)]));
    let none = [(a.address, "weight=0")];
    vanne.reload(&pool(&none, "")).await;
    assert_eq!(vanne.get("/").await.refusal(), (503, "no_weight".into()));
}

#[tokio::test]
async fn a_hash_takes_a_client_to_the_same_backend() {
    let (a, b, c) = (Origin::fixed("a").await, Origin::fixed("b").await, Origin::fixed("c").await);
    let entries = [(a.address, ""), (b.address, ""), (c.address, "")];
    let by = |hash: &str| pool(&entries, &format!("algorithm = \"ip-hash\"\nhash = {{ {hash} }}"));
    let vanne = Vanne::start(&by("")).await;
    assert_eq!(answers(&vanne, 10).await.len(), 1, "one client, one backend");
    vanne.reload(&by("on = \"header:x-user\"")).await;
    let mut all = BTreeMap::new();
    for user in 0..30 {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-User: {user}\r\n\r\n");
        let first = ask(vanne.http, &request).await.text();
        assert_eq!(ask(vanne.http, &request).await.text(), first);
        *all.entry(first).or_insert(0) += 1;
    }
    assert_eq!(all.len(), 3, "{all:?}");
}

#[tokio::test]
async fn a_bounded_load_sends_one_clients_rush_to_others_too() {
    let origins = [slow("a").await, slow("b").await, slow("c").await];
    let entries = origins.each_ref().map(|origin| (origin.address, ""));
    let rules = "algorithm = \"ip-hash\"\nhash = { load_max = \"150%\" }";
    let vanne = Vanne::start(&pool(&entries, rules)).await;
    let mut clients = rush(&vanne, 12).await;
    for client in &mut clients {
        assert_eq!(client.answer("GET").await.status(), 200);
    }
    let got = origins.each_ref().map(|origin| origin.requests().len());
    assert!(got.iter().all(|count| *count <= 7), "half more than the mean of 4: {got:?}");
}

/// Answers after 300 ms.
async fn slow(body: &'static str) -> Origin {
    Origin::start(move |mut conn| async move {
        while conn.request().await.is_some() {
            tokio::time::sleep(ms(300)).await;
            conn.send(ok(body)).await;
        }
    })
    .await
}

/// So many clients that have sent a request each, one after the other.
async fn rush(vanne: &Vanne, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = Client::connect(vanne.http).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        clients.push(client);
        tokio::time::sleep(ms(15)).await;
    }
    clients
}

#[tokio::test]
async fn who_finds_all_backends_full_waits_in_order_or_is_refused() {
    let origin = slow("a").await;
    let rules = "max_requests = 1\nqueue = { size = 2, timeout = \"10s\" }";
    let vanne = Vanne::start(&pool(&[(origin.address, "")], rules)).await;
    let mut clients = rush(&vanne, 4).await;
    assert_eq!(clients[3].answer("GET").await.refusal(), (503, "queue_full".into()));
    for client in &mut clients[..3] {
        assert_eq!(client.answer("GET").await.text(), "a");
    }
    assert_eq!(origin.requests().len(), 3);
    // A backend may have its own limit, and there need be no queue.
    let own = pool(&[(origin.address, "max_requests=2")], "queue.size = 0");
    vanne.reload(&own).await;
    let mut clients = rush(&vanne, 3).await;
    assert_eq!(clients[2].answer("GET").await.refusal(), (503, "backends_full".into()));
    assert_eq!(clients[0].answer("GET").await.status(), 200);
}

#[tokio::test]
async fn who_waits_too_long_gets_503_at_the_queues_limit() {
    takes(ms(400), async || {
        let origin = Origin::silent().await;
        let rules = "max_requests = 1\nqueue.timeout = \"400ms\"";
        let vanne = Vanne::start(&pool(&[(origin.address, "")], rules)).await;
        let held = rush(&vanne, 1).await;
        origin.has_got(1).await;
        let (time, answer) = timed(vanne.get("/")).await;
        assert_eq!(answer.refusal(), (503, "queue_timeout".into()));
        drop(held);
        time
    })
    .await;
}

#[tokio::test]
async fn who_leaves_the_queue_holds_no_place() {
    let origin = Origin::silent().await;
    let vanne = Vanne::start(&pool(&[(origin.address, "")], "max_requests = 1")).await;
    let first = rush(&vanne, 1).await;
    origin.has_got(1).await;
    let waiting = rush(&vanne, 9).await;
    let length = "vanne_pool_queue_length";
    vanne.metric_is(length, &[("pool", "app")], 9.0).await;
    drop(waiting);
    vanne.metric_is(length, &[("pool", "app")], 0.0).await;
    assert_eq!(origin.requests().len(), 1, "for those who left nobody was asked");
    drop(first);
    vanne.is_idle().await;
    let _next = rush(&vanne, 1).await;
    origin.has_got(2).await;
}

#[tokio::test]
async fn backups_serve_while_nobody_else_can() {
    let (port, backup) = (Port::take(), Origin::fixed("backup").await);
    let entries = [(port.address, ""), (backup.address, "backup")];
    let vanne =
        Vanne::start(&pool(&entries, "breaker = { failures = 0, failure_rate = \"0%\" }")).await;
    // Refused, and nobody else is there: one attempt more, at the same.
    assert_eq!(vanne.get("/").await.refusal(), (502, "connect_refused".into()));
    vanne.reload(&pool(&[(port.address, "weight=0"), (backup.address, "backup")], "")).await;
    assert_eq!(vanne.get("/").await.text(), "backup");
}

#[tokio::test]
async fn health_is_overlooked_when_too_few_are_healthy() {
    let ports = [Port::take(), Port::take()];
    let entries = ports.each_ref().map(|port| (port.address, ""));
    let rules = "panic_threshold = \"60%\"\n\
                 breaker.failures = 1\nguard = \"0%\"";
    let vanne = Vanne::start(&pool(&entries, rules)).await;
    vanne.metric_is("vanne_pool_panic", &[("pool", "app")], 0.0).await;
    vanne.get("/").await;
    vanne.metric_is("vanne_pool_panic", &[("pool", "app")], 1.0).await;
    vanne.metric_is("vanne_pool_backends_active", &[("pool", "app")], 2.0).await;
    assert_eq!(vanne.get("/").await.refusal(), (502, "connect_refused".into()));
    eventually_async("it is in the log", async || {
        vanne.process_log().contains("health is overlooked").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_new_backend_starts_slowly() {
    let (a, b) = (Origin::fixed("a").await, Origin::fixed("b").await);
    let rules = "algorithm = \"weighted\"\nslow_start = \"60s\"";
    let vanne = Vanne::start(&pool(&[(a.address, "")], rules)).await;
    vanne.reload(&pool(&[(a.address, ""), (b.address, "")], rules)).await;
    assert_eq!(answers(&vanne, 22).await, counts(&[("a", 20), ("b", 2)]), "a tenth of its weight");
}
