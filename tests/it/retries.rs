//! When a request is tried again, and when it must not be.

use crate::harness::client::{Client, ask};
use crate::harness::origin::Origin;
use crate::harness::ports::Port;
use crate::harness::vanne::{Settings, Vanne};
use crate::harness::{ms, sha256, takes, timed};

/// Reads a request's head and resets the connection.
async fn resetting() -> Origin {
    Origin::start(|mut conn| async move {
        conn.request_head().await;
    })
    .await
}

fn settings(pool: &str) -> Settings<'_> {
    Settings { pool, ..Settings::default() }
}

async fn attempts(vanne: &Vanne, id: &str) -> Vec<String> {
    let line = vanne.log_of(id).await;
    let of = |attempt: &serde_json::Value| attempt["outcome"].as_str().unwrap().to_owned();
    line["attempts"].as_array().unwrap().iter().map(of).collect()
}

#[tokio::test]
async fn a_request_that_may_be_repeated_is_after_what_the_pool_says() {
    let good = Origin::fixed("good").await;
    let busy = Origin::answering("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy").await;
    let (reset, silent) = (resetting().await, Origin::silent().await);
    for (bad, on, outcome) in [
        (reset.address, "reset", "failure_reset"),
        (silent.address, "timeout", "failure_first_byte_timeout"),
        (busy.address, "503", "failure_gateway"),
    ] {
        let pool = format!("retries.on = [\"{on}\"]\ntimeouts = {{ first_byte = \"300ms\" }}");
        let vanne = Vanne::with(&[bad, good.address], settings(&pool)).await;
        let answer = vanne.get("/").await;
        assert_eq!(answer.text(), "good", "{on}");
        assert_eq!(attempts(&vanne, answer.id()).await, [outcome, "success"]);
        let done = [("pool", "app"), ("result", "done")];
        vanne.metric_is("vanne_retries_total", &done, 1.0).await;
        // Not for other faults.
        let vanne = Vanne::with(
            &[bad, good.address],
            settings("retries.on = [\"429\"]\ntimeouts = { first_byte = \"300ms\" }"),
        )
        .await;
        assert_ne!(vanne.get("/").await.status(), 200, "{on}");
    }
}

#[tokio::test]
async fn a_kept_connection_that_breaks_off_in_an_answer_is_not_replaced() {
    let origin = Origin::start(|mut conn| async move {
        conn.request().await;
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        conn.request().await;
        conn.send("HTTP/1.1 200 OK\r\nTransfer-Enc").await;
    })
    .await;
    let vanne = Vanne::with(&[origin.address], settings("retries.attempts = 0")).await;
    let mut client = Client::connect(vanne.http).await;
    assert_eq!(client.get("/").await.status(), 200);
    let answer = client.get("/").await;
    assert_eq!(answer.refusal(), (502, "backend_closed".into()));
    assert_eq!(origin.requests().len(), 2);
    assert_eq!(attempts(&vanne, answer.id()).await, ["failure_reset"]);
}

#[tokio::test]
async fn what_must_not_be_repeated_is_not() {
    let (reset, good) = (resetting().await, Origin::fixed("good").await);
    let vanne = Vanne::with(&[reset.address, good.address], Settings::default()).await;
    let answer = ask(vanne.http, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(answer.refusal(), (502, "backend_closed".into()));
    assert_eq!(good.requests().len(), 0);
}

/// Takes the whole request and resets the connection.
async fn resetting_after_body() -> Origin {
    Origin::start(|mut conn| async move {
        conn.request().await;
    })
    .await
}

#[tokio::test]
async fn a_body_is_sent_once_more_if_it_was_short_enough_to_be_kept() {
    let (reset, good) = (resetting_after_body().await, Origin::hashing().await);
    let pool = "retries.body_max = \"100KiB\"";
    for (length, status) in [(0, 200), (100 << 10, 200), ((100 << 10) + 1, 502)] {
        for is_chunked in [false, true] {
            let vanne = Vanne::with(&[reset.address, good.address], settings(pool)).await;
            let body = "x".repeat(length);
            // Chunk sizes and their ends are kept too.
            let is_chunked = is_chunked && length != 100 << 10;
            let request = match is_chunked {
                false => {
                    format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}")
                }
                true if length == 0 => {
                    "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                        .into()
                }
                true => format!(
                    "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                     {length:x}\r\n{body}\r\n0\r\n\r\n"
                ),
            };
            let answer = ask(vanne.http, &request).await;
            assert_eq!(answer.status(), status, "{length} {is_chunked}: {}", answer.text());
            if status == 200 {
                assert_eq!(answer.text(), format!("{length} {}", sha256(body.as_bytes())));
            }
        }
    }
}

