//! The web application firewall and bodies: what is held back, for how long, and what is not.

use crate::harness::http2::{Client2, upload, whole};
use crate::harness::origin2::Origin2;
use crate::harness::{Answer, Client, End, Origin, Settings, Vanne, ask, sha256};
use crate::waf::{config, guarded, is_refused, rules_of};
use bytes::Bytes;

const FORM: &str = "application/x-www-form-urlencoded";

/// A request with this body, whole.
fn post(kind: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

/// The same in chunks of so many bytes.
fn post_chunks(body: &str, size: usize) -> String {
    let chunk = |part: &[u8]| format!("{:x}\r\n{}\r\n", part.len(), String::from_utf8_lossy(part));
    let chunks: String = body.as_bytes().chunks(size).map(chunk).collect();
    format!(
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-type: {FORM}\r\n\
         transfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
    )
}

fn hashed(body: &str) -> String {
    format!("{} {}", body.len(), sha256(body.as_bytes()))
}

fn is_whole(answer: &Answer, body: &str) -> bool {
    answer.status() == 200 && answer.text() == hashed(body)
}

#[tokio::test]
async fn forms_json_and_multipart_are_read_and_pass_as_they_came() {
    let origin = Origin::hashing().await;
    let (vanne, _rules) = guarded(&origin, "").await;
    let parts = |text: &str| {
        format!("--b\r\ncontent-disposition: form-data; name=\"f\"\r\n\r\n{text}\r\n--b--\r\n")
    };
    let multipart = "multipart/form-data; boundary=b";
    for (kind, bad, good) in [
        (FORM, "a=1&b=an+attack".to_owned(), "a=1&b=two".to_owned()),
        ("application/json", "{\"a\":[\"attack\"]}".to_owned(), "{\"a\":[1]}".to_owned()),
        (multipart, parts("attack"), parts("fine")),
    ] {
        let answer = ask(vanne.http, &post(kind, &bad)).await;
        assert!(is_refused(&answer), "{kind}: {answer:?}");
        let answer = ask(vanne.http, &post(kind, &good)).await;
        assert!(is_whole(&answer, &good), "{kind}: {answer:?}");
    }
    // Nobody reads what is of another type: it is not held back either.
    let answer = ask(vanne.http, &post("application/octet-stream", "attack")).await;
    assert!(is_whole(&answer, "attack"), "{answer:?}");
    assert_eq!(origin.requests().len(), 4);
}

#[tokio::test]
async fn a_body_is_the_same_however_it_is_split() {
    let origin = Origin::hashing().await;
    let (vanne, _rules) = guarded(&origin, "").await;
    for (body, is_bad) in [("a=1&b=%61ttack", true), ("a=1&b=%61ttrack", false)] {
        let request = post(FORM, body);
        for at in request.len() - body.len()..request.len() {
            let mut client = Client::connect(vanne.http).await;
            let (first, second) = request.split_at(at);
            client.send(first).await;
            tokio::task::yield_now().await;
            client.send(second).await;
            let answer = client.answer("POST").await;
            assert_eq!(is_refused(&answer), is_bad, "{at}");
            assert!(is_bad || is_whole(&answer, body), "{at}: {answer:?}");
        }
        for size in [1, 2, 5, 100] {
            let answer = ask(vanne.http, &post_chunks(body, size)).await;
            assert_eq!(is_refused(&answer), is_bad, "{size}");
            assert!(is_bad || is_whole(&answer, body), "{size}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_longer_body_than_is_looked_at_is_refused_or_its_first_part_is_looked_at() {
    let origin = Origin::hashing().await;
    let long = format!("a={}", "x".repeat(100_000));
    let (vanne, _rules) = guarded(&origin, "body = { max = \"1KiB\" }").await;
    for request in [post(FORM, &long), post_chunks(&long, 4000)] {
        let answer = ask(vanne.http, &request).await;
        assert_eq!(answer.refusal(), (413, "waf_body_too_large".into()));
    }
    let labels = [("waf", "main"), ("verdict", "too_large")];
    vanne.metric_is("vanne_waf_requests_total", &labels, 2.0).await;
    let body = "body = { max = \"1KiB\", above = \"first-part\" }";
    let (vanne, _rules) = guarded(&origin, body).await;
    let (early, late) = (format!("b=attack&{long}"), format!("{long}&b=attack"));
    for request in [post(FORM, &early), post_chunks(&early, 4000)] {
        assert!(is_refused(&ask(vanne.http, &request).await));
    }
    for request in [post(FORM, &late), post_chunks(&late, 4000)] {
        let answer = ask(vanne.http, &request).await;
        assert!(is_whole(&answer, &late), "{answer:?}");
    }
}

#[tokio::test]
async fn large_bodies_are_inspected_beside_the_traffic_and_pass_as_they_came() {
    let origin = Origin::hashing().await;
    let waf = "body = { max = \"1MiB\" }\ntime_budget = \"60s\"";
    let (vanne, _rules) = guarded(&origin, waf).await;
    let good = format!("a={}", "x".repeat(200_000));
    for request in [post(FORM, &good), post_chunks(&good, 9000)] {
        let answer = ask(vanne.http, &request).await;
        assert!(is_whole(&answer, &good), "{answer:?}");
    }
    let bad = format!("{good}&b=attack");
    assert!(is_refused(&ask(vanne.http, &post(FORM, &bad)).await));
    let mut client = Client2::connect(vanne.http).await;
    for (body, status) in [(&good, 200), (&bad, 403)] {
        let request = client.request("POST", "/").header("content-type", FORM);
        let (answer, mut stream) = client.send(request, false).await;
        upload(&mut stream, body.as_bytes()).await;
        let answer = whole(answer).await.unwrap();
        assert_eq!(answer.status(), status);
        assert!(status == 403 || answer.text() == hashed(body));
    }
}

#[tokio::test]
async fn who_is_over_its_budget_is_refused_or_passes() {
    let origin = Origin::hashing().await;
    // So much is not looked at within a millisecond, not in so many ways.
    let body = format!("a={}", "x%20".repeat(1_000_000));
    let ways = ["t:urlDecodeUni", "t:htmlEntityDecode", "t:jsDecode", "t:cssDecode", "t:lowercase"];
    let rule = |(at, way): (usize, &&str)| {
        format!("SecRule REQUEST_BODY \"@contains attack\" \"id:{},phase:2,deny,{way}\"\n", at + 1)
    };
    let (_folder, path) = rules_of(&ways.iter().enumerate().map(rule).collect::<String>());
    let waf = "body = { max = \"16MiB\" }\ntime_budget = \"1ms\"\n";
    let vanne = Vanne::start(&config(&origin, &path, waf, "")).await;
    let answer = ask(vanne.http, &post(FORM, &body)).await;
    assert_eq!(answer.refusal(), (503, "waf_over_budget".into()));
    let waf = format!("{waf}when_over = \"open\"");
    let vanne = Vanne::start(&config(&origin, &path, &waf, "")).await;
    let answer = ask(vanne.http, &post(FORM, &body)).await;
    assert!(is_whole(&answer, &body), "{}", answer.status());
    let labels = [("waf", "main"), ("verdict", "over_passed")];
    vanne.metric_is("vanne_waf_requests_total", &labels, 1.0).await;
}

#[tokio::test]
async fn what_says_that_it_is_a_call_is_read_where_no_call_can_be_made() {
    let rules = "SecAction \"id:1,phase:1,pass,nolog,ctl:forceRequestBodyVariable=On\"\n\
                 SecRule REQUEST_BODY \"@contains attack\" \"id:2,phase:2,deny\"\n";
    let (_folder, path) = rules_of(rules);
    let more = format!("[waf.main]\nrules = [{path:?}]");
    let listener = "protocols = [\"h2\"]";
    let settings =
        Settings { listener, route: "waf = \"main\"", more: &more, ..Settings::default() };
    let origin = Origin::hashing().await;
    let vanne = Vanne::with(&[origin.address], settings).await;
    let mut client = Client2::connect(vanne.http).await;
    for kinds in
        [&["application/grpc"][..], &["application/grpc", FORM], &["application/grpc+json"]]
    {
        let head = client.request("POST", "/s/M");
        let head = kinds.iter().fold(head, |head, kind| head.header("content-type", *kind));
        let (answer, mut stream) = client.send(head, false).await;
        stream.send_data(Bytes::from_static(b"a=attack"), true).unwrap();
        let answer = whole(answer).await.unwrap();
        assert!(answer.status() == 403 || answer.field("grpc-status") == Some("7"), "{kinds:?}");
    }
    assert!(origin.requests().is_empty());
}

#[tokio::test]
async fn a_client_that_waits_for_100_is_told_to_go_on() {
    let origin = Origin::hashing().await;
    let (vanne, _rules) = guarded(&origin, "").await;
    for (body, is_bad) in [("a=attack", true), ("a=fine", false)] {
        let request = post(FORM, body).replace("host: a", "host: a\r\nexpect: 100-continue");
        let head = request.strip_suffix(body).unwrap();
        let mut client = Client::connect(vanne.http).await;
        client.send(head).await;
        assert_eq!(client.head().await.unwrap().status(), 100);
        client.send(body).await;
        let answer = client.answer("POST").await;
        assert_eq!(is_refused(&answer), is_bad);
        assert!(is_bad || is_whole(&answer, body), "{answer:?}");
    }
    assert_eq!(origin.only_request().field("expect"), None);
}

#[tokio::test]
async fn a_client_that_leaves_or_breaks_its_body_while_it_is_read_reaches_no_backend() {
    let origin = Origin::hashing().await;
    let (vanne, _rules) = guarded(&origin, "").await;
    let mut client = Client::connect(vanne.http).await;
    client.send(post(FORM, "a=1&b=2").trim_end_matches("b=2")).await;
    client.into_wire().shut().await;
    let ended = crate::harness::eventually("a line", || {
        vanne.log_lines().into_iter().find(|line| line["end"] == "client_gone")
    });
    assert_eq!(ended.await["attempts"], serde_json::json!([]));
    let broken = "POST / HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-www-form-urlencoded\r\n\
                  transfer-encoding: chunked\r\n\r\n1\r\na\r\n";
    let mut client = Client::connect(vanne.http).await;
    client.send(broken).await;
    tokio::task::yield_now().await;
    client.send("zz\r\n").await;
    assert_eq!(client.answer("POST").await.refusal().0, 400);
    assert_eq!(origin.requests().len(), 0);
}

#[tokio::test]
async fn a_client_that_stalls_while_its_body_is_read_gets_408() {
    let origin = Origin::hashing().await;
    let (_folder, path) = rules_of("SecRule ARGS \"@contains attack\" \"id:1,phase:2,deny\"\n");
    let config = config(&origin, &path, "", "")
        .replace("address = \"@http\"", "address = \"@http\"\ntimeouts.between_bytes = \"200ms\"");
    let vanne = Vanne::start(&config).await;
    let mut client = Client::connect(vanne.http).await;
    client.send(post(FORM, "a=1").trim_end_matches('1')).await;
    assert_eq!(client.answer("POST").await.refusal(), (408, "client_stalled".into()));
    assert_eq!(origin.requests().len(), 0);
}

#[tokio::test]
async fn a_request_whose_body_was_looked_at_is_tried_again_with_the_same_body() {
    let closing = Origin::start(|mut conn| async move {
        drop(conn.request().await);
    })
    .await;
    let hashing = Origin::hashing().await;
    let (_folder, path) = rules_of("SecRule ARGS \"@contains attack\" \"id:1,phase:2,deny\"\n");
    let more = format!("[waf.main]\nrules = [{path:?}]");
    let pool = "retries.on = [\"reset\"]";
    let settings = Settings { pool, route: "waf = \"main\"", more: &more, ..Settings::default() };
    let vanne = Vanne::with(&[closing.address, hashing.address], settings).await;
    let body = format!("a={}", "x".repeat(5000));
    for _ in 0..4 {
        let request = post(FORM, &body).replace("POST", "PUT");
        let answer = ask(vanne.http, &request).await;
        assert!(is_whole(&answer, &body), "{answer:?}");
    }
    assert!(!closing.requests().is_empty());
}

#[tokio::test]
async fn calls_and_tunnels_are_not_held_back() {
    let rules = "SecRule REQUEST_HEADERS:X-Probe \"@contains attack\" \"id:1,phase:1,deny\"\n\
                 SecAction \"id:2,phase:1,pass,nolog,ctl:forceRequestBodyVariable=On\"\n";
    let (_folder, path) = rules_of(rules);
    let more = format!("[waf.main]\nrules = [{path:?}]");
    let base = Settings { route: "waf = \"main\"", more: &more, ..Settings::default() };
    let origin = Origin2::calling("0").await;
    let settings = Settings { listener: "protocols = [\"h2\"]", pool: "protocol = \"h2\"", ..base };
    let vanne = Vanne::with(&[origin.address], settings).await;
    let mut client = Client2::connect(vanne.http).await;
    let call = || {
        let request = client.request("POST", "/s/M").header("content-type", "application/grpc");
        request.header("te", "trailers")
    };
    let (refused, passed) = (call().header("x-probe", "attack"), call());
    let (answer, _stream) = client.send(refused, false).await;
    assert_eq!(whole(answer).await.unwrap().field("grpc-status"), Some("7"));
    let (answer, mut stream) = client.send(passed, false).await;
    // The backend has the call before the client has ended it.
    crate::harness::eventually("a call", || (!origin.heads().is_empty()).then_some(())).await;
    stream.send_data(Bytes::from_static(b"\0\0\0\0\0"), true).unwrap();
    assert_eq!(whole(answer).await.unwrap().status(), 200);
    let echo = crate::websocket::echo().await;
    let vanne = Vanne::with(&[echo.address], base).await;
    let mut client = crate::websocket::connected(&vanne).await;
    crate::websocket::echoes(&mut client, b"attack").await;
    let mut client = Client::connect(vanne.http).await;
    let handshake = crate::harness::frames::HANDSHAKE;
    client.send(handshake.replacen("\r\n", "\r\nx-probe: attack\r\n", 1)).await;
    assert_eq!(client.answer("GET").await.refusal(), (403, "waf_refused".into()));
    // A body stays one, whatever the head says of tunnels.
    let (_other, path) = rules_of("SecRule ARGS \"@contains attack\" \"id:1,phase:2,deny\"\n");
    let more = format!("[waf.main]\nrules = [{path:?}]");
    let vanne = Vanne::with(&[echo.address], Settings { more: &more, ..base }).await;
    let claims = "host: a\r\nconnection: upgrade\r\nupgrade: websocket";
    let answer = ask(vanne.http, &post(FORM, "a=attack").replace("host: a", claims)).await;
    assert!(is_refused(&answer), "{answer:?}");
}

#[tokio::test]
async fn events_of_a_guarded_route_come_as_they_are_sent() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n";
    let origin = Origin::stalling_after(head).await;
    let (vanne, _rules) = guarded(&origin, "").await;
    let mut client = Client::connect(vanne.http).await;
    client.send("GET /events HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.head().await.unwrap().status(), 200);
    let mut wire = client.into_wire();
    assert!(wire.line().await.is_some_and(|line| !line.is_empty()));
    drop(wire);
    assert_ne!(origin.first_end().await.0, End::Reset);
}

#[tokio::test]
async fn beside_the_core_rule_set_what_cannot_be_inspected_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("rules")).unwrap();
    std::fs::write(folder.path().join("crs-setup.conf"), "").unwrap();
    let rule = "SecRule ARGS \"@contains attack\" \"id:942999,phase:2,deny,log\"\n";
    std::fs::write(folder.path().join("rules/REQUEST-942-X.conf"), rule).unwrap();
    let origin = Origin::hashing().await;
    let crs = folder.path();
    let more =
        format!("[waf.main]\ncrs = {crs:?}\nbody = {{ max = \"40KiB\", above = \"first-part\" }}");
    let settings = Settings { route: "waf = \"main\"", more: &more, ..Settings::default() };
    let vanne = Vanne::with(&[origin.address], settings).await;
    let many = |count: usize| "a=1&".repeat(count) + "b=2";
    let (json, form) = ("application/json", "application/x-www-form-urlencoded");
    let part = |before: &str| {
        format!("{before}--b\r\ncontent-disposition: form-data; name=\"f\"\r\n\r\nx\r\n--b--\r\n")
    };
    for (kind, body, is_bad) in [
        (json, "{\"a\":1}".to_owned(), false),
        (json, "{\"a\":/**/1}".to_owned(), true),
        (json, String::new(), false),
        // Cut by us: no fault of its own.
        (json, format!("[{:50000}]", 1), false),
        ("text/xml", "<a><b></a>".to_owned(), true),
        (form, many(500), false),
        (form, many(1001), true),
        ("multipart/form-data; boundary=b", part(""), false),
        ("multipart/form-data; boundary=b", part("--b--\r\n"), true),
    ] {
        let length = body.len();
        let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-type: {kind}\r\n");
        let answer =
            ask(vanne.http, &format!("{head}content-length: {length}\r\n\r\n{body}")).await;
        assert_eq!(is_refused(&answer), is_bad, "{kind} {length}: {answer:?}");
    }
}
