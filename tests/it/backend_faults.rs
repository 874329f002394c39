//! Backends that fail, and what client and log get to see.

use crate::harness::ports::Port;
use crate::harness::{Answer, Client, Conn, Origin, Settings, Vanne, ask};
use serde_json::Value;
use std::future::Future;

const NO_RETRIES: Settings<'_> =
    Settings { process: "", listener: "", pool: "retries.attempts = 0", route: "", more: "" };

/// The log line's end-state and who is to blame.
fn ended(line: &Value) -> (&str, &str) {
    (line["end"].as_str().unwrap(), line["by"].as_str().unwrap())
}

/// What a client gets from a backend with this script, with its log line.
async fn with_script<F>(script: impl Fn(Conn) -> F + Send + 'static) -> (Answer, Value)
where
    F: Future<Output = ()> + Send + 'static,
{
    let origin = Origin::start(script).await;
    let vanne = Vanne::before(&[origin.address]).await;
    let answer = Client::connect(vanne.http).await.get("/").await;
    let line = vanne.log_of(answer.id()).await;
    (answer, line)
}

#[tokio::test]
async fn a_backend_that_refuses_gives_502_connect_refused() {
    let port = Port::take();
    let vanne = Vanne::with(&[port.address], NO_RETRIES).await;
    let mut client = Client::connect(vanne.http).await;
    let answer = client.get("/").await;
    assert_eq!(answer.refusal(), (502, "connect_refused".into()));
    let line = vanne.log_of(answer.id()).await;
    assert_eq!(ended(&line), ("connect_refused", "backend"));
    assert_eq!(line["status"], 502);
    assert_eq!(line["backend"], port.address.to_string());
    assert_eq!(line["attempts"].as_array().map(Vec::len), Some(1), "{line}");
    // The request was whole, so the connection goes on.
    assert_eq!(client.get("/").await.status(), 502);
}

#[tokio::test]
async fn a_refused_connection_is_tried_on_another_backend() {
    let (port, origin) = (Port::take(), Origin::fixed("ok").await);
    let settings = Settings { pool: "retries.attempts = 1", ..Settings::default() };
    let vanne = Vanne::with(&[port.address, origin.address], settings).await;
    let mut attempts = Vec::new();
    for _ in 0..4 {
        let answer = vanne.get("/").await;
        assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
        let line = vanne.log_of(answer.id()).await;
        assert_eq!(
            (&line["end"], &line["backend"]),
            (&"ok".into(), &origin.address.to_string().into())
        );
        let tried = line["attempts"].as_array().unwrap().clone();
        let last = tried.last().unwrap();
        assert_eq!(last["backend"], origin.address.to_string());
        assert_eq!(last["outcome"], "success");
        if let [first, _] = &tried[..] {
            assert_eq!(first["backend"], port.address.to_string());
            assert_eq!(first["outcome"], "failure_connect");
            assert!(first["ms"].is_number());
        }
        attempts.push(tried.len());
    }
    assert!(attempts.contains(&2) && attempts.iter().all(|count| *count <= 2), "{attempts:?}");
}

#[tokio::test]
async fn attempts_are_counted() {
    let ports = [Port::take(), Port::take()];
    let addresses = ports.each_ref().map(|port| port.address);
    for retries in [0, 1, 3] {
        let pool = format!("retries.attempts = {retries}");
        let settings = Settings { pool: &pool, ..Settings::default() };
        let vanne = Vanne::with(&addresses, settings).await;
        let answer = vanne.get("/").await;
        assert_eq!(answer.refusal(), (502, "connect_refused".into()));
        let line = vanne.log_of(answer.id()).await;
        let backends: Vec<_> =
            line["attempts"].as_array().unwrap().iter().map(|a| a["backend"].clone()).collect();
        assert_eq!(backends.len(), retries + 1, "{line}");
        assert!(backends.len() < 2 || backends[0] != backends[1], "{line}");
    }
}

#[tokio::test]
async fn a_body_is_sent_whole_after_a_refused_connection() {
    let (port, origin) = (Port::take(), Origin::hashing().await);
    let vanne = Vanne::with(&[port.address, origin.address], Settings::default()).await;
    let body = "x".repeat(100_000);
    for _ in 0..2 {
        let request =
            format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let answer = ask(vanne.http, &request).await;
        let expected = format!("100000 {}", crate::harness::sha256(body.as_bytes()));
        assert_eq!(answer.text(), expected);
    }
}

#[tokio::test]
async fn a_backend_that_closes_before_it_answers_gives_502_backend_closed() {
    let (answer, line) = with_script(|mut conn| async move {
        conn.request().await;
    })
    .await;
    assert_eq!(answer.refusal(), (502, "backend_closed".into()));
    assert_eq!(ended(&line), ("backend_closed", "backend"));
    assert_eq!(line["attempts"].as_array().map(Vec::len), Some(1), "tried again: {line}");
}

#[tokio::test]
async fn a_backend_that_resets_before_it_answers_gives_502_backend_closed() {
    let (answer, line) = with_script(|mut conn| async move {
        conn.request().await;
        conn.reset();
    })
    .await;
    assert_eq!(answer.refusal(), (502, "backend_closed".into()));
    assert_eq!(ended(&line), ("backend_closed", "backend"));
}

#[tokio::test]
async fn a_backend_that_closes_in_its_head_gives_502_backend_closed() {
    let (answer, _) = with_script(|mut conn| async move {
        conn.request().await;
        conn.send("HTTP/1.1 200 OK\r\nContent-Le").await;
    })
    .await;
    assert_eq!(answer.refusal(), (502, "backend_closed".into()));
}

#[tokio::test]
async fn an_answer_that_is_no_http_gives_502_backend_malformed() {
    for nonsense in [
        "nonsense\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    ] {
        let origin = Origin::answering(nonsense).await;
        let vanne = Vanne::before(&[origin.address]).await;
        let answer = vanne.get("/").await;
        assert_eq!(answer.refusal(), (502, "backend_malformed".into()), "{nonsense:?}");
        let line = vanne.log_of(answer.id()).await;
        assert_eq!(ended(&line), ("backend_malformed", "backend"), "{nonsense:?}");
    }
}

#[tokio::test]
async fn an_upgrade_that_nobody_asked_for_gives_502_backend_malformed() {
    let origin = Origin::answering(crate::harness::frames::ACCEPTED).await;
    let vanne = Vanne::before(&[origin.address]).await;
    assert_eq!(vanne.get("/").await.refusal(), (502, "backend_malformed".into()));
}

/// How a backend dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    Close,
    Reset,
    /// What comes is no chunk.
    Nonsense,
}

