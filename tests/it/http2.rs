//! HTTP/2 with clients, in plain text by prior knowledge.

use crate::harness::http2::{Client2, reason, upload, whole};
use crate::harness::origin::ok;
use crate::harness::vanne::lane;
use crate::harness::{
    Client, Origin, Settings, Vanne, eventually, eventually_async, in_time, ms, noise, sha256,
    timed,
};
use bytes::Bytes;
use h2::Reason;
use http::{Method, Request};
use std::sync::Arc;
use tokio::sync::Notify;

const H2C: Settings<'static> = Settings {
    process: "",
    listener: "protocols = [\"h2\", \"http/1.1\"]",
    pool: "",
    route: "",
    more: "",
};

#[tokio::test]
async fn many_requests_at_once_on_one_connection_get_their_answers() {
    let origin = Origin::hashing().await;
    let vanne = Vanne::with(&[origin.address], H2C).await;
    let mut client = Client2::connect(vanne.http).await;
    let mut answers = Vec::new();
    for _ in 0..50 {
        let request = client.request("POST", "/x?y=1");
        let (answer, mut stream) = client.send(request, false).await;
        stream.send_data(Bytes::from_static(b"body"), true).unwrap();
        answers.push(answer);
    }
    for answer in answers {
        let answer = whole(answer).await.unwrap();
        assert_eq!((answer.status(), answer.text()), (200, format!("4 {}", sha256(b"body"))));
    }
    let first = || vanne.log_lines().into_iter().next();
    let line = eventually("a line in the access log", first).await;
    assert_eq!((&line["version"], &line["target"]), (&"HTTP/2".into(), &"/x?y=1".into()));
    assert_eq!(line["end"], "ok");
}

#[tokio::test]
async fn a_body_that_ends_in_an_empty_frame_leaves_no_stray_bytes() {
    let origin = Origin::hashing().await;
    let vanne = Vanne::with(&[origin.address], H2C).await;
    let mut client = Client2::connect(vanne.http).await;
    for _ in 0..5 {
        let request = client.request("POST", "/");
        let (answer, mut stream) = client.send(request, false).await;
        stream.send_data(Bytes::new(), false).unwrap();
        stream.send_data(Bytes::from_static(b"abc"), false).unwrap();
        stream.send_data(Bytes::new(), false).unwrap();
        stream.send_data(Bytes::new(), true).unwrap();
        let answer = whole(answer).await.unwrap();
        assert_eq!(answer.text(), format!("3 {}", sha256(b"abc")));
    }
    // The backend would have closed on stray bytes: all went over one connection.
    assert_eq!((origin.requests().len(), origin.connections()), (5, 1));
}

