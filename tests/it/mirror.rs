//! Copies of requests for another pool.

use crate::harness::http2::Client2;
use crate::harness::vanne::lane;
use crate::harness::{Client, Origin, Settings, Vanne, ask, eventually, ms, sha256, timed};
use std::net::SocketAddr;

/// A proxy before `origin`, whose route has this mirror.
async fn before(origin: SocketAddr, mirror: SocketAddr, route: &str) -> Vanne {
    let more = format!("[pool.shadow]\nbackends = [\"{mirror}\"]\n");
    let settings = Settings { process: "workers = 1", route, more: &more, ..Settings::default() };
    Vanne::with(&[origin], settings).await
}

async fn counts(vanne: &Vanne, outcome: &str, value: f64) {
    let labels = [("route", "all"), ("pool", "shadow"), ("outcome", outcome)];
    vanne.metric_is("vanne_mirrored_total", &labels, value).await;
}

const ALL: &str = "mirror = { pool = \"shadow\" }";

#[tokio::test]
async fn a_copy_of_each_request_goes_to_the_mirror() {
    let origin = Origin::fixed("real").await;
    let mirror = Origin::start(|mut conn| async move {
        while let Some(request) = conn.request().await {
            conn.say(&sha256(&request.body.bytes));
            conn.send(b"HTTP/1.1 500 Oh No\r\nContent-Length: 6\r\n\r\nshadow").await;
        }
    })
    .await;
    let route = "match = { path = \"/api\" }\nrewrite = { host = \"b.example\", path_prefix = \"/\" }\n\
        headers = { request = { set = { x-a = \"{request_id}\" } } }\nmirror = { pool = \"shadow\" }";
    let vanne = before(origin.address, mirror.address, route).await;
    let chunked = "POST /api/x?y HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
        5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
    let length = "POST /api/x?y HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 11\r\n\r\nhello world";
    let none = "GET /api/x?y HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for (index, request) in [chunked, length, none].into_iter().enumerate() {
        let answer = ask(vanne.http, request).await;
        assert_eq!((answer.status(), answer.text().as_str()), (200, "real"));
        vanne.log_of(answer.id()).await;
        mirror.has_got(index + 1).await;
        let (real, copy) = (&origin.requests()[index], &mirror.requests()[index]);
        assert_eq!(copy.line, real.line);
        assert!(copy.line.contains(" /x?y "), "{}", copy.line);
        assert_eq!(copy.field("x-vanne-mirror"), Some("all"));
        assert_eq!(real.field("x-vanne-mirror"), None);
        for name in ["host", "x-a", "x-request-id", "x-forwarded-for", "x-forwarded-host"] {
            assert_eq!(copy.field(name), real.field(name), "{name}");
            assert!(copy.field(name).is_some(), "{name}");
        }
    }
    mirror.says(&sha256(b"hello world")).await;
    counts(&vanne, "answered", 3.0).await;
    assert_eq!(mirror.connections(), 1, "connections are kept");
    assert_eq!(vanne.log_lines().len(), 3, "copies are not in the log");
}

#[tokio::test]
async fn only_the_share_is_copied() {
    let (origin, mirror) = (Origin::fixed("ok").await, Origin::fixed("ok").await);
    let route = "mirror = { pool = \"shadow\", share = \"50%\" }";
    let vanne = before(origin.address, mirror.address, route).await;
    const COUNT: usize = 200;
    for _ in 0..COUNT {
        assert_eq!(vanne.get("/").await.status(), 200);
    }
    // Half of them, within five standard deviations.
    eventually("about half", || (65..=135).contains(&mirror.requests().len()).then_some(())).await;
    assert_eq!(origin.requests().len(), COUNT);
    assert!(mirror.requests().len() <= 135);
}

