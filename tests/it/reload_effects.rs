//! A new config while traffic flows: what it changes at once, and what it leaves alone.

use crate::harness::frames;
use crate::harness::ports::Port;
use crate::harness::vanne::{Process, binary, list};
use crate::harness::{Client, End, Origin, Vanne, eventually, get, ms, sha256, timed};
use crate::websocket;
use serde_json::Value;
use std::net::SocketAddr;

/// A config with an admin socket, whose file is not watched.
pub(crate) fn config(more: &str) -> String {
    format!("{more}\n[process]\nwatch_config = false\n[admin]\nsocket = \"@dir/admin.sock\"\n")
}

/// The same with one pool `app` and one route `all`.
pub(crate) fn simple(backends: &[SocketAddr], pool: &str, route: &str) -> String {
    config(&format!(
        "[pool.app]\nbackends = {}\n{pool}\n[[route]]\nname = \"all\"\npool = \"app\"\n{route}",
        list(backends)
    ))
}

/// The result and the number of the config in use.
pub(crate) fn result(report: &Value) -> (&str, u64) {
    (report["result"].as_str().unwrap(), report["generation"].as_u64().unwrap())
}

#[tokio::test]
async fn routes_pools_headers_and_limits_count_from_the_next_request_on() {
    let (old, new) = (Origin::fixed("old").await, Origin::fixed("new").await);
    let silent = Origin::silent().await;
    let vanne = Vanne::start(&simple(&[old.address], "", "")).await;
    let mut kept = Client::connect(vanne.http).await;
    assert_eq!(kept.get("/").await.text(), "old");
    // Another backend.
    let report = vanne.reload(&simple(&[new.address], "", "")).await;
    assert_eq!(result(&report), ("applied", 2));
    assert_eq!(kept.get("/").await.text(), "new");
    // Other headers.
    let named = "security_headers = \"other\"\n[security_headers.other]\nframe_options = \"DENY\"";
    vanne.reload(&simple(&[new.address], "", named)).await;
    assert_eq!(kept.get("/").await.head.field("x-frame-options"), Some("DENY"));
    // Another limit.
    vanne.reload(&simple(&[silent.address], "timeouts.first_byte = \"100ms\"", "")).await;
    let (taken, answer) = timed(kept.get("/")).await;
    assert_eq!(answer.refusal(), (504, "first_byte_timeout".into()));
    assert!(taken < ms(2000), "{taken:?}");
    // No such route any more.
    vanne.reload(&simple(&[new.address], "", "match.host = \"other\"")).await;
    assert_eq!(kept.get("/").await.refusal(), (404, "no_route".into()));
}

#[tokio::test]
async fn a_wrong_config_leaves_the_old_one_in_use_and_says_what_is_wrong() {
    let origin = Origin::fixed("ok").await;
    let good = simple(&[origin.address], "", "");
    let vanne = Vanne::start(&good).await;
    vanne.metric_is("vanne_config_reload_success", &[], 1.0).await;
    let applied = vanne.metrics().await.value("vanne_config_applied_timestamp_seconds", &[]);
    assert!(applied.unwrap() > 1.7e9, "{applied:?}");
    let report = vanne.reload(&simple(&[origin.address], "retry.attempts = 1", "")).await;
    assert_eq!(result(&report), ("refused", 1));
    let message = report["message"].as_str().unwrap();
    for part in ["pool.app.retry", "vanne.toml:", "did you mean `retries`?"] {
        assert!(message.contains(part), "{part} in {message}");
        let is_told = || vanne.process_log().contains(part).then_some(());
        eventually(&format!("{part} in the log"), is_told).await;
    }
    assert_eq!(vanne.get("/").await.text(), "ok");
    vanne.metric_is("vanne_config_reload_success", &[], 0.0).await;
    vanne.metric_is("vanne_reloads_total", &[("result", "refused")], 1.0).await;
    vanne.metric_is("vanne_config_generation", &[], 1.0).await;
    // The old text again: nothing is new, and all is well.
    assert_eq!(result(&vanne.reload(&good).await), ("unchanged", 1));
    vanne.metric_is("vanne_config_reload_success", &[], 1.0).await;
    vanne.metric_is("vanne_reloads_total", &[("result", "unchanged")], 1.0).await;
}

