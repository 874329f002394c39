//! Who is let in at the admin API, and who is not.

use crate::harness::admin::{Asked, JSON, Lab, ask_at, line, problem};
use crate::harness::ports::Port;
use crate::harness::vanne::{Process, binary};
use crate::harness::{Client, Origin, Vanne, eventually, eventually_async, in_time, ms};
use serde_json::{Value, json};
use std::process::Command;

const LOG: &str = "PATCH /v1/log";
const DEBUG: &str = "{\"level\": \"debug\"}";

/// Everything that can be asked: method and path.
fn operations(document: &Value) -> Vec<String> {
    let paths = document["paths"].as_object().unwrap().iter();
    let all = paths.flat_map(|(path, methods)| {
        let path = path.replace("{pool}", "app").replace("{backend}", "127.0.0.1:1");
        let methods = methods.as_object().unwrap().keys();
        methods.map(move |method| format!("{} {path}", method.to_uppercase())).collect::<Vec<_>>()
    });
    all.collect()
}

#[tokio::test]
async fn nothing_is_answered_without_a_token_or_with_a_bad_one() {
    let lab = Lab::start(&[], "", "").await;
    let all = operations(&lab.get("/v1/openapi.json").await);
    assert!(all.len() >= 14);
    for operation in all.iter().chain([&"GET /nowhere".to_owned()]) {
        let without = Asked { line: operation, token: None, fields: JSON, body: "" };
        let answer = lab.ask(without).await;
        assert_eq!(problem(&answer), (401, "no_token".into()), "{operation}");
        assert_eq!(answer.head.field("www-authenticate"), Some("Bearer"));
    }
    for bad in ["reader", "", "read2", "READ"] {
        let answer = lab.ask(Asked::new("GET /v1/status", bad)).await;
        assert_eq!(problem(&answer), (401, "bad_token".into()), "{bad}");
    }
    let basic = Asked {
        fields: "Authorization: Basic cmVhZA==\r\n",
        token: None,
        ..Asked::new("GET /v1/pools", "")
    };
    assert_eq!(problem(&lab.ask(basic).await), (401, "bad_token".into()));
    let failures = "vanne_admin_login_failures_total";
    lab.vanne.metric_is(failures, &[("reason", "missing")], all.len() as f64 + 1.0).await;
    lab.vanne.metric_is(failures, &[("reason", "wrong")], 5.0).await;
    lab.vanne
        .metric_is("vanne_admin_requests_total", &[("method", "GET"), ("code", "200")], 1.0)
        .await;
}

#[tokio::test]
async fn a_role_does_what_it_may_and_nothing_more() {
    let origin = Origin::fixed("x").await;
    let lab = Lab::start(&[origin.address], "", "").await;
    let backend = format!("PATCH /v1/pools/app/backends/{}", origin.address);
    for (line, body, allowed) in [
        (backend.as_str(), "{\"state\": \"drain\"}", ["operate", "admin"].as_slice()),
        (LOG, DEBUG, &["operate", "admin"]),
        ("DELETE /v1/log", "", &["operate", "admin"]),
        ("POST /v1/reload", "", &["admin"]),
        ("GET /v1/config", "", &["read", "operate", "admin"]),
    ] {
        for role in ["read", "operate", "admin"] {
            let answer = lab.ask(Asked::new(line, role).with(body)).await;
            match allowed.contains(&role) {
                true => assert_eq!(answer.status(), 200, "{role} {line}: {}", answer.text()),
                false => assert_eq!(problem(&answer), (403, "role".into()), "{role} {line}"),
            }
        }
    }
}

#[tokio::test]
async fn nothing_changes_by_get() {
    let origin = Origin::fixed("x").await;
    let lab = Lab::start(&[origin.address], "", "").await;
    for (path, allow) in [
        ("/v1/reload".to_owned(), "OPTIONS, POST"),
        ("/v1/log".to_owned(), "DELETE, GET, HEAD, OPTIONS, PATCH"),
        (format!("/v1/pools/app/backends/{}", origin.address), "GET, HEAD, OPTIONS, PATCH"),
    ] {
        let body = "{\"state\": \"maint\", \"level\": \"debug\"}";
        for method in ["GET", "HEAD", "OPTIONS"] {
            let line = format!("{method} {path}?state=maint&level=debug");
            let answer = lab.ask(Asked::new(&line, "admin").with(body)).await;
            if method == "OPTIONS" {
                assert_eq!((answer.status(), answer.head.field("allow")), (204, Some(allow)));
            } else if !allow.contains("GET") {
                assert_eq!(answer.status(), 405);
                assert_eq!(answer.head.field("allow"), Some(allow));
            }
        }
    }
    assert_eq!(lab.get("/v1/log").await["level"], "info");
    assert_eq!(lab.get("/v1/pools/app/backends").await[0]["state"], "up");
    assert_eq!(lab.vanne.metrics().await.value("vanne_reloads_total", &[]), Some(1.0));
}

