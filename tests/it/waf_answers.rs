//! The web application firewall and answers: what leaks goes nowhere, and all else is as it was.

use crate::harness::http2::{Client2, whole};
use crate::harness::origin::Conn;
use crate::harness::origin2::Origin2;
use crate::harness::vanne::lane;
use crate::harness::{Answer, Client, Origin, Settings, Vanne, ask, eventually, sha256};
use crate::waf::{config, rules_of};
use bytes::Bytes;
use serde_json::Value;
use tempfile::TempDir;

/// Rules of the tests: statuses, fields, bodies, and what the config says.
const RULES: &str = r#"
SecRule RESPONSE_STATUS "@streq 418" "id:3001,phase:3,deny,log,msg:'a teapot',severity:'ERROR'"
SecRule RESPONSE_HEADERS:X-Debug "@contains stack" "id:3002,phase:3,deny,log"
SecRule TX:outbound_anomaly_score_threshold "@eq 9" "id:3003,phase:3,deny,log,chain"
    SecRule REQUEST_URI "@contains strict"
SecRule RESPONSE_BODY "@rx (?i)error in your sql syntax" \
    "id:4001,phase:4,deny,log,msg:'an error of a database',tag:'leak',severity:'CRITICAL',\
    setvar:'tx.outbound_anomaly_score_pl1=+4'"
SecRule RESPONSE_BODY "@contains Traceback (most recent call last)" "id:4002,phase:4,deny,log"
SecRule REQUEST_URI "@contains told" "id:5001,phase:5,pass,log,msg:'the end'"
"#;

const LEAK: &str = "<p>You have an ERROR in your SQL syntax; check line 1</p>";
const HTML: &str = "Content-Type: text/html; charset=utf-8\r\n";
const ON: &str = "answers = true";

async fn guarded(origin: &Origin, waf: &str) -> (Vanne, TempDir) {
    let (folder, path) = rules_of(RULES);
    (Vanne::start(&config(origin, &path, waf, "")).await, folder)
}

/// Answers as the request's path asks for: `/length`, `/chunked`, `/bytes` (chunks of one byte) or
/// `/close`; with `leak` in it what leaks, else a fair page.
async fn talking() -> Origin {
    Origin::start(|mut conn| async move {
        while let Some(request) = conn.request().await {
            let target = request.head.word(1).to_owned();
            let body = if target.contains("leak") { LEAK } else { "<p>fine</p>" };
            if !say(&mut conn, &target, body).await {
                return;
            }
        }
    })
    .await
}

/// Answers with `body`, framed as the target says. Whether the connection goes on.
async fn say(conn: &mut Conn, target: &str, body: &str) -> bool {
    if target.starts_with("/close") {
        conn.send(format!("HTTP/1.1 200 OK\r\n{HTML}\r\n{body}")).await;
        return false;
    }
    if target.starts_with("/length") {
        let length = body.len();
        conn.send(format!("HTTP/1.1 200 OK\r\n{HTML}Content-Length: {length}\r\n\r\n")).await;
        conn.send(body).await;
        return true;
    }
    conn.send(format!("HTTP/1.1 200 OK\r\n{HTML}Transfer-Encoding: chunked\r\n\r\n")).await;
    let size = if target.starts_with("/bytes") { 1 } else { 16 };
    for part in body.as_bytes().chunks(size) {
        conn.send_chunk(part).await;
    }
    conn.send("0\r\n\r\n").await;
    true
}

fn is_refused(answer: &Answer) -> bool {
    answer.refusal() == (403, "waf_answer_refused".into())
}

async fn verdicts(vanne: &Vanne, verdict: &str, count: f64) {
    let labels = [("waf", "main"), ("verdict", verdict)];
    vanne.metric_is("vanne_waf_requests_total", &labels, count).await;
}