#[tokio::test]
async fn what_needs_a_restart_is_named_and_the_rest_is_used() {
    let (old, new) = (Origin::fixed("old").await, Origin::fixed("new").await);
    let vanne = Vanne::start(&simple(&[old.address], "", "")).await;
    let process = "[process]\nworkers = 3\nidle_upstream_connections = 7";
    let changed = simple(&[new.address], "", "").replace("[process]", process);
    let report = vanne.reload(&changed).await;
    assert_eq!(result(&report), ("applied", 2));
    let named = serde_json::json!(["process.idle_upstream_connections", "process.workers"]);
    assert_eq!(report["restart_needed"], named);
    let is_told = || vanne.process_log().contains("process.workers").then_some(());
    eventually("it is in the log", is_told).await;
    assert_eq!(vanne.get("/").await.text(), "new");
    // Still needed, though nothing has changed since.
    assert_eq!(vanne.reload(&changed).await["restart_needed"], named);
}

#[tokio::test]
async fn counts_and_turns_of_backends_that_stay_go_on() {
    let (first, second) = (Origin::fixed("first").await, Origin::fixed("second").await);
    let silent = Origin::silent().await;
    let backends = [first.address, second.address];
    let vanne = Vanne::start(&simple(&backends, "", "")).await;
    assert_eq!(vanne.get("/").await.text(), "first");
    vanne.reload(&simple(&backends, "retries.attempts = 2", "")).await;
    assert_eq!(vanne.get("/").await.text(), "second", "the turn begins anew");
    // A request in flight counts before, during and after.
    vanne.reload(&simple(&[silent.address], "", "")).await;
    let mut client = Client::connect(vanne.http).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    silent.has_got(1).await;
    let (address, name) = (silent.address.to_string(), "vanne_backend_requests_in_flight");
    let labels = [("pool", "app"), ("backend", address.as_str())];
    vanne.metric_is(name, &labels, 1.0).await;
    vanne.reload(&simple(&[silent.address], "retries.attempts = 3", "")).await;
    vanne.metric_is(name, &labels, 1.0).await;
    // It leaves and comes back.
    vanne.reload(&simple(&backends, "", "")).await;
    vanne.metric_is(name, &labels, 1.0).await;
    vanne.reload(&simple(&[silent.address], "", "")).await;
    drop(client);
    vanne.metric_is(name, &labels, 0.0).await;
}

#[tokio::test]
async fn series_of_what_is_gone_are_removed_when_nobody_uses_them() {
    let (origin, echo) = (Origin::fixed("ok").await, websocket::echo().await);
    let old = config(&format!(
        "pool.gone.backends = [\"{}\"]\nroute = [{{ name = \"leaving\", pool = \"gone\" }}]",
        echo.address
    ));
    let vanne = Vanne::start(&old).await;
    let mut tunnel = websocket::connected(&vanne).await;
    let shown = async |what: &str| vanne.metrics().await.0.contains(what);
    assert!(shown("route=\"leaving\"").await && shown("pool=\"gone\"").await);
    vanne.reload(&simple(&[origin.address], "", "")).await;
    assert_eq!(vanne.get("/").await.text(), "ok");
    assert!(shown("route=\"leaving\"").await, "the tunnel still counts there");
    websocket::echoes(&mut tunnel, b"hello").await;
    drop(tunnel);
    crate::harness::eventually_async("no series of what is gone", async || {
        let attempts = "vanne_attempts_total{outcome=\"success\",pool=\"gone\"";
        (!shown("route=\"leaving\"").await && !shown(attempts).await).then_some(())
    })
    .await;
    assert!(shown("route=\"all\"").await && shown("pool=\"app\"").await);
}

#[tokio::test]
async fn old_configs_are_let_go_when_nothing_needs_them() {
    let (origin, echo) = (Origin::fixed("ok").await, websocket::echo().await);
    let with = |retries: usize| {
        config(&format!(
            r#"
            pool.app = {{ backends = ["{}"], retries.attempts = {retries} }}
            pool.echo.backends = ["{}"]
            route = [
                {{ name = "all", pool = "app" }},
                {{ name = "echo", pool = "echo", match = {{ path = "/ws" }} }},
            ]
            "#,
            origin.address, echo.address
        ))
    };
    let vanne = Vanne::start(&with(1)).await;
    let alive = async |by: &str, count: f64| {
        vanne.metric_is("vanne_generations_alive", &[("held_by", by)], count).await;
    };
    // A kept connection that is idle and a tunnel, both from the first config on.
    let mut kept = Client::connect(vanne.http).await;
    assert_eq!(kept.get("/").await.status(), 200);
    let mut tunnel = websocket::connected(&vanne).await;
    for retries in [2, 3, 4] {
        vanne.reload(&with(retries)).await;
    }
    alive("tunnels", 1.0).await;
    alive("requests", 0.0).await;
    alive("current", 1.0).await;
    websocket::echoes(&mut tunnel, b"hello").await;
    drop(tunnel);
    alive("tunnels", 0.0).await;
    // A request that is under way.
    let silent = Origin::silent().await;
    vanne.reload(&simple(&[silent.address], "", "")).await;
    kept.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    silent.has_got(1).await;
    vanne.reload(&with(5)).await;
    alive("requests", 1.0).await;
    drop(kept);
    alive("requests", 0.0).await;
    alive("current", 1.0).await;
}

