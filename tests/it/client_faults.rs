//! Clients that leave, stall or are slow: the backend is freed, and never blamed.

use crate::harness::{Client, End, Origin, Settings, Vanne, ms, noise, timed};
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// A leaving client must free the backend within this.
const FREED_WITHIN: Duration = ms(100);

fn blames_the_client(line: &Value, reason: &str, status: u16) {
    assert_eq!((&line["end"], &line["by"]), (&reason.into(), &"client".into()), "{line}");
    assert_eq!(line["status"], status, "{line}");
    for attempt in line["attempts"].as_array().unwrap() {
        assert_eq!(attempt["outcome"], "client_error", "{line}");
    }
}

/// Lets `leave` end the client's connection while the backend is silent; the backend must be
/// freed in time.
async fn leaves(leave: impl AsyncFn(Client)) {
    let origin = Origin::silent().await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = Client::connect(vanne.http).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    origin.has_got(1).await;
    let left = Instant::now();
    leave(client).await;
    let (_, ended) = origin.first_end().await;
    let after = ended.duration_since(left);
    assert!(after <= FREED_WITHIN, "freed after {after:?}");
    blames_the_client(&vanne.only_log().await, "client_gone", 499);
}

#[tokio::test]
async fn a_client_that_closes_frees_the_backend() {
    leaves(async |client| drop(client)).await;
}

#[tokio::test]
async fn a_client_that_resets_frees_the_backend() {
    leaves(async |client| client.into_wire().reset()).await;
}

#[tokio::test]
async fn a_client_that_leaves_in_an_answer_frees_the_backend() {
    let origin = Origin::start(|mut conn| async move {
        conn.request().await;
        conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        conn.send_chunk("first").await;
        conn.note_end().await;
    })
    .await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = Client::connect(vanne.http).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.head().await.unwrap().status(), 200);
    let left = Instant::now();
    drop(client);
    let (_, ended) = origin.first_end().await;
    assert!(ended.duration_since(left) <= FREED_WITHIN, "{:?}", ended.duration_since(left));
    let line = vanne.only_log().await;
    assert_eq!((&line["end"], &line["by"]), (&"client_gone".into(), &"client".into()), "{line}");
    assert_eq!(line["attempts"][0]["outcome"], "client_error", "{line}");
}

#[tokio::test]
async fn a_client_that_leaves_in_its_body_never_makes_it_look_whole() {
    for fields in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let origin = Origin::start(|mut conn| async move {
            let Some(head) = conn.request_head().await else { return };
            let body = conn.body(head.request_framing()).await;
            conn.say(if body.is_whole { "whole" } else { "cut" });
        })
        .await;
        let vanne = Vanne::before(&[origin.address]).await;
        let mut client = Client::connect(vanne.http).await;
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")).await;
        client.send_chunk("half").await;
        origin.has_got(1).await;
        client.shut().await;
        origin.says("cut").await;
        blames_the_client(&vanne.only_log().await, "client_gone", 499);
    }
}

