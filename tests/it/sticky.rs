//! Clients that come back to the backend that they had.

use crate::harness::client::{Answer, ask};
use crate::harness::ms;
use crate::harness::origin::Origin;
use crate::harness::vanne::Vanne;
use std::net::SocketAddr;

fn pool(backends: &[SocketAddr], rules: &str) -> String {
    format!(
        "admin.socket = \"@dir/admin.sock\"\n[pool.app]\nbackends = {}\n{rules}\n\
         [[route]]\nname = \"all\"\npool = \"app\"\n",
        crate::harness::vanne::list(backends)
    )
}

async fn origins() -> [Origin; 3] {
    [Origin::fixed("a").await, Origin::fixed("b").await, Origin::fixed("c").await]
}

/// An answer to a client that carries these fields.
async fn as_client(vanne: &Vanne, fields: &str) -> Answer {
    ask(vanne.http, &format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).await
}

/// The cookie that an answer gives, as the client sends it back.
fn cookie(answer: &Answer) -> Option<String> {
    let set = answer.head.field("set-cookie")?;
    Some(format!("Cookie: theme=dark; {}\r\n", set.split(';').next().unwrap()))
}

#[tokio::test]
async fn a_client_comes_back_by_its_cookie() {
    let origins = origins().await;
    let addresses = origins.each_ref().map(|origin| origin.address);
    let rules = "sticky = { cookie = \"ID\", same_site = \"strict\" }";
    let vanne = Vanne::start(&pool(&addresses, rules)).await;
    for _ in 0..4 {
        let first = as_client(&vanne, "").await;
        let set = first.head.field("set-cookie").unwrap().to_owned();
        assert!(set.starts_with("ID=") && set.ends_with("; HttpOnly; SameSite=Strict"), "{set}");
        let carried = cookie(&first).unwrap();
        for _ in 0..5 {
            let again = as_client(&vanne, &carried).await;
            assert_eq!(again.text(), first.text());
            assert_eq!(again.head.field("set-cookie"), None, "it knows that already");
        }
        // A reload does not make it forget.
        vanne.reload(&pool(&addresses, &format!("{rules}\nretries.attempts = 2"))).await;
        assert_eq!(as_client(&vanne, &carried).await.text(), first.text());
        vanne.reload(&pool(&addresses, rules)).await;
        // Something else is nothing.
        let wrong = carried.replace("ID=", "ID=x");
        assert!(cookie(&as_client(&vanne, &wrong).await).is_some());
    }
    // 4 sessions, and the connections of those that showed no token: each asked by its own.
    let metrics = vanne.metrics().await;
    let active = metrics.value("vanne_active_sessions", &[]).unwrap();
    assert!((11.0..=13.0).contains(&active), "{active}");
}

#[tokio::test]
async fn a_client_comes_back_by_its_header() {
    let origins = origins().await;
    let addresses = origins.each_ref().map(|origin| origin.address);
    let vanne = Vanne::start(&pool(&addresses, "sticky = { header = \"X-Session\" }")).await;
    let first = as_client(&vanne, "").await;
    let carried = format!("X-Session: {}\r\n", first.head.field("x-session").unwrap());
    for _ in 0..5 {
        assert_eq!(as_client(&vanne, &carried).await.text(), first.text());
    }
}

#[tokio::test]
async fn the_backends_own_cookies_stay() {
    let origin =
        Origin::answering("HTTP/1.1 200 OK\r\nSet-Cookie: own=1\r\nContent-Length: 2\r\n\r\nok")
            .await;
    let vanne = Vanne::start(&pool(&[origin.address], "sticky = { cookie = \"ID\" }")).await;
    let answer = as_client(&vanne, "").await;
    let all: Vec<_> = answer.head.all("set-cookie").collect();
    assert!(all[0] == "own=1" && all[1].starts_with("ID="), "{all:?}");
}

#[tokio::test]
async fn a_client_whose_backend_is_gone_moves_once_and_stays() {
    let origins = origins().await;
    let addresses = origins.each_ref().map(|origin| origin.address);
    let rules = "sticky = { cookie = \"ID\" }";
    let vanne = Vanne::start(&pool(&addresses, rules)).await;
    let first = as_client(&vanne, "").await;
    let index = "abc".find(&first.text()).unwrap();
    let mut left = addresses.to_vec();
    left.remove(index);
    vanne.reload(&pool(&left, rules)).await;
    let moved = as_client(&vanne, &cookie(&first).unwrap()).await;
    assert_ne!(moved.text(), first.text());
    // It came back, but the client has another one now.
    vanne.reload(&pool(&addresses, rules)).await;
    let carried = cookie(&moved).unwrap();
    for _ in 0..4 {
        assert_eq!(as_client(&vanne, &carried).await.text(), moved.text());
    }
}

