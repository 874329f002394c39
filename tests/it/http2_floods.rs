//! Floods of HTTP/2 frames: who sends them is disconnected and told why, nobody else is.

use crate::harness::http2::{Client2, reason};
use crate::harness::origin::ok;
use crate::harness::wire::Wire;
use crate::harness::{Origin, Settings, Vanne, eventually, in_time};
use h2::Reason;

const H2C: Settings<'static> =
    Settings { process: "", listener: "protocols = [\"h2\"]", pool: "", route: "", more: "" };

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const PRIORITY: u8 = 0x2;
const RST_STREAM: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const PING: u8 = 0x6;
const GOAWAY: u8 = 0x7;
const WINDOW_UPDATE: u8 = 0x8;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const ACK: u8 = 0x1;
/// `GET http://a/` (RFC 7541, Appendix A).
const GET: &[u8] = b"\x82\x86\x84\x41\x01a";
/// `POST http://a/`.
const POST: &[u8] = b"\x83\x86\x84\x41\x01a";
/// SETTINGS_INITIAL_WINDOW_SIZE as large as it may be.
const WIDE: &[u8] = &[0, 4, 0x7f, 0xff, 0xff, 0xff];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A connection whose frames are written by hand.
async fn raw(vanne: &Vanne, settings: &[u8]) -> Wire {
    let mut wire = Wire::connect(vanne.http).await;
    wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    wire.send(frame(SETTINGS, 0, 0, settings)).await;
    wire
}

/// The next frame's kind, flags and payload; `None` at the end of the connection.
async fn next(wire: &mut Wire) -> Option<(u8, u8, Vec<u8>)> {
    let mut head = Vec::new();
    wire.take(9, &mut head).await?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let payload = wire.exactly(usize::try_from(length).unwrap()).await;
    Some((head[3], head[4], payload))
}

/// What the last GOAWAY before the end of the connection says.
async fn last_word(wire: &mut Wire) -> Option<Reason> {
    let mut said = None;
    while let Some((kind, _, payload)) = next(wire).await {
        if kind == GOAWAY {
            said = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()).into());
        }
    }
    said
}

async fn floods_are(vanne: &Vanne, reason: &str, count: f64) {
    let labels = [("listener", "http"), ("reason", reason)];
    vanne.metric_is("vanne_http2_floods_total", &labels, count).await;
}

#[tokio::test]
async fn frames_that_bring_nothing_end_only_their_own_connection() {
    let origin = Origin::fixed("x").await;
    let vanne = Vanne::with(&[origin.address], H2C).await;
    let mut other = Client2::connect(vanne.http).await;
    let mut count = 0.0;
    for (name, one) in [
        ("settings", frame(SETTINGS, 0, 0, b"")),
        ("ping", frame(PING, 0, 0, &[0; 8])),
        ("an answer to no ping", frame(PING, ACK, 0, &[0; 8])),
        ("window", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("priority", frame(PRIORITY, 0, 3, &[0; 5])),
        ("unknown", frame(0xfa, 0, 0, b"what is this?")),
    ] {
        let mut wire = raw(&vanne, b"").await;
        wire.send(one.repeat(2500)).await;
        assert_eq!(last_word(&mut wire).await, Some(Reason::ENHANCE_YOUR_CALM), "{name}");
        assert_eq!(other.get("/").await.status(), 200, "{name}");
        count += 1.0;
        floods_are(&vanne, "frames", count).await;
    }
    assert_eq!(origin.requests().len(), 6);
}

#[tokio::test]
async fn what_the_library_finds_too_much_is_counted_too() {
    let origin = Origin::silent().await;
    let vanne = Vanne::with(&[origin.address], H2C).await;
    let mut wire = raw(&vanne, b"").await;
    wire.send(frame(HEADERS, END_HEADERS, 1, POST)).await;
    wire.send(frame(DATA, 0, 1, b"").repeat(500)).await;
    assert_eq!(last_word(&mut wire).await, Some(Reason::ENHANCE_YOUR_CALM));
    floods_are(&vanne, "library", 1.0).await;
}

#[tokio::test]
async fn no_backend_hears_of_requests_that_are_reset_at_once() {
    let origin = Origin::fixed("x").await;
    let vanne = Vanne::with(&[origin.address], H2C).await;
    let mut wire = raw(&vanne, b"").await;
    let mut frames = Vec::new();
    for stream in (1..100).step_by(2) {
        frames.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, GET));
        frames.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
    }
    frames.extend(frame(HEADERS, END_HEADERS | END_STREAM, 101, GET));
    wire.send(frames).await;
    while next(&mut wire).await.expect("the connection goes on").0 != DATA {}
    assert_eq!(origin.requests().len(), 1);
    eventually("all lines", || (vanne.log_lines().len() == 51).then_some(())).await;
    let lines = vanne.log_lines();
    assert_eq!(lines.iter().filter(|line| line["end"] == "client_gone").count(), 50);
    assert!(lines.iter().all(|line| line["method"] == "GET"), "{lines:?}");
}

