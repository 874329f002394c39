//! HTTP/1.1 on both sides: framing, keep-alive, and what is between the lines.

use crate::harness::{Client, End, Origin, Settings, Vanne, ask, noise, sha256};

#[tokio::test]
async fn connections_are_kept_on_both_sides() {
    let origin = Origin::fixed("hello").await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = Client::connect(vanne.http).await;
    for is_reused in [false, true, true] {
        let answer = client.get("/").await;
        assert_eq!((answer.status(), answer.text().as_str()), (200, "hello"));
        assert_eq!(vanne.log_of(answer.id()).await["attempts"][0]["reused"], is_reused);
    }
    assert_eq!(origin.only_connection_requests(), 3);
}

#[tokio::test]
async fn a_connection_is_closed_when_the_client_asks_for_it() {
    let origin = Origin::fixed("hello").await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = Client::connect(vanne.http).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let answer = client.answer("GET").await;
    assert_eq!(answer.head.field("connection"), Some("close"));
    assert_eq!(client.end().await, End::Closed);
}

#[tokio::test]
async fn a_backend_that_closes_each_connection_is_asked_on_a_new_one() {
    let origin = Origin::start(|mut conn| async move {
        conn.request().await;
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await;
    })
    .await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = Client::connect(vanne.http).await;
    for _ in 0..3 {
        let answer = client.get("/").await;
        assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
    }
    assert_eq!(origin.connections(), 3);
}

#[tokio::test]
async fn a_connection_that_brought_more_than_its_answer_is_not_used_again() {
    for more in ["x", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"] {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok{more}");
        let origin = Origin::answering(answer).await;
        let settings = Settings { process: "workers = 1", ..Settings::default() };
        let vanne = Vanne::with(&[origin.address], settings).await;
        for _ in 0..3 {
            assert_eq!(vanne.get("/").await.text(), "ok");
        }
        assert_eq!(origin.connections(), 3, "{more:?}");
    }
}

#[tokio::test]
async fn a_request_on_a_kept_connection_that_closes_is_sent_once_more() {
    // The first connection answers once, then closes under the second request.
    let origin = Origin::start(|mut conn| async move {
        conn.request().await;
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        if conn.index > 0 {
            while conn.request().await.is_some() {
                conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
        } else {
            conn.request_head().await;
        }
    })
    .await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = Client::connect(vanne.http).await;
    assert_eq!(client.get("/1").await.status(), 200);
    let second = client.get("/2").await;
    assert_eq!(second.status(), 200);
    assert_eq!(origin.connections(), 2);
    let line = vanne.log_of(second.id()).await;
    assert_eq!(line["attempts"].as_array().map(Vec::len), Some(2), "{line}");
}

#[tokio::test]
async fn a_post_on_a_kept_connection_that_closes_is_not_sent_again() {
    let origin = Origin::start(|mut conn| async move {
        conn.request().await;
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        conn.request().await;
    })
    .await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = Client::connect(vanne.http).await;
    assert_eq!(client.get("/1").await.status(), 200);
    client.send("POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc").await;
    assert_eq!(client.answer("POST").await.refusal(), (502, "backend_closed".into()));
    assert_eq!(origin.requests().len(), 2);
}

#[tokio::test]
async fn chunked_bodies_pass_both_ways() {
    let origin = Origin::start(|mut conn| async move {
        while let Some(request) = conn.request().await {
            assert_eq!(request.head.field("transfer-encoding"), Some("chunked"));
            assert_eq!(request.head.field("content-length"), None);
            conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            for part in request.body.bytes.chunks(1000) {
                conn.send_chunk(part).await;
            }
            conn.send_chunk("").await;
        }
    })
    .await;
    let vanne = Vanne::before(&[origin.address]).await;
    let body = noise(10_000);
    let mut client = Client::connect(vanne.http).await;
    for _ in 0..2 {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        for part in body.chunks(777) {
            client.send_chunk(part).await;
        }
        client.send_chunk("").await;
        let answer = client.answer("POST").await;
        assert!(answer.is_whole);
        assert_eq!(answer.head.field("transfer-encoding"), Some("chunked"));
        assert_eq!(sha256(&answer.body), sha256(&body));
    }
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn bodies_with_a_length_keep_it() {
    let origin = Origin::hashing().await;
    let vanne = Vanne::before(&[origin.address]).await;
    let body = noise(100_000);
    let mut client = Client::connect(vanne.http).await;
    client
        .send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()))
        .await;
    client.send(&body).await;
    assert_eq!(client.answer("PUT").await.text(), format!("{} {}", body.len(), sha256(&body)));
    assert_eq!(origin.only_request().field("content-length"), Some("100000"));
}

