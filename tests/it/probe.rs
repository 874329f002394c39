//! The port for orchestrators and Prometheus.

use crate::harness::{Client, Origin, Settings, Vanne, ask, get};

async fn scrape(vanne: &Vanne, fields: &str) -> crate::harness::Answer {
    let request = format!("GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n");
    ask(vanne.probe, &request).await
}

#[tokio::test]
async fn a_running_process_is_alive_ready_and_healthy() {
    let origin = Origin::fixed("ok").await;
    let vanne = Vanne::before(&[origin.address]).await;
    assert_eq!(get(vanne.probe, "/healthz").await.status(), 200);
    assert_eq!(get(vanne.probe, "/readyz").await.status(), 200);
    let health = get(vanne.probe, "/health").await;
    assert_eq!(health.head.field("content-type"), Some("application/json"));
    let health: serde_json::Value = serde_json::from_slice(&health.body).unwrap();
    assert_eq!(health["status"], "ready");
    assert_eq!(get(vanne.probe, "/nothing").await.status(), 404);
    // Probes are not clients.
    assert_eq!(get(vanne.http, "/healthz").await.text(), "ok");
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn requests_are_counted_by_route_pool_and_class() {
    let origin = Origin::start(|mut conn| async move {
        while let Some(request) = conn.request().await {
            let status = request.head.word(1).trim_start_matches('/').to_owned();
            conn.send(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n")).await;
        }
    })
    .await;
    let vanne = Vanne::before(&[origin.address]).await;
    for status in ["200", "201", "302", "404", "500"] {
        assert_eq!(vanne.get(&format!("/{status}")).await.head.word(1), status);
    }
    for (class, count) in [("2xx", 2.0), ("3xx", 1.0), ("4xx", 1.0), ("5xx", 1.0)] {
        let labels = [("route", "all"), ("pool", "app"), ("class", class)];
        vanne.metric_is("vanne_requests_total", &labels, count).await;
    }
    let metrics = vanne.metrics().await;
    let duration = |name: &str| {
        metrics.value(&format!("vanne_request_duration_seconds_{name}"), &[("route", "all")])
    };
    assert_eq!(duration("count"), Some(5.0));
    assert!(duration("sum").unwrap() > 0.0 && duration("bucket").unwrap() > 0.0);
    for name in ["vanne_requests_total", "vanne_request_duration_seconds"] {
        assert!(metrics.0.contains(&format!("# TYPE {name} ")), "{name}");
        assert!(metrics.0.contains(&format!("# HELP {name} ")), "{name}");
    }
}

#[tokio::test]
async fn connections_and_requests_in_flight_go_up_and_down() {
    let origin = Origin::silent().await;
    let vanne = Vanne::before(&[origin.address]).await;
    let backend = origin.address.to_string();
    let labels = [("pool", "app"), ("backend", backend.as_str())];
    let mut client = Client::connect(vanne.http).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    origin.has_got(1).await;
    let metrics = vanne.metrics().await;
    assert_eq!(metrics.value("vanne_requests_in_flight", &[]), Some(1.0));
    assert_eq!(metrics.value("vanne_backend_requests_in_flight", &labels), Some(1.0));
    assert_eq!(metrics.value("vanne_connections_open", &[("listener", "http")]), Some(1.0));
    assert_eq!(
        metrics.value("vanne_connections_accepted_total", &[("listener", "http")]),
        Some(1.0)
    );
    drop(client);
    vanne.is_idle().await;
    let metrics = vanne.metrics().await;
    assert_eq!(metrics.value("vanne_requests_in_flight", &[]), Some(0.0));
    assert_eq!(metrics.value("vanne_backend_requests_in_flight", &labels), Some(0.0));
    assert_eq!(metrics.value("vanne_connections_accepted_total", &[]), Some(1.0));
}

#[tokio::test]
async fn refusals_are_counted_by_reason() {
    let port = crate::harness::ports::Port::take();
    let settings = Settings {
        pool: "retries.attempts = 0",
        route: "match = { path = \"/app\" }",
        ..Settings::default()
    };
    let vanne = Vanne::with(&[port.address], settings).await;
    assert_eq!(vanne.get("/nowhere").await.status(), 404);
    assert_eq!(vanne.get("/nowhere").await.status(), 404);
    assert_eq!(vanne.get("/app").await.status(), 502);
    vanne.metric_is("vanne_refusals_total", &[("reason", "no_route")], 2.0).await;
    vanne.metric_is("vanne_refusals_total", &[("reason", "connect_refused")], 1.0).await;
}

#[tokio::test]
async fn metrics_ask_for_their_token() {
    let settings = Settings {
        more: "[probe]\naddress = \"@probe\"\nmetrics_token = \"s3cret\"",
        ..Settings::default()
    };
    let vanne = Vanne::with(&[], settings).await;
    asks_for_token(&vanne, "s3cret").await;
    assert_eq!(get(vanne.probe, "/readyz").await.status(), 200, "probes need no token");
}

#[tokio::test]
async fn the_metrics_token_may_be_in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "of-the-file\n").unwrap();
    let more = format!("[probe]\naddress = \"@probe\"\nmetrics_token_file = {file:?}");
    let vanne = Vanne::with(&[], Settings { more: &more, ..Settings::default() }).await;
    asks_for_token(&vanne, "of-the-file").await;
}

async fn asks_for_token(vanne: &Vanne, token: &str) {
    for fields in ["", "Authorization: Bearer wrong\r\n", "Authorization: Basic s3cret\r\n"] {
        let answer = scrape(vanne, fields).await;
        assert_eq!(answer.status(), 401, "{fields:?}");
        assert!(!answer.text().contains("vanne_requests"), "{fields:?}");
    }
    let answer = scrape(vanne, &format!("Authorization: Bearer {token}\r\n")).await;
    assert_eq!(answer.status(), 200);
    assert!(answer.text().contains("vanne_requests_in_flight"));
}
