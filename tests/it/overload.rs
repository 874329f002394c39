//! What happens when there is too much to do: what matters less goes first, at once.

use crate::harness::client::{Answer, Client, ask};
use crate::harness::http2::{Client2, whole};
use crate::harness::origin::{Origin, ok};
use crate::harness::vanne::{Vanne, binary, list};
use crate::harness::{eventually_async, ms, timed};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// A backend that answers each request once the test lets it.
async fn patient() -> (Origin, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let shared = Arc::clone(&gate);
    let origin = Origin::start(move |mut conn| {
        let gate = Arc::clone(&shared);
        async move {
            while conn.request().await.is_some() {
                gate.acquire().await.unwrap().forget();
                conn.send(ok("done")).await;
            }
        }
    })
    .await;
    (origin, gate)
}

/// A config with a pool of this backend, and a route for each class: `/high`, `/normal`, `/low`.
fn classes(backend: SocketAddr, process: &str, pool: &str) -> String {
    let route = |name: &str| {
        format!(
            "[[route]]\nname = \"{name}\"\npool = \"app\"\npriority = \"{name}\"\n\
             match = {{ path = \"/{name}\" }}\n"
        )
    };
    format!(
        "admin.socket = \"@dir/admin.sock\"\n[process]\n{process}\n[pool.app]\nbackends = {}\n{pool}\n\
         [page.sorry]\njson = \"sorry\"\n{}{}{}",
        list(&[backend]),
        route("high"),
        route("normal").replace("priority = \"normal\"\n", ""),
        route("low")
    )
}

/// So many requests that are under way, one after the other.
async fn begin(vanne: &Vanne, origin: &Origin, path: &str, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    let before = origin.requests().len();
    for index in 0..count {
        let mut client = Client::connect(vanne.http).await;
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        origin.has_got(before + index + 1).await;
        clients.push(client);
    }
    clients
}

fn is_shed(answer: &Answer, after: &str) -> bool {
    answer.refusal() == (503, "overloaded".into())
        && answer.head.field("retry-after") == Some(after)
}

#[tokio::test]
async fn a_pool_takes_on_so_much_and_what_matters_less_goes_first() {
    let (origin, gate) = patient().await;
    let pool = "overload = { max_in_flight = 10, retry_after = \"1500ms\" }";
    let vanne = Vanne::start(&classes(origin.address, "", pool)).await;
    let mut held = begin(&vanne, &origin, "/low", 6).await;
    let (time, answer) = timed(vanne.get("/low")).await;
    assert!(is_shed(&answer, "2") && time < ms(1000), "{time:?}");
    let line = vanne.log_of(answer.id()).await;
    assert_eq!((&line["end"], &line["by"]), (&"overloaded".into(), &"vanne".into()));
    held.extend(begin(&vanne, &origin, "/normal", 3).await);
    assert!(is_shed(&vanne.get("/low").await, "2") && is_shed(&vanne.get("/normal").await, "2"));
    held.extend(begin(&vanne, &origin, "/high", 1).await);
    assert!(is_shed(&vanne.get("/high").await, "2"));
    for (priority, count) in [("low", 2.0), ("normal", 1.0), ("high", 1.0)] {
        let labels = [("pool", "app"), ("priority", priority)];
        vanne.metric_is("vanne_shed_total", &labels, count).await;
    }
    // What is answered, or given up, makes room: exactly as much.
    gate.add_permits(3);
    let mut answered = 0;
    let mut left = Vec::new();
    for mut client in held {
        match tokio::time::timeout(ms(300), client.answer("GET")).await {
            Ok(answer) => answered += usize::from(answer.text() == "done"),
            Err(_) => left.push(client),
        }
    }
    assert_eq!((answered, left.len()), (3, 7));
    let more = begin(&vanne, &origin, "/high", 3).await;
    assert!(is_shed(&vanne.get("/high").await, "2"));
    drop((left, more));
    vanne.is_idle().await;
    gate.add_permits(1000);
    for _ in 0..20 {
        assert_eq!(vanne.get("/low").await.text(), "done");
    }
}

#[tokio::test]
async fn the_process_takes_on_so_much_over_all_pools() {
    let (origin, gate) = patient().await;
    let other = Origin::fixed("other").await;
    let process = "overload = { max_in_flight = 2, retry_after = \"7s\" }";
    let config = classes(origin.address, process, "fallback = [\"pool:other\"]");
    let config = format!(
        "{config}[pool.other]\nbackends = {}\n[[route]]\nname = \"other\"\npool = \"other\"\n\
         match = {{ path = \"/other\" }}\n[[route]]\nname = \"own\"\nanswer.body = \"own\"\n\
         match = {{ path = \"/own\" }}\n",
        list(&[other.address])
    );
    let vanne = Vanne::start(&config).await;
    let held = begin(&vanne, &origin, "/high", 2).await;
    for path in ["/high", "/other"] {
        assert!(is_shed(&vanne.get(path).await, "7"), "{path}: no other pool helps");
    }
    assert_eq!(other.requests().len(), 0);
    vanne.metric_is("vanne_shed_total", &[("pool", "-"), ("priority", "high")], 1.0).await;
    assert_eq!(vanne.get("/own").await.text(), "own", "it costs next to nothing");
    // A reload changes the limit, and forgets nobody.
    vanne.reload(&config.replace("max_in_flight = 2", "max_in_flight = 3")).await;
    assert_eq!(vanne.get("/other").await.text(), "other");
    // Its seat is free when its end is recorded, a moment after its answer.
    vanne.metric_is("vanne_requests_in_flight", &[], 2.0).await;
    let third = begin(&vanne, &origin, "/high", 1).await;
    assert!(is_shed(&vanne.get("/high").await, "7"));
    gate.add_permits(100);
    drop((held, third));
    eventually_async("room", async || (vanne.get("/high").await.text() == "done").then_some(()))
        .await;
}