#[tokio::test]
async fn an_answer_to_head_has_no_body_and_keeps_its_length() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n").await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = Client::connect(vanne.http).await;
    for _ in 0..2 {
        client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = client.answer("HEAD").await;
        assert_eq!((answer.status(), answer.head.field("content-length")), (200, Some("1234")));
    }
    assert!(client.is_quiet());
    assert_eq!(origin.only_connection_requests(), 2);
}

#[tokio::test]
async fn answers_204_and_304_have_no_body_and_keep_the_connection() {
    for answer in [
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n",
    ] {
        let origin = Origin::answering(answer).await;
        let vanne = Vanne::before(&[origin.address]).await;
        let mut client = Client::connect(vanne.http).await;
        for _ in 0..3 {
            let got = client.get("/").await;
            assert_eq!(got.head.word(1), answer.split(' ').nth(1).unwrap());
            assert_eq!(got.head.field("transfer-encoding"), None, "{answer}");
        }
        assert!(client.is_quiet(), "{answer}");
        assert_eq!(origin.only_connection_requests(), 3, "{answer}");
    }
}

#[tokio::test]
async fn early_hints_pass_before_the_answer() {
    let origin = Origin::answering(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = Client::connect(vanne.http).await;
    let answer = client.get("/").await;
    assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
    assert_eq!(answer.informational.len(), 1, "{:?}", answer.informational);
    let hints = &answer.informational[0];
    assert_eq!((hints.status(), hints.field("link")), (103, Some("</a.css>; rel=preload")));
}

#[tokio::test]
async fn an_http_10_client_gets_no_informational_answers() {
    let origin = Origin::answering(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    let vanne = Vanne::before(&[origin.address]).await;
    let answer = ask(vanne.http, "GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
    assert_eq!(answer.informational.len(), 0, "{:?}", answer.informational);
}

#[tokio::test]
async fn a_client_that_expects_100_continue_gets_it_and_then_its_answer() {
    let origin = Origin::start(|mut conn| async move {
        while let Some(head) = conn.request_head().await {
            if head.field("expect").is_some() {
                conn.send("HTTP/1.1 100 Continue\r\n\r\n").await;
            }
            let body = conn.body(head.request_framing()).await;
            conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.bytes.len()))
                .await;
            conn.send(body.bytes).await;
        }
    })
    .await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = Client::connect(vanne.http).await;
    for _ in 0..2 {
        client
            .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
            .await;
        let head = client.head().await.unwrap();
        assert_eq!(head.status(), 100);
        client.send("hello").await;
        let answer = client.answer("POST").await;
        assert_eq!((answer.status(), answer.text().as_str()), (200, "hello"));
        assert_eq!(answer.informational.len(), 0, "a second 100: {:?}", answer.informational);
    }
}

#[tokio::test]
async fn a_backend_may_refuse_what_expects_100_continue_without_reading_it() {
    let origin = Origin::start(|mut conn| async move {
        conn.request_head().await;
        conn.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nno\n").await;
        conn.note_end().await;
    })
    .await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = Client::connect(vanne.http).await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        .await;
    let answer = client.answer("POST").await;
    assert_eq!((answer.status(), answer.text().as_str()), (413, "no\n"));
    assert_eq!(answer.informational.len(), 0, "{:?}", answer.informational);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::start(|mut conn| async move {
        while let Some(request) = conn.request().await {
            let target = request.head.word(1).to_owned();
            conn.send(crate::harness::origin::ok(&target)).await;
        }
    })
    .await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = Client::connect(vanne.http).await;
    let requests: String =
        (0..20).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    client.send(requests).await;
    for n in 0..20 {
        assert_eq!(client.answer("GET").await.text(), format!("/{n}"));
    }
}

#[tokio::test]
async fn a_pipelined_request_after_a_body_is_not_taken_for_a_part_of_it() {
    let origin = Origin::hashing().await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = Client::connect(vanne.http).await;
    client
        .send(
            "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
             POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
             2\r\nde\r\n0\r\n\r\n\
             GET /3 HTTP/1.1\r\nHost: a\r\n\r\n",
        )
        .await;
    for (method, body) in [("POST", "abc"), ("POST", "de"), ("GET", "")] {
        let expected = format!("{} {}", body.len(), sha256(body.as_bytes()));
        assert_eq!(client.answer(method).await.text(), expected);
    }
    let targets: Vec<_> = origin.requests().iter().map(|head| head.word(1).to_owned()).collect();
    assert_eq!(targets, ["/1", "/2", "/3"]);
}

#[tokio::test]
async fn an_http_10_client_gets_its_answer_and_the_end_of_the_connection() {
    let origin = Origin::fixed("hello").await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = Client::connect(vanne.http).await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    let answer = client.answer("GET").await;
    assert_eq!((answer.status(), answer.text().as_str()), (200, "hello"));
    assert_eq!(client.end().await, End::Closed);
}

#[tokio::test]
async fn an_http_10_client_may_keep_its_connection() {
    let origin = Origin::fixed("hello").await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = Client::connect(vanne.http).await;
    for _ in 0..2 {
        client.send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n").await;
        let answer = client.answer("GET").await;
        assert_eq!((answer.status(), answer.text().as_str()), (200, "hello"));
        assert_eq!(answer.head.field("connection"), Some("keep-alive"));
    }
}

#[tokio::test]
async fn an_http_10_client_gets_a_chunked_answer_without_chunks() {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    )
    .await;
    let vanne = Vanne::before(&[origin.address]).await;
    let request = "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n";
    let answer = ask(vanne.http, request).await;
    assert_eq!(answer.head.field("transfer-encoding"), None);
    assert_ne!(answer.head.field("connection"), Some("keep-alive"));
    assert_eq!((answer.text().as_str(), answer.is_whole), ("abcde", true));
}

