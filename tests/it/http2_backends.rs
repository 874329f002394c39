//! Backends that speak HTTP/2: what their streams end with.

use crate::harness::frames::HANDSHAKE;
use crate::harness::http2::Client2;
use crate::harness::origin2::Origin2;
use crate::harness::{Client, Settings, Vanne, Wire, ask};
use bytes::Bytes;
use h2::Reason;
use h2::ext::Protocol;
use http::Response;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

async fn before(origin: &Origin2, pool: &str) -> Vanne {
    let pool = format!("protocol = \"h2\"\n{pool}");
    let listener = "protocols = [\"h2\", \"http/1.1\"]";
    Vanne::with(&[origin.address], Settings { listener, pool: &pool, ..Settings::default() }).await
}

/// Answers 200, all but the second request: that stream it resets.
async fn resetting(reason: Reason) -> Origin2 {
    let count = Arc::new(AtomicUsize::new(0));
    Origin2::start(None, move |request, mut respond| {
        let is_second = count.fetch_add(1, Ordering::Relaxed) == 1;
        async move {
            match is_second {
                true => respond.send_reset(reason),
                false => drop(respond.send_response(Response::new(()), true)),
            }
            drop(request);
        }
    })
    .await
}

/// Answers 413 at once, reads nothing, and leaves its stream open.
async fn full() -> Origin2 {
    Origin2::start(None, |request, mut respond| async move {
        let head = Response::builder().status(413).header("content-length", "4");
        let mut stream = respond.send_response(head.body(()).unwrap(), false).unwrap();
        stream.send_data(Bytes::from_static(b"big!"), true).unwrap();
        std::future::pending::<()>().await;
        drop(request);
    })
    .await
}

async fn outcomes(vanne: &Vanne, count: usize) -> Vec<String> {
    crate::harness::eventually("lines", || (vanne.log_lines().len() == count).then_some(())).await;
    let line = vanne.log_lines().pop().unwrap();
    let of = |attempt: &serde_json::Value| attempt["outcome"].as_str().unwrap().to_owned();
    line["attempts"].as_array().unwrap().iter().map(of).collect()
}

#[tokio::test]
async fn a_stream_that_a_backend_resets_was_seen_by_it() {
    let origin = resetting(Reason::INTERNAL_ERROR).await;
    let vanne = before(&origin, "retries.attempts = 0").await;
    let mut client = Client2::connect(vanne.http).await;
    assert_eq!(client.get("/").await.status(), 200);
    assert_eq!(client.get("/").await.status(), 502);
    assert_eq!(origin.heads().len(), 2);
    assert_eq!(outcomes(&vanne, 2).await, ["failure_reset"]);
}

#[tokio::test]
async fn a_stream_that_a_backend_refuses_is_tried_again_whatever_it_asks() {
    for method in ["GET", "POST"] {
        let origin = resetting(Reason::REFUSED_STREAM).await;
        let vanne = before(&origin, "").await;
        let mut client = Client2::connect(vanne.http).await;
        assert_eq!(client.get("/").await.status(), 200);
        let answer = match method {
            "GET" => client.get("/").await,
            _ => client.post("/", "body").await,
        };
        assert_eq!(answer.status(), 200, "{method}");
        assert_eq!(outcomes(&vanne, 2).await, ["unseen", "success"], "{method}");
    }
    let origin = resetting(Reason::REFUSED_STREAM).await;
    let vanne = before(&origin, "retries.attempts = 0").await;
    let mut client = Client2::connect(vanne.http).await;
    assert_eq!(client.get("/").await.status(), 200);
    let answer = client.get("/").await;
    assert_eq!(answer.status(), 502);
    assert!(answer.text().contains("backend_refused"), "{}", answer.text());
    assert_eq!(outcomes(&vanne, 2).await, ["unseen"]);
}

#[tokio::test]
async fn an_answer_that_is_whole_ends_a_request_of_http_1_that_is_not() {
    let origin = full().await;
    let vanne = before(&origin, "").await;
    let mut client = Client::connect(vanne.http).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\npart").await;
    let answer = client.answer("POST").await;
    assert_eq!((answer.status(), answer.text()), (413, "big!".into()));
    // Without the rest of the request, and at once.
    let line = vanne.only_log().await;
    assert_eq!((&line["end"], &line["status"]), (&"ok".into(), &413.into()), "{line}");
    assert_eq!(line["attempts"][0]["outcome"], "success");
}

#[tokio::test]
async fn an_answer_to_an_upload_that_nobody_reads_gets_through() {
    let origin = full().await;
    let vanne = before(&origin, "timeouts = { between_bytes = \"1s\" }").await;
    let mut client = Client::connect(vanne.http).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n").await;
    client.send("x".repeat(300_000)).await;
    let answer = client.answer("POST").await;
    assert_eq!((answer.status(), answer.text()), (413, "big!".into()));
    assert_eq!(vanne.only_log().await["attempts"][0]["outcome"], "success");
}

#[tokio::test]
async fn a_client_that_waits_to_be_told_to_go_on_is_told_by_us() {
    let origin = Origin2::start(None, |mut request, mut respond| async move {
        while let Some(Ok(piece)) = request.body_mut().data().await {
            request.body_mut().flow_control().release_capacity(piece.len()).unwrap();
        }
        let head = Response::builder().header("content-length", "0");
        drop(respond.send_response(head.body(()).unwrap(), true));
    })
    .await;
    let vanne = before(&origin, "").await;
    let mut client = Wire::connect(vanne.http).await;
    for body in ["hello".to_owned(), "x".repeat(100_000)] {
        let length = body.len();
        let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n");
        client.send(format!("{head}expect: 100-continue\r\n\r\n")).await;
        assert_eq!(client.head().await.unwrap().status(), 100);
        client.send(body).await;
        assert_eq!(client.head().await.unwrap().status(), 200);
    }
    assert!(origin.heads().iter().all(|head| !head.contains_key("expect")));
}

#[tokio::test]
async fn what_http2_cannot_say_is_refused_and_nothing_of_it_gets_to_the_backend() {
    let origin = full().await;
    let vanne = before(&origin, "retries.attempts = 0\nbreaker.failures = 2").await;
    for (head, refusal) in [
        ("GET / HTTP/1.0\r\n\r\n", (400, "missing_host")),
        ("GET / HTTP/1.1\r\nHost: a%20b\r\n\r\n", (400, "malformed_host")),
        ("GET /a`b HTTP/1.1\r\nHost: a\r\n\r\n", (400, "malformed_target")),
        ("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", (400, "malformed_target")),
        (HANDSHAKE, (501, "websocket_unsupported")),
    ] {
        let (status, reason) = refusal;
        assert_eq!(ask(vanne.http, head).await.refusal(), (status, reason.into()), "{head}");
    }
    let mut client = Client2::connect(vanne.http).await;
    assert_eq!(client.get("/a%").await.status(), 400);
    assert!(client.may_tunnel().await, "settings have come");
    let handshake = client.request("CONNECT", "/ws").extension(Protocol::from("websocket"));
    let (answer, _stream) = client.send(handshake, false).await;
    assert_eq!(answer.await.unwrap().status(), 501);
    assert!(origin.heads().is_empty());
    assert_eq!(client.get("/").await.status(), 413, "its circuit is closed");
}