#[tokio::test]
async fn nothing_under_way_is_cut_by_twenty_reloads() {
    let (echo, hashing) = (websocket::echo().await, Origin::hashing().await);
    let (more, wanted) = tokio::sync::watch::channel(0_usize);
    let streaming = Origin::start(move |mut conn| {
        let mut wanted = wanted.clone();
        async move {
            conn.request().await;
            conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            for part in 1..=20 {
                drop(wanted.wait_for(|wanted| *wanted >= part).await);
                conn.send_chunk(format!("part {part}")).await;
            }
            conn.send("0\r\n\r\n").await;
        }
    })
    .await;
    let vanne = Vanne::start(&config(&format!(
        r#"
        pool.echo.backends = ["{}"]
        pool.hashing.backends = ["{}"]
        pool.streaming.backends = ["{}"]
        route = [
            {{ name = "echo", pool = "echo", match = {{ path = "/ws" }} }},
            {{ name = "hashing", pool = "hashing", match = {{ path = "/up" }} }},
            {{ name = "streaming", pool = "streaming" }},
        ]
        "#,
        echo.address, hashing.address, streaming.address
    )))
    .await;
    let other = Origin::fixed("other").await;
    let mut tunnel = websocket::connected(&vanne).await;
    let mut download = Client::connect(vanne.http).await;
    download.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(download.head().await.unwrap().status(), 200);
    let mut upload = Client::connect(vanne.http).await;
    upload.send("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n").await;
    vanne.metric_is("vanne_requests_in_flight", &[], 3.0).await;
    // Their routes and pools, and in the end their listener, are no longer in the config.
    let elsewhere = Port::take();
    for number in 1..=20_usize {
        let address = if number == 20 { elsewhere.address } else { vanne.http };
        let listener =
            format!("[listener.http]\naddress = \"{address}\"\nmax_connections = {number}");
        let report = vanne.reload(&simple(&[other.address], "", &listener)).await;
        assert_eq!(result(&report), ("applied", number as u64 + 1), "{report}");
        websocket::echoes(&mut tunnel, format!("message {number}").as_bytes()).await;
        upload.send("12345").await;
        more.send(number).unwrap();
        assert_eq!(download.line().await.unwrap(), format!("{:x}", format!("part {number}").len()));
        assert_eq!(download.line().await.unwrap(), format!("part {number}"));
    }
    assert_eq!(get(elsewhere.address, "/").await.text(), "other");
    assert_eq!(download.line().await.unwrap(), "0");
    let answer = upload.answer("POST").await;
    assert_eq!(answer.text(), format!("100 {}", sha256("12345".repeat(20).as_bytes())));
    assert_eq!(answer.head.field("connection"), Some("close"), "its listener is gone");
    websocket::echoes(&mut tunnel, b"still here").await;
    frames::send(&mut tunnel, frames::CLOSE, &1000_u16.to_be_bytes(), true).await;
    assert!(frames::next(&mut tunnel).await.is_some());
    tunnel.shut().await;
    assert_eq!(tunnel.end().await, End::Closed);
    let ended = || (vanne.log_lines().len() == 4).then(|| vanne.log_lines());
    let lines = eventually("all lines of the log", ended).await;
    assert!(lines.iter().all(|line| line["end"] == "ok"), "{lines:?}");
}

#[tokio::test]
async fn a_socket_that_was_left_behind_is_replaced_and_no_other_file_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("left.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let wanted = simple(&[], "", "").replace("@dir/admin.sock", path.to_str().unwrap());
    let vanne = Vanne::start(&wanted).await;
    assert!(std::os::unix::net::UnixStream::connect(&path).is_ok());
    // What is no socket stays what it is.
    let file = folder.path().join("notes");
    std::fs::write(&file, "mine").unwrap();
    let config = simple(&[], "", "").replace("@dir/admin.sock", file.to_str().unwrap());
    let port = Port::take();
    let config = format!("[listener.http]\naddress = \"{}\"\n{config}", port.address);
    let mut command = std::process::Command::new(binary());
    command.args(["run", "--config"]).arg(vanne.file("other.toml"));
    let probe = Port::take();
    let text = vanne.fill_in(&config).replace(&vanne.probe.to_string(), &probe.address.to_string());
    std::fs::write(vanne.file("other.toml"), text).unwrap();
    let mut process = Process::start(command);
    assert_eq!(process.exit_within(ms(5000)).await.code(), Some(1));
    let log = process.stderr().join("\n");
    assert!(log.contains("admin.socket") && log.contains("not a socket"), "{log}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
}