/// A backend that dies in the middle of its body, in this way; the client sees a cut answer.
async fn dies_mid_body(part: &'static str, by: Death, request: &'static str) {
    let origin = Origin::start(move |mut conn| async move {
        conn.request().await;
        conn.send(part).await;
        conn.say("sent");
        if by == Death::Close {
            return;
        }
        // Not before the proxy has read what was sent: a reset may overtake it, and what comes
        // with a head is looked at with it.
        tokio::time::sleep(crate::harness::ms(50)).await;
        match by {
            Death::Reset => conn.reset(),
            Death::Close | Death::Nonsense => conn.send("xyz\r\n").await,
        }
    })
    .await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = Client::connect(vanne.http).await;
    client.send(request).await;
    let answer = client.answer("GET").await;
    assert_eq!(answer.status(), 200);
    assert!(!answer.is_whole, "taken for whole: {answer:?}");
    let line = vanne.log_of(answer.id()).await;
    assert_eq!(ended(&line), ("backend_cut", "backend"));
    assert_eq!(line["status"], 200);
    assert_eq!(line["attempts"][0]["outcome"], "failure_truncated");
    client.end().await;
}

const LENGTH: &str = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";
const IN_CHUNK: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf";
const HTTP_11: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const HTTP_10: &str = "GET / HTTP/1.0\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn a_backend_that_closes_in_a_body_of_known_length_cuts_the_answer() {
    dies_mid_body(LENGTH, Death::Close, HTTP_11).await;
}