/// An answer 200 with these fields and this body.
fn with(fields: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn an_answer_that_leaks_is_refused_and_nothing_of_it_leaves() {
    let origin = talking().await;
    let (vanne, _rules) = guarded(&origin, ON).await;
    for way in ["/length", "/chunked", "/bytes", "/close"] {
        let answer = vanne.get(&format!("{way}?leak")).await;
        assert!(is_refused(&answer) && !answer.text().contains("SQL"), "{way}: {answer:?}");
        let answer = vanne.get(way).await;
        assert_eq!((answer.status(), answer.text()), (200, "<p>fine</p>".into()), "{way}");
        let mut client = Client2::connect(vanne.http).await;
        let answer = client.get(&format!("{way}?leak")).await;
        assert_eq!(answer.status(), 403, "{way}: {answer:?}");
        assert!(answer.text().contains("waf_answer_refused") && !answer.text().contains("SQL"));
        let answer = client.get(way).await;
        assert_eq!((answer.status(), answer.text()), (200, "<p>fine</p>".into()), "{way}");
    }
    verdicts(&vanne, "answer_refused", 8.0).await;
    verdicts(&vanne, "passed", 8.0).await;
    let labels = [("waf", "main"), ("family", "test")];
    vanne.metric_is("vanne_waf_matches_total", &labels, 8.0).await;
    vanne.is_idle().await;
}

#[tokio::test]
async fn what_is_told_of_a_refused_answer_names_phase_and_score() {
    let origin = talking().await;
    let (vanne, _rules) = guarded(&origin, ON).await;
    let answer = vanne.get("/length?leak").await;
    let line = vanne.log_of(answer.id()).await;
    assert_eq!((&line["end"], &line["by"]), (&"waf_answer_refused".into(), &"vanne".into()));
    assert_eq!((&line["waf_rules"], &line["waf_outbound_score"]), (&"4001".into(), &4.into()));
    assert_eq!(line["attempts"][0]["outcome"], "success", "the backend is well: {line}");
    let said = eventually("a line of the firewall", || {
        let text = std::fs::read_to_string(vanne.file("waf.log")).ok()?;
        serde_json::from_str::<Value>(text.lines().next()?).ok()
    })
    .await;
    assert_eq!((&said["rule"], &said["phase"]), (&4001.into(), &4.into()), "{said}");
    assert_eq!((&said["outbound_score"], &said["score"]), (&4.into(), &0.into()), "{said}");
    assert_eq!(
        (&said["verdict"], &said["variable"]),
        (&"answer_refused".into(), &"RESPONSE_BODY".into())
    );
}

#[tokio::test]
async fn without_answers_nothing_of_them_is_looked_at() {
    let origin = talking().await;
    let (vanne, _rules) = guarded(&origin, "").await;
    let request = "GET /length?leak,told HTTP/1.1\r\nhost: a\r\naccept-encoding: gzip\r\n\r\n";
    let answer = ask(vanne.http, request).await;
    assert_eq!((answer.status(), answer.text()), (200, LEAK.into()));
    assert_eq!(vanne.log_of(answer.id()).await["waf_rules"], Value::Null);
    assert_eq!(origin.only_request().field("accept-encoding"), Some("gzip"));
}

#[tokio::test]
async fn heads_of_answers_are_looked_at_and_the_end_has_its_rules() {
    let teapot = "HTTP/1.1 418 Teapot\r\nContent-Length: 2\r\n\r\nno";
    let origin = Origin::answering(teapot).await;
    let (vanne, _rules) = guarded(&origin, ON).await;
    assert!(is_refused(&vanne.get("/").await));
    let debug = Origin::answering(with("X-Debug: a stack\r\n", "x")).await;
    let (vanne, _rules) = guarded(&debug, ON).await;
    let answer = vanne.get("/").await;
    assert!(is_refused(&answer) && answer.head.field("x-debug").is_none(), "{answer:?}");
    let answer = ask(vanne.http, "HEAD / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!((answer.status(), answer.head.field("x-debug")), (403, None));
    assert_eq!(Client2::connect(vanne.http).await.get("/").await.status(), 403);
    let origin = talking().await;
    let (vanne, _rules) = guarded(&origin, ON).await;
    let answer = vanne.get("/length?told").await;
    assert_eq!((answer.status(), answer.text()), (200, "<p>fine</p>".into()));
    assert_eq!(vanne.log_of(answer.id()).await["waf_rules"], "5001");
}

#[tokio::test]
async fn the_config_says_the_outbound_threshold_to_the_rules() {
    let origin = talking().await;
    let (vanne, _rules) = guarded(&origin, "answers = true\noutbound_threshold = 8").await;
    assert_eq!(vanne.get("/length?strict").await.status(), 200);
    let (vanne, _rules) = guarded(&origin, "answers = true\noutbound_threshold = 9").await;
    assert!(is_refused(&vanne.get("/length?strict").await));
}

#[tokio::test]
async fn detecting_refuses_no_answer_and_tells_all_the_same() {
    let origin = talking().await;
    let waf =
        "mode = \"detect\"\nanswers = true\nanswer_body = { max = \"20B\", above = \"reject\" }";
    let (vanne, _rules) = guarded(&origin, waf).await;
    assert_eq!(vanne.get("/length?leak").await.text(), LEAK, "the first 20 bytes are fair");
    let (vanne, _rules) = guarded(&origin, "mode = \"detect\"\nanswers = true").await;
    let answer = vanne.get("/length?leak").await;
    assert_eq!((answer.status(), answer.text()), (200, LEAK.into()));
    assert_eq!(vanne.log_of(answer.id()).await["waf_rules"], "4001");
    verdicts(&vanne, "answer_detected", 1.0).await;
}

#[tokio::test]
async fn connections_are_kept_after_answers_that_were_looked_at() {
    let origin = talking().await;
    let (vanne, _rules) = guarded(&origin, ON).await;
    let mut client = Client::connect(vanne.http).await;
    for _ in 0..3 {
        assert_eq!(client.get("/chunked").await.text(), "<p>fine</p>");
        assert!(is_refused(&client.get("/chunked?leak").await));
    }
    assert_eq!(origin.only_connection_requests(), 6);
}

#[tokio::test]
async fn a_longer_answer_than_is_looked_at_is_refused_or_its_first_part_is_looked_at() {
    let long = "x".repeat(1_000_000);
    for (early, is_chunked) in [(true, true), (true, false), (false, true), (false, false)] {
        let body = if early { format!("{LEAK}{long}") } else { format!("{long}{LEAK}") };
        let all = match is_chunked {
            true => format!(
                "HTTP/1.1 200 OK\r\n{HTML}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
                body.len()
            ),
            false => with(HTML, &body),
        };
        let origin = Origin::answering(all).await;
        let reject = "answers = true\nanswer_body = { max = \"40KiB\", above = \"reject\" }";
        let (vanne, _rules) = guarded(&origin, reject).await;
        assert_eq!(vanne.get("/").await.refusal(), (502, "waf_answer_too_large".into()));
        verdicts(&vanne, "too_large", 1.0).await;
        let part = "answers = true\nanswer_body = { max = \"40KiB\" }\ntime_budget = \"60s\"";
        let (vanne, _rules) = guarded(&origin, part).await;
        let mut client = Client::connect(vanne.http).await;
        for _ in 0..2 {
            let answer = client.get("/").await;
            assert_eq!(answer.status() == 403, early, "{is_chunked}: {:?}", answer.head);
            assert!(early || sha256(&answer.body) == sha256(body.as_bytes()), "as it came");
        }
        let answer = Client2::connect(vanne.http).await.get("/").await;
        assert_eq!(answer.status() == 403, early, "{is_chunked}: {:?}", answer.head);
        assert!(early || sha256(&answer.body) == sha256(body.as_bytes()), "as it came");
    }
}

#[tokio::test]
async fn a_body_of_tiny_chunks_is_looked_at_as_far_as_framing_lets_it() {
    let body = "y".repeat(30_000);
    let origin = Origin::start(move |mut conn| {
        let body = body.clone();
        async move {
            while conn.request().await.is_some() {
                say(&mut conn, "/bytes", &body).await;
            }
        }
    })
    .await;
    let small = "answers = true\nanswer_body.max = \"20KiB\"\ntime_budget = \"60s\"";
    let (vanne, _rules) = guarded(&origin, small).await;
    let answer = vanne.get("/").await;
    assert_eq!((answer.status(), answer.body.len()), (200, 30_000));
}

#[tokio::test]
async fn large_answers_are_looked_at_beside_the_traffic_and_pass_as_they_came() {
    let fair = format!("{}!", "z".repeat(200_000));
    for (body, status) in [(fair.clone(), 200), (format!("{fair}{LEAK}"), 403)] {
        let origin = Origin::answering(with(HTML, &body)).await;
        let (vanne, _rules) = guarded(&origin, "answers = true\ntime_budget = \"60s\"").await;
        let mut client = Client::connect(vanne.http).await;
        for _ in 0..2 {
            let answer = client.get("/").await;
            assert_eq!(answer.status(), status);
            assert!(status == 403 || answer.body == body.as_bytes());
        }
        assert_eq!(origin.only_connection_requests(), 2, "all was read");
        let answer = Client2::connect(vanne.http).await.get("/").await;
        assert_eq!(answer.status(), status);
        assert!(status == 403 || answer.body == body.as_bytes());
    }
}

#[tokio::test]
async fn an_answer_over_its_budget_is_refused_or_passes() {
    // So much is not looked at within a millisecond, not in so many ways.
    let body = "x%20".repeat(1_000_000);
    let ways = ["t:urlDecodeUni", "t:htmlEntityDecode", "t:jsDecode", "t:cssDecode", "t:lowercase"];
    let rule = |(at, way): (usize, &&str)| {
        format!("SecRule RESPONSE_BODY \"@contains attack\" \"id:{},phase:4,deny,{way}\"\n", at + 1)
    };
    let (_folder, path) = rules_of(&ways.iter().enumerate().map(rule).collect::<String>());
    let origin = Origin::answering(with(HTML, &body)).await;
    let waf = "answers = true\nanswer_body.max = \"16MiB\"\ntime_budget = \"1ms\"\n";
    let vanne = Vanne::start(&config(&origin, &path, waf, "")).await;
    assert_eq!(vanne.get("/").await.refusal(), (503, "waf_over_budget".into()));
    let waf = format!("{waf}when_over = \"open\"");
    let vanne = Vanne::start(&config(&origin, &path, &waf, "")).await;
    let answer = vanne.get("/").await;
    assert_eq!((answer.status(), answer.body.len()), (200, body.len()));
    verdicts(&vanne, "over_passed", 1.0).await;
}

#[tokio::test]
async fn a_backend_that_breaks_off_or_stalls_while_held_back_gives_502_or_504() {
    let part = format!("HTTP/1.1 200 OK\r\n{HTML}Content-Length: 100\r\n\r\npart");
    for part in
        [part, format!("HTTP/1.1 200 OK\r\n{HTML}Transfer-Encoding: chunked\r\n\r\n4\r\npart")]
    {
        let cut = part.clone();
        let cutting = Origin::start(move |mut conn| {
            let cut = cut.clone();
            async move {
                conn.request().await;
                conn.send(cut).await;
            }
        })
        .await;
        let (vanne, _rules) = guarded(&cutting, ON).await;
        assert_eq!(vanne.get("/").await.refusal(), (502, "backend_closed".into()));
        let answer = Client2::connect(vanne.http).await.get("/").await;
        assert_eq!(answer.status(), 502, "{answer:?}");
        let stalling = Origin::stalling_after(&part).await;
        let (_folder, path) = rules_of(RULES);
        let config = config(&stalling, &path, ON, "")
            .replace("[pool.app]", "[pool.app]\ntimeouts.between_bytes = \"200ms\"");
        let vanne = Vanne::start(&config).await;
        assert_eq!(vanne.get("/").await.refusal(), (504, "backend_stalled".into()));
        stalling.first_end().await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_its_answer_is_held_back_ends_the_attempt() {
    let part = format!("HTTP/1.1 200 OK\r\n{HTML}Content-Length: 100\r\n\r\npart");
    let origin = Origin::stalling_after(&part).await;
    let (vanne, _rules) = guarded(&origin, ON).await;
    let mut client = Client::connect(vanne.http).await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    origin.has_got(1).await;
    client.into_wire().reset();
    origin.first_end().await;
    let line = eventually("a line", || vanne.log_lines().into_iter().next()).await;
    assert_eq!(line["end"], "client_gone");
}

#[tokio::test]
async fn what_rules_cannot_read_is_never_held_back() {
    for head in [
        "Content-Type: text/event-stream\r\n",
        "Content-Type: application/octet-stream\r\n",
        "Content-Type: text/html\r\nContent-Encoding: gzip\r\n",
    ] {
        let begun = format!("HTTP/1.1 200 OK\r\n{head}\r\n{LEAK}");
        let origin = Origin::stalling_after(&begun).await;
        let (vanne, _rules) = guarded(&origin, ON).await;
        let mut client = Client::connect(vanne.http).await;
        client.send("GET / HTTP/1.1\r\nhost: a\r\naccept-encoding: gzip, br\r\n\r\n").await;
        assert_eq!(client.head().await.unwrap().status(), 200, "{head}");
        assert!(client.line().await.is_some_and(|line| !line.is_empty()), "{head}");
        assert_eq!(origin.only_request().field("accept-encoding"), Some("identity"));
    }
    // Other types may be looked at.
    let waf = "answers = true\nanswer_body.types = [\"application/octet-stream\"]";
    let leaking = Origin::answering(with("Content-Type: application/octet-stream\r\n", LEAK)).await;
    let (vanne, _rules) = guarded(&leaking, waf).await;
    assert!(is_refused(&vanne.get("/").await));
    let html = Origin::answering(with(HTML, LEAK)).await;
    let (vanne, _rules) = guarded(&html, waf).await;
    assert_eq!(vanne.get("/").await.text(), LEAK);
}

#[tokio::test]
async fn answers_without_a_body_and_of_errors_are_as_they_were() {
    for (answer, method, status) in [
        ("HTTP/1.1 204 No Content\r\n\r\n".to_owned(), "GET", 204),
        (format!("HTTP/1.1 304 Not Modified\r\n{HTML}Content-Length: 5\r\n\r\n"), "GET", 304),
        (format!("HTTP/1.1 200 OK\r\n{HTML}Content-Length: 5\r\n\r\n"), "HEAD", 200),
        (format!("HTTP/1.1 500 Oh\r\n{HTML}Content-Length: 2\r\n\r\nno"), "GET", 500),
        (format!("HTTP/1.1 200 OK\r\n{HTML}Content-Length: 0\r\n\r\n"), "GET", 200),
        (format!("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{}", with(HTML, "x")), "GET", 200),
    ] {
        let origin = Origin::answering(answer).await;
        let (vanne, _rules) = guarded(&origin, ON).await;
        let mut client = Client::connect(vanne.http).await;
        for _ in 0..2 {
            client.send(format!("{method} / HTTP/1.1\r\nhost: a\r\n\r\n")).await;
            let answer = client.answer(method).await;
            assert_eq!(answer.status(), status, "{answer:?}");
            assert_eq!(answer.informational.len(), usize::from(answer.text() == "x"));
        }
    }
}

#[tokio::test]
async fn trailers_follow_an_answer_that_was_held_back() {
    let answer = format!(
        "HTTP/1.1 200 OK\r\n{HTML}Trailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n\
         2\r\nab\r\n0\r\nx-sum: 7\r\n\r\n"
    );
    let origin = Origin::answering(answer).await;
    let (vanne, _rules) = guarded(&origin, ON).await;
    let mut client = Client2::connect(vanne.http).await;
    let request = client.request("GET", "/").header("te", "trailers");
    let (answer, _) = client.send(request, true).await;
    let answer = whole(answer).await.unwrap();
    assert_eq!(answer.text(), "ab");
    // Pingora's engine does not pass on those of HTTP/1.
    let has_trailers = lane().as_deref() != Some("pingora");
    assert_eq!(answer.trailers.is_some_and(|it| it["x-sum"] == "7"), has_trailers);
}

#[tokio::test]
async fn answers_of_backends_that_speak_http2_are_looked_at_and_calls_are_not_held_back() {
    let origin = Origin2::start(None, |request, mut respond| async move {
        let body = if request.uri().query() == Some("leak") { LEAK } else { "<p>fine</p>" };
        let head = http::Response::builder().header("content-type", "text/html");
        let mut stream = respond.send_response(head.body(()).unwrap(), false).unwrap();
        stream.send_data(Bytes::from_static(body.as_bytes()), true).unwrap();
    })
    .await;
    let (_folder, path) = rules_of(RULES);
    let more = format!("[waf.main]\nrules = [{path:?}]\nanswers = true");
    let base = Settings {
        listener: "protocols = [\"h2\", \"http/1.1\"]",
        pool: "protocol = \"h2\"",
        route: "waf = \"main\"",
        more: &more,
        ..Settings::default()
    };
    let vanne = Vanne::with(&[origin.address], base).await;
    let mut client = Client2::connect(vanne.http).await;
    for _ in 0..2 {
        assert!(is_refused(&vanne.get("/?leak").await));
        assert_eq!(vanne.get("/").await.text(), "<p>fine</p>");
        assert_eq!(client.get("/?leak").await.status(), 403);
        assert_eq!(client.get("/").await.text(), "<p>fine</p>");
    }
    let calling = Origin2::calling("0").await;
    let vanne = Vanne::with(&[calling.address], base).await;
    let mut client = Client2::connect(vanne.http).await;
    let call = client.request("POST", "/s/M").header("content-type", "application/grpc");
    let (answer, _stream) = client.send(call.header("te", "trailers"), true).await;
    let answer = whole(answer).await.unwrap();
    assert_eq!((answer.status(), answer.body.len()), (200, 5));
    assert_eq!(answer.trailers.unwrap()["grpc-status"], "0");
}

#[tokio::test]
async fn only_the_answer_that_the_client_is_to_get_is_looked_at() {
    let busy = "HTTP/1.1 503 Busy\r\nX-Debug: a stack\r\nContent-Length: 4\r\n\r\nbusy";
    let (busy, good) = (Origin::answering(busy).await, Origin::fixed("good").await);
    let (_folder, path) = rules_of(RULES);
    let more = format!("[waf.main]\nrules = [{path:?}]\nanswers = true");
    let pool = "retries.on = [\"503\"]";
    let settings = Settings { pool, route: "waf = \"main\"", more: &more, ..Settings::default() };
    let vanne = Vanne::with(&[busy.address, good.address], settings).await;
    for _ in 0..3 {
        assert_eq!(vanne.get("/").await.text(), "good");
    }
    assert!(!busy.requests().is_empty());
}

#[tokio::test]
async fn a_refused_answer_is_never_kept_for_later() {
    let origin = talking().await;
    let (_folder, path) = rules_of(RULES);
    let config =
        config(&origin, &path, ON, "").replace("[pool.app]", "[pool.app]\nfallback = [\"cached\"]");
    let vanne = Vanne::start(&config).await;
    assert!(is_refused(&vanne.get("/chunked?leak").await));
    assert_eq!(vanne.get("/chunked").await.status(), 200);
    drop(origin);
    let answer = vanne.get("/chunked").await;
    assert_eq!((answer.status(), answer.head.field("vanne-fallback")), (200, Some("cached")));
    let answer = vanne.get("/chunked?leak").await;
    assert!(answer.status() >= 500 && !answer.text().contains("SQL"), "{answer:?}");
}

#[tokio::test]
async fn a_slow_client_gets_all_of_an_answer_that_was_held_back() {
    let body = "w".repeat(400_000);
    let origin = Origin::answering(with(HTML, &body)).await;
    let (vanne, _rules) = guarded(&origin, "answers = true\ntime_budget = \"60s\"").await;
    let mut client = Client2::connect(vanne.http).await;
    let request = client.request("GET", "/");
    let (answer, _) = client.send(request, true).await;
    let (head, mut stream) = answer.await.unwrap().into_parts();
    assert_eq!(head.status, 200);
    let mut length = 0;
    while let Some(data) = stream.data().await {
        // Its window opens only now.
        tokio::task::yield_now().await;
        let data = data.unwrap();
        length += data.len();
        stream.flow_control().release_capacity(data.len()).unwrap();
    }
    assert_eq!(length, body.len());
}

#[tokio::test]
async fn the_core_rule_set_refuses_an_answer_with_an_error_of_a_database() {
    use vanne::config::{Environment, ProcessEnvironment};
    let Some(folder) = ProcessEnvironment.variable("VANNE_CRS_DIR") else {
        eprintln!("VANNE_CRS_DIR is not set: the whole Core Rule Set is not tried");
        return;
    };
    let leak = "<p>You have an error in your SQL syntax; check the manual that corresponds to \
                your MySQL server version for the right syntax to use near '' at line 1</p>";
    let script = move |mut conn: Conn| async move {
        while let Some(request) = conn.request().await {
            let body = if request.head.word(1) == "/leak" { leak } else { "<p>fine</p>" };
            conn.send(with(HTML, body)).await;
        }
    };
    let origin = Origin::start(script).await;
    let more = format!("[waf.main]\ncrs = {folder:?}\nparanoia = 1\nanswers = true");
    let settings = Settings { route: "waf = \"main\"", more: &more, ..Settings::default() };
    let vanne = Vanne::with(&[origin.address], settings).await;
    let browser = |target: &str| {
        format!(
            "GET {target} HTTP/1.1\r\nhost: shop.example\r\nuser-agent: Mozilla/5.0 (X11; Linux \
             x86_64; rv:145.0) Gecko/20100101 Firefox/145.0\r\naccept: text/html,*/*;q=0.8\r\n\r\n"
        )
    };
    let answer = ask(vanne.http, &browser("/leak")).await;
    assert!(is_refused(&answer), "{answer:?}");
    let line = vanne.log_of(answer.id()).await;
    assert!(line["waf_rules"].as_str().unwrap().contains("951230"), "{line}");
    let answer = ask(vanne.http, &browser("/fair")).await;
    assert_eq!((answer.status(), answer.text()), (200, "<p>fine</p>".into()));
}
