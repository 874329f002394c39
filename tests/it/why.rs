//! Why a request got its answer, told to clients that may know.

use crate::harness::client::ask;
use crate::harness::origin::Origin;
use crate::harness::ports::Port;
use crate::harness::vanne::{Settings, Vanne, binary};
use std::process::Command;

const CURIOUS: &str =
    "GET /a HTTP/1.1\r\nHost: a\r\nVanne-Why: please\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn clients_that_may_know_are_told_why_they_got_their_answer() {
    let (origin, drained, dead) =
        (Origin::fixed("a").await, Origin::fixed("b").await, Port::take());
    let settings = Settings {
        listener: "explain_to = [\"127.0.0.0/8\"]",
        pool: "breaker = { failures = 0, failure_rate = \"0%\" }",
        route: "match = { path = \"/a\" }",
        more: "[admin]\nsocket = \"@dir/admin.sock\"",
        ..Settings::default()
    };
    let backends = [dead.address, origin.address, drained.address];
    let vanne = Vanne::with(&backends, settings).await;
    let mut command = Command::new(binary());
    command.args(["backend", "drain", "app", &drained.address.to_string(), "--socket"]);
    assert!(command.arg(vanne.file("admin.sock")).output().unwrap().status.success());
    let answer = ask(vanne.http, CURIOUS).await;
    assert_eq!(answer.text(), "a");
    let why = answer.head.field("vanne-why").unwrap();
    let begin = format!(
        "route=\"all\", filters=(\"security_headers\"), pool=\"app\", attempts=(\"{}\";\
         by=\"round-robin\";outcome=\"failure_connect\";ms=",
        dead.address
    );
    assert!(why.starts_with(&begin), "{why}");
    let middle = format!(
        ";reason=\"connect_refused\" \"{}\";by=\"round-robin\";outcome=\"success\";ms=",
        origin.address
    );
    assert!(why.contains(&middle), "{why}");
    let end = format!("), left-out=\"{} drain\", end=\"ok\"", drained.address);
    assert!(why.ends_with(&end), "{why}");
    // It is not passed on, and an answer of ours has it too.
    assert_eq!(origin.requests()[0].field("vanne-why"), None);
    let answer = ask(vanne.http, &CURIOUS.replace("/a", "/b")).await;
    assert_eq!(answer.head.field("vanne-why"), Some("end=\"no_route\""));
    // Who does not ask is not told.
    let answer = ask(vanne.http, &CURIOUS.replace("Vanne-Why: please\r\n", "")).await;
    assert_eq!(answer.head.field("vanne-why"), None);
}

#[tokio::test]
async fn others_are_told_nothing() {
    let origin = Origin::fixed("a").await;
    for explain_to in ["", "explain_to = [\"10.0.0.0/8\"]\ntrusted_proxies = [\"127.0.0.1\"]"] {
        let settings = Settings { listener: explain_to, ..Settings::default() };
        let vanne = Vanne::with(&[origin.address], settings).await;
        assert_eq!(ask(vanne.http, CURIOUS).await.head.field("vanne-why"), None);
        let from =
            |address| CURIOUS.replace("Host", &format!("X-Forwarded-For: {address}\r\nHost"));
        assert_eq!(ask(vanne.http, &from("192.0.2.7")).await.head.field("vanne-why"), None);
        let told = ask(vanne.http, &from("10.1.2.3")).await.head.field("vanne-why").is_some();
        assert_eq!(told, !explain_to.is_empty());
    }
}
