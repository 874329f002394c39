//! gRPC through the proxy: trailers, statuses, deadlines, and our own answers as calls get them.

use crate::harness::http2::{Answer2, Client2, whole};
use crate::harness::origin2::Origin2;
use crate::harness::{Settings, Vanne, in_time, ms, timed};
use bytes::Bytes;
use h2::Reason;
use std::future::poll_fn;
use std::net::SocketAddr;

async fn before(backends: &[SocketAddr], pool: &str) -> Vanne {
    let pool = format!("protocol = \"h2\"\n{pool}");
    let listener = "protocols = [\"h2\"]";
    Vanne::with(backends, Settings { listener, pool: &pool, ..Settings::default() }).await
}

/// A unary call with these fields.
async fn call(client: &mut Client2, fields: &[(&str, &str)]) -> Answer2 {
    let mut request = client
        .request("POST", "/service/Method")
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let (answer, mut stream) = client.send(request, false).await;
    stream.send_data(Bytes::from_static(b"\0\0\0\0\0"), true).unwrap();
    whole(answer).await.unwrap()
}

#[tokio::test]
async fn a_call_goes_through_with_its_trailers() {
    let origin = Origin2::calling("0").await;
    let vanne = before(&[origin.address], "").await;
    let mut client = Client2::connect(vanne.http).await;
    let answer = call(&mut client, &[("grpc-timeout", "5S")]).await;
    assert_eq!((answer.status(), answer.body.len()), (200, 5));
    assert_eq!(answer.trailers.unwrap()["grpc-status"], "0");
    let head = &origin.heads()[0];
    assert_eq!(
        (&head["te"], &head["grpc-timeout"]),
        (&"trailers".parse().unwrap(), &"5S".parse().unwrap())
    );
    let line = vanne.only_log().await;
    assert_eq!(
        (&line["grpc_status"], &line["attempts"][0]["outcome"]),
        (&0.into(), &"success".into())
    );
}

#[tokio::test]
async fn a_call_that_fails_is_a_failure_whatever_its_http_status() {
    let origin = Origin2::calling("14").await;
    let vanne = before(&[origin.address], "").await;
    let mut client = Client2::connect(vanne.http).await;
    let answer = call(&mut client, &[]).await;
    assert_eq!(answer.trailers.unwrap()["grpc-status"], "14");
    let line = vanne.only_log().await;
    assert_eq!(line["attempts"][0]["outcome"], "failure_grpc_status");
    let labels = [("route", "all"), ("pool", "app"), ("class", "5xx")];
    vanne.metric_is("vanne_requests_total", &labels, 1.0).await;
}

#[tokio::test]
async fn a_call_that_is_answered_before_its_client_has_ended_it_is_over() {
    let origin = Origin2::start(None, |request, mut respond| async move {
        let head = http::Response::builder().header("content-type", "application/grpc");
        let head = head.header("grpc-status", "14").body(()).unwrap();
        drop(respond.send_response(head, true));
        std::future::pending::<()>().await;
        drop(request);
    })
    .await;
    let vanne = before(&[origin.address], "").await;
    let mut client = Client2::connect(vanne.http).await;
    let request = client.request("POST", "/service/Method").header("te", "trailers");
    let request = request.header("content-type", "application/grpc");
    let (answer, mut stream) = client.send(request, false).await;
    assert_eq!(whole(answer).await.unwrap().field("grpc-status"), Some("14"));
    let reset = in_time("a reset", poll_fn(|cx| stream.poll_reset(cx))).await;
    assert_eq!(reset.unwrap(), Reason::NO_ERROR, "what is left to be sent is nobody's");
    let line = vanne.only_log().await;
    assert_eq!(
        (&line["end"], &line["attempts"][0]["outcome"]),
        (&"ok".into(), &"failure_grpc_status".into())
    );
}

#[tokio::test]
async fn our_own_answers_are_answers_to_calls() {
    let vanne = before(&[], "").await;
    let mut client = Client2::connect(vanne.http).await;
    let answer = call(&mut client, &[]).await;
    assert_eq!((answer.status(), answer.body.len()), (200, 0));
    assert_eq!(answer.field("grpc-status"), Some("14"));
    assert_eq!(answer.field("content-type"), Some("application/grpc"));
    assert!(answer.field("grpc-message").unwrap().contains("no_backend"));
    assert_eq!(client.get("/").await.status(), 503, "others get HTTP's answer");
}

#[tokio::test]
async fn the_deadline_of_a_call_is_kept() {
    let origin = Origin2::start(None, |request, respond| async move {
        std::future::pending::<()>().await;
        drop((request, respond));
    })
    .await;
    let vanne = before(&[origin.address], "").await;
    let mut client = Client2::connect(vanne.http).await;
    let (took, answer) = timed(call(&mut client, &[("grpc-timeout", "300m")])).await;
    assert_eq!((answer.status(), answer.field("grpc-status")), (200, Some("4")));
    assert!((ms(290)..ms(600)).contains(&took), "{took:?}");
    let line = vanne.only_log().await;
    assert_eq!((&line["end"], &line["by"]), (&"call_deadline".into(), &"client".into()));
    assert_eq!(line["attempts"][0]["outcome"], "client_error");
}

#[tokio::test]
async fn calls_share_connections_up_to_max_streams() {
    let origin = Origin2::start(None, |request, mut respond| async move {
        tokio::time::sleep(ms(300)).await;
        drop(respond.send_response(http::Response::new(()), true));
        drop(request);
    })
    .await;
    let settings = Settings {
        process: "workers = 1",
        listener: "protocols = [\"h2\"]",
        pool: "protocol = \"h2\"\nhttp2 = { max_streams = 10 }",
        ..Settings::default()
    };
    let vanne = Vanne::with(&[origin.address], settings).await;
    let mut client = Client2::connect(vanne.http).await;
    assert_eq!(client.get("/").await.status(), 200);
    let mut answers = Vec::new();
    for _ in 0..40 {
        let request = client.request("GET", "/");
        answers.push(client.send(request, true).await.0);
    }
    for answer in answers {
        assert_eq!(whole(answer).await.unwrap().status(), 200);
    }
    // Those that begin at once may open one connection more than needed each time.
    let count = origin.connections();
    assert!((4..=40).contains(&count), "{count} connections");
}