#[tokio::test]
async fn the_next_request_on_a_connection_is_not_touched_by_a_retry() {
    let (reset, good) = (resetting_after_body().await, Origin::hashing().await);
    let vanne = Vanne::with(&[reset.address, good.address], Settings::default()).await;
    let mut client = Client::connect(vanne.http).await;
    let part = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
    // Both at once: what is read ahead of the first must not go with it.
    client.send(format!("{part}one{part}two")).await;
    assert_eq!(client.answer("PUT").await.text(), format!("3 {}", sha256(b"one")));
    assert_eq!(client.answer("PUT").await.text(), format!("3 {}", sha256(b"two")));
}

#[tokio::test]
async fn retries_are_a_share_of_the_requests() {
    let busy = || Origin::answering("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy");
    let origins = [busy().await, busy().await];
    let addresses = origins.each_ref().map(|origin| origin.address);
    let rules = "breaker = { failures = 0, failure_rate = \"0%\" }\n\
                 retries = { on = [\"503\"], budget = \"50%\", budget_floor = 0 }";
    let vanne = Vanne::with(&addresses, settings(rules)).await;
    for _ in 0..40 {
        assert_eq!(vanne.get("/").await.status(), 503);
    }
    let total: usize = origins.iter().map(|origin| origin.requests().len()).sum();
    assert_eq!(total, 60, "half of 40 were tried again");
    let left = [("pool", "app"), ("result", "no_budget")];
    vanne.metric_is("vanne_retries_total", &left, 20.0).await;
    // The floor is there without traffic.
    let rules = "breaker = { failures = 0, failure_rate = \"0%\" }\n\
                 retries = { on = [\"503\"], budget = \"0%\", budget_floor = 1 }";
    let vanne = Vanne::with(&addresses, settings(rules)).await;
    for _ in 0..3 {
        vanne.get("/").await;
    }
    let total: usize = origins.iter().map(|origin| origin.requests().len()).sum();
    assert_eq!(total, 64);
}

#[tokio::test]
async fn there_are_pauses_before_further_attempts() {
    let ports = [Port::take(), Port::take(), Port::take(), Port::take()];
    let addresses = ports.each_ref().map(|port| port.address);
    // By chance a pause may be short: the best of a few is not.
    let mut longest = [ms(0); 2];
    for (index, pause) in ["2s", "1ms"].into_iter().enumerate() {
        let rules = format!(
            "retries = {{ attempts = 3, backoff = \"{pause}\", backoff_max = \"{pause}\" }}"
        );
        let vanne = Vanne::with(&addresses, settings(&rules)).await;
        for _ in 0..4 {
            let (time, answer) = timed(vanne.get("/")).await;
            assert_eq!(answer.refusal(), (502, "connect_refused".into()));
            longest[index] = longest[index].max(time);
        }
    }
    assert!(longest[0] > ms(300) && longest[1] < ms(300), "{longest:?}");
}

#[tokio::test]
async fn retries_end_with_the_routes_total() {
    takes(ms(500), async || {
        let origins = [Origin::silent().await, Origin::silent().await, Origin::silent().await];
        let addresses = origins.each_ref().map(|origin| origin.address);
        let settings = Settings {
            pool: "retries.attempts = 10\ntimeouts = { first_byte = \"300ms\" }",
            route: "timeouts = { total = \"500ms\" }",
            ..Settings::default()
        };
        let vanne = Vanne::with(&addresses, settings).await;
        let (time, answer) = timed(vanne.get("/")).await;
        assert_eq!(answer.refusal(), (504, "total_timeout".into()));
        time
    })
    .await;
}

#[tokio::test]
async fn a_request_of_http2_is_tried_again_with_its_body() {
    use crate::harness::http2::{Client2, whole};
    let (reset, good) = (resetting_after_body().await, Origin::hashing().await);
    let vanne = Vanne::with(
        &[reset.address, good.address],
        Settings { listener: "protocols = [\"h2\", \"http/1.1\"]", ..Settings::default() },
    )
    .await;
    let mut client = Client2::connect(vanne.http).await;
    let request = client.request("PUT", "/");
    let (answer, mut stream) = client.send(request, false).await;
    stream.send_data("some ".into(), false).unwrap();
    stream.send_data("body".into(), true).unwrap();
    let answer = whole(answer).await.unwrap();
    assert_eq!(answer.text(), format!("9 {}", sha256(b"some body")));
}