#[tokio::test]
async fn what_a_web_page_makes_a_browser_send_is_refused() {
    let lab = Lab::start(&[], "hosts = [\"admin.example\"]", "").await;
    let own = lab.address;
    let foreign = |name: &str| Err((403, name.to_owned()));
    for (fields, want) in [
        ("Host: evil.example\r\n".to_owned(), foreign("foreign_host")),
        (format!("Host: evil.example:{}\r\n", own.port()), foreign("foreign_host")),
        (format!("Host: {own}\r\nOrigin: http://evil.example\r\n"), foreign("foreign_origin")),
        (format!("Host: {own}\r\nOrigin: null\r\n"), foreign("foreign_origin")),
        (format!("Host: {own}\r\nOrigin: http://{own}\r\n"), Ok(200)),
        ("Host: admin.example:80\r\n".to_owned(), Ok(200)),
        (format!("Host: localhost:{}\r\n", own.port()), Ok(200)),
    ] {
        let answer = lab.ask(Asked { fields: &fields, ..Asked::new("GET /v1/log", "admin") }).await;
        let got = if answer.status() == 200 { Ok(200) } else { Err(problem(&answer)) };
        assert_eq!(got, want, "{fields}");
    }
    for fields in ["", "Content-Type: text/plain\r\n", "Content-Type: multipart/form-data\r\n"] {
        for line in [LOG, "POST /v1/reload"] {
            let asked = Asked { fields, ..Asked::new(line, "admin").with(DEBUG) };
            assert_eq!(problem(&lab.ask(asked).await), (415, "content_type".into()), "{fields}");
        }
    }
    assert_eq!(lab.get("/v1/log").await["level"], "info");
}

#[tokio::test]
async fn a_loopback_address_without_tokens_lets_everybody_look_and_nobody_change() {
    let port = Port::take();
    let vanne = Vanne::start(&format!("admin.address = \"{}\"\n", port.address)).await;
    let look = Asked { token: None, ..Asked::new("GET /v1/status", "") };
    let answer = ask_at(port.address, look).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    for line in [LOG, "POST /v1/reload", "DELETE /v1/log"] {
        let change = Asked { line, body: DEBUG, ..look };
        assert_eq!(problem(&ask_at(port.address, change).await), (403, "role".into()));
    }
    let rebound = Asked { fields: "Host: evil.example\r\n", ..look };
    assert_eq!(problem(&ask_at(port.address, rebound).await), (403, "foreign_host".into()));
    drop(vanne);
}

#[tokio::test]
async fn an_address_that_others_reach_needs_tokens_to_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vanne.toml");
    let (port, http, probe) = (Port::take(), Port::take(), Port::take());
    let config = |admin: &str| {
        format!(
            "listener.http.address = \"{}\"\nprobe.address = \"{}\"\n\
             [admin]\naddress = \"0.0.0.0:{}\"\n{admin}\n",
            http.address,
            probe.address,
            port.address.port()
        )
    };
    for (admin, said) in
        [("", "nothing asks who they are"), ("tokens_file = \"tokens\"", "admin.tokens_file:")]
    {
        std::fs::write(&path, config(admin)).unwrap();
        let mut command = Command::new(binary());
        command.arg("run").arg("--config").arg(&path);
        let mut process = Process::start(command);
        assert_eq!(process.exit_within(ms(5000)).await.code(), Some(1));
        let told = process.stderr().join("\n");
        assert!(told.contains(said), "{told}");
    }
    let output = Command::new(binary()).args(["check", "--deep"]).arg(&path).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("admin.tokens_file") || told.contains("tokens_file"), "{told}");
    assert_eq!(output.status.code(), Some(1), "{told}");
}

