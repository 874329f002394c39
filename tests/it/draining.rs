//! The end of the process: nobody is cut who could have been served.

use crate::harness::{Client, End, Origin, Settings, Vanne, eventually_async, get, in_time, ms};
use crate::websocket;
use std::time::Duration;
use tokio::time::Instant;

/// How soon after the last answer the process must be gone.
const SOON: Duration = ms(1000);

/// A backend that answers `/slow` when it is told to, and all else at once.
async fn origin_with_slow() -> (Origin, tokio::sync::watch::Sender<bool>) {
    let (release, released) = tokio::sync::watch::channel(false);
    let origin = Origin::start(move |mut conn| {
        let mut released = released.clone();
        async move {
            while let Some(request) = conn.request().await {
                if request.head.word(1) == "/slow" {
                    drop(released.wait_for(|go| *go).await);
                }
                conn.send(crate::harness::origin::ok("ok")).await;
            }
        }
    })
    .await;
    (origin, release)
}

async fn is_not_ready(vanne: &Vanne) {
    eventually_async("not ready", async || {
        (get(vanne.probe, "/readyz").await.status() == 503).then_some(())
    })
    .await;
}

fn drains(delay: &str, deadline: &str) -> String {
    format!("drain_delay = \"{delay}\"\ndrain_deadline = \"{deadline}\"")
}

#[tokio::test]
async fn an_idle_process_ends_soon_after_its_drain_delay() {
    let origin = Origin::fixed("ok").await;
    let process = drains("300ms", "5s");
    let settings = Settings { process: &process, ..Settings::default() };
    let mut vanne = Vanne::with(&[origin.address], settings).await;
    let began = Instant::now();
    vanne.sigterm();
    assert_eq!(vanne.exit_within(ms(300) + SOON).await, 0);
    assert!(began.elapsed() >= ms(295), "{:?}", began.elapsed());
}

#[tokio::test]
async fn requests_are_accepted_during_the_drain_delay_and_answers_close() {
    let origin = Origin::fixed("ok").await;
    let process = drains("700ms", "5s");
    let settings = Settings { process: &process, ..Settings::default() };
    let mut vanne = Vanne::with(&[origin.address], settings).await;
    let mut kept = Client::connect(vanne.http).await;
    assert_eq!(kept.get("/").await.status(), 200);
    vanne.sigterm();
    let began = Instant::now();
    is_not_ready(&vanne).await;
    assert!(began.elapsed() < ms(200), "not ready only after {:?}", began.elapsed());
    assert_eq!(get(vanne.probe, "/healthz").await.status(), 200, "it still lives");
    // A kept connection and a new one.
    let answer = kept.get("/").await;
    assert_eq!((answer.status(), answer.head.field("connection")), (200, Some("close")));
    assert_eq!(kept.end().await, End::Closed);
    let mut fresh = Client::connect(vanne.http).await;
    let answer = fresh.get("/").await;
    assert_eq!((answer.status(), answer.head.field("connection")), (200, Some("close")));
    assert_eq!(vanne.exit_within(ms(700) + SOON).await, 0);
}

#[tokio::test]
async fn what_is_in_flight_is_finished_and_then_the_process_ends() {
    let (origin, release) = origin_with_slow().await;
    let mut vanne = Vanne::with(&[origin.address], Settings::default()).await;
    let mut client = Client::connect(vanne.http).await;
    client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    origin.has_got(1).await;
    vanne.sigterm();
    eventually_async("no more connections are accepted", async || {
        tokio::net::TcpStream::connect(vanne.http).await.is_err().then_some(())
    })
    .await;
    assert!(vanne.process().runs());
    release.send(true).unwrap();
    let answer = client.answer("GET").await;
    assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
    assert_eq!(answer.head.field("connection"), Some("close"));
    assert_eq!(vanne.exit_within(SOON).await, 0);
    // The line was written before the end.
    assert_eq!(vanne.only_log().await["end"], "ok");
}

#[tokio::test]
async fn an_upload_a_download_and_a_tunnel_are_finished_too() {
    let (echo, hashing) = (websocket::echo().await, Origin::hashing().await);
    let vanne = Vanne::start(&format!(
        r#"
        pool.echo.backends = ["{}"]
        pool.hashing.backends = ["{}"]
        route = [
            {{ name = "echo", pool = "echo", match = {{ path = "/ws" }} }},
            {{ name = "hashing", pool = "hashing" }},
        ]
        "#,
        echo.address, hashing.address
    ))
    .await;
    let mut vanne = vanne;
    let mut tunnel = websocket::connected(&vanne).await;
    let mut upload = Client::connect(vanne.http).await;
    upload.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello").await;
    hashing.has_got(1).await;
    vanne.sigterm();
    eventually_async("no more connections are accepted", async || {
        tokio::net::TcpStream::connect(vanne.http).await.is_err().then_some(())
    })
    .await;
    websocket::echoes(&mut tunnel, b"still here").await;
    upload.send("world").await;
    assert!(upload.answer("POST").await.text().starts_with("10 "));
    assert!(vanne.process().runs());
    websocket::echoes(&mut tunnel, b"and here").await;
    drop(tunnel);
    assert_eq!(vanne.exit_within(SOON).await, 0);
}

