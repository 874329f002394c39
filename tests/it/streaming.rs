//! Bodies while they are on their way: nothing is collected, nothing is lost.

use crate::harness::{Client, Conn, Origin, Vanne, in_time, ms, noise, sha256};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

const LARGE: usize = 64 * 1024 * 1024;

#[tokio::test]
async fn a_large_body_goes_up_whole() {
    let origin = Origin::hashing().await;
    let vanne = Vanne::before(&[origin.address]).await;
    let body = noise(LARGE);
    let expected = format!("{LARGE} {}", sha256(&body));
    let mut client = Client::connect(vanne.http).await;
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n")).await;
    client.send(&body).await;
    let answer = client.answer("POST").await;
    assert_eq!(answer.text(), expected);
    let line = vanne.log_of(answer.id()).await;
    assert!(line["bytes_in"].as_u64().unwrap() > LARGE as u64, "{line}");
}

#[tokio::test]
async fn a_large_body_comes_down_whole() {
    let origin = Origin::start(|mut conn| async move {
        let body = noise(LARGE);
        while conn.request().await.is_some() {
            conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n")).await;
            conn.send(&body).await;
        }
    })
    .await;
    let vanne = Vanne::before(&[origin.address]).await;
    let answer = Client::connect(vanne.http).await.get("/").await;
    assert!(answer.is_whole);
    assert_eq!(sha256(&answer.body), sha256(&noise(LARGE)));
    let line = vanne.log_of(answer.id()).await;
    assert!(line["bytes_out"].as_u64().unwrap() > LARGE as u64, "{line}");
}

#[tokio::test]
async fn a_large_chunked_body_goes_up_and_down_at_once() {
    const PARTS: usize = 64;
    let origin = Origin::start(|mut conn| async move {
        conn.request_head().await;
        conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        // Chunk by chunk: nothing works here if the proxy waits for the end of either body.
        let mut whole = Vec::new();
        while whole.len() < PARTS * 100_000 {
            let line = conn.line().await.unwrap();
            let part = conn.exactly(usize::from_str_radix(&line, 16).unwrap()).await;
            conn.exactly(2).await;
            conn.send_chunk(&part).await;
            whole.extend(part);
        }
        assert_eq!(conn.exactly(5).await, b"0\r\n\r\n");
        conn.send_chunk("").await;
        conn.note_end().await;
    })
    .await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = Client::connect(vanne.http).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let part = noise(100_000);
    let head = client.head().await.unwrap();
    assert_eq!((head.status(), head.field("transfer-encoding")), (200, Some("chunked")));
    let mut came = Vec::new();
    for _ in 0..PARTS {
        client.send_chunk(&part).await;
        // However it is cut into chunks on its way.
        let mut left = part.len();
        while left > 0 {
            let length = usize::from_str_radix(&client.line().await.unwrap(), 16).unwrap();
            came.extend(client.exactly(length).await);
            client.exactly(2).await;
            left -= length;
        }
    }
    client.send_chunk("").await;
    assert_eq!(client.exactly(5).await, b"0\r\n\r\n");
    assert_eq!(sha256(&came), sha256(&part.repeat(PARTS)));
}

#[tokio::test]
async fn a_body_reaches_the_backend_before_it_is_complete() {
    let origin = Origin::start(|mut conn| async move {
        conn.request_head().await;
        assert_eq!(conn.exactly(5).await, b"first");
        conn.say("has the first part");
        assert_eq!(conn.exactly(6).await, b"second");
        conn.send(crate::harness::origin::ok("thanks")).await;
    })
    .await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = Client::connect(vanne.http).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nfirst").await;
    origin.says("has the first part").await;
    client.send("second").await;
    assert_eq!(client.answer("POST").await.text(), "thanks");
}

