//! WebSocket: an upgrade, then bytes both ways.

use crate::harness::frames::{self, ACCEPTED, CLOSE, HANDSHAKE, TEXT};
use crate::harness::vanne::lane;
use crate::harness::{Client, End, Origin, Settings, Vanne, ms, noise, takes, timed};

/// A backend that accepts and sends back each message.
pub(crate) async fn echo() -> Origin {
    Origin::start(|mut conn| async move {
        let Some(head) = conn.request_head().await else { return };
        assert_eq!(head.field("upgrade"), Some("websocket"));
        assert_eq!(head.field("connection").map(str::to_lowercase).as_deref(), Some("upgrade"));
        assert_eq!(head.field("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
        conn.send(ACCEPTED).await;
        while let Some((kind, payload)) = frames::next(&mut conn).await {
            frames::send(&mut conn, kind, &payload, false).await;
            if kind == CLOSE {
                break;
            }
        }
        conn.note_end().await;
    })
    .await
}

/// A client that speaks WebSocket with the backend.
pub(crate) async fn connected(vanne: &Vanne) -> Client {
    let mut client = Client::connect(vanne.http).await;
    client.send(HANDSHAKE).await;
    let head = client.head().await.unwrap();
    assert_eq!(head.status(), 101, "{head:?}");
    assert_eq!(head.field("upgrade"), Some("websocket"));
    assert_eq!(head.field("connection").map(str::to_lowercase).as_deref(), Some("upgrade"));
    assert_eq!(head.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    client
}

/// Sends a message and gets it back.
pub(crate) async fn echoes(client: &mut Client, payload: &[u8]) {
    frames::send(client, TEXT, payload, true).await;
    assert_eq!(frames::next(client).await, Some((TEXT, payload.to_vec())));
}

#[tokio::test]
async fn who_has_ended_its_half_still_gets_the_rest() {
    // Pingora ends a tunnel with the first half.
    if lane().as_deref() == Some("pingora") {
        return;
    }
    let origin = Origin::start(|mut conn| async move {
        let Some(_) = conn.request_head().await else { return };
        conn.send(ACCEPTED).await;
        assert_eq!(frames::next(&mut conn).await, None, "the client's end");
        frames::send(&mut conn, TEXT, b"the rest", false).await;
    })
    .await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = connected(&vanne).await;
    client.shut().await;
    assert_eq!(frames::next(&mut client).await, Some((TEXT, b"the rest".to_vec())));
    assert_eq!(client.end().await, End::Closed);
    assert_eq!(vanne.only_log().await["end"], "ok");
}

#[tokio::test]
async fn messages_pass_both_ways() {
    let origin = echo().await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = connected(&vanne).await;
    for size in [0, 1, 125, 126, 60_000] {
        echoes(&mut client, &noise(size)).await;
    }
    frames::send(&mut client, CLOSE, &1000_u16.to_be_bytes(), true).await;
    assert_eq!(frames::next(&mut client).await, Some((CLOSE, 1000_u16.to_be_bytes().to_vec())));
    client.shut().await;
    assert_eq!(client.end().await, End::Closed);
    let line = vanne.only_log().await;
    assert_eq!((&line["status"], &line["end"]), (&101.into(), &"ok".into()), "{line}");
    assert!(line["bytes_in"].as_u64().unwrap() > 60_000, "{line}");
    assert!(line["bytes_out"].as_u64().unwrap() > 60_000, "{line}");
}

#[tokio::test]
async fn a_message_sent_with_the_handshake_is_not_lost() {
    let origin = echo().await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = Client::connect(vanne.http).await;
    // A masked "hi" right behind the head.
    let mut bytes = HANDSHAKE.as_bytes().to_vec();
    bytes.extend([0x81, 0x82, 0, 0, 0, 0, b'h', b'i']);
    client.send(bytes).await;
    assert_eq!(client.head().await.unwrap().status(), 101);
    assert_eq!(frames::next(&mut client).await, Some((TEXT, b"hi".to_vec())));
}

#[tokio::test]
async fn a_message_of_the_backend_with_its_head_is_not_lost() {
    let origin = Origin::start(|mut conn| async move {
        conn.request_head().await;
        let mut bytes = ACCEPTED.as_bytes().to_vec();
        bytes.extend([0x81, 2, b'h', b'i']);
        conn.send(bytes).await;
        conn.note_end().await;
    })
    .await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = connected(&vanne).await;
    assert_eq!(frames::next(&mut client).await, Some((TEXT, b"hi".to_vec())));
}

#[tokio::test]
async fn a_backend_that_declines_the_upgrade_gives_its_own_answer() {
    let origin = Origin::answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno\n").await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = Client::connect(vanne.http).await;
    for _ in 0..2 {
        client.send(HANDSHAKE).await;
        let answer = client.answer("GET").await;
        assert_eq!((answer.status(), answer.text().as_str()), (403, "no\n"));
    }
}

#[tokio::test]
async fn a_silent_tunnel_is_closed_after_its_idle_limit() {
    let origin = echo().await;
    let settings =
        Settings { route: "timeouts = { tunnel_idle = \"300ms\" }", ..Settings::default() };
    let vanne = Vanne::with(&[origin.address], settings).await;
    takes(ms(300), async || {
        let mut client = connected(&vanne).await;
        // Traffic keeps it open.
        for _ in 0..4 {
            tokio::time::sleep(ms(100)).await;
            echoes(&mut client, b"still here").await;
        }
        timed(client.end()).await.0
    })
    .await;
    let line = vanne.only_log().await;
    assert_eq!(
        (&line["end"], &line["status"]),
        (&"tunnel_idle_timeout".into(), &101.into()),
        "{line}"
    );
    origin.first_end().await;
}

#[tokio::test]
async fn other_limits_do_not_end_a_tunnel() {
    let origin = echo().await;
    let settings = Settings {
        listener: "timeouts = { head = \"100ms\", idle = \"100ms\", between_bytes = \"100ms\" }",
        pool: "timeouts = { first_byte = \"100ms\", between_bytes = \"100ms\", idle = \"100ms\" }",
        route: "timeouts = { total = \"200ms\" }",
        ..Settings::default()
    };
    let vanne = Vanne::with(&[origin.address], settings).await;
    let mut client = connected(&vanne).await;
    tokio::time::sleep(ms(500)).await;
    echoes(&mut client, b"still here").await;
}

#[tokio::test]
async fn a_tunnel_ends_when_the_client_leaves() {
    let origin = echo().await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = connected(&vanne).await;
    echoes(&mut client, b"hello").await;
    let left = tokio::time::Instant::now();
    drop(client);
    let ended =
        crate::harness::eventually("the tunnel's log line", || vanne.log_lines().pop()).await;
    assert!(left.elapsed() < ms(1000));
    assert_eq!(ended["status"], 101);
}

#[tokio::test]
async fn a_tunnel_ends_when_the_backend_leaves() {
    let origin = Origin::start(|mut conn| async move {
        conn.request_head().await;
        conn.send(ACCEPTED).await;
        frames::next(&mut conn).await;
    })
    .await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = connected(&vanne).await;
    frames::send(&mut client, TEXT, b"bye", true).await;
    client.end().await;
    let line = vanne.only_log().await;
    assert_eq!((&line["status"], &line["end"]), (&101.into(), &"ok".into()), "{line}");
}

#[tokio::test]
async fn an_upgrade_to_anything_else_is_a_plain_request() {
    let origin = Origin::fixed("plain").await;
    let vanne = Vanne::before(&[origin.address]).await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n\
        Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
    let answer = crate::harness::ask(vanne.http, request).await;
    assert_eq!((answer.status(), answer.text().as_str()), (200, "plain"));
    let head = origin.only_request();
    assert_eq!((head.field("upgrade"), head.field("http2-settings")), (None, None));
}