#[tokio::test]
async fn what_hangs_is_cut_at_the_drain_deadline() {
    let origin = Origin::silent().await;
    let process = drains("50ms", "500ms");
    let settings = Settings { process: &process, ..Settings::default() };
    let mut vanne = Vanne::with(&[origin.address], settings).await;
    let mut client = Client::connect(vanne.http).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    origin.has_got(1).await;
    let began = Instant::now();
    vanne.sigterm();
    let answer = client.answer("GET").await;
    assert!(began.elapsed() >= ms(495), "{:?}", began.elapsed());
    assert_eq!(answer.refusal(), (503, "drain_deadline".into()));
    assert_eq!(vanne.exit_within(SOON).await, 0);
    let line = vanne.only_log().await;
    assert_eq!((&line["end"], &line["by"]), (&"drain_deadline".into(), &"vanne".into()), "{line}");
    assert!(began.elapsed() < ms(500) + SOON, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_half_sent_answer_and_a_tunnel_are_cut_at_the_drain_deadline() {
    let process = drains("50ms", "500ms");
    let settings = Settings { process: &process, ..Settings::default() };
    let half = Origin::stalling_after("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await;
    let mut vanne = Vanne::with(&[half.address], settings).await;
    let mut client = Client::connect(vanne.http).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let head = client.head().await.unwrap();
    vanne.sigterm();
    let body = client.body(head.answer_framing("GET")).await;
    assert!(!body.is_whole);
    assert_eq!(vanne.exit_within(SOON).await, 0);
    assert_eq!(vanne.only_log().await["end"], "drain_deadline");

    let echo = websocket::echo().await;
    let mut vanne = Vanne::with(&[echo.address], settings).await;
    let mut tunnel = websocket::connected(&vanne).await;
    websocket::echoes(&mut tunnel, b"hello").await;
    vanne.sigterm();
    in_time("the tunnel is cut", tunnel.end()).await;
    assert_eq!(vanne.exit_within(SOON).await, 0);
    let line = vanne.only_log().await;
    assert_eq!((&line["end"], &line["status"]), (&"drain_deadline".into(), &101.into()), "{line}");
}

#[tokio::test]
async fn an_idle_kept_connection_does_not_hold_the_process() {
    let origin = Origin::fixed("ok").await;
    let mut vanne = Vanne::before(&[origin.address]).await;
    let mut used = Client::connect(vanne.http).await;
    assert_eq!(used.get("/").await.status(), 200);
    let mut unused = Client::connect(vanne.http).await;
    vanne.metric_is("vanne_connections_open", &[], 2.0).await;
    vanne.sigterm();
    assert_eq!(vanne.exit_within(ms(50) + SOON).await, 0);
    assert_eq!((used.end().await, unused.end().await), (End::Closed, End::Closed));
}

#[tokio::test]
async fn a_second_sigterm_ends_the_process_at_once() {
    let origin = Origin::silent().await;
    let process = drains("10s", "20s");
    let settings = Settings { process: &process, ..Settings::default() };
    let mut vanne = Vanne::with(&[origin.address], settings).await;
    let mut client = Client::connect(vanne.http).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    origin.has_got(1).await;
    vanne.sigterm();
    is_not_ready(&vanne).await;
    vanne.sigterm();
    vanne.exit_within(SOON).await;
}

#[tokio::test]
async fn sigint_drains_like_sigterm() {
    let (origin, release) = origin_with_slow().await;
    let mut vanne = Vanne::before(&[origin.address]).await;
    let mut client = Client::connect(vanne.http).await;
    client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    origin.has_got(1).await;
    vanne.process().signal(rustix::process::Signal::INT);
    is_not_ready(&vanne).await;
    release.send(true).unwrap();
    assert_eq!(client.answer("GET").await.status(), 200);
    assert_eq!(vanne.exit_within(SOON).await, 0);
}

#[tokio::test]
async fn no_request_fails_while_the_process_drains_under_load() {
    let origin = Origin::fixed("ok").await;
    let process = drains("500ms", "5s");
    let settings = Settings { process: &process, ..Settings::default() };
    let mut vanne = Vanne::with(&[origin.address], settings).await;
    let http = vanne.http;
    let clients: Vec<_> = (0..8).map(|_| tokio::spawn(ask_until_refused(http))).collect();
    origin.has_got(200).await;
    vanne.sigterm();
    let mut answers = 0;
    for client in clients {
        answers += in_time("the load ends", client).await.expect("a request failed");
    }
    assert!(answers >= 200);
    assert_eq!(vanne.exit_within(SOON).await, 0);
    let log = vanne.log_lines();
    assert!(log.iter().all(|line| line["end"] == "ok" && line["status"] == 200));
    assert_eq!(log.len(), answers);
}

/// Asks again and again on a connection that is kept until an answer says that it closes, then on
/// a new one, until no connection is accepted any more: how many answers there were. A refused
/// connection is what the balancer before us would have foreseen: we are not ready.
async fn ask_until_refused(http: std::net::SocketAddr) -> usize {
    let mut answers = 0;
    while let Ok(stream) = tokio::net::TcpStream::connect(http).await {
        let mut client = crate::harness::Wire::new(stream);
        loop {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            let head = client.head().await.expect("no answer");
            let body = client.body(head.answer_framing("GET")).await;
            assert!(body.is_whole && head.status() == 200, "{head:?}");
            answers += 1;
            if head.field("connection") == Some("close") {
                break;
            }
        }
    }
    answers
}