#[tokio::test]
async fn a_backend_that_resets_in_a_body_of_known_length_cuts_the_answer() {
    dies_mid_body(LENGTH, Death::Reset, HTTP_11).await;
}

#[tokio::test]
async fn a_backend_that_closes_between_chunks_cuts_the_answer() {
    dies_mid_body(CHUNKED, Death::Close, HTTP_11).await;
}

#[tokio::test]
async fn a_backend_that_closes_in_a_chunk_cuts_the_answer() {
    dies_mid_body(IN_CHUNK, Death::Close, HTTP_11).await;
}

#[tokio::test]
async fn a_backend_that_resets_between_chunks_cuts_the_answer() {
    dies_mid_body(CHUNKED, Death::Reset, HTTP_11).await;
}

#[tokio::test]
async fn an_http_10_client_sees_that_a_chunked_answer_is_cut() {
    dies_mid_body(CHUNKED, Death::Close, HTTP_10).await;
}

#[tokio::test]
async fn an_http_10_client_sees_that_an_answer_of_known_length_is_cut() {
    dies_mid_body(LENGTH, Death::Close, HTTP_10).await;
}

#[tokio::test]
async fn a_malformed_chunk_of_a_backend_cuts_the_answer() {
    dies_mid_body(CHUNKED, Death::Nonsense, HTTP_11).await;
}

#[tokio::test]
async fn a_body_that_should_end_with_the_connection_is_cut_by_a_reset() {
    dies_mid_body("HTTP/1.1 200 OK\r\n\r\nhalf", Death::Reset, HTTP_11).await;
}

#[tokio::test]
async fn a_backend_killed_in_a_large_body_cuts_it() {
    let origin = Origin::start(|mut conn| async move {
        conn.request().await;
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n").await;
        conn.send(crate::harness::noise(5_000_000)).await;
    })
    .await;
    let vanne = Vanne::before(&[origin.address]).await;
    let answer = Client::connect(vanne.http).await.get("/").await;
    assert!(!answer.is_whole && answer.body.len() <= 5_000_000, "{}", answer.body.len());
    assert_eq!(ended(&vanne.log_of(answer.id()).await), ("backend_cut", "backend"));
}

#[tokio::test]
async fn more_than_the_backend_announced_is_not_passed_on() {
    // The rest could be taken for the next answer.
    let origin = Origin::start(|mut conn| async move {
        while conn.request().await.is_some() {
            conn.send(
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\
                 HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
            )
            .await;
        }
    })
    .await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = Client::connect(vanne.http).await;
    for _ in 0..3 {
        let answer = client.get("/").await;
        assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
    }
}

#[tokio::test]
async fn an_error_of_the_backend_is_its_own_answer() {
    let origin = Origin::answering("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy").await;
    let vanne = Vanne::before(&[origin.address]).await;
    let answer = vanne.get("/").await;
    assert_eq!((answer.status(), answer.text().as_str()), (503, "busy"));
    let line = vanne.log_of(answer.id()).await;
    assert_eq!((&line["end"], &line["status"]), (&"ok".into(), &503.into()));
    assert_eq!(line["attempts"][0]["outcome"], "failure_gateway");
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn an_early_answer_reaches_a_client_that_still_sends() {
    let origin = Origin::start(|mut conn| async move {
        conn.request_head().await;
        conn.send(
            "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n",
        )
        .await;
    })
    .await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = Client::connect(vanne.http).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n").await;
    client.send([b'x'; 1000]).await;
    let answer = client.answer("POST").await;
    assert_eq!((answer.status(), answer.text().as_str()), (413, "no\n"));
}
