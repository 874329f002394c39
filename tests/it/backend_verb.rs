//! `vanne backend`: what operators say of backends at run time.

use crate::harness::client::ask;
use crate::harness::eventually_async;
use crate::harness::origin::Origin;
use crate::harness::vanne::{Vanne, binary, list};
use serde_json::Value;
use std::net::SocketAddr;
use std::process::{Command, Output};

fn pool(backends: &[SocketAddr], rules: &str) -> String {
    format!(
        "admin.socket = \"@dir/admin.sock\"\n[pool.app]\nbackends = {}\n{rules}\n\
         [[route]]\nname = \"all\"\npool = \"app\"\n",
        list(backends)
    )
}

async fn verb(vanne: &Vanne, args: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.arg("backend").args(args).arg("--socket").arg(vanne.file("admin.sock"));
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

async fn did(vanne: &Vanne, args: &[&str]) -> String {
    let output = verb(vanne, args).await;
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

async fn state(vanne: &Vanne, backend: &str) -> Value {
    let pools: Vec<Value> = serde_json::from_str(&did(vanne, &["list", "--json"]).await).unwrap();
    let backends = pools[0]["backends"].as_array().unwrap();
    backends.iter().find(|one| one["backend"] == backend).unwrap().clone()
}

#[tokio::test]
async fn a_backend_is_drained_taken_out_and_brought_back() {
    let (a, b) = (Origin::fixed("a").await, Origin::fixed("b").await);
    let addresses = [a.address, b.address];
    let vanne = Vanne::start(&pool(&addresses, "")).await;
    let name = a.address.to_string();
    for word in ["drain", "maint"] {
        let told = did(&vanne, &[word, "app", &name, "--reason", "new kernel"]).await;
        assert!(told.contains(word) && told.contains("new kernel"), "{told}");
        for _ in 0..4 {
            assert_eq!(vanne.get("/").await.text(), "b");
        }
        // A reload changes nothing of it.
        vanne.reload(&pool(&addresses, "retries.attempts = 2")).await;
        assert_eq!(vanne.get("/").await.text(), "b");
        assert_eq!(state(&vanne, &name).await["state"], word);
        vanne.reload(&pool(&addresses, "")).await;
    }
    did(&vanne, &["maint", "app", &b.address.to_string()]).await;
    assert_eq!(vanne.get("/").await.refusal(), (503, "withdrawn".into()));
    did(&vanne, &["ready", "app", &name]).await;
    assert_eq!(vanne.get("/").await.text(), "a");
    assert_eq!(state(&vanne, &name).await["override"], Value::Null);
}

#[tokio::test]
async fn a_weight_is_changed_and_taken_back() {
    let (a, b) = (Origin::fixed("a").await, Origin::fixed("b").await);
    let vanne = Vanne::start(&pool(&[a.address, b.address], "algorithm = \"weighted\"")).await;
    let name = a.address.to_string();
    did(&vanne, &["weight", "app", &name, "--to", "3"]).await;
    for _ in 0..8 {
        vanne.get("/").await;
    }
    assert_eq!((a.requests().len(), b.requests().len()), (6, 2));
    did(&vanne, &["weight", "app", &name, "--to", "0"]).await;
    for _ in 0..4 {
        assert_eq!(vanne.get("/").await.text(), "b");
    }
    did(&vanne, &["ready", "app", &name]).await;
    assert_eq!(state(&vanne, &name).await["weight"], 1);
}

#[tokio::test]
async fn what_was_said_for_a_time_ends_by_itself() {
    let (a, b) = (Origin::fixed("a").await, Origin::fixed("b").await);
    let vanne = Vanne::start(&pool(&[a.address, b.address], "")).await;
    let name = a.address.to_string();
    did(&vanne, &["maint", "app", &name, "--for", "1s", "--owner", "kim"]).await;
    assert_eq!(state(&vanne, &name).await["override"]["owner"], "kim");
    assert_eq!(state(&vanne, &name).await["state"], "maint");
    eventually_async("its time is over", async || {
        (state(&vanne, &name).await["state"] == "up").then_some(())
    })
    .await;
}

#[tokio::test]
async fn mistakes_are_named() {
    let a = Origin::fixed("a").await;
    let vanne = Vanne::start(&pool(&[a.address], "")).await;
    for (args, said) in [
        (["drain", "ap", "127.0.0.1:1"], "no pool is called `ap`: there are app"),
        (["drain", "app", "127.0.0.1:1"], "pool app has no backend 127.0.0.1:1: it has 127.0.0.1"),
    ] {
        let output = verb(&vanne, &args).await;
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && told.contains(said), "{told}");
    }
}

#[tokio::test]
async fn clients_of_a_draining_backend_stay_or_move() {
    for (policy, stays) in [("stay", true), ("move", false)] {
        let (a, b) = (Origin::fixed("a").await, Origin::fixed("b").await);
        let rules = format!("sticky = {{ cookie = \"ID\", when_draining = \"{policy}\" }}");
        let vanne = Vanne::start(&pool(&[a.address, b.address], &rules)).await;
        let first = vanne.get("/").await;
        let set = first.head.field("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {set}\r\n\r\n");
        let own = if first.text() == "a" { a.address } else { b.address }.to_string();
        did(&vanne, &["drain", "app", &own]).await;
        for _ in 0..3 {
            let answer = ask(vanne.http, &request).await;
            assert_eq!(answer.text() == first.text(), stays, "{policy}");
        }
        // Nobody new comes to it.
        for _ in 0..4 {
            assert_ne!(vanne.get("/").await.text(), first.text());
        }
        did(&vanne, &["maint", "app", &own]).await;
        assert_ne!(ask(vanne.http, &request).await.text(), first.text());
    }
}
