//! What is done for requests that no backend may be tried for, and pages for what is refused.

use crate::harness::client::{Answer, Client, ask};
use crate::harness::http2::{Client2, whole};
use crate::harness::origin::{Origin, ok};
use crate::harness::ports::Port;
use crate::harness::vanne::{Settings, Vanne, list};
use crate::harness::{eventually_async, ms, timed};
use bytes::Bytes;
use std::net::SocketAddr;
use std::time::Duration;

const SORRY: &str = "[page.sorry]\nhtml = \"<p>Sorry\"\njson = '{\"sorry\":true}'\n";

/// A config with the pools `app` and `lite`; `chain` is the first one's.
fn chained(app: &[SocketAddr], lite: &[SocketAddr], chain: &str) -> String {
    format!(
        "admin.socket = \"@dir/admin.sock\"\n[pool.app]\nbackends = {}\nfallback = {chain}\n\
         breaker = {{ failures = 0, failure_rate = \"0%\" }}\n[pool.lite]\nbackends = {}\nbreaker = {{ failures = 0, failure_rate = \"0%\" }}\n\
         [[route]]\nname = \"all\"\npool = \"app\"\n{SORRY}",
        list(app),
        list(lite)
    )
}

/// What an answer says of fallbacks.
fn told(answer: &Answer) -> Option<&str> {
    answer.head.field("vanne-fallback")
}

