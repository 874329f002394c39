//! The access log: one line of JSON per request.

use crate::harness::{Client, Origin, Settings, Vanne, ask, eventually, ms};
use serde_json::Value;
use std::collections::BTreeSet;

const KEYS: [&str; 18] = [
    "time",
    "request_id",
    "listener",
    "client",
    "method",
    "host",
    "target",
    "version",
    "status",
    "route",
    "pool",
    "backend",
    "attempts",
    "end",
    "by",
    "bytes_in",
    "bytes_out",
    "ms",
];

fn has_all_keys(line: &Value) {
    let keys: BTreeSet<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
    let missing: Vec<_> = KEYS.iter().filter(|key| !keys.contains(*key)).collect();
    assert!(missing.is_empty(), "{missing:?} missing in {line}");
    let times: BTreeSet<_> = line["ms"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(times, BTreeSet::from(["total", "connect", "first_byte"]));
}

#[tokio::test]
async fn a_line_tells_the_whole_story_of_a_request() {
    let origin = Origin::start(|mut conn| async move {
        conn.request().await;
        tokio::time::sleep(ms(50)).await;
        conn.send("HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nhello").await;
        conn.note_end().await;
    })
    .await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = Client::connect(vanne.http).await;
    let local = client.stream.local_addr().unwrap();
    let request = "POST /a/b?c=\"d\" HTTP/1.1\r\nHost: A.test:80\r\nContent-Length: 3\r\n\r\nabc";
    client.send(request).await;
    let answer = client.answer("POST").await;
    let line = vanne.log_of(answer.id()).await;
    has_all_keys(&line);
    for (key, value) in [
        ("listener", "http".into()),
        ("client", Value::from(local.to_string())),
        ("method", "POST".into()),
        ("host", "A.test:80".into()),
        ("target", "/a/b?c=\"d\"".into()),
        ("version", "HTTP/1.1".into()),
        ("status", 201.into()),
        ("route", "all".into()),
        ("pool", "app".into()),
        ("backend", origin.address.to_string().into()),
        ("end", "ok".into()),
        ("bytes_in", request.len().into()),
    ] {
        assert_eq!(line[key], value, "{key} in {line}");
    }
    let time = line["time"].as_str().unwrap();
    let form: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(form, "0000-00-00T00:00:00.000000Z", "{time}");
    assert_eq!(line["request_id"].as_str().map(str::len), Some(32));
    assert!(line["bytes_out"].as_u64().unwrap() > 50, "{line}");
    let times = ["connect", "first_byte", "total"].map(|key| line["ms"][key].as_f64().unwrap());
    assert!(times.is_sorted() && times[1] >= 50.0, "{line}");
    let attempts = line["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0]["backend"], origin.address.to_string());
    assert_eq!(attempts[0]["outcome"], "success");
    assert!(attempts[0]["ms"].as_f64().unwrap() >= 50.0, "{line}");
}

#[tokio::test]
async fn bytes_out_are_those_the_client_got() {
    let origin = Origin::fixed("hello").await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = Client::connect(vanne.http).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let mut bytes = Vec::new();
    while client.take(1, &mut bytes).await.is_some() {}
    let line = vanne.only_log().await;
    assert_eq!(line["bytes_out"], bytes.len(), "{line}");
}

#[tokio::test]
async fn what_is_not_known_is_null() {
    let vanne = Vanne::start("").await;
    let answer = ask(vanne.http, "nonsense\r\n\r\n").await;
    let line = vanne.log_of(answer.id()).await;
    has_all_keys(&line);
    for key in ["method", "host", "target", "version", "route", "pool", "backend"] {
        assert_eq!(line[key], Value::Null, "{key} in {line}");
    }
    assert_eq!(line["attempts"], Value::Array(vec![]));
    assert_eq!((&line["ms"]["connect"], &line["ms"]["first_byte"]), (&Value::Null, &Value::Null));
    assert!(line["ms"]["total"].is_number());
}

#[tokio::test]
async fn every_request_has_its_line_in_the_order_of_its_connection() {
    let origin = Origin::fixed("ok").await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = Client::connect(vanne.http).await;
    let mut ids = Vec::new();
    for _ in 0..50 {
        ids.push(client.get("/").await.id().to_owned());
    }
    eventually("all lines", || (vanne.log_lines().len() >= 50).then_some(())).await;
    let logged: Vec<_> = vanne
        .log_lines()
        .iter()
        .map(|line| line["request_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(logged, ids);
}

#[tokio::test]
async fn what_clients_send_cannot_break_a_line() {
    let origin = Origin::fixed("ok").await;
    let vanne = Vanne::before(&[origin.address]).await;
    let request = "GET /\"},{\\u0000 HTTP/1.1\r\nHost: a\r\nX: \"\r\nConnection: close\r\n\r\n";
    let answer = ask(vanne.http, request).await;
    let line = vanne.only_log().await;
    assert_eq!(line["request_id"], answer.id());
    assert_eq!(line["target"], "/\"},{\\u0000");
}

#[tokio::test]
async fn the_log_goes_to_the_file_that_is_named() {
    let origin = Origin::fixed("ok").await;
    let settings =
        Settings { more: "[access_log]\nto = \"@dir/access.log\"", ..Settings::default() };
    let vanne = Vanne::with(&[origin.address], settings).await;
    let answer = vanne.get("/").await;
    let text = eventually("a line in the file", || {
        std::fs::read_to_string(vanne.file("access.log")).ok().filter(|text| text.ends_with('\n'))
    })
    .await;
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["request_id"], answer.id());
    assert_eq!(vanne.log_lines(), [Value::Null; 0]);
}

#[tokio::test]
async fn the_log_can_be_off() {
    let origin = Origin::fixed("ok").await;
    let settings = Settings { more: "[access_log]\nto = \"off\"", ..Settings::default() };
    let mut vanne = Vanne::with(&[origin.address], settings).await;
    assert_eq!(vanne.get("/").await.status(), 200);
    vanne.sigterm();
    assert_eq!(vanne.exit_within(ms(3000)).await, 0);
    assert_eq!(vanne.log_lines(), [Value::Null; 0]);
}
