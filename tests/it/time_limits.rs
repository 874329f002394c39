//! Time limits on the backend's side and of whole requests.

use crate::harness::ports::BlackHole;
use crate::harness::{Client, Origin, Settings, Vanne, eventually, ms, takes, timed};
use serde_json::Value;

fn ended(line: &Value) -> (&str, &str) {
    (line["end"].as_str().unwrap(), line["by"].as_str().unwrap())
}

/// A GET on a connection of its own takes `limit` and is refused with 504 and this reason.
async fn refuses_after(vanne: &Vanne, limit: u64, reason: &str, by: &str) {
    takes(ms(limit), async || {
        let mut client = Client::connect(vanne.http).await;
        let (took, answer) = timed(client.get("/")).await;
        assert_eq!(answer.refusal(), (504, reason.into()));
        let line = vanne.log_of(answer.id()).await;
        assert_eq!(ended(&line), (reason, by), "{line}");
        assert_eq!(line["status"], 504);
        took
    })
    .await;
}

#[tokio::test]
async fn a_silent_backend_gives_504_at_the_first_byte_limit() {
    let origin = Origin::silent().await;
    let settings =
        Settings { pool: "timeouts = { first_byte = \"300ms\" }", ..Settings::default() };
    let vanne = Vanne::with(&[origin.address], settings).await;
    refuses_after(&vanne, 300, "first_byte_timeout", "backend").await;
    origin.first_end().await;
}

#[tokio::test]
async fn the_first_byte_limit_counts_from_the_requests_end() {
    let origin = Origin::silent().await;
    let settings =
        Settings { pool: "timeouts = { first_byte = \"300ms\" }", ..Settings::default() };
    let vanne = Vanne::with(&[origin.address], settings).await;
    let mut client = Client::connect(vanne.http).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n").await;
    for _ in 0..4 {
        tokio::time::sleep(ms(150)).await;
        client.send("x").await;
    }
    let (took, answer) = timed(client.answer("POST")).await;
    assert_eq!(answer.refusal(), (504, "first_byte_timeout".into()));
    assert!(took >= ms(295), "{took:?}");
}

#[tokio::test]
async fn an_informational_answer_is_no_first_byte() {
    let origin = Origin::stalling_after("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n").await;
    let settings =
        Settings { pool: "timeouts = { first_byte = \"300ms\" }", ..Settings::default() };
    let vanne = Vanne::with(&[origin.address], settings).await;
    let answer = Client::connect(vanne.http).await.get("/").await;
    assert_eq!(answer.refusal(), (504, "first_byte_timeout".into()));
    assert_eq!(answer.informational.len(), 1);
}

#[tokio::test]
async fn half_a_head_does_not_count_as_an_answer() {
    let origin = Origin::stalling_after("HTTP/1.1 200 OK\r\nContent-Le").await;
    let settings =
        Settings { pool: "timeouts = { first_byte = \"300ms\" }", ..Settings::default() };
    let vanne = Vanne::with(&[origin.address], settings).await;
    refuses_after(&vanne, 300, "first_byte_timeout", "backend").await;
}

#[tokio::test]
async fn a_connection_that_does_not_come_gives_504_at_the_connect_limit() {
    let hole = BlackHole::open();
    let settings = Settings {
        pool: "retries.attempts = 0\ntimeouts = { connect = \"300ms\" }",
        ..Settings::default()
    };
    let vanne = Vanne::with(&[hole.address], settings).await;
    refuses_after(&vanne, 300, "connect_timeout", "backend").await;
}

#[tokio::test]
async fn a_connection_that_does_not_come_is_tried_on_another_backend() {
    let (hole, origin) = (BlackHole::open(), Origin::fixed("ok").await);
    let settings = Settings {
        pool: "retries.attempts = 1\ntimeouts = { connect = \"200ms\" }",
        ..Settings::default()
    };
    let vanne = Vanne::with(&[hole.address, origin.address], settings).await;
    let mut most = 0;
    for _ in 0..2 {
        let answer = vanne.get("/").await;
        assert_eq!(answer.status(), 200);
        let line = vanne.log_of(answer.id()).await;
        most = most.max(line["attempts"].as_array().unwrap().len());
    }
    assert_eq!(most, 2);
}

