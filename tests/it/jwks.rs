//! Keys of issuers that are fetched: rotation, and issuers that are slow, wrong or away.

use crate::harness::authority::Authority;
use crate::harness::client::Answer;
use crate::harness::issuer::{Signer, claims, jwks, token};
use crate::harness::{Conn, Origin, Vanne, ask, eventually_async};
use parking_lot::Mutex;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What an issuer answers: all of it, or nothing at all.
type Says = Arc<Mutex<Option<String>>>;

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// A set with the usual key `id` alone.
fn set(id: &str) -> String {
    json!({ "keys": [Signer::usual(id).jwk(id)] }).to_string()
}

/// An issuer that says what it is told to.
async fn issuer(body: &str) -> (Origin, Says) {
    let says: Says = Arc::new(Mutex::new(Some(ok(body))));
    let shared = Arc::clone(&says);
    let origin = Origin::start(move |mut conn: Conn| {
        let says = Arc::clone(&shared);
        async move {
            if conn.request().await.is_some() {
                let answer = says.lock().clone();
                match answer {
                    Some(answer) => conn.send(answer.as_bytes()).await,
                    None => conn.note_end().await,
                }
            }
        }
    })
    .await;
    (origin, says)
}

/// A proxy that fetches keys from `url`, with this in the identity.
async fn proxy(url: &str, jwt: &str) -> Vanne {
    Vanne::start(&format!(
        "[listener.http]\naddress = \"@http\"\n[identity.idp.jwt]\naudiences = [\"api\"]\n\
         algorithms = [\"ES256\", \"EdDSA\"]\njwks = \"{url}\"\n{jwt}\n\
         [[route]]\nname = \"all\"\nanswer.body = \"in\"\nidentity.use = [\"idp\"]\n"
    ))
    .await
}

async fn bear(vanne: &Vanne, token: &str) -> Answer {
    let head = format!("GET / HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\r\n");
    ask(vanne.http, &head).await
}

/// How many fetches have failed.
async fn failures(vanne: &Vanne) -> f64 {
    let labels = [("identity", "idp"), ("result", "failed")];
    vanne.metrics().await.value("vanne_identity_keys_fetches_total", &labels).unwrap_or_default()
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}/keys")
}

fn of(id: &str) -> String {
    token(id, if id == "ec" { "ES256" } else { "EdDSA" }, &claims("ann"))
}

#[tokio::test]
async fn keys_change_under_load_and_nobody_is_refused() {
    let (origin, says) = issuer(&set("ed")).await;
    let vanne = proxy(&url(origin.address), "refresh = \"100ms\"").await;
    // The first request waits for the first set.
    assert_eq!(bear(&vanne, &of("ed")).await.status(), 200);
    let (is_over, new) = (AtomicBool::new(false), Mutex::new(of("ed")));
    let load = async {
        let mut count = 0;
        while !is_over.load(Ordering::Relaxed) {
            let token = new.lock().clone();
            let answer = bear(&vanne, &token).await;
            assert_eq!(answer.status(), 200, "{}", answer.text());
            count += 1;
        }
        count
    };
    let rotation = async {
        *says.lock() = Some(ok(&jwks()));
        let before = origin.requests().len();
        eventually_async("both are there", async || {
            (origin.requests().len() > before + 1).then_some(())
        })
        .await;
        *new.lock() = of("ec");
        *says.lock() = Some(ok(&set("ec")));
        eventually_async("the old one is gone", async || {
            (bear(&vanne, &of("ed")).await.status() == 401).then_some(())
        })
        .await;
        is_over.store(true, Ordering::Relaxed);
    };
    let (count, ()) = tokio::join!(load, rotation);
    assert!(count > 0);
    vanne.metric_is("vanne_identity_keys", &[("identity", "idp")], 1.0).await;
    let age =
        vanne.metrics().await.value("vanne_identity_keys_age_seconds", &[("identity", "idp")]);
    assert!(age.is_some_and(|age| age < 10.0), "{age:?}");
}