#[tokio::test]
async fn who_is_shed_falls_back_and_over_http2_too() {
    let (origin, gate) = patient().await;
    let pool = "overload.max_in_flight = 1\nfallback = [\"static:sorry\"]";
    let config = classes(origin.address, "", pool);
    let config = format!("{config}[listener.http]\naddress = \"@http\"\nprotocols = [\"h2\"]\n");
    let vanne = Vanne::start(&config).await;
    let mut client = Client2::connect(vanne.http).await;
    let request = client.request("GET", "/high");
    let (held, _body) = client.send(request, true).await;
    origin.has_got(1).await;
    let answer = client.get("/high").await;
    assert_eq!((answer.status(), answer.text().as_str()), (503, "sorry"));
    let fields = ["vanne-fallback", "retry-after"].map(|name| answer.field(name));
    assert_eq!(fields, [Some("static:sorry"), Some("1")]);
    let request = client.request("POST", "/high").header("content-type", "application/grpc");
    let (answer, _) = client.send(request, true).await;
    let answer = whole(answer).await.unwrap();
    assert_eq!((answer.status(), answer.field("grpc-status")), (200, Some("14")));
    gate.add_permits(2);
    assert_eq!(whole(held).await.unwrap().text(), "done");
    assert_eq!(client.get("/high").await.text(), "done");
}

#[tokio::test]
async fn who_waits_for_a_place_is_answered_at_once_when_nobody_can_serve() {
    let (origin, _gate) = patient().await;
    let pool = "max_requests = 1\nqueue.timeout = \"60s\"\nfallback = [\"static:sorry\"]";
    let vanne = Vanne::start(&classes(origin.address, "", pool)).await;
    let held = begin(&vanne, &origin, "/high", 1).await;
    let mut waiting = Vec::new();
    for _ in 0..5 {
        let mut client = Client::connect(vanne.http).await;
        client.send("GET /high HTTP/1.1\r\nHost: a\r\n\r\n").await;
        waiting.push(client);
    }
    let labels = [("pool", "app")];
    vanne.metric_is("vanne_pool_queue_length", &labels, 5.0).await;
    let mut command = Command::new(binary());
    command.args(["backend", "maint", "app", &origin.address.to_string(), "--socket"]);
    command.arg(vanne.file("admin.sock"));
    assert!(
        tokio::task::spawn_blocking(move || command.output().unwrap().status.success())
            .await
            .unwrap()
    );
    for client in &mut waiting {
        let answer = client.answer("GET").await;
        assert_eq!((answer.status(), answer.text().as_str()), (503, "sorry"));
        assert_eq!(vanne.log_of(answer.id()).await["end"], "withdrawn");
    }
    vanne.metric_is("vanne_pool_queue_length", &labels, 0.0).await;
    drop(held);
}

#[tokio::test]
async fn seats_are_exact_however_requests_end() {
    let origin = Origin::start(|mut conn| async move {
        while let Some(request) = conn.request().await {
            match request.head.word(1) {
                "/high/close" => return,
                "/high/cut" => {
                    conn.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await;
                    return;
                }
                "/high/slow" => tokio::time::sleep(ms(50)).await,
                _ => {}
            }
            conn.send(ok("done")).await;
        }
    })
    .await;
    let both = "overload.max_in_flight = 8";
    let vanne = Vanne::start(&classes(origin.address, both, both)).await;
    let mut all = tokio::task::JoinSet::new();
    for index in 0..120 {
        let path = ["/high/close", "/high/cut", "/high/slow", "/high/ok"][index % 4];
        let http = vanne.http;
        all.spawn(async move {
            let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            if index % 3 == 0 {
                // Gone before its answer.
                let mut client = Client::connect(http).await;
                client.send(request).await;
                return;
            }
            ask(http, &request).await;
        });
    }
    while all.join_next().await.is_some() {}
    vanne.is_idle().await;
    // All eight seats are there, and no ninth.
    let (patient, gate) = patient().await;
    vanne.reload(&classes(patient.address, both, both)).await;
    let held = begin(&vanne, &patient, "/high", 8).await;
    assert!(is_shed(&vanne.get("/high").await, "1"));
    gate.add_permits(8);
    drop(held);
}

#[tokio::test]
async fn who_would_wait_for_too_long_is_told_at_once() {
    let origin = Origin::start(|mut conn| async move {
        while conn.request().await.is_some() {
            tokio::time::sleep(ms(5)).await;
            conn.send(ok("done")).await;
        }
    })
    .await;
    let rules = "max_requests = 1\nqueue = { size = 1000, timeout = \"300ms\" }";
    let config = format!("[pool.app]\nbackends = {}\n{rules}\n", list(&[origin.address]));
    let route = "[[route]]\nname = \"all\"\npool = \"app\"\n";
    let vanne = Vanne::start(&format!("{config}{route}")).await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let late = |answer: &Answer| {
        answer.status() == 503 && answer.refusal() == (503, "queue_too_long".into())
    };
    // At first nobody knows how fast places come free.
    let answer = eventually_async("some are told at once", async || {
        let all = (0..100).map(|_| ask(vanne.http, request));
        let all = futures::future::join_all(all).await;
        assert!(all.iter().any(|answer| answer.status() == 200), "who is first is served");
        all.into_iter().find(late)
    })
    .await;
    let seconds: u64 = answer.head.field("retry-after").unwrap().parse().unwrap();
    assert!((1..1000).contains(&seconds), "{seconds}");
}
