//! HTTP/1.1, and connections that do not come to that.

use super::backends::{Act, Backend, BlackHole, Refusing, answer};
use super::{SHORT, check, result};
use std::time::Duration;

/// Checks a backend that follows `script`.
async fn of(health: &str, script: Vec<Act>) -> (bool, String) {
    let backend = Backend::start(script).await;
    result(health, "", backend.address).await
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn the_status_decides() {
    for (health, said, is_pass, reason) in [
        ("", "200 OK", true, "status 200"),
        ("", "302 Found", true, "status 302"),
        ("", "404 Not Found", false, "status 404, expected 200-399"),
        ("", "503 Gone for Lunch", false, "status 503, expected 200-399"),
        ("status = '200,401'", "401 Unauthorized", true, "status 401"),
        ("status = '200'", "204 No Content", false, "status 204, expected 200"),
        ("", "100 Continue\r\n\r\nHTTP/1.1 200 OK", true, "status 200"),
        ("", "103 Early Hints\r\n\r\nHTTP/1.1 500 No", false, "status 500, expected 200-399"),
    ] {
        let text = format!("HTTP/1.1 {said}\r\ncontent-length: 0\r\n\r\n");
        let seen = of(health, answer(&text)).await;
        assert_eq!(seen, (is_pass, reason.to_owned()), "{health} {said}");
    }
}

#[tokio::test]
async fn the_body_decides_if_it_is_looked_at() {
    let head = "HTTP/1.1 200 OK\r\n".to_owned();
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n");
    let (huge, late) = ("x".repeat(1 << 20), "x".repeat(64 * 1024) + "ok");
    let in_time = "x".repeat(64 * 1024 - 2) + "ok";
    for (health, said, is_pass, reason) in [
        ("body = 'ok'", ok("it is ok"), true, "status 200"),
        ("body = 'ok'", ok("it is not"), false, "body lacks \"ok\""),
        ("body = 'ok'", ok(""), false, "body lacks \"ok\""),
        ("body = 'ok'", chunked, true, "status 200"),
        ("body = 'ok'", format!("{head}\r\nup to the end: ok"), true, "status 200"),
        ("body = 'ok'", "HTTP/1.0 200 OK\r\n\r\nok".into(), true, "status 200"),
        ("body = 'ok'", ok(&huge), false, "body's first 64 KiB lacks \"ok\""),
        ("body = 'ok'", ok(&late), false, "body's first 64 KiB lacks \"ok\""),
        ("body = 'ok'", ok(&in_time), true, "status 200"),
        ("body_regex = '\"up\": *[1-9]'", ok("{\"up\":  3}"), true, "status 200"),
        ("body_regex = '^up$'", ok("upper"), false, "body does not match ^up$"),
        ("body = 'ok'", "HTTP/1.1 500 No\r\n\r\nok".into(), false, "status 500, expected 200-399"),
        (
            "body = 'ok'",
            format!("{head}content-length: 9\r\n\r\nhalf"),
            false,
            "connection closed inside the answer's body",
        ),
        // Without a look at the body its head is all.
        ("", format!("{head}content-length: 9\r\n\r\nhalf"), true, "status 200"),
        ("", ok(&huge), true, "status 200"),
    ] {
        let seen = of(health, answer(&said)).await;
        assert_eq!(seen, (is_pass, reason.to_owned()), "{health}");
    }
}

#[tokio::test]
async fn what_is_no_answer_is_named() {
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(1 << 20));
    for (script, reason) in [
        (vec![Act::Read], "connection closed before the answer's head"),
        (vec![], "before the answer's head"),
        (vec![Act::Read, Act::Reset], "connection reset before the answer's head"),
        (answer("HTTP/1.1 200 O"), "connection closed before the answer's head"),
        (answer("220 mail.test ESMTP\r\n"), "the answer is not HTTP/1.1: invalid HTTP version"),
        (answer(&long), "the answer's head is too large"),
    ] {
        let (is_pass, why) = of("", script.clone()).await;
        assert!(!is_pass && why.contains(reason), "expected {reason}: {why}");
    }
}