#[tokio::test]
async fn a_client_that_leaves_in_its_head_reaches_no_backend() {
    let origin = Origin::fixed("ok").await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = Client::connect(vanne.http).await;
    client.send("GET / HTTP/1.1\r\nHo").await;
    client.shut().await;
    assert_eq!(client.end().await, End::Closed);
    blames_the_client(&vanne.only_log().await, "client_gone", 499);
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn a_client_that_connects_and_leaves_writes_no_log_line() {
    let origin = Origin::fixed("ok").await;
    let vanne = Vanne::before(&[origin.address]).await;
    drop(Client::connect(vanne.http).await);
    vanne.metric_is("vanne_connections_accepted_total", &[], 1.0).await;
    vanne.is_idle().await;
    let answer = vanne.get("/").await;
    assert_eq!(vanne.only_log().await["request_id"], answer.id());
}

#[tokio::test]
async fn a_client_that_sends_its_head_too_slowly_gets_408() {
    let origin = Origin::fixed("ok").await;
    let settings = Settings { listener: "timeouts = { head = \"300ms\" }", ..Settings::default() };
    let vanne = Vanne::with(&[origin.address], settings).await;
    crate::harness::takes(ms(300), async || {
        let client = Client::connect(vanne.http).await;
        let (mut reader, mut writer) = client.into_wire().stream.into_split();
        let began = Instant::now();
        // A byte now and then does not help.
        let dripping = tokio::spawn(async move {
            use tokio::io::AsyncWriteExt;
            for byte in b"GET / HTTP/1.1\r\nHost: a\r\nX: ".iter().chain([b'x'].iter().cycle()) {
                if writer.write_all(&[*byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(ms(20)).await;
            }
        });
        let mut bytes = [0; 4096];
        let read = tokio::io::AsyncReadExt::read(&mut reader, &mut bytes);
        let count = crate::harness::in_time("an answer", read).await.unwrap();
        let took = began.elapsed();
        let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
        assert!(text.starts_with("HTTP/1.1 408 ") && text.contains(": head_timeout"), "{text}");
        assert!(text.contains("connection: close"), "{text}");
        dripping.abort();
        took
    })
    .await;
    let look = || vanne.log_lines().into_iter().next();
    let line = crate::harness::eventually("a line in the access log", look).await;
    blames_the_client(&line, "head_timeout", 408);
    assert_eq!(line["method"], Value::Null);
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_a_word() {
    let origin = Origin::fixed("ok").await;
    let settings = Settings { listener: "timeouts = { idle = \"300ms\" }", ..Settings::default() };
    let vanne = Vanne::with(&[origin.address], settings).await;
    let mut client = Client::connect(vanne.http).await;
    crate::harness::takes(ms(300), async || {
        client = Client::connect(vanne.http).await;
        assert_eq!(client.get("/").await.status(), 200);
        let (idle, head) = timed(client.head()).await;
        assert_eq!(head, None);
        idle
    })
    .await;
    // One that never asked for anything, too.
    let mut client = Client::connect(vanne.http).await;
    let (idle, head) = timed(client.head()).await;
    assert_eq!(head, None);
    assert!(idle >= ms(295), "{idle:?}");
}

#[tokio::test]
async fn a_client_that_stalls_in_its_upload_gets_408_and_the_backend_is_not_blamed() {
    let origin = Origin::start(|mut conn| async move {
        let Some(head) = conn.request_head().await else { return };
        assert!(!conn.body(head.request_framing()).await.is_whole);
        conn.say("cut");
    })
    .await;
    let settings = Settings {
        listener: "timeouts = { between_bytes = \"300ms\" }",
        pool: "timeouts = { first_byte = \"200ms\", between_bytes = \"200ms\" }",
        ..Settings::default()
    };
    let vanne = Vanne::with(&[origin.address], settings).await;
    crate::harness::takes(ms(300), async || {
        let mut client = Client::connect(vanne.http).await;
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf").await;
        let (took, answer) = timed(client.answer("POST")).await;
        assert_eq!(answer.refusal(), (408, "client_stalled".into()));
        assert_eq!(answer.head.field("connection"), Some("close"));
        blames_the_client(&vanne.log_of(answer.id()).await, "client_stalled", 408);
        took
    })
    .await;
    origin.says("cut").await;
}

#[tokio::test]
async fn a_client_that_sends_slowly_but_steadily_is_served() {
    let origin = Origin::hashing().await;
    let settings = Settings {
        listener: "timeouts = { head = \"200ms\", between_bytes = \"200ms\" }",
        pool: "timeouts = { first_byte = \"200ms\", between_bytes = \"200ms\" }",
        ..Settings::default()
    };
    let vanne = Vanne::with(&[origin.address], settings).await;
    let mut client = Client::connect(vanne.http).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n").await;
    for _ in 0..10 {
        tokio::time::sleep(ms(60)).await;
        client.send("x").await;
    }
    assert_eq!(client.answer("POST").await.status(), 200);
}

#[tokio::test]
async fn a_client_that_stops_reading_is_cut_and_the_backend_is_not_blamed() {
    let origin = Origin::start(|mut conn| async move {
        conn.request().await;
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n").await;
        let part = noise(100_000);
        while conn.try_send(&part).await.is_ok() {}
        conn.say("freed");
    })
    .await;
    let settings = Settings {
        listener: "timeouts = { between_bytes = \"300ms\" }",
        pool: "timeouts = { between_bytes = \"200ms\" }",
        ..Settings::default()
    };
    let vanne = Vanne::with(&[origin.address], settings).await;
    let mut client = Client::connect(vanne.http).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.head().await.unwrap().status(), 200);
    origin.says("freed").await;
    let line = vanne.only_log().await;
    assert_eq!((&line["end"], &line["by"]), (&"client_stalled".into(), &"client".into()), "{line}");
    assert_eq!(
        (&line["status"], &line["attempts"][0]["outcome"]),
        (&200.into(), &"client_error".into())
    );
    assert_eq!(client.end().await, End::Reset);
}

#[tokio::test]
async fn a_client_that_reads_slowly_but_steadily_is_served() {
    // A large send buffer takes longer to drain than the limit; the client never pauses that long.
    const BODY: usize = 5_000_000;
    let origin = Origin::start(|mut conn| async move {
        conn.request().await;
        conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\n\r\n")).await;
        drop(conn.try_send(noise(BODY)).await);
        conn.note_end().await;
    })
    .await;
    let settings = Settings {
        listener: "timeouts = { between_bytes = \"500ms\" }",
        pool: "timeouts = { between_bytes = \"400ms\" }",
        ..Settings::default()
    };
    let vanne = Vanne::with(&[origin.address], settings).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(32 * 1024).unwrap();
    let mut client = crate::harness::Wire::new(socket.connect(vanne.http).await.unwrap());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.head().await.unwrap().status(), 200);
    let mut body = Vec::new();
    while body.len() < BODY {
        tokio::time::sleep(ms(15)).await;
        let whole = client.take(20_000.min(BODY - body.len()), &mut body).await;
        assert!(whole.is_some(), "cut after {}: {:?}", body.len(), vanne.log_lines());
    }
    assert!(body == noise(BODY));
    assert_eq!(vanne.only_log().await["end"], "ok");
}

#[tokio::test]
async fn a_client_that_only_closes_its_sending_half_counts_as_gone() {
    // A half-closed connection and a closed one look alike from here; most proxies decide so.
    let origin = Origin::silent().await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = Client::connect(vanne.http).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    origin.has_got(1).await;
    client.shut().await;
    origin.first_end().await;
    blames_the_client(&vanne.only_log().await, "client_gone", 499);
}