#[tokio::test]
async fn a_backend_that_stalls_in_its_body_cuts_the_answer() {
    let origin = Origin::stalling_after("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await;
    let settings =
        Settings { pool: "timeouts = { between_bytes = \"300ms\" }", ..Settings::default() };
    let vanne = Vanne::with(&[origin.address], settings).await;
    takes(ms(300), async || {
        let mut client = Client::connect(vanne.http).await;
        let (took, answer) = timed(client.get("/")).await;
        assert!(!answer.is_whole && answer.status() == 200);
        let line = vanne.log_of(answer.id()).await;
        assert_eq!(ended(&line), ("backend_stalled", "backend"), "{line}");
        assert_eq!(line["attempts"][0]["outcome"], "failure_stalled");
        took
    })
    .await;
    origin.first_end().await;
}

#[tokio::test]
async fn a_backend_that_takes_no_more_of_a_request_gives_504_backend_stalled() {
    let origin = Origin::start(|mut conn| async move {
        conn.request_head().await;
        // Reads nothing more, and notices the end only when it is there.
        std::future::pending::<()>().await;
    })
    .await;
    let settings = Settings {
        listener: "timeouts = { between_bytes = \"200ms\" }",
        pool: "timeouts = { between_bytes = \"400ms\" }",
        ..Settings::default()
    };
    let vanne = Vanne::with(&[origin.address], settings).await;
    let mut client = Client::connect(vanne.http).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n").await;
    let sending = async {
        let part = vec![b'x'; 100_000];
        let (mut reader, mut writer) = client.into_wire().stream.into_split();
        let sender = tokio::spawn(async move {
            use tokio::io::AsyncWriteExt;
            while writer.write_all(&part).await.is_ok() {}
            writer
        });
        let mut bytes = [0; 4096];
        let count = tokio::io::AsyncReadExt::read(&mut reader, &mut bytes).await.unwrap_or(0);
        sender.abort();
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    };
    let text = crate::harness::in_time("an answer", sending).await;
    assert!(text.starts_with("HTTP/1.1 504 ") && text.contains(": backend_stalled"), "{text}");
    assert_eq!(ended(&vanne.only_log().await), ("backend_stalled", "backend"));
}

#[tokio::test]
async fn a_backend_that_sends_slowly_but_steadily_is_waited_for() {
    let origin = Origin::start(|mut conn| async move {
        conn.request().await;
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n").await;
        for _ in 0..10 {
            tokio::time::sleep(ms(60)).await;
            conn.send("x").await;
        }
        conn.note_end().await;
    })
    .await;
    let settings = Settings {
        listener: "timeouts = { idle = \"200ms\", between_bytes = \"200ms\" }",
        pool: "timeouts = { first_byte = \"200ms\", between_bytes = \"200ms\" }",
        ..Settings::default()
    };
    let vanne = Vanne::with(&[origin.address], settings).await;
    let answer = Client::connect(vanne.http).await.get("/").await;
    assert_eq!((answer.is_whole, answer.text().as_str()), (true, "xxxxxxxxxx"));
}

#[tokio::test]
async fn a_request_longer_than_its_total_gives_504_before_the_head() {
    let origin = Origin::silent().await;
    let settings = Settings { route: "timeouts = { total = \"300ms\" }", ..Settings::default() };
    let vanne = Vanne::with(&[origin.address], settings).await;
    refuses_after(&vanne, 300, "total_timeout", "vanne").await;
    let line = vanne.only_log().await;
    assert_eq!(line["attempts"][0]["outcome"], "client_error", "not the backend's fault: {line}");
}

#[tokio::test]
async fn a_request_longer_than_its_total_is_cut_after_the_head() {
    let origin = Origin::start(|mut conn| async move {
        conn.request().await;
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").await;
        while conn.try_send("x").await.is_ok() {
            tokio::time::sleep(ms(10)).await;
        }
    })
    .await;
    let settings = Settings { route: "timeouts = { total = \"300ms\" }", ..Settings::default() };
    let vanne = Vanne::with(&[origin.address], settings).await;
    takes(ms(300), async || {
        let mut client = Client::connect(vanne.http).await;
        let (took, answer) = timed(client.get("/")).await;
        assert!(!answer.is_whole && answer.status() == 200);
        assert_eq!(ended(&vanne.log_of(answer.id()).await), ("total_timeout", "vanne"));
        took
    })
    .await;
}

#[tokio::test]
async fn the_total_holds_while_connections_are_tried() {
    let hole = BlackHole::open();
    let settings = Settings {
        pool: "retries.attempts = 10\ntimeouts = { connect = \"200ms\" }",
        route: "timeouts = { total = \"500ms\" }",
        ..Settings::default()
    };
    let vanne = Vanne::with(&[hole.address], settings).await;
    refuses_after(&vanne, 500, "total_timeout", "vanne").await;
}

#[tokio::test]
async fn an_unused_connection_to_a_backend_is_closed_after_its_idle_limit() {
    let origin = Origin::start(|mut conn| async move {
        conn.request().await;
        conn.send(crate::harness::origin::ok("ok")).await;
        conn.note_end().await;
    })
    .await;
    let settings = Settings { pool: "timeouts = { idle = \"300ms\" }", ..Settings::default() };
    let vanne = Vanne::with(&[origin.address], settings).await;
    takes(ms(300), async || {
        let before = origin.ends();
        assert_eq!(vanne.get("/").await.status(), 200);
        timed(eventually("the idle connection is closed", || {
            (origin.ends() > before).then_some(())
        }))
        .await
        .0
    })
    .await;
    // Without the limit it stays.
    let vanne = Vanne::before(&[origin.address]).await;
    let before = origin.ends();
    assert_eq!(vanne.get("/").await.status(), 200);
    tokio::time::sleep(ms(500)).await;
    assert_eq!(origin.ends(), before);
}
