//! `vanne demo`: backends that do as they are told, and a proxy before them.

use crate::harness::client::{ask_carelessly as ask, get_carelessly as get};
use crate::harness::frames::{self, HANDSHAKE, TEXT};
use crate::harness::ports::Port;
use crate::harness::vanne::{Process, binary};
use crate::harness::{Answer, Client, End, Wire, eventually, ms, timed};
use rustix::process::Signal;
use std::net::SocketAddr;
use std::process::Command;

/// Demo backends on ports of their own, with their addresses.
async fn backends(count: usize) -> (Process, Vec<SocketAddr>) {
    let mut command = Command::new(binary());
    command.args(["demo", "--backends-only", "--base-port", "0", "--count", &count.to_string()]);
    let process = Process::start(command);
    let addresses = eventually("the backends' addresses", || {
        let addresses: Vec<_> = process
            .stdout()
            .iter()
            .filter_map(|line| line.strip_prefix("  http://")?.strip_suffix('/')?.parse().ok())
            .collect();
        (addresses.len() == count).then_some(addresses)
    })
    .await;
    (process, addresses)
}

/// Tells a backend how to behave.
async fn tell(address: SocketAddr, behaviour: &str) -> Answer {
    let request = format!(
        "PUT /_demo/behaviour HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{behaviour}",
        behaviour.len()
    );
    ask(address, &request).await
}

#[tokio::test]
async fn backends_say_who_they_are_and_what_they_were_asked() {
    let (_process, addresses) = backends(2).await;
    for (address, name) in addresses.into_iter().zip(["demo-1", "demo-2"]) {
        let request = "POST /a/b?c HTTP/1.1\r\nHost: a.test\r\nX-Twice: 1\r\nX-Twice: 2\r\n\
            Connection: close\r\nContent-Length: 3\r\n\r\nabc";
        let answer = ask(address, request).await;
        let said: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(said["backend"], name);
        assert_eq!((&said["method"], &said["path"]), (&"POST".into(), &"/a/b".into()));
        assert_eq!((&said["query"], &said["body_bytes"]), (&"c".into(), &3.into()));
        assert_eq!(said["request_headers"]["host"][0], "a.test");
        assert_eq!(said["request_headers"]["x-twice"].as_array().map(Vec::len), Some(2));
    }
}

#[tokio::test]
async fn a_backend_behaves_as_it_is_told() {
    let (_process, addresses) = backends(1).await;
    let address = addresses[0];
    assert_eq!(get(address, "/").await.status(), 200);
    // Every other request.
    assert_eq!(tell(address, r#"{"fail":"503","share":"50%"}"#).await.status(), 200);
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(get(address, "/").await.status());
    }
    assert_eq!(statuses, [200, 503, 200, 503]);
    assert_eq!(get(address, "/_demo/behaviour").await.status(), 200);
    // Slow.
    assert_eq!(tell(address, r#"{"latency":"200ms"}"#).await.status(), 200);
    let (took, answer) = timed(get(address, "/")).await;
    assert!(answer.status() == 200 && took >= ms(195), "{took:?}");
    // Cut.
    tell(address, r#"{"fail":"reset"}"#).await;
    let mut client = Client::connect(address).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.end().await, End::Reset);
    // Silent.
    tell(address, r#"{"fail":"hang"}"#).await;
    let hanging = tokio::time::timeout(ms(300), get(address, "/")).await;
    assert!(hanging.is_err());
    // The short forms.
    for (target, status) in [
        ("/_demo/fail?status=500", 500),
        ("/_demo/heal", 200),
        ("/_demo/slow?latency=1ms", 200),
        ("/_demo/fail?status=404&share=100%25", 404),
    ] {
        let request = format!("POST {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(ask(address, &request).await.status(), 200, "{target}");
        assert_eq!(get(address, "/").await.status(), status, "{target}");
    }
    // Nonsense changes nothing.
    for behaviour in ["", "nonsense", r#"{"fail":"explode"}"#, r#"{"shared":"50%"}"#] {
        assert_eq!(tell(address, behaviour).await.status(), 400, "{behaviour}");
    }
    assert_eq!(get(address, "/").await.status(), 404);
}

#[tokio::test]
async fn backends_send_events_bytes_and_messages() {
    let (_process, addresses) = backends(1).await;
    let (took, events) = timed(get(addresses[0], "/sse?count=2")).await;
    assert_eq!(events.head.field("content-type"), Some("text/event-stream"));
    assert_eq!(events.text().matches("data: ").count(), 2);
    assert!(took >= ms(995), "{took:?}");
    let bytes = get(addresses[0], "/bytes/1000000").await;
    assert_eq!((bytes.body.len(), bytes.is_whole), (1_000_000, true));
    let mut wire = Wire::connect(addresses[0]).await;
    wire.send(HANDSHAKE).await;
    let head = wire.head().await.unwrap();
    assert_eq!(head.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    frames::send(&mut wire, TEXT, b"hello", true).await;
    assert_eq!(frames::next(&mut wire).await, Some((TEXT, b"hello".to_vec())));
}

#[tokio::test]
async fn a_port_in_use_is_said() {
    let listening = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listening.local_addr().unwrap().port().to_string();
    let mut command = Command::new(binary());
    command.args(["demo", "--backends-only", "--count", "1", "--base-port", &port]);
    let mut process = Process::start(command);
    assert_eq!(process.exit_within(ms(5000)).await.code(), Some(1));
    assert!(process.stderr().join("\n").contains(&port), "{:?}", process.stderr());
}

#[tokio::test]
async fn every_line_that_the_demo_prints_works() {
    let (http, probe) = (Port::take(), Port::take());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("demo.toml");
    let built_in = include_str!("../../conf/demo.toml");
    let config = built_in
        .replace("127.0.0.1:8080", &http.address.to_string())
        .replace("127.0.0.1:9901", &probe.address.to_string())
        .replace("first_byte = \"2s\"", "first_byte = \"500ms\"");
    std::fs::write(&path, config).unwrap();
    let mut command = Command::new(binary());
    command.args(["demo", "--base-port", "0", "--config"]).arg(&path);
    let mut process = Process::start(command);
    let last = format!("curl -s http://{}/health", probe.address);
    eventually("what it prints", || process.stdout().contains(&last).then_some(())).await;
    let lines: Vec<_> = process
        .stdout()
        .into_iter()
        .filter(|line| line.starts_with("curl ") || line.starts_with("for "))
        .collect();
    assert!(lines.len() >= 10, "{lines:?}");
    if Command::new("curl").arg("--version").output().is_err() {
        return; // Nothing to run the lines with; what they ask is tested above.
    }
    let mut said = String::new();
    for line in lines {
        let output = Command::new("sh").args(["-c", &line]).output().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
        assert!(!output.stdout.is_empty(), "{line} says nothing");
        said.push_str(&String::from_utf8_lossy(&output.stdout));
    }
    for expected in
        ["\"demo-1\"", "\"demo-3\"", "as told", "504 Gateway", "data: ", "64000000", "ready"]
    {
        assert!(said.contains(expected), "{expected} not in {said}");
    }
    process.signal(Signal::INT);
    assert_eq!(process.exit_within(ms(5000)).await.code(), Some(0));
}