#[tokio::test]
async fn a_body_that_ends_with_the_backends_connection_is_whole_for_the_client() {
    let origin = Origin::start(|mut conn| async move {
        conn.request().await;
        conn.send("HTTP/1.0 200 OK\r\n\r\nhello").await;
    })
    .await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = Client::connect(vanne.http).await;
    for _ in 0..2 {
        let answer = client.get("/").await;
        assert_eq!((answer.text().as_str(), answer.is_whole), ("hello", true));
        // Else the client could not tell a whole answer from a cut one.
        assert_eq!(answer.head.field("transfer-encoding"), Some("chunked"));
    }
}

#[tokio::test]
async fn what_a_client_sends_in_small_pieces_is_one_request() {
    let origin = Origin::hashing().await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = Client::connect(vanne.http).await;
    for byte in b"\r\nPOST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" {
        client.send([*byte]).await;
        tokio::task::yield_now().await;
    }
    let expected = format!("3 {}", sha256(b"abc"));
    assert_eq!(client.answer("POST").await.text(), expected);
}

#[tokio::test]
async fn a_target_and_fields_pass_as_they_came() {
    let origin = Origin::fixed("ok").await;
    let settings = Settings { route: "match = { path = \"/a\" }", ..Settings::default() };
    let vanne = Vanne::with(&[origin.address], settings).await;
    let target = "/a//b/%2e%2E/c;d=e/?q=%20&x=a+b&y";
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: a.test:81\r\nX-Twice: 1\r\nX-Twice: 2\r\n\
         X-Empty:\r\nCookie: a=b; c=d\r\nX-Utf8: \u{e9}\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(ask(vanne.http, &request).await.status(), 200);
    let head = origin.only_request();
    assert_eq!(head.word(1), target);
    assert_eq!(head.field("host"), Some("a.test:81"));
    assert_eq!(head.all("x-twice").collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(head.field("x-empty"), Some(""));
    assert_eq!(head.field("cookie"), Some("a=b; c=d"));
    assert_eq!(head.field("x-utf8"), Some("\u{e9}"));
}