#[tokio::test]
async fn an_empty_body_in_a_frame_of_its_own_is_no_body() {
    let origin = Origin::hashing().await;
    let vanne = Vanne::with(&[origin.address], H2C).await;
    let mut client = Client2::connect(vanne.http).await;
    for _ in 0..3 {
        assert_eq!(client.post("/", "").await.text(), format!("0 {}", sha256(b"")));
    }
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn large_bodies_go_both_ways() {
    let body = noise(8 * 1024 * 1024);
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    let whole_answer = [answer.as_bytes(), &body].concat();
    let shared = std::sync::Arc::new(whole_answer);
    let origin = Origin::start(move |mut conn| {
        let shared = std::sync::Arc::clone(&shared);
        async move {
            while let Some(request) = conn.request().await {
                conn.say(&sha256(&request.body.bytes));
                conn.send(shared.as_slice()).await;
            }
        }
    })
    .await;
    let vanne = Vanne::with(&[origin.address], H2C).await;
    let mut client = Client2::connect(vanne.http).await;
    let request = client.request("POST", "/");
    let (answer, mut stream) = client.send(request, false).await;
    upload(&mut stream, &body).await;
    let answer = whole(answer).await.unwrap();
    assert_eq!(sha256(&answer.body), sha256(&body));
    origin.says(&sha256(&body)).await;
}

#[tokio::test]
async fn trailers_of_chunks_reach_a_stream_and_forbidden_ones_do_not() {
    // Pingora drops what comes after the last chunk of HTTP/1.
    if lane().as_deref() == Some("pingora") {
        return;
    }
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (chunks, body, trailers) in [
        ("2\r\nok\r\n0\r\nX-Sum: 7\r\nKeep-Alive: 5\r\nX-Sum: 8\r\n\r\n", "ok", &["7", "8"][..]),
        ("0\r\nX-Sum: 7\r\n\r\n", "", &["7"]),
        ("2\r\nok\r\n0\r\nKeep-Alive: 5\r\nUpgrade: x\r\n\r\n", "ok", &[]),
        ("2\r\nok\r\n0\r\n\r\n", "ok", &[]),
    ] {
        for step in [1, chunks.len()] {
            let origin = Origin::start(move |mut conn| async move {
                while conn.request().await.is_some() {
                    conn.send(head).await;
                    for piece in chunks.as_bytes().chunks(step) {
                        conn.send(piece).await;
                    }
                }
            })
            .await;
            let vanne = Vanne::with(&[origin.address], H2C).await;
            let mut client = Client2::connect(vanne.http).await;
            for _ in 0..2 {
                let answer = client.get("/").await;
                assert_eq!(answer.text(), body, "{chunks:?}");
                let got = answer.trailers.unwrap_or_default();
                assert_eq!(got.get_all("x-sum").iter().collect::<Vec<_>>(), trailers, "{chunks:?}");
                assert_eq!(got.len(), trailers.len(), "{got:?}");
            }
            assert_eq!(origin.connections(), 1, "the connection is kept");
        }
    }
}

#[tokio::test]
async fn trailers_that_frame_a_message_break_a_stream_off() {
    let has_head = Arc::new(Notify::new());
    let told = Arc::clone(&has_head);
    let origin = Origin::start(move |mut conn| {
        let told = Arc::clone(&told);
        async move {
            conn.request().await;
            conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n").await;
            told.notified().await;
            conn.send("0\r\nContent-Length: 3\r\n\r\n").await;
            conn.note_end().await;
        }
    })
    .await;
    let vanne = Vanne::with(&[origin.address], H2C).await;
    let mut client = Client2::connect(vanne.http).await;
    let request = client.request("GET", "/");
    let (answer, _) = client.send(request, true).await;
    let mut body = in_time("a head", answer).await.unwrap().into_body();
    has_head.notify_one();
    assert_eq!(in_time("a chunk", body.data()).await.unwrap().unwrap(), "ok");
    let rest = in_time("the end", body.data()).await;
    assert_eq!(rest.map(|data| data.unwrap_err().is_reset()), Some(true));
    origin.first_end().await;
}

#[tokio::test]
async fn the_backend_gets_one_host_one_cookie_and_no_pseudo_fields() {
    let origin = Origin::fixed("x").await;
    let vanne = Vanne::with(&[origin.address], H2C).await;
    let mut client = Client2::connect(vanne.http).await;
    let request = client
        .request("GET", "/a")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("te", "trailers");
    let (answer, _) = client.send(request, true).await;
    assert_eq!(whole(answer).await.unwrap().status(), 200);
    let head = origin.only_request();
    assert_eq!(head.all("cookie").collect::<Vec<_>>(), ["a=1; b=2"]);
    assert_eq!(head.all("host").collect::<Vec<_>>(), [vanne.http.to_string()]);
    assert_eq!(head.field("x-forwarded-host"), Some(vanne.http.to_string().as_str()));
    assert_eq!(head.field("te"), None);
    assert!(head.line.starts_with("GET /a HTTP/1.1"), "{}", head.line);
}

#[tokio::test]
async fn a_host_that_differs_from_the_authority_is_refused() {
    let origin = Origin::fixed("x").await;
    let vanne = Vanne::with(&[origin.address], H2C).await;
    let mut client = Client2::connect(vanne.http).await;
    let request = client.request("GET", "/").header("host", "other.example");
    let (answer, _) = client.send(request, true).await;
    let answer = whole(answer).await.unwrap();
    assert_eq!(answer.status(), 400);
    assert!(answer.text().contains("host_mismatch"), "{}", answer.text());
    assert!(origin.requests().is_empty());
    assert_eq!(client.get("/").await.status(), 200, "the connection goes on");
}

#[tokio::test]
async fn data_that_differs_from_its_length_is_refused() {
    let origin = Origin::hashing().await;
    let vanne = Vanne::with(&[origin.address], H2C).await;
    let mut client = Client2::connect(vanne.http).await;
    for body in [&b"abc"[..], b"abcdefg"] {
        let request = client.request("POST", "/").header("content-length", "5");
        let (answer, mut stream) = client.send(request, false).await;
        stream.send_data(Bytes::from_static(body), true).unwrap();
        // Refused by a reset, or by a 400 if the backend was asked already.
        match whole(answer).await {
            Ok(answer) => assert_eq!(answer.status(), 400),
            Err(error) => assert_eq!(reason(&error), Some(Reason::PROTOCOL_ERROR)),
        }
    }
    assert_eq!(client.get("/").await.status(), 200, "the connection goes on");
}

#[tokio::test]
async fn our_own_answers_go_over_http2() {
    let vanne = Vanne::with(&[], H2C).await;
    let mut client = Client2::connect(vanne.http).await;
    let answer = client.get("/").await;
    assert_eq!(answer.status(), 503);
    assert!(answer.text().contains("no_backend"));
    assert_eq!(answer.field("x-content-type-options"), Some("nosniff"));
    let request = client.request("HEAD", "/");
    let (answer, _) = client.send(request, true).await;
    let answer = whole(answer).await.unwrap();
    assert_eq!((answer.status(), answer.body.len()), (503, 0));
}

#[tokio::test]
async fn an_answer_that_is_cut_is_a_reset_and_other_streams_go_on() {
    let origin = Origin::start(|mut conn| async move {
        while let Some(request) = conn.request().await {
            if request.head.line.contains("/cut") {
                conn.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await;
                return;
            }
            conn.send(ok("fine").as_bytes()).await;
        }
    })
    .await;
    let vanne = Vanne::with(&[origin.address], H2C).await;
    let mut client = Client2::connect(vanne.http).await;
    let request = client.request("GET", "/cut");
    let (answer, _) = client.send(request, true).await;
    let error = whole(answer).await.unwrap_err();
    assert_eq!(reason(&error), Some(Reason::INTERNAL_ERROR));
    assert_eq!(client.get("/").await.text(), "fine");
    eventually("the line", || {
        vanne.log_lines().iter().any(|line| line["end"] == "backend_cut").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_the_client_resets_ends_at_the_backend() {
    let origin = Origin::silent().await;
    let vanne = Vanne::with(&[origin.address], H2C).await;
    let mut client = Client2::connect(vanne.http).await;
    let request = client.request("GET", "/");
    let (answer, mut stream) = client.send(request, true).await;
    origin.has_got(1).await;
    stream.send_reset(Reason::CANCEL);
    drop(answer);
    origin.first_end().await;
    assert_eq!(vanne.only_log().await["end"], "client_gone");
}

#[tokio::test]
async fn a_silent_backend_gives_504_over_http2() {
    let origin = Origin::silent().await;
    let settings = Settings { pool: "timeouts = { first_byte = \"300ms\" }", ..H2C };
    let vanne = Vanne::with(&[origin.address], settings).await;
    let mut client = Client2::connect(vanne.http).await;
    assert_eq!(client.get("/").await.status(), 504);
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_reset_and_the_backend_is_not_blamed() {
    let body = "x".repeat(4 * 1024 * 1024);
    let origin = Origin::fixed(&body).await;
    let listener = "protocols = [\"h2\"]\ntimeouts = { between_bytes = \"300ms\", idle = \"5s\" }";
    let vanne = Vanne::with(&[origin.address], Settings { listener, ..H2C }).await;
    let mut client = Client2::connect(vanne.http).await;
    let request = client.request("GET", "/");
    let (answer, _stream) = client.send(request, true).await;
    let answer = in_time("a head", answer).await.unwrap();
    eventually("the line", || {
        vanne.log_lines().iter().any(|line| line["end"] == "client_stalled").then_some(())
    })
    .await;
    drop(answer);
}

#[tokio::test]
async fn a_listener_speaks_the_protocols_it_names() {
    let origin = Origin::fixed("x").await;
    let only_h2 = Settings { listener: "protocols = [\"h2\"]", ..H2C };
    let vanne = Vanne::with(&[origin.address], only_h2).await;
    assert_eq!(vanne.get("/").await.refusal(), (505, "protocol_refused".to_owned()));
    assert_eq!(Client2::connect(vanne.http).await.get("/").await.status(), 200);
    let only_h1 = Vanne::before(&[origin.address]).await;
    assert_eq!(only_h1.get("/").await.status(), 200);
    let mut client = Client::connect(only_h1.http).await;
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert_eq!(client.answer("GET").await.refusal(), (505, "unknown_version".to_owned()));
}

#[tokio::test]
async fn a_client_that_says_nothing_or_half_a_preface_is_closed_at_its_deadline() {
    let listener =
        "protocols = [\"h2\", \"http/1.1\"]\ntimeouts = { head = \"300ms\", idle = \"600ms\" }";
    let vanne = Vanne::with(&[], Settings { listener, ..H2C }).await;
    let mut silent = Client::connect(vanne.http).await;
    let (took, _) = timed(silent.end()).await;
    assert!((ms(550)..ms(900)).contains(&took), "{took:?}");
    let mut half = Client::connect(vanne.http).await;
    half.send(b"PRI * HTTP/2.0\r\n").await;
    let (took, _) = timed(half.end()).await;
    assert!((ms(250)..ms(600)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn a_request_shorter_than_a_preface_is_answered_on_a_port_for_both() {
    let origin = Origin::fixed("old").await;
    let vanne = Vanne::with(&[origin.address], H2C).await;
    let mut client = Client::connect(vanne.http).await;
    client.send(b"GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(client.answer("GET").await.text(), "old");
}

#[tokio::test]
async fn an_idle_connection_is_told_goodbye_and_closed() {
    let origin = Origin::fixed("x").await;
    let listener = "protocols = [\"h2\"]\ntimeouts = { idle = \"300ms\" }";
    let vanne = Vanne::with(&[origin.address], Settings { listener, ..H2C }).await;
    let mut client = Client2::connect(vanne.http).await;
    assert_eq!(client.get("/").await.status(), 200);
    let ended = in_time("the end", &mut client.ended).await.unwrap();
    assert!(ended.is_ok(), "{ended:?}");
}

#[tokio::test]
async fn no_more_streams_are_open_than_max_streams() {
    let origin = Origin::fixed("x").await;
    let listener = "protocols = [\"h2\"]\nhttp2 = { max_streams = 7 }";
    let vanne = Vanne::with(&[origin.address], Settings { listener, ..H2C }).await;
    let mut client = Client2::connect(vanne.http).await;
    assert_eq!(client.get("/").await.status(), 200);
    assert_eq!(client.streams_max(), 7);
}

#[tokio::test]
async fn a_drain_says_goodbye_and_finishes_streams() {
    let origin = Origin::start(|mut conn| async move {
        while conn.request().await.is_some() {
            conn.say("asked");
            conn.send(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nfour").await;
            tokio::time::sleep(ms(400)).await;
            conn.send(b"more").await;
        }
    })
    .await;
    let mut vanne = Vanne::with(&[origin.address], H2C).await;
    let mut client = Client2::connect(vanne.http).await;
    let request = client.request("GET", "/");
    let (answer, _) = client.send(request, true).await;
    origin.says("asked").await;
    vanne.sigterm();
    assert_eq!(whole(answer).await.unwrap().text(), "fourmore");
    assert_eq!(vanne.exit_within(ms(2000)).await, 0);
}

#[tokio::test]
async fn a_websocket_goes_through_a_stream() {
    let origin = Origin::start(|mut conn| async move {
        let head = conn.request_head().await.unwrap();
        assert_eq!(head.field("upgrade"), Some("websocket"));
        assert!(
            head.line.starts_with("GET /chat HTTP/1.1")
                && head.field("sec-websocket-key").is_some()
        );
        conn.send(
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
              sec-websocket-accept: x\r\n\r\nhello",
        )
        .await;
        let echo = conn.exactly(4).await;
        conn.send(&echo).await;
        conn.note_end().await;
    })
    .await;
    let vanne = Vanne::with(&[origin.address], H2C).await;
    let mut client = Client2::connect(vanne.http).await;
    eventually_async("settings", async || client.may_tunnel().await.then_some(())).await;
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri(format!("http://{}/chat", vanne.http))
        .header("sec-websocket-version", "13");
    request.extensions_mut().unwrap().insert(h2::ext::Protocol::from_static("websocket"));
    let (answer, mut stream) = client.send(request, false).await;
    let (head, mut body) = in_time("the tunnel", answer).await.unwrap().into_parts();
    assert_eq!((head.status.as_u16(), head.headers.get("upgrade")), (200, None));
    assert_eq!(in_time("a frame", body.data()).await.unwrap().unwrap(), "hello");
    stream.send_data(Bytes::from_static(b"ping"), false).unwrap();
    assert_eq!(in_time("a frame", body.data()).await.unwrap().unwrap(), "ping");
    stream.send_data(Bytes::new(), true).unwrap();
    origin.first_end().await;
}

#[tokio::test]
async fn a_client_that_opens_and_resets_streams_without_end_is_cut_off() {
    let origin = Origin::silent().await;
    let vanne = Vanne::with(&[origin.address], H2C).await;
    let mut client = Client2::connect(vanne.http).await;
    for _ in 0..2000 {
        let request = client.request("GET", "/");
        let Some((answer, mut stream)) = client.try_send(request).await else { break };
        stream.send_reset(Reason::CANCEL);
        drop(answer);
    }
    let ended = in_time("the end", &mut client.ended).await.unwrap();
    assert_eq!(reason(&ended.unwrap_err()), Some(Reason::ENHANCE_YOUR_CALM));
}

#[tokio::test]
async fn a_list_of_fields_that_is_too_long_is_refused_and_the_connection_goes_on() {
    let origin = Origin::fixed("x").await;
    let vanne = Vanne::with(&[origin.address], H2C).await;
    let mut client = Client2::connect(vanne.http).await;
    let mut request = client.request("GET", "/");
    for at in 0..100 {
        request = request.header(format!("x-{at}"), "v".repeat(1000));
    }
    let (answer, _) = client.send(request, true).await;
    assert_eq!(whole(answer).await.unwrap().status(), 431);
    assert_eq!(client.get("/").await.status(), 200);
}

#[tokio::test]
async fn a_large_answer_starves_no_other_stream() {
    const LARGE: usize = 100 * 1024 * 1024;
    let origin = Origin::start(|mut conn| async move {
        while let Some(request) = conn.request().await {
            if !request.head.line.contains("/large") {
                conn.send(ok("small")).await;
                continue;
            }
            conn.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n")).await;
            let part = vec![b'x'; 64 * 1024];
            for _ in 0..LARGE / part.len() {
                conn.send(&part).await;
            }
        }
    })
    .await;
    let vanne = Vanne::with(&[origin.address], H2C).await;
    let mut client = Client2::connect(vanne.http).await;
    let request = client.request("GET", "/large");
    let (answer, _) = client.send(request, true).await;
    let mut body = in_time("a head", answer).await.unwrap().into_body();
    let large = tokio::spawn(async move {
        let mut count = 0;
        while let Some(data) = in_time("a part", body.data()).await {
            let data = data.unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            count += data.len();
        }
        count
    });
    let mut rounds = 0;
    while !large.is_finished() {
        let (took, ()) = timed(async {
            let mut answers = Vec::new();
            for _ in 0..99 {
                let request = client.request("GET", "/small");
                answers.push(client.send(request, true).await.0);
            }
            for answer in answers {
                assert_eq!(whole(answer).await.unwrap().text(), "small");
            }
        })
        .await;
        assert!(took < ms(3000), "99 small answers took {took:?}");
        rounds += 1;
    }
    assert_eq!(large.await.unwrap(), LARGE);
    assert!(rounds > 1, "the others had their turn meanwhile");
}
