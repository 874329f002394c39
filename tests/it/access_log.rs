//! The access log: what a line says, how it looks, and which requests have one.

use crate::harness::{Client, Origin, Settings, Vanne, ask, eventually, ms};
use crate::reload_effects::config;
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
    let request = "POST /a/b?c={d} HTTP/1.1\r\nHost: A.test:80\r\nContent-Length: 3\r\n\r\nabc";
    client.send(request).await;
    let answer = client.answer("POST").await;
    let line = vanne.log_of(answer.id()).await;
    has_all_keys(&line);
    for (key, value) in [
        ("listener", "http".into()),
        ("client", Value::from(local.to_string())),
        ("method", "POST".into()),
        ("host", "A.test:80".into()),
        ("target", "/a/b?c={d}".into()),
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
    for target in
        ["/\"},{", "/\\u0000", "/\\", "/'},{", "/\u{e9}\u{1f600}", "/\u{85}\u{2028}", "/%22%0a"]
    {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = ask(vanne.http, &request).await;
        let line = vanne.log_of(answer.id()).await;
        let logged = if answer.status() == 400 { Value::Null } else { target.into() };
        assert_eq!(line["target"], logged);
    }
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

/// A config with an admin socket, one route `all` to `backend`, and these keys of the access log.
pub(crate) fn logging(backend: std::net::SocketAddr, keys: &str) -> String {
    config(&format!(
        "[pool.app]\nbackends = [\"{backend}\"]\n[[route]]\nname = \"all\"\npool = \"app\"\n\
         [access_log]\n{keys}\n"
    ))
}

/// Waits until the log has this line, and no more than `count` in all.
async fn has_line(vanne: &mut Vanne, count: usize) -> String {
    let lines = eventually("a line in the access log", || {
        let lines = vanne.process().stdout();
        (lines.len() >= count).then_some(lines)
    })
    .await;
    assert_eq!(lines.len(), count, "{lines:#?}");
    lines.last().unwrap().clone()
}

#[tokio::test]
async fn a_line_looks_as_the_format_says_and_a_reload_changes_it() {
    let origin = Origin::fixed("ok").await;
    let text = "format = '{client_ip} \"{method} {target} {version}\" {status} {end} {attempts} {by} \"{request_header:x-a}\"'\n\
                headers.request.x-a = \"9B\"";
    let mut vanne = Vanne::start(&logging(origin.address, text)).await;
    ask(vanne.http, "GET /a HTTP/1.1\r\nHost: a\r\nX-A: \"\\\u{e9}\r\nConnection: close\r\n\r\n")
        .await;
    let line = has_line(&mut vanne, 1).await;
    assert_eq!(line, r#"127.0.0.1 "GET /a HTTP/1.1" 200 ok 1 - "\x22\x5C\xC3\xA9""#);
    let report = vanne.reload(&logging(origin.address, "format = \"ecs\"")).await;
    assert_eq!(report["restart_needed"], Value::Array(vec![]));
    vanne.get("/c").await;
    let line: Value = serde_json::from_str(&has_line(&mut vanne, 2).await).unwrap();
    assert_eq!((&line["url.original"], &line["event.outcome"]), (&"/c".into(), &"success".into()));
    assert_eq!(line["client.ip"], "127.0.0.1");
    vanne.reload(&logging(origin.address, "format = \"httplog\"")).await;
    vanne.get("/d").await;
    let line = has_line(&mut vanne, 3).await;
    assert!(line.starts_with("127.0.0.1:") && line.ends_with(" 0/0 \"GET /d HTTP/1.1\""), "{line}");
    let middle = format!(" http app/{} ", origin.address);
    assert!(line.contains(&middle) && line.contains(" - - ---- 0/1/0/0/0 "), "{line}");
    vanne.reload(&logging(origin.address, "to = \"off\"")).await;
    vanne.get("/e").await;
    vanne.reload(&logging(origin.address, "format = \"json\"")).await;
    vanne.get("/f").await;
    let line: Value = serde_json::from_str(&has_line(&mut vanne, 4).await).unwrap();
    assert_eq!(line["target"], "/f");
}

#[tokio::test]
async fn httplog_says_how_a_request_ended_in_the_words_of_haproxy() {
    let origin = Origin::start(|mut conn| async move { drop(conn.request().await) }).await;
    let mut vanne = Vanne::start(&logging(origin.address, "format = \"httplog\"")).await;
    assert_eq!(vanne.get("/a").await.status(), 502);
    let line = has_line(&mut vanne, 1).await;
    assert!(line.contains(" 502 ") && line.contains(" - - SH-- "), "{line}");
    ask(vanne.http, "nonsense\r\n\r\n").await;
    let line = has_line(&mut vanne, 2).await;
    assert!(line.contains(" http http/<NOSRV> -1/-1/-1/-1/") && line.contains(" PR-- "), "{line}");
    assert!(line.ends_with(" \"<BADREQ>\""), "{line}");
}

#[tokio::test]
async fn header_fields_are_captured_cut_and_secrets_hidden() {
    let fields = "Server: a\r\nSet-Cookie: s=1\r\nContent-Length: 0";
    let origin = Origin::answering(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n")).await;
    let keys = "headers.request = { user-agent = \"5B\", x-secret = \"9B\", authorization = \"9B\", \
                referer = \"1KiB\", missing = \"1B\" }\n\
                headers.response = { server = \"9B\", set-cookie = \"9B\" }\n\
                redact.headers = [\"X-Secret\"]";
    let vanne = Vanne::start(&logging(origin.address, keys)).await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: abcdefg\r\nX-Secret: S\r\n\
                   Authorization: Bearer S\r\nReferer: https://a/?token=S&b=1\r\n\
                   Connection: close\r\n\r\n";
    let answer = ask(vanne.http, request).await;
    let line = vanne.log_of(answer.id()).await;
    let want = serde_json::json!({
        "request": {
            "authorization": "***",
            "referer": "https://a/?token=***&b=1",
            "user-agent": "abcde",
            "x-secret": "***",
        },
        "response": { "server": "a", "set-cookie": "***" },
    });
    assert_eq!(line["headers"], want);
}

#[tokio::test]
async fn secrets_in_targets_are_hidden() {
    let origin = Origin::fixed("ok").await;
    let vanne = Vanne::start(&logging(origin.address, "")).await;
    let target = "/a?b=1&access_token=S&%50assword=S&api_key=S";
    let line = vanne.log_of(vanne.get(target).await.id()).await;
    assert_eq!(line["target"], "/a?b=1&access_token=***&%50assword=***&api_key=***");
    vanne.reload(&logging(origin.address, "redact.parameters = [\"B\"]")).await;
    let line = vanne.log_of(vanne.get(target).await.id()).await;
    assert_eq!(line["target"], "/a?b=***&access_token=S&%50assword=S&api_key=S");
}

#[tokio::test]
async fn some_requests_have_a_line_and_trouble_always_has() {
    let origin = Origin::fixed("ok").await;
    let rules = "[access_log]\nsample = [{ route = \"quiet\", share = \"0%\" }, \
                 { status = \"404\", share = \"0%\" }, { status = \"200-299\", share = \"25%\" }]\n";
    let vanne = Vanne::start(&format!(
        r#"
        [pool]
        app.backends = ["{}"]
        gone = {{}}
        [[route]]
        name = "all"
        pool = "app"
        match.path = "/all"
        [[route]]
        name = "quiet"
        pool = "gone"
        match.path = "/quiet"
        [[route]]
        name = "fixed"
        match.path = "/quiet/fixed"
        answer = {{ status = 302 }}
        {rules}
        "#,
        origin.address
    ))
    .await;
    let mut client = Client::connect(vanne.http).await;
    let mut ids = Vec::new();
    for _ in 0..200 {
        ids.push(client.get("/all").await.id().to_owned());
    }
    // No route: left out by its status. No backend: kept, though its route is to be quiet.
    assert_eq!(client.get("/none").await.status(), 404);
    let trouble = client.get("/quiet").await.id().to_owned();
    let other = client.get("/quiet/fixed").await.id().to_owned();
    assert!(vanne.log_of(&trouble).await.get("sampled").is_none());
    assert!(vanne.log_of(&other).await.get("sampled").is_none());
    let lines = vanne.log_lines();
    assert!(lines.iter().all(|line| line["status"] != 404), "{lines:#?}");
    let sampled: Vec<_> = lines.iter().filter(|line| line["route"] == "all").collect();
    assert!((20..=85).contains(&sampled.len()), "{} of 200", sampled.len());
    for line in sampled {
        assert_eq!(line["sampled"], 0.25, "{line}");
        assert!(ids.iter().any(|id| line["request_id"] == **id), "{line}");
    }
}
