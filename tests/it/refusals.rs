//! What Vanne refuses without asking a backend.

use crate::harness::ports::Port;
use crate::harness::{Client, End, Origin, Settings, Vanne, ask, ms};

/// Requests that are refused for each fault that a head can have.
pub(crate) const FAULTS: [(&str, u16, &str); 33] = [
    ("GET / HTTP/1.1\nHost: a\n\n", 400, "bare_line_end"),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400, "bare_line_end"),
    ("GET / HTTP/1.1\r\nHost: a\r\nName : x\r\n\r\n", 400, "blank_before_colon"),
    ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "coding_in_http10"),
    ("GET / HTTP/1.1\r\nHost: a\r\nName: x\u{0}\r\n\r\n", 400, "control_in_field"),
    ("GET / HTTP/1.1\r\nHost: a\r\nName: x\r\n folded\r\n\r\n", 400, "folded_line"),
    ("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", 400, "host_mismatch"),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "length_and_coding",
    ),
    ("nonsense\r\n\r\n", 400, "malformed_head"),
    ("GET\r\nHost: a\r\n\r\n", 400, "malformed_head"),
    ("GET /\r\nHost: a\r\n\r\n", 400, "malformed_head"),
    ("GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400, "malformed_field"),
    ("GET / HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n", 400, "malformed_field"),
    ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "malformed_host"),
    ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "malformed_host"),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 4\r\n\r\nabc", 400, "malformed_length"),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc", 400, "malformed_length"),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\nabc", 400, "malformed_length"),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc", 400, "malformed_length"),
    ("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "malformed_method"),
    ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "malformed_target"),
    ("GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n", 400, "malformed_target"),
    ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "malformed_target"),
    ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "malformed_target"),
    ("GET / HTTP/1.1\r\n\r\n", 400, "missing_host"),
    ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, "missing_host"),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        400,
        "several_codings",
    ),
    ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "several_hosts"),
    ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "several_hosts"),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        400,
        "several_lengths",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
        501,
        "unknown_coding",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        501,
        "unknown_coding",
    ),
    ("GET / HTTP/3.7\r\nHost: a\r\n\r\n", 505, "unknown_version"),
];

#[tokio::test]
async fn each_fault_of_a_head_has_its_reason_and_ends_the_connection() {
    let origin = Origin::fixed("ok").await;
    let vanne = Vanne::before(&[origin.address]).await;
    for (request, status, reason) in FAULTS {
        let mut client = Client::connect(vanne.http).await;
        client.send(request).await;
        let answer = client.answer("GET").await;
        assert_eq!(answer.refusal(), (status, reason.into()), "{request:?}");
        assert_eq!(answer.head.field("connection"), Some("close"), "{request:?}");
        assert_eq!(client.end().await, End::Closed, "{request:?}");
        let line = vanne.log_of(answer.id()).await;
        assert_eq!((&line["status"], &line["end"]), (&status.into(), &reason.into()));
        assert_eq!(line["by"], "client");
    }
    let counted = [("reason", "several_hosts")];
    vanne.metric_is("vanne_refusals_total", &counted, 2.0).await;
    assert_eq!(origin.connections(), 0, "a backend saw one");
    assert_eq!(ask(vanne.http, "GET / HTTP/1.0\r\n\r\n").await.status(), 200);
}

#[tokio::test]
async fn a_malformed_chunk_is_not_passed_on_as_a_whole_body() {
    let origin = Origin::start(|mut conn| async move {
        let Some(head) = conn.request_head().await else { return };
        conn.say("begun");
        let body = conn.body(head.request_framing()).await;
        assert!(!body.is_whole, "{body:?}");
        conn.say("cut");
    })
    .await;
    let vanne = Vanne::before(&[origin.address]).await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let (good, bad) = ("3\r\nabc\r\n", "xyz\r\n0\r\n\r\n");
    // What is wrong as soon as it comes reaches nobody.
    let answer = ask(vanne.http, &format!("{head}{good}{bad}")).await;
    assert_eq!(answer.refusal(), (400, "malformed_chunk_size".into()));
    assert_eq!(origin.connections(), 0);
    let mut client = Client::connect(vanne.http).await;
    client.send(&format!("{head}{good}")).await;
    origin.says("begun").await;
    client.send(bad).await;
    assert_eq!(client.answer("POST").await.refusal(), (400, "malformed_chunk_size".into()));
    origin.says("cut").await;
}

#[tokio::test]
async fn each_fault_of_a_chunked_body_has_its_reason() {
    let origin = Origin::fixed("ok").await;
    let vanne = Vanne::before(&[origin.address]).await;
    for (body, reason) in [
        ("0x3\r\nabc\r\n0\r\n\r\n", "malformed_chunk_size"),
        ("ffffffffffffffff\r\nabc", "malformed_chunk_size"),
        ("3;a\u{0}\r\nabc\r\n0\r\n\r\n", "malformed_chunk_extension"),
        ("3\nabc\r\n0\r\n\r\n", "malformed_chunk_end"),
        ("3\r\nabcd\r\n0\r\n\r\n", "malformed_chunk_end"),
        ("3\r\nabc\r\n0\r\nno colon\r\n\r\n", "malformed_trailer"),
        ("3\r\nabc\r\n0\r\nContent-Length: 3\r\n\r\n", "framing_trailer"),
    ] {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let answer = ask(vanne.http, &format!("{head}{body}")).await;
        assert_eq!(answer.refusal(), (400, reason.into()), "{body:?}");
        assert_eq!(vanne.log_of(answer.id()).await["by"], "client");
    }
    assert_eq!(origin.connections(), 0, "a backend saw one");
}