#[tokio::test]
async fn an_unknown_key_has_them_fetched_at_once_and_not_again_and_again() {
    let (origin, says) = issuer(&set("ed")).await;
    let vanne = proxy(&url(origin.address), "").await;
    // Fetched at the start: who comes before that asks for them too, and may not ask again soon.
    vanne.metric_is("vanne_identity_keys", &[("identity", "idp")], 1.0).await;
    assert_eq!(bear(&vanne, &of("ed")).await.status(), 200);
    *says.lock() = Some(ok(&jwks()));
    let fetches = origin.requests().len();
    assert_eq!(bear(&vanne, &of("ec")).await.status(), 200, "it waits for the new key");
    let head = json!({ "alg": "EdDSA", "kid": "nobody" }).to_string();
    let unknown = Signer::usual("ed").token_of(&head, &claims("ann").to_string());
    for _ in 0..20 {
        let answer = bear(&vanne, &unknown).await;
        assert_eq!(answer.refusal(), (401, "invalid_token".into()));
    }
    let line = bear(&vanne, &unknown).await;
    assert_eq!(vanne.log_of(line.id()).await["end"], "token_key_unknown");
    assert_eq!(origin.requests().len(), fetches + 1);
}

#[tokio::test]
async fn while_the_issuer_is_away_or_wrong_its_last_keys_stay_for_max_age() {
    let (origin, says) = issuer(&set("ed")).await;
    let vanne = proxy(&url(origin.address), "refresh = \"50ms\"\nmax_age = \"4s\"").await;
    assert_eq!(bear(&vanne, &of("ed")).await.status(), 200);
    let long = ok(&format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(2 << 20)));
    for wrong in [
        Some("HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n".to_owned()),
        Some(ok("{\"keys\":[]}")),
        Some(long),
    ] {
        let before = failures(&vanne).await;
        *says.lock() = wrong;
        eventually_async("a failure", async || (failures(&vanne).await > before).then_some(()))
            .await;
        let answer = bear(&vanne, &of("ed")).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        *says.lock() = Some(ok(&set("ed")));
        let fetched = origin.requests().len();
        eventually_async("it is good again", async || {
            (origin.requests().len() > fetched + 1).then_some(())
        })
        .await;
    }
    // One that says nothing at all holds nobody up, and its keys end.
    *says.lock() = None;
    let refused = eventually_async("they are too old", async || {
        let answer = bear(&vanne, &of("ed")).await;
        (answer.status() != 200).then_some(answer)
    })
    .await;
    assert_eq!(refused.refusal(), (503, "token_keys_unavailable".into()));
    assert!(refused.head.field("www-authenticate").is_none());
    *says.lock() = Some(ok(&set("ed")));
    eventually_async("it is back", async || {
        (bear(&vanne, &of("ed")).await.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn keys_are_fetched_from_who_the_authorities_say_it_is() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    let file = dir.path().join("ca.pem");
    authority.write(&file);
    let port = authority.answering("localhost", ok(&jwks())).await.port();
    let url = format!("https://localhost:{port}/keys");
    let vanne = proxy(&url, &format!("ca_file = \"{}\"", file.display())).await;
    assert_eq!(bear(&vanne, &of("ed")).await.status(), 200);
    let other = proxy(&url, "").await;
    let refused = bear(&other, &of("ed")).await;
    assert_eq!(refused.refusal(), (503, "token_keys_unavailable".into()));
    other.says("tls: ").await;
}

#[tokio::test]
async fn authorities_that_were_replaced_are_asked_at_once_without_keys_and_else_from_the_next_fetch()
 {
    let (right, wrong, dir) = (Authority::new(), Authority::new(), tempfile::tempdir().unwrap());
    let file = dir.path().join("ca.pem");
    wrong.write(&file);
    let port = right.answering("localhost", ok(&jwks())).await.port();
    let url = format!("https://localhost:{port}/keys");
    let vanne = proxy(&url, &format!("ca_file = \"{}\"\nrefresh = \"50ms\"", file.display())).await;
    assert_eq!(bear(&vanne, &of("ed")).await.refusal(), (503, "token_keys_unavailable".into()));
    right.write(&file);
    eventually_async("its keys are there", async || {
        (bear(&vanne, &of("ed")).await.status() == 200).then_some(())
    })
    .await;
    let before = failures(&vanne).await;
    wrong.write(&file);
    eventually_async("a fetch fails", async || (failures(&vanne).await > before).then_some(()))
        .await;
    assert_eq!(bear(&vanne, &of("ed")).await.status(), 200);
}