#[tokio::test]
async fn a_body_that_is_wrong_at_once_is_not_taken_for_a_client_that_left() {
    let origin = Origin::fixed("x").await;
    let vanne = Vanne::with(&[origin.address], H2C).await;
    let mut wire = raw(&vanne, b"").await;
    // content-length: 5
    let head = [POST, &[0x0f, 0x0d, 1, b'5']].concat();
    let frames = [frame(HEADERS, END_HEADERS, 1, &head), frame(DATA, END_STREAM, 1, b"abc")];
    wire.send(frames.concat()).await;
    let line = vanne.only_log().await;
    assert_eq!((&line["end"], &line["method"]), (&"malformed_body".into(), &"POST".into()));
    assert_eq!(origin.requests().len(), 0);
}

#[tokio::test]
async fn resets_of_requests_on_their_way_are_too_many_at_some_time() {
    let origin = Origin::silent().await;
    let vanne = Vanne::with(&[origin.address], H2C).await;
    let mut client = Client2::connect(vanne.http).await;
    for round in 1..=20 {
        let mut streams = Vec::new();
        while let (true, request) = (streams.len() < 100, client.request("GET", "/"))
            && let Some(stream) = client.try_send(request).await
        {
            streams.push(stream);
        }
        let have_come = || origin.requests().len() >= 100 * round || client.ended.is_finished();
        eventually("the backend has them", || have_come().then_some(())).await;
        for (answer, mut stream) in streams {
            stream.send_reset(Reason::CANCEL);
            drop(answer);
        }
    }
    assert!(origin.requests().len() < 2000);
    let ended = in_time("the end", &mut client.ended).await.unwrap();
    assert_eq!(reason(&ended.unwrap_err()), Some(Reason::ENHANCE_YOUR_CALM));
    floods_are(&vanne, "resets", 1.0).await;
}

#[tokio::test]
async fn resets_of_answers_under_way_cost_nothing() {
    let origin = Origin::stalling_after("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart").await;
    let vanne = Vanne::with(&[origin.address], H2C).await;
    let mut client = Client2::connect(vanne.http).await;
    for _ in 0..8 {
        let mut answers = Vec::new();
        for _ in 0..100 {
            let request = client.request("GET", "/");
            answers.push(client.send(request, true).await);
        }
        for (answer, mut stream) in answers {
            let answer = in_time("a head", answer).await.unwrap();
            stream.send_reset(Reason::CANCEL);
            drop(answer);
        }
        vanne.metric_is("vanne_requests_in_flight", &[], 0.0).await;
    }
    assert!(!client.ended.is_finished());
}

#[tokio::test]
async fn a_client_that_takes_what_it_asked_for_may_update_its_windows() {
    let origin = Origin::fixed(&"x".repeat(1024 * 1024)).await;
    let vanne = Vanne::with(&[origin.address], H2C).await;
    let mut wire = raw(&vanne, WIDE).await;
    wire.send(frame(WINDOW_UPDATE, 0, 0, &[0x3f, 0xff, 0xff, 0xff])).await;
    wire.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, GET)).await;
    let (mut parts, mut is_over) = (0, false);
    while !is_over {
        let (kind, flags, _) = next(&mut wire).await.expect("the connection goes on");
        is_over = kind == DATA && flags & END_STREAM != 0;
        if kind == DATA && !is_over {
            wire.send(frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).repeat(25)).await;
            parts += 1;
        }
    }
    assert!(parts >= 40, "{parts} parts: more updates than come for nothing");
    wire.send(frame(PING, 0, 0, b"the end.")).await;
    loop {
        let (kind, flags, payload) = next(&mut wire).await.expect("the connection goes on");
        assert_ne!(kind, GOAWAY);
        if kind == PING && flags == ACK {
            break assert_eq!(payload, b"the end.");
        }
    }
}

#[tokio::test]
async fn a_body_in_small_parts_that_nobody_takes_yet_is_no_flood() {
    const PARTS: usize = 10_000;
    let origin = Origin::start(|mut conn| async move {
        while let Some(request) = conn.request().await {
            if request.head.line.contains("/first") {
                return conn.note_end().await;
            }
            conn.send(ok(&request.body.bytes.len().to_string())).await;
        }
    })
    .await;
    let pool = "max_requests = 1\nqueue = { size = 2, timeout = \"10s\" }";
    let vanne = Vanne::with(&[origin.address], Settings { pool, ..H2C }).await;
    let mut first = Client2::connect(vanne.http).await;
    let request = first.request("GET", "/first");
    let (_, mut held) = first.send(request, true).await;
    origin.has_got(1).await;
    let mut wire = raw(&vanne, b"").await;
    // The larger window holds from the answer to the server's SETTINGS on.
    while next(&mut wire).await.expect("the connection goes on").0 != SETTINGS {}
    wire.send(frame(SETTINGS, ACK, 0, b"")).await;
    wire.send(frame(HEADERS, END_HEADERS, 1, POST)).await;
    wire.send(frame(DATA, 0, 1, &[b'x'; 20]).repeat(PARTS)).await;
    wire.send(frame(PING, 0, 0, b"all came")).await;
    while next(&mut wire).await.expect("the connection goes on").2 != b"all came" {}
    held.send_reset(Reason::CANCEL);
    wire.send(frame(DATA, END_STREAM, 1, b"")).await;
    let answer = loop {
        let (kind, _, payload) = next(&mut wire).await.expect("the connection goes on");
        if kind == DATA {
            break payload;
        }
    };
    assert_eq!(answer, (20 * PARTS).to_string().into_bytes());
}