#[tokio::test]
async fn a_head_that_is_too_large_gets_431() {
    let origin = Origin::fixed("ok").await;
    let vanne = Vanne::before(&[origin.address]).await;
    let field = "x".repeat(100 * 1024);
    let answer = ask(vanne.http, &format!("GET / HTTP/1.1\r\nHost: a\r\nX: {field}\r\n\r\n")).await;
    assert_eq!(answer.refusal(), (431, "head_too_large".into()));
    let field = "x".repeat(30 * 1024);
    let answer = ask(vanne.http, &format!("GET / HTTP/1.1\r\nHost: a\r\nX: {field}\r\n\r\n")).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn connect_and_trace_are_refused() {
    let origin = Origin::fixed("ok").await;
    let vanne = Vanne::before(&[origin.address]).await;
    for (method, target) in [("CONNECT", "a.test:443"), ("TRACE", "/")] {
        let request = format!("{method} {target} HTTP/1.1\r\nHost: a.test:443\r\n\r\n");
        let answer = ask(vanne.http, &request).await;
        assert_eq!(answer.refusal(), (405, "method_refused".into()), "{method}");
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn an_empty_pool_gets_503_no_backend() {
    let vanne = Vanne::before(&[]).await;
    let answer = vanne.get("/").await;
    assert_eq!(answer.refusal(), (503, "no_backend".into()));
    let line = vanne.log_of(answer.id()).await;
    assert_eq!((&line["route"], &line["pool"]), (&"all".into(), &"app".into()));
    assert_eq!((&line["end"], &line["by"]), (&"no_backend".into(), &"vanne".into()));
    assert_eq!(
        (&line["backend"], line["attempts"].as_array().map(Vec::len)),
        (&().into(), Some(0))
    );
}

#[tokio::test]
async fn a_connection_beyond_max_connections_gets_503_and_is_closed() {
    let origin = Origin::fixed("ok").await;
    let settings = Settings { listener: "max_connections = 2", ..Settings::default() };
    let vanne = Vanne::with(&[origin.address], settings).await;
    let mut first = Client::connect(vanne.http).await;
    let mut second = Client::connect(vanne.http).await;
    assert_eq!(first.get("/").await.status(), 200);
    assert_eq!(second.get("/").await.status(), 200);
    let mut third = Client::connect(vanne.http).await;
    let answer = third.answer("GET").await;
    assert_eq!(answer.refusal(), (503, "too_many_connections".into()));
    assert_eq!(third.end().await, End::Closed);
    let line = vanne.log_of(answer.id()).await;
    assert_eq!((&line["end"], &line["by"]), (&"too_many_connections".into(), &"vanne".into()));
    assert_eq!(first.get("/").await.status(), 200);
    drop(third);
    drop(second);
    vanne.metric_is("vanne_connections_open", &[], 1.0).await;
    assert_eq!(vanne.get("/").await.status(), 200);
}

#[tokio::test]
async fn a_refusal_keeps_the_connection_if_the_request_was_whole() {
    let vanne = Vanne::before(&[]).await;
    let mut client = Client::connect(vanne.http).await;
    for _ in 0..3 {
        assert_eq!(client.get("/").await.refusal(), (503, "no_backend".into()));
    }
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = client.answer("HEAD").await;
    assert_eq!(answer.status(), 503);
    assert!(client.is_quiet());
    // What follows could be the body or the next request: nobody knows, so it is closed.
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n").await;
    assert_eq!(client.answer("POST").await.refusal(), (503, "no_backend".into()));
    client.send("GET / HTTP/").await;
    let ended = tokio::time::timeout(ms(3000), client.end()).await;
    assert!(ended.is_ok(), "the connection stays open");
}

#[tokio::test]
async fn who_asks_for_json_is_told_of_a_problem_and_all_others_one_line() {
    let port = Port::take();
    let vanne = Vanne::before(&[port.address]).await;
    let browser = "text/html,application/xhtml+xml,*/*;q=0.8";
    for accept in [browser, "*/*", "text/plain, application/json;q=0.5"] {
        let request = format!("GET / HTTP/1.0\r\nHost: a\r\nAccept: {accept}\r\n\r\n");
        assert_eq!(ask(vanne.http, &request).await.refusal(), (502, "connect_refused".into()));
    }
    let of_two = "image/png\r\nAccept: application/json";
    for accept in ["application/json, text/plain, */*", "application/problem+json", of_two] {
        // After an attempt, and before a route is looked for.
        for (line, status, title, reason) in [
            ("GET / HTTP/1.0\r\nHost: a", 502, "Bad Gateway", "connect_refused"),
            ("TRACE / HTTP/1.0\r\nHost: a", 405, "Method Not Allowed", "method_refused"),
        ] {
            let answer = ask(vanne.http, &format!("{line}\r\nAccept: {accept}\r\n\r\n")).await;
            let wanted = serde_json::json!({
                "type": "about:blank",
                "title": title,
                "status": status,
                "reason": reason,
                "request_id": answer.id(),
            });
            let told: serde_json::Value = serde_json::from_str(&answer.text()).unwrap();
            assert_eq!((answer.status(), told), (status, wanted));
            assert_eq!(answer.head.field("content-type"), Some("application/problem+json"));
            assert_eq!(answer.head.field("cache-control"), Some("no-store"));
            assert_eq!(vanne.log_of(answer.id()).await["end"], reason);
        }
    }
}