#[tokio::test]
async fn what_hangs_is_named_by_its_stage() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n";
    for (health, script, stage) in [
        ("", vec![Act::Wait], "no answer's head"),
        ("", [answer("HTTP/1.1 200 OK\r\nx: y"), vec![Act::Wait]].concat(), "no answer's head"),
        ("body = 'ok'", [answer(head), vec![Act::Wait]].concat(), "in the answer's body"),
        ("tls = true", vec![Act::Wait], "in the TLS handshake"),
        ("type = 'grpc'", vec![Act::Wait], "no answer's head"),
        ("protocol = 'h2'", vec![Act::Wait], "no answer's head"),
    ] {
        let seen = of(&format!("{SHORT}{health}"), script).await;
        assert_eq!(seen, (false, format!("timeout after 200ms ({stage})")), "{health}");
    }
    let hole = BlackHole::open();
    let seen = check(SHORT, "", hole.address).await;
    assert_eq!(seen.reason, "timeout after 200ms (connecting)");
    assert!((190..1000).contains(&seen.latency.as_millis()), "{:?}", seen.latency);
}

#[tokio::test]
async fn a_backend_that_does_not_listen_refuses() {
    let held = Refusing::take();
    for kind in ["http", "tcp", "grpc"] {
        let health = format!("type = '{kind}'");
        let seen = result(&health, "", held.address).await;
        assert_eq!(seen, (false, "connect: refused".to_owned()), "{kind}");
    }
}

#[tokio::test]
async fn tcp_asks_for_a_connection_and_closes_it() {
    // Whether the backend says something or not.
    for script in [vec![Act::Wait], vec![Act::Say("220 mail.test\r\n".into()), Act::Wait], vec![]] {
        let backend = Backend::start(script).await;
        let seen = result("type = 'tcp'", "", backend.address).await;
        assert_eq!(seen, (true, "connected".to_owned()));
        backend.all_closed().await;
    }
}

#[tokio::test]
async fn a_request_is_what_the_check_says() {
    let backend = Backend::start(answer(&ok("ok"))).await;
    let address = backend.address;
    let version = env!("CARGO_PKG_VERSION");
    assert!(result("", "", address).await.0);
    let own = "method = 'HEAD'\npath = '/up?full=1'\nhost = 'a.test'\n\
               headers = { x-probe = 'yes', user-agent = 'mine' }";
    assert!(result(own, "", address).await.0);
    let heads = backend.heads();
    let (first, second) = (heads[0].to_lowercase(), heads[1].to_lowercase());
    assert!(first.starts_with("get / http/1.1\r\n"), "{first}");
    for line in [format!("host: {address}"), format!("user-agent: vanne-health/{version}")] {
        assert!(first.contains(&format!("{line}\r\n")), "{first}");
    }
    assert!(first.contains("connection: close\r\n"), "{first}");
    assert!(second.starts_with("head /up?full=1 http/1.1\r\n"), "{second}");
    for line in ["host: a.test", "x-probe: yes", "user-agent: mine", "connection: close"] {
        assert_eq!(second.matches(&format!("{line}\r\n")).count(), 1, "{second}");
    }
    assert_eq!(backend.opened(), 2, "each check has a connection of its own");
}

#[tokio::test]
async fn another_port_may_be_asked() {
    let backend = Backend::start(answer(&ok("ok"))).await;
    let held = Refusing::take();
    let health = format!("port = {}", backend.address.port());
    assert_eq!(result(&health, "", held.address).await, (true, "status 200".to_owned()));
}

#[tokio::test]
async fn a_connection_is_closed_in_order_and_a_verdict_does_not_wait_for_it() {
    // The backend is in no hurry: it closes when the check has.
    let script = [answer(&ok("ok")), vec![Act::Wait]].concat();
    let backend = Backend::start(script).await;
    let seen = check("", "", backend.address).await;
    assert_eq!(seen.is_pass, Some(true));
    assert!(seen.latency < Duration::from_secs(5));
    backend.all_closed().await;
}