#[tokio::test]
async fn the_steps_of_a_chain_are_taken_in_turn_and_told() {
    let (port, other) = (Port::take(), Port::take());
    let chain = "[\"cached\", \"pool:lite\", \"static:sorry\"]";
    let vanne = Vanne::start(&chained(&[port.address], &[other.address], chain)).await;
    let (main, lite) = (Origin::on(&port, "main").await, Origin::on(&other, "lite").await);
    let answer = vanne.get("/a").await;
    assert_eq!((answer.text().as_str(), told(&answer)), ("main", None));
    assert_eq!(vanne.log_of(answer.id()).await.get("fallback"), None);
    drop(main);
    let answer = vanne.get("/a").await;
    assert_eq!((answer.text().as_str(), told(&answer)), ("main", Some("cached")));
    assert!(answer.head.field("age").is_some());
    let status = answer.head.field("cache-status").unwrap();
    assert!(status.starts_with("Vanne; hit; ttl=") && status.ends_with("; detail=fallback"));
    let line = vanne.log_of(answer.id()).await;
    assert_eq!((&line["fallback"], &line["status"]), (&"cached".into(), &200.into()));
    assert_eq!((&line["end"], &line["pool"]), (&"connect_refused".into(), &"app".into()));
    // Nobody has asked for this before, and nobody has seen the other.
    for request in ["GET /b", "POST /a"] {
        let body = if request.starts_with("GET") { "" } else { "abc" };
        let length = body.len();
        let request = format!(
            "{request} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let answer = ask(vanne.http, &request).await;
        assert_eq!((answer.text().as_str(), told(&answer)), ("lite", Some("pool:lite")));
        let line = vanne.log_of(answer.id()).await;
        assert_eq!((&line["fallback"], &line["end"]), (&"pool:lite".into(), &"ok".into()));
        assert_eq!(
            (&line["pool"], line["attempts"].as_array().unwrap().len()),
            (&"lite".into(), 2)
        );
    }
    drop(lite);
    let answer = vanne.get("/b").await;
    assert_eq!((answer.status(), answer.text().as_str()), (502, "{\"sorry\":true}"));
    assert_eq!(told(&answer), Some("pool:lite, static:sorry"));
    assert_eq!(vanne.log_of(answer.id()).await["fallback"], "pool:lite, static:sorry");
    for (step, count) in [("cached", 1.0), ("pool:lite", 3.0), ("static:sorry", 1.0)] {
        let labels = [("route", "all"), ("step", step)];
        vanne.metric_is("vanne_fallbacks_total", &labels, count).await;
    }
    let _main = Origin::on(&port, "main").await;
    let answer = vanne.get("/b").await;
    assert_eq!((answer.text().as_str(), told(&answer)), ("main", None));
}

#[tokio::test]
async fn clients_of_http2_fall_back_too_and_calls_get_what_it_means_in_grpc() {
    let (port, lite) = (Port::take(), Origin::fixed("lite").await);
    let chain = "[\"cached\", \"pool:lite\", \"static:sorry\"]";
    let config = format!(
        "[listener.http]\naddress = \"@http\"\nprotocols = [\"h2\"]\n{}",
        chained(&[port.address], &[lite.address], chain)
    );
    let config = config.replacen("admin.socket = \"@dir/admin.sock\"\n", "", 1);
    let vanne = Vanne::start(&config).await;
    let main = Origin::on(&port, "main").await;
    let mut client = Client2::connect(vanne.http).await;
    let answer = client.get("/a").await;
    assert_eq!((answer.text().as_str(), answer.field("vanne-fallback")), ("main", None));
    drop(main);
    for (path, text, step) in [("/a", "main", "cached"), ("/b", "lite", "pool:lite")] {
        let answer = client.get(path).await;
        assert_eq!((answer.text().as_str(), answer.field("vanne-fallback")), (text, Some(step)));
    }
    drop(lite);
    let answer = eventually_async("lite is gone", async || {
        let answer = client.get("/c").await;
        (answer.status() == 502).then_some(answer)
    })
    .await;
    assert_eq!(
        (answer.text().as_str(), answer.field("content-type")),
        ("{\"sorry\":true}", Some("application/json"))
    );
    let request = client.request("POST", "/s/M").header("content-type", "application/grpc");
    let (answer, _) = client.send(request, true).await;
    let answer = whole(answer).await.unwrap();
    assert_eq!((answer.status(), answer.field("grpc-status")), (200, Some("14")));
    assert_eq!(answer.field("vanne-fallback"), Some("pool:lite, static:sorry"));
    assert_eq!(answer.body.len(), 0);
}

#[tokio::test]
async fn a_routes_chain_goes_before_its_pools() {
    let (port, lite) = (Port::take(), Origin::fixed("lite").await);
    let config = chained(&[port.address], &[lite.address], "[\"static:sorry\"]");
    let vanne = Vanne::start(&config).await;
    assert_eq!(vanne.get("/").await.text(), "{\"sorry\":true}");
    let own =
        |chain: &str| config.replace("pool = \"app\"\n", &format!("pool = \"app\"\n{chain}\n"));
    vanne.reload(&own("fallback = [\"pool:lite\"]")).await;
    assert_eq!(vanne.get("/").await.text(), "lite");
    vanne.reload(&own("fallback = []")).await;
    assert_eq!(vanne.get("/").await.refusal(), (502, "connect_refused".into()));
}

#[tokio::test]
async fn when_all_are_dead_every_answer_comes_at_once_and_when_they_are_back_theirs() {
    for count in [1, 3] {
        let ports: Vec<Port> = (0..count).map(|_| Port::take()).collect();
        let addresses: Vec<_> = ports.iter().map(|port| port.address).collect();
        let config = chained(&addresses, &[], "[\"static:sorry\"]");
        let rules = "failures = 5, open_for = \"200ms\"";
        let vanne = Vanne::start(&config.replace("failures = 0", rules)).await;
        let mut slowest = Vec::new();
        // A machine that has other things to do may need another try.
        for _ in 0..5 {
            slowest.push(slowest_of(&vanne, 40).await);
            if slowest.last() <= Some(&ms(50)) {
                break;
            }
        }
        assert!(slowest.last() <= Some(&ms(50)), "{count}: {slowest:?}");
        let _back = Origin::on(&ports[0], "a").await;
        eventually_async("its answers", async || {
            (vanne.get("/").await.text() == "a").then_some(())
        })
        .await;
    }
}

/// How long the slowest of so many requests took, one after the other, which all got a page.
async fn slowest_of(vanne: &Vanne, count: usize) -> Duration {
    let mut client = Client::connect(vanne.http).await;
    let mut most = ms(0);
    for _ in 0..count {
        let (time, answer) = timed(client.get("/")).await;
        assert_eq!((answer.status() / 100, told(&answer)), (5, Some("static:sorry")));
        most = most.max(time);
    }
    most
}

#[tokio::test]
async fn what_a_backend_may_have_done_is_not_done_elsewhere() {
    let closing = Origin::start(|mut conn| async move {
        conn.request().await;
    })
    .await;
    let lite = Origin::fixed("lite").await;
    let chain = "[\"cached\", \"pool:lite\", \"static:sorry\"]";
    let vanne = Vanne::start(&chained(&[closing.address], &[lite.address], chain)).await;
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";
    let answer = ask(vanne.http, request).await;
    assert_eq!((answer.status(), told(&answer)), (502, Some("static:sorry")));
    assert_eq!(lite.requests().len(), 0);
    let answer = vanne.get("/").await;
    assert_eq!((answer.text().as_str(), told(&answer)), ("lite", Some("pool:lite")));
}

#[tokio::test]
async fn who_finds_no_place_falls_back_too() {
    let origin = Origin::silent().await;
    let config = chained(&[origin.address], &[], "[\"static:sorry\"]");
    let rules = "max_requests = 1\nqueue = { size = 1, timeout = \"300ms\" }";
    let vanne =
        Vanne::start(&config.replace("[pool.lite]", &format!("{rules}\n[pool.lite]"))).await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut held = Client::connect(vanne.http).await;
    held.send(request).await;
    origin.has_got(1).await;
    let mut waiting = Client::connect(vanne.http).await;
    waiting.send(request).await;
    vanne.metric_is("vanne_pool_queue_length", &[("pool", "app")], 1.0).await;
    for (mut client, end) in
        [(Client::connect(vanne.http).await, "queue_full"), (waiting, "queue_timeout")]
    {
        if end == "queue_full" {
            client.send(request).await;
        }
        let answer = client.answer("GET").await;
        assert_eq!((answer.status(), told(&answer)), (503, Some("static:sorry")));
        assert_eq!(vanne.log_of(answer.id()).await["end"], end);
    }
    drop(held);
}

#[tokio::test]
async fn a_websocket_gets_no_page_and_is_tried_at_pools() {
    let (port, lite) = (
        Port::take(),
        Origin::answering(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        )
        .await,
    );
    let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let chain = "[\"cached\", \"static:sorry\"]";
    let config = chained(&[port.address], &[lite.address], chain);
    let vanne = Vanne::start(&config).await;
    assert_eq!(ask(vanne.http, upgrade).await.refusal(), (502, "connect_refused".into()));
    vanne.reload(&config.replace("\"cached\"", "\"pool:lite\"")).await;
    let mut client = Client::connect(vanne.http).await;
    client.send(upgrade).await;
    let head = client.head().await.unwrap();
    assert_eq!((head.status(), head.field("vanne-fallback")), (101, Some("pool:lite")));
}

#[tokio::test]
async fn an_answer_of_a_backend_passes_whatever_its_status() {
    let origin = Origin::answering("HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno").await;
    let vanne = Vanne::start(&chained(&[origin.address], &[], "[\"static:sorry\"]")).await;
    let answer = vanne.get("/").await;
    assert_eq!((answer.text().as_str(), told(&answer)), ("no", None));
}

#[tokio::test]
async fn a_page_in_a_file_is_read_again_when_it_changes() {
    let dir = tempfile::tempdir().unwrap();
    let files = ["html", "json"].map(|kind| dir.path().join(format!("sorry.{kind}")));
    std::fs::write(&files[0], "<p>one").unwrap();
    std::fs::write(&files[1], "1").unwrap();
    let page = format!("[page.both]\nhtml_file = {:?}\njson_file = {:?}\n", files[0], files[1]);
    let config = chained(&[], &[], "[\"static:both\"]") + &page;
    let vanne = Vanne::start(&config).await;
    let get = async |accept: &str| {
        let request =
            format!("GET / HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
        ask(vanne.http, &request).await
    };
    assert_eq!(
        (get("text/html").await.text(), get("*/*").await.text()),
        ("<p>one".into(), "1".into())
    );
    std::fs::write(&files[0], "<p>two").unwrap();
    std::fs::write(&files[1], "2").unwrap();
    eventually_async("the new bodies", async || {
        let now = (get("text/html").await.text(), get("*/*").await.text());
        (now == ("<p>two".into(), "2".into())).then_some(())
    })
    .await;
    // A file needs no page of its own.
    let alone = config.replace("static:both", &format!("static:{}", files[0].display()));
    vanne.reload(&alone.replace(&page, "")).await;
    let answer = get("*/*").await;
    assert_eq!((answer.status(), answer.text().as_str()), (503, "<p>two"));
    assert_eq!(told(&answer), Some("static:sorry.html"), "where it is, is nobody's business");
}

#[tokio::test]
async fn refusals_are_told_in_the_words_of_pages() {
    let port = Port::take();
    let settings = Settings {
        listener: "error_pages = { method_refused = \"sorry\", 502 = \"sorry\", no_route = \"lost\", missing_host = \"sorry\" }\n\
            redirect_to_https = false",
        pool: "breaker = { failures = 0, failure_rate = \"0%\" }",
        route: "match = { path = \"/a\" }\nerror_pages = { connect_refused = \"later\" }",
        more: "[[route]]\nname = \"b\"\npool = \"app\"\nmatch = { path = \"/b\" }\n\
            [page.sorry]\nhtml = \"<p>Sorry\"\n\
            [page.lost]\nhtml = \"<p>Lost\"\njson = '{\"lost\":1}'\nstatus = 410\n\
            headers = { x-page = \"lost\", cache-control = \"max-age=9\" }\n\
            [page.later]\njson = '{\"later\":1}'\nretry_after = \"1500ms\"\n",
        ..Settings::default()
    };
    let vanne = Vanne::with(&[port.address], settings).await;
    let answer = vanne.get("/a").await;
    assert_eq!((answer.status(), answer.text().as_str()), (502, "{\"later\":1}"));
    let fields = ["content-type", "retry-after", "cache-control", "x-frame-options"];
    let got = fields.map(|name| answer.head.field(name));
    assert_eq!(got, [Some("application/json"), Some("2"), Some("no-store"), Some("DENY")]);
    assert_eq!(vanne.log_of(answer.id()).await["end"], "connect_refused");
    let answer = vanne.get("/b").await;
    assert_eq!((answer.status(), answer.text().as_str()), (502, "<p>Sorry"));
    assert_eq!(answer.head.field("content-type"), Some("text/html; charset=utf-8"));
    let request =
        "GET /c HTTP/1.1\r\nHost: a\r\nAccept: text/html, */*;q=0.1\r\nConnection: close\r\n\r\n";
    let answer = ask(vanne.http, request).await;
    assert_eq!((answer.status(), answer.text().as_str()), (410, "<p>Lost"));
    let got = ["x-page", "cache-control", "vary"].map(|name| answer.head.field(name));
    assert_eq!(got, [Some("lost"), Some("max-age=9"), Some("accept")]);
    assert_eq!(vanne.get("/c").await.text(), "{\"lost\":1}");
    let answer = ask(vanne.http, "GET /c HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    assert_eq!((answer.status(), answer.text().as_str()), (400, "<p>Sorry"));
    let answer = ask(vanne.http, "TRACE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert_eq!(answer.text(), "<p>Sorry");
    assert!(answer.head.field("allow").is_some_and(|allowed| allowed.starts_with("GET, HEAD")));
    // What has no page says what it always said; so does a WebSocket.
    let answer = ask(vanne.http, "GET /\t HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert_eq!(answer.refusal(), (400, "malformed_target".into()));
    let upgrade = "GET /a HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    assert_eq!(ask(vanne.http, upgrade).await.refusal(), (502, "connect_refused".into()));
}

#[tokio::test]
async fn pages_are_the_same_over_http2_and_not_for_calls() {
    let settings = Settings {
        listener: "protocols = [\"h2\"]\nerror_pages = { 503 = \"sorry\" }",
        more: SORRY,
        ..Settings::default()
    };
    let vanne = Vanne::with(&[], settings).await;
    let mut client = Client2::connect(vanne.http).await;
    let request = client.request("GET", "/").header("accept", "text/html");
    let (answer, _) = client.send(request, true).await;
    let answer = whole(answer).await.unwrap();
    assert_eq!((answer.status(), answer.text().as_str()), (503, "<p>Sorry"));
    let request = client.request("POST", "/s/M").header("content-type", "application/grpc");
    let (answer, mut body) = client.send(request, false).await;
    body.send_data(Bytes::from_static(b"\0\0\0\0\0"), true).unwrap();
    let answer = whole(answer).await.unwrap();
    assert_eq!((answer.status(), answer.field("grpc-status")), (200, Some("14")));
    let message = answer.field("grpc-message").unwrap();
    assert!(message.contains("no_backend"), "{message}");
}

#[tokio::test]
async fn a_page_that_is_not_there_is_found_by_check_deep_at_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("vanne.toml");
    let text = "[listener.http]\naddress = \"127.0.0.1:1\"\nerror_pages = { 503 = \"a.html\" }\n\
        [pool.a]\nfallback = [\"cached\", \"static:b.json\"]\n\
        [page.c]\nhtml_file = \"c.html\"\n\
        [[route]]\nname = \"a\"\npool = \"a\"\nerror_pages = { no_backend = \"c\" }\n";
    std::fs::write(&config, text).unwrap();
    let mut command = std::process::Command::new(crate::harness::vanne::binary());
    let output = command.args(["check", "--deep"]).arg(&config).output().unwrap();
    let shown =
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    for place in ["listener.http.error_pages.503", "pool.a.fallback[1]", "page.c.html_file"] {
        assert!(shown.contains(place), "{place} in {shown}");
    }
}

/// Answers each request with its path, after this head.
async fn echoing(head: &'static str) -> Origin {
    Origin::start(move |mut conn| async move {
        while let Some(request) = conn.request().await {
            let body = request.head.word(1).to_owned();
            conn.send(ok(&body).replacen("\r\n\r\n", &format!("\r\n{head}\r\n"), 1)).await;
        }
    })
    .await
}

#[tokio::test]
async fn sticky_clients_keep_their_backend_while_another_pool_serves() {
    let (port, lite) = (Port::take(), echoing("").await);
    let config = chained(&[port.address], &[lite.address], "[\"pool:lite\"]")
        .replace("fallback =", "sticky = { cookie = \"APP\" }\nfallback =")
        .replace("[[route]]", "sticky = { cookie = \"APP\" }\n[[route]]");
    let vanne = Vanne::start(&config).await;
    let main = Origin::on(&port, "main").await;
    let answer = vanne.get("/").await;
    assert!(answer.head.field("set-cookie").is_some_and(|cookie| cookie.starts_with("APP=")));
    drop(main);
    let answer = eventually_async("the other pool", async || {
        let answer = vanne.get("/x").await;
        (answer.text() == "/x").then_some(answer)
    })
    .await;
    assert_eq!(answer.head.field("set-cookie"), None);
}