#[tokio::test]
async fn a_mirror_that_hangs_or_is_gone_delays_and_fails_nothing() {
    let origin = Origin::fixed("ok").await;
    let silent = Origin::silent().await;
    let vanne = before(origin.address, silent.address, ALL).await;
    let (took, answer) = timed(vanne.get("/")).await;
    assert_eq!(answer.status(), 200);
    assert!(took < ms(1000), "{took:?}");
    silent.has_got(1).await;
    let address = silent.address;
    drop(silent);
    counts(&vanne, "failed", 1.0).await;
    let vanne = before(origin.address, address, ALL).await;
    assert_eq!(vanne.get("/").await.status(), 200);
    counts(&vanne, "failed", 1.0).await;
    let settings = Settings { route: ALL, more: "[pool.shadow]\n", ..Settings::default() };
    let vanne = Vanne::with(&[origin.address], settings).await;
    assert_eq!(vanne.get("/").await.status(), 200);
    counts(&vanne, "no_backend", 1.0).await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_not_copied() {
    let (origin, mirror) = (Origin::hashing().await, Origin::hashing().await);
    let vanne = before(origin.address, mirror.address, ALL).await;
    let post = async |count: usize| {
        let body = "x".repeat(count);
        let head = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close";
        let answer =
            ask(vanne.http, &format!("{head}\r\nContent-Length: {count}\r\n\r\n{body}")).await;
        assert_eq!(answer.text(), format!("{count} {}", sha256(body.as_bytes())));
    };
    post(64 * 1024 + 1).await;
    counts(&vanne, "too_large", 1.0).await;
    post(64 * 1024).await;
    counts(&vanne, "answered", 1.0).await;
    assert_eq!(mirror.only_request().field("content-length"), Some("65536"));
}

#[tokio::test]
async fn what_frames_chunks_is_no_part_of_a_copy() {
    let origin = Origin::hashing().await;
    let mirror = Origin::start(|mut conn| async move {
        while let Some(request) = conn.request().await {
            conn.say(&sha256(&request.body.bytes));
            conn.send("HTTP/1.1 204 No Content\r\n\r\n").await;
        }
    })
    .await;
    let vanne = before(origin.address, mirror.address, ALL).await;
    let post = async |count: usize| {
        let chunks = format!("400;x=y\r\n{}\r\n", "x".repeat(1024)).repeat(count / 1024);
        let rest = count % 1024;
        let last =
            if rest == 0 { String::new() } else { format!("{rest:x}\r\n{}\r\n", "x".repeat(rest)) };
        let head = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked";
        let answer =
            ask(vanne.http, &format!("{head}\r\n\r\n{chunks}{last}0\r\nX-After: all\r\n\r\n"))
                .await;
        assert_eq!(answer.text(), format!("{count} {}", sha256("x".repeat(count).as_bytes())));
    };
    post(64 * 1024 + 1).await;
    counts(&vanne, "too_large", 1.0).await;
    post(64 * 1024).await;
    counts(&vanne, "answered", 1.0).await;
    let copy = mirror.only_request();
    assert_eq!(
        (copy.field("content-length"), copy.field("transfer-encoding")),
        (Some("65536"), None)
    );
    mirror.says(&sha256("x".repeat(64 * 1024).as_bytes())).await;
}

#[tokio::test]
async fn a_request_with_a_copy_goes_as_any_other_does() {
    // Pingora drops what comes after the last chunk, the lean engine does not.
    if lane().as_deref() == Some("pingora") {
        return;
    }
    let chunks = "2\r\nok\r\n0\r\nX-After: all\r\n\r\n";
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let (origin, mirror) =
        (Origin::answering(&format!("{head}{chunks}")).await, Origin::fixed("ok").await);
    let vanne = before(origin.address, mirror.address, ALL).await;
    let mut client = Client::connect(vanne.http).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    client.head().await.expect("an answer");
    let answer = client.exactly(chunks.len()).await;
    assert_eq!(String::from_utf8_lossy(&answer), chunks);
    counts(&vanne, "answered", 1.0).await;
}

#[tokio::test]
async fn a_copy_whose_answer_cannot_be_read_has_failed() {
    let origin = Origin::fixed("ok").await;
    let mirror = Origin::answering("HTTP/1.1 200 OK\nContent-Length: 0\n\n").await;
    let vanne = before(origin.address, mirror.address, ALL).await;
    assert_eq!(vanne.get("/").await.status(), 200);
    counts(&vanne, "failed", 1.0).await;
}

#[tokio::test]
async fn a_request_that_is_tried_again_has_one_copy() {
    let broken = Origin::start(|mut conn| async move {
        conn.request().await;
    })
    .await;
    let (origin, mirror) = (Origin::fixed("ok").await, Origin::fixed("ok").await);
    let more = format!("[pool.shadow]\nbackends = [\"{}\"]\n", mirror.address);
    let settings = Settings { route: ALL, more: &more, ..Settings::default() };
    let vanne = Vanne::with(&[broken.address, origin.address], settings).await;
    for _ in 0..2 {
        assert_eq!(vanne.get("/").await.status(), 200);
    }
    counts(&vanne, "answered", 2.0).await;
    assert_eq!(mirror.requests().len(), 2);
}

#[tokio::test]
async fn requests_that_come_by_http2_are_copied_too() {
    let (origin, mirror) = (Origin::hashing().await, Origin::hashing().await);
    let more = format!("[pool.shadow]\nbackends = [\"{}\"]\n", mirror.address);
    let settings = Settings {
        listener: "protocols = [\"h2\"]",
        route: ALL,
        more: &more,
        ..Settings::default()
    };
    let vanne = Vanne::with(&[origin.address], settings).await;
    let mut client = Client2::connect(vanne.http).await;
    let answer = client.post("/x?y", "hello").await;
    assert_eq!(answer.text(), format!("5 {}", sha256(b"hello")));
    counts(&vanne, "answered", 1.0).await;
    let (real, copy) = (origin.only_request(), mirror.only_request());
    assert_eq!((&copy.line, copy.field("host")), (&real.line, real.field("host")));
    assert_eq!((copy.field("content-length"), copy.field("transfer-encoding")), (Some("5"), None));
}