#[tokio::test]
async fn who_shows_too_many_wrong_tokens_has_to_wait() {
    let lab = Lab::start(&[], "", "").await;
    let wrong = Asked::new("GET /v1/status", "guess");
    for _ in 0..10 {
        assert_eq!(lab.ask(wrong).await.status(), 401);
    }
    for token in ["guess", "admin"] {
        let answer = lab.ask(Asked::new("GET /v1/status", token)).await;
        assert_eq!(problem(&answer), (429, "too_many_failures".into()));
        let wait: u64 = answer.head.field("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait));
    }
    lab.vanne.metric_is("vanne_admin_login_failures_total", &[("reason", "limited")], 2.0).await;
    assert!(!lab.vanne.process_log().contains("guess"), "what was shown is in no log");
    // The socket is another door.
    assert!(lab.prints(&["status"]).await.contains("serving"));
}

#[tokio::test]
async fn the_file_of_tokens_is_read_again_when_it_changes() {
    let lab = Lab::start(&[], "", "").await;
    lab.replace_tokens(&(line("read", "read") + &line("admin", "new")));
    lab.tokens_are_read().await;
    assert_eq!(lab.ask(Asked::new("POST /v1/reload", "new")).await.status(), 200);
    assert_eq!(lab.ask(Asked::new("POST /v1/reload", "admin")).await.status(), 401);
    lab.replace_tokens("nonsense\n");
    eventually_async("that it is wrong is told", async || {
        let warnings = lab.get("/v1/status").await["warnings"].clone();
        let is_told = |warning: &Value| warning["about"] == "tokens";
        warnings.as_array().unwrap().iter().any(is_told).then_some(())
    })
    .await;
    assert_eq!(lab.ask(Asked::new("POST /v1/reload", "new")).await.status(), 200, "those stay");
    let is_told = || lab.vanne.process_log().contains("line 1: expected `ROLE NAME SHA-256`");
    eventually("it is in the log", || is_told().then_some(())).await;
}

#[tokio::test]
async fn every_change_and_every_refused_attempt_is_a_line_of_the_audit_log() {
    let origin = Origin::fixed("x").await;
    let lab = Lab::start(&[origin.address], "audit_file = \"@dir/audit.log\"", "").await;
    let backend = format!("PATCH /v1/pools/app/backends/{}", origin.address);
    let drain = "{\"state\": \"drain\", \"reason\": \"new\\tkernel\"}";
    let good = "{\"state\": \"drain\", \"reason\": \"new kernel\", \"for_seconds\": 60}";
    lab.get("/v1/status").await;
    lab.ask(Asked::new(&backend, "operate").with(good)).await;
    lab.ask(Asked::new(&backend, "operate").with(drain)).await;
    lab.ask(Asked::new(&backend, "read").with(good)).await;
    lab.ask(Asked::new(&backend, "guess").with(good)).await;
    lab.ask(Asked::new("POST /v1/reload", "admin")).await;
    lab.prints(&["log-level", "debug"]).await;
    let text = std::fs::read_to_string(lab.vanne.file("audit.log")).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!text.contains("guess") && lines.len() == 6, "{text}");
    let said = |index: usize| {
        let line = &lines[index];
        (line["who"].as_str().unwrap(), line["result"].as_str().unwrap(), &line["status"])
    };
    assert_eq!(said(0), ("operate", "done", &json!(200)));
    assert_eq!((&lines[0]["action"], &lines[0]["reason"]), (&json!(backend), &json!("new kernel")));
    assert_eq!((&lines[0]["role"], &lines[0]["from"]), (&json!("operate"), &json!("127.0.0.1")));
    assert_eq!(lines[0]["before"]["state"], "up");
    assert_eq!(lines[0]["after"]["state"], "drain");
    assert_eq!(lines[0]["after"]["override"]["owner"], "operate");
    assert_eq!(said(1), ("operate", "invalid", &json!(422)));
    assert_eq!(said(2), ("read", "role", &json!(403)));
    assert_eq!(said(3), ("-", "bad_token", &json!(401)));
    assert_eq!(said(4), ("admin", "done", &json!(200)));
    assert_eq!(lines[4]["after"]["result"], "unchanged");
    let user = rustix::process::getuid().as_raw();
    assert_eq!(said(5), (format!("uid {user}").as_str(), "done", &json!(200)));
    assert_eq!((&lines[5]["from"], &lines[5]["role"]), (&json!("socket"), &json!("admin")));
    assert_eq!(lines[5]["after"]["level"], "debug");
    let is_told = || lab.vanne.process_log().matches("asked to change something").count() == 6;
    eventually("the same lines in the log", || is_told().then_some(())).await;
}

#[tokio::test]
async fn who_opens_connections_without_end_waits_at_their_own_door() {
    let lab = Lab::start(&[], "", "").await;
    let mut open = Vec::new();
    for _ in 0..64 {
        open.push(Client::connect(lab.address).await);
    }
    let look = lab.ask(Asked::new("GET /v1/log", "read"));
    tokio::pin!(look);
    let soon = tokio::time::timeout(ms(300), &mut look).await;
    assert!(soon.is_err(), "there is no place left");
    assert!(lab.prints(&["status"]).await.contains("serving"), "the socket is another door");
    open.pop();
    assert_eq!(in_time("a place", look).await.status(), 200);
}

#[tokio::test]
async fn an_open_connection_does_not_hold_up_the_end() {
    let mut lab = Lab::start(&[], "", "").await;
    let mut client = Client::connect(lab.address).await;
    let host = lab.address;
    let request =
        format!("GET /v1/log HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer read\r\n\r\n");
    client.send(&request).await;
    assert_eq!(client.answer("GET").await.status(), 200);
    lab.vanne.sigterm();
    assert_eq!(lab.vanne.exit_within(ms(4000)).await, 0);
}