#[tokio::test]
async fn an_answer_reaches_the_client_while_it_still_sends() {
    let origin = Origin::start(|mut conn| async move {
        let Some(head) = conn.request_head().await else { return };
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nfirst").await;
        let body = conn.body(head.request_framing()).await;
        assert_eq!((body.is_whole, &body.bytes[..]), (true, &b"request"[..]));
        conn.send("second").await;
        conn.note_end().await;
    })
    .await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = Client::connect(vanne.http).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\nreq").await;
    assert_eq!(client.head().await.unwrap().status(), 200);
    assert_eq!(client.exactly(5).await, b"first");
    client.send("uest").await; // misspelt on purpose
    assert_eq!(client.exactly(6).await, b"second");
    assert_eq!(vanne.only_log().await["end"], "ok");
}

#[tokio::test]
async fn server_sent_events_arrive_when_they_are_sent() {
    const EVENTS: usize = 100;
    let began = Instant::now();
    let origin = Origin::start(move |mut conn| async move {
        conn.request().await;
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
            Transfer-Encoding: chunked\r\n\r\n";
        conn.send(head).await;
        for _ in 0..EVENTS {
            let event = format!("data: {:020}\n\n", began.elapsed().as_nanos());
            conn.send_chunk(event).await;
            tokio::time::sleep(ms(5)).await;
        }
        conn.send_chunk("").await;
    })
    .await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = Client::connect(vanne.http).await;
    client.send("GET /events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n").await;
    assert_eq!(client.head().await.unwrap().status(), 200);
    let (mut delays, mut text) = (Vec::new(), String::new());
    while delays.len() < EVENTS {
        // A chunk may hold more than one event if this machine was busy.
        let length = usize::from_str_radix(&client.line().await.unwrap(), 16).unwrap();
        text += &String::from_utf8(client.exactly(length).await).unwrap();
        client.exactly(2).await;
        let now = began.elapsed().as_nanos();
        while let Some((event, rest)) = text.split_once("\n\n") {
            let sent: u128 = event.trim_start_matches("data: ").parse().unwrap();
            delays.push(now - sent);
            text = rest.to_owned();
        }
    }
    delays.sort_unstable();
    // The median, since this machine has other things to do: buffering would show in each.
    let median = delays[EVENTS / 2];
    assert!(median < 5_000_000, "median {median} ns of {delays:?}");
}

#[tokio::test]
async fn a_slow_client_slows_the_backend_down() {
    // Back-pressure: what the client does not take, the proxy does not collect.
    let origin = Origin::start(|mut conn| async move {
        conn.request().await;
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
        let part = vec![0; 1_000_000];
        for sent in 0..1000 {
            if tokio::time::timeout(ms(300), conn.stream.write_all(&part)).await.is_err() {
                conn.say(&format!("stuck after {sent} MB"));
                break;
            }
        }
        conn.say("stuck");
        conn.note_end().await;
    })
    .await;
    let mut vanne = Vanne::before(&[origin.address]).await;
    let mut client = Client::connect(vanne.http).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.head().await.unwrap().status(), 200);
    origin.says("stuck").await;
    let id = vanne.process().id();
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kilobytes: usize = resident.split_whitespace().next().unwrap().parse().unwrap();
    assert!(kilobytes < 100_000, "{kilobytes} kB resident");
}

#[tokio::test]
async fn a_thousand_connections_are_served_at_once() {
    const CONNECTIONS: usize = 1000;
    raise_file_limit();
    // Each waits until all are there.
    let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(CONNECTIONS));
    let shared = std::sync::Arc::clone(&barrier);
    let origin = Origin::start(move |mut conn: Conn| {
        let barrier = std::sync::Arc::clone(&shared);
        async move {
            while conn.request().await.is_some() {
                in_time("all requests are there", barrier.wait()).await;
                conn.send(crate::harness::origin::ok("ok")).await;
            }
        }
    })
    .await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(Client::connect(vanne.http).await);
    }
    for _ in 0..2 {
        for client in &mut clients {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        }
        for client in &mut clients {
            assert_eq!(client.answer("GET").await.status(), 200);
        }
    }
    let open = vanne.metrics().await.value("vanne_connections_open", &[]);
    assert_eq!(open, Some(1000.0));
    drop(clients);
    vanne.is_idle().await;
}

/// Two ends of each connection are in this process.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}