#[tokio::test]
async fn a_client_whose_backend_refuses_is_served_by_another_one() {
    let good = Origin::fixed("good").await;
    let rules = "sticky = { cookie = \"ID\" }";
    let leaving = Origin::fixed("leaving").await;
    let vanne = Vanne::start(&pool(&[leaving.address], rules)).await;
    let carried = cookie(&as_client(&vanne, "").await).unwrap();
    let left = leaving.address;
    vanne.reload(&pool(&[left, good.address], rules)).await;
    drop(leaving);
    let answer = as_client(&vanne, &carried).await;
    assert_eq!(answer.text(), "good");
    let line = vanne.log_of(answer.id()).await;
    // Its kept connection may be used once more before its end is seen.
    let asked = line["attempts"].as_array().unwrap();
    assert_eq!(asked[0]["by"], "sticky", "its own was asked first: {line}");
    assert_eq!(asked[0]["backend"], left.to_string(), "{line}");
    let moved = cookie(&answer).unwrap();
    let again = as_client(&vanne, &moved).await;
    let line = vanne.log_of(again.id()).await;
    assert_eq!(line["attempts"].as_array().unwrap().len(), 1, "it has another one now: {line}");
}

#[tokio::test]
async fn a_client_that_is_idle_for_too_long_is_forgotten() {
    let origins = origins().await;
    let addresses = origins.each_ref().map(|origin| origin.address);
    let rules = "sticky = { cookie = \"ID\", ttl = \"2s\" }";
    let vanne = Vanne::start(&pool(&addresses, rules)).await;
    let first = as_client(&vanne, "").await;
    let mut carried = cookie(&first).unwrap();
    // Used now and then it lasts longer than its time.
    for _ in 0..4 {
        tokio::time::sleep(ms(1000)).await;
        let answer = as_client(&vanne, &carried).await;
        assert_eq!(answer.text(), first.text());
        carried = cookie(&answer).unwrap_or(carried);
    }
    tokio::time::sleep(ms(3100)).await;
    let answers = [as_client(&vanne, &carried).await, as_client(&vanne, &carried).await];
    assert!(answers.iter().all(|answer| cookie(answer).is_some()), "it is unknown");
}

#[tokio::test]
async fn replicas_with_a_key_know_each_others_clients_and_keys_are_replaced() {
    let origins = origins().await;
    let addresses = origins.each_ref().map(|origin| origin.address);
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    std::fs::write(&keys, "a".repeat(32)).unwrap();
    let rules = format!("sticky = {{ cookie = \"ID\", key_file = {keys:?} }}");
    let (one, other) = (
        Vanne::start(&pool(&addresses, &rules)).await,
        Vanne::start(&pool(&addresses, &rules)).await,
    );
    let first = as_client(&one, "").await;
    let carried = cookie(&first).unwrap();
    for _ in 0..3 {
        assert_eq!(as_client(&other, &carried).await.text(), first.text());
    }
    // A new key in front: old tokens are good, new ones are of the new key.
    std::fs::write(&keys, format!("{}\n{}\n", "b".repeat(32), "a".repeat(32))).unwrap();
    one.reload(&pool(&addresses, &rules)).await;
    assert_eq!(as_client(&one, &carried).await.text(), first.text());
    std::fs::write(&keys, "b".repeat(32)).unwrap();
    one.reload(&pool(&addresses, &rules)).await;
    assert!(cookie(&as_client(&one, &carried).await).is_some(), "the old key is gone");
    std::fs::write(&keys, "short").unwrap();
    let report = one.reload(&pool(&addresses, &rules)).await;
    let message = report["message"].as_str().unwrap();
    assert!(message.contains("sticky.key_file") && message.contains("32 characters"), "{message}");
}

#[tokio::test]
async fn clients_of_a_full_backend_move_or_are_refused() {
    for (policy, status) in [("move", 200), ("refuse", 503)] {
        let slow = Origin::start(|mut conn| async move {
            while let Some(request) = conn.request().await {
                if request.head.field("cookie").is_some() {
                    tokio::time::sleep(ms(1000)).await;
                }
                conn.send(crate::harness::origin::ok("slow")).await;
            }
        })
        .await;
        let rules =
            format!("max_requests = 1\nsticky = {{ cookie = \"ID\", when_full = \"{policy}\" }}");
        let vanne = Vanne::start(&pool(&[slow.address], &rules)).await;
        let carried = cookie(&as_client(&vanne, "").await).unwrap();
        let other = Origin::fixed("other").await;
        vanne.reload(&pool(&[slow.address, other.address], &rules)).await;
        let (held, second) = tokio::join!(as_client(&vanne, &carried), async {
            tokio::time::sleep(ms(200)).await;
            as_client(&vanne, &carried).await
        });
        assert_eq!((held.text().as_str(), second.status()), ("slow", status), "{policy}");
        if status == 200 {
            assert_eq!(second.text(), "other");
        }
    }
}
