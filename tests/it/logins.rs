//! Who sends a request: keys of programs, names and passwords.

use crate::harness::client::Answer;
use crate::harness::issuer::{claims, jwks, token};
use crate::harness::redis::RedisServer;
use crate::harness::vanne::{binary, list};
use crate::harness::{Client, Origin, Vanne, ask, eventually_async, sha256};
use std::process::Command;
use tempfile::TempDir;

/// A proxy with one route that asks for `names`, and one that asks nobody.
struct Lab {
    vanne: Vanne,
    origin: Origin,
    dir: TempDir,
    config: String,
}

impl Lab {
    async fn start(process: &str, identities: &str, names: &str, files: &[(&str, &str)]) -> Self {
        let (origin, dir) = (Origin::fixed("x").await, tempfile::tempdir().unwrap());
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let config = format!(
            "[process]\n{process}\n[admin]\nsocket = \"@dir/admin.sock\"\n\
             [listener.http]\naddress = \"@http\"\n[pool.app]\nbackends = {}\n{identities}\n\
             [[route]]\nname = \"open\"\nmatch.path = \"/open\"\npool = \"app\"\n\
             [[route]]\nname = \"all\"\npool = \"app\"\n\
             identity = {{ use = [{names}], claims_to_headers = {{ \"X-User\" = \"sub\" }} }}\n",
            list(&[origin.address])
        );
        let config = config.replace("@files", dir.path().to_str().unwrap());
        Self { vanne: Vanne::start(&config).await, origin, dir, config }
    }

    async fn ask(&self, fields: &str) -> Answer {
        ask(self.vanne.http, &format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n")).await
    }

    async fn log_in(&self, name: &str, password: &str) -> Answer {
        self.ask(&format!("{}\r\n", basic(name, password))).await
    }

    async fn end(&self, answer: &Answer) -> String {
        self.vanne.log_of(answer.id()).await["end"].as_str().unwrap().to_owned()
    }

    async fn counted(&self, identity: &str, result: &str, count: f64) {
        let labels = [("identity", identity), ("result", result)];
        self.vanne.metric_is("vanne_identity_total", &labels, count).await;
    }
}

/// The field that says a name and a password.
fn basic(name: &str, password: &str) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
    format!("authorization: Basic {text}")
}

/// A hash of bcrypt that is cheap.
fn cheap(password: &str) -> String {
    bcrypt::hash_with_salt(password, 4, [7; 16]).unwrap().to_string()
}

/// A hash of bcrypt that takes seconds to say no.
fn slow() -> String {
    format!("$2y$15${}", ".".repeat(53))
}

#[tokio::test]
async fn a_key_lets_its_program_in_until_its_time() {
    let line =
        |name: &str, key: &str, more: &str| format!("{name} {} {more}\n", sha256(key.as_bytes()));
    let file = line("billing", "one", "scopes=read,write")
        + &line("old", "two", "until=2020-01-01T00:00:00Z");
    let identities = "[identity.partners.api_keys]\nfile = \"@files/keys\"";
    let lab = Lab::start("", identities, "\"partners\"", &[("keys", &file)]).await;
    let known = lab.ask("x-api-key: one\r\n").await;
    assert_eq!(known.status(), 200);
    assert_eq!(lab.vanne.log_of(known.id()).await["user"], "billing");
    assert_eq!(lab.origin.requests().last().unwrap().field("x-user"), Some("billing"));
    for (fields, end) in [
        ("", "token_missing"),
        ("x-api-key: three\r\n", "api_key_unknown"),
        ("x-api-key: two\r\n", "api_key_expired"),
    ] {
        let refused = lab.ask(fields).await;
        assert_eq!(refused.refusal(), (401, "unauthorized".into()));
        assert_eq!(refused.head.field("www-authenticate"), Some("ApiKey realm=\"partners\""));
        assert_eq!(lab.end(&refused).await, end);
    }
    let in_url = ask(lab.vanne.http, "GET /?x-api-key=one HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(lab.end(&in_url).await, "token_missing");
    // Another field and another file are used at once.
    std::fs::write(lab.dir.path().join("keys"), line("new", "four", "")).unwrap();
    let config = lab.config.replace("/keys\"", "/keys\"\nheader = \"X-Key\"");
    assert_eq!(lab.vanne.reload(&config).await["result"], "applied");
    assert_eq!(lab.ask("x-key: four\r\n").await.status(), 200);
    assert_eq!(lab.ask("x-key: one\r\n").await.status(), 401);
    std::fs::write(lab.dir.path().join("keys"), "nonsense").unwrap();
    let said = lab.vanne.reload(&config).await;
    assert!(
        said["message"].as_str().unwrap().contains("identity.partners.api_keys.file"),
        "{said}"
    );
    assert_eq!(lab.ask("x-key: four\r\n").await.status(), 200);
}

#[tokio::test]
async fn vanne_api_key_makes_a_key_and_its_line() {
    let made = Command::new(binary())
        .args(["api-key", "ci", "--scope", "read", "--until", "2999-01-31T00:00:00Z", "--json"])
        .output()
        .unwrap();
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    let (key, line) = (made["key"].as_str().unwrap(), made["line"].as_str().unwrap());
    assert!(key.starts_with("vk_") && key.len() == 46 && !line.contains(key), "{made}");
    let identities = "[identity.keys.api_keys]\nfile = \"@files/keys\"";
    let lab = Lab::start("", identities, "\"keys\"", &[("keys", line)]).await;
    let known = lab.ask(&format!("x-api-key: {key}\r\n")).await;
    assert_eq!(lab.vanne.log_of(known.id()).await["user"], "ci");
}

#[tokio::test]
async fn a_good_password_is_remembered_for_a_while_and_until_the_file_changes() {
    let file = format!("ann:{}\n", cheap("secret"));
    let identities = "[identity.ops.basic]\nfile = \"@files/users\"";
    let lab = Lab::start("", identities, "\"ops\"", &[("users", &file)]).await;
    for _ in 0..3 {
        let known = lab.log_in("ann", "secret").await;
        assert_eq!(known.status(), 200, "{}", known.text());
        assert_eq!(lab.vanne.log_of(known.id()).await["user"], "ann");
    }
    lab.counted("ops", "verified", 1.0).await;
    lab.counted("ops", "cached", 2.0).await;
    for (name, password, end) in [
        ("ann", "wrong", "password_wrong"),
        ("ann", "", "password_wrong"),
        ("eve", "secret", "password_wrong"),
        ("ann", &"x".repeat(257), "token_too_long"),
    ] {
        let refused = lab.log_in(name, password).await;
        assert_eq!(refused.status(), 401);
        let challenge = "Basic realm=\"ops\", charset=\"UTF-8\"";
        assert_eq!(refused.head.field("www-authenticate"), Some(challenge));
        assert_eq!(lab.end(&refused).await, end);
    }
    let broken = lab.ask("authorization: Basic !\r\n").await;
    assert_eq!(lab.end(&broken).await, "token_malformed");
    assert_eq!(lab.origin.requests().len(), 3);
    // Whoever has another password from now on is not let in with the old one.
    std::fs::write(lab.dir.path().join("users"), format!("ann:{}\n", cheap("other"))).unwrap();
    eventually_async("the old password is refused", async || {
        (lab.log_in("ann", "secret").await.status() == 401).then_some(())
    })
    .await;
    assert_eq!(lab.log_in("ann", "other").await.status(), 200);
    let config = lab.config.replace("/users\"", "/users\"\nremember = \"1ms\"");
    assert_eq!(lab.vanne.reload(&config).await["result"], "applied");
    let before = lab.vanne.metrics().await;
    let labels = [("identity", "ops"), ("result", "verified")];
    let before = before.value("vanne_identity_total", &labels).unwrap();
    for _ in 0..2 {
        assert_eq!(lab.log_in("ann", "other").await.status(), 200);
    }
    lab.counted("ops", "verified", before + 2.0).await;
}

#[tokio::test]
async fn while_passwords_are_verified_the_worker_serves_others_and_too_many_are_refused() {
    let file = format!("ann:{}\n", slow());
    let identities = "[identity.ops.basic]\nfile = \"@files/users\"";
    let lab = Lab::start("workers = 1", identities, "\"ops\"", &[("users", &file)]).await;
    let mut waiting = Client::connect(lab.vanne.http).await;
    waiting.send(format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n\r\n", basic("ann", "x"))).await;
    let waits = async {
        waiting.answer("GET").await;
        panic!("a hash of that cost takes longer than all of this");
    };
    let others = async {
        let mut client = Client::connect(lab.vanne.http).await;
        for _ in 0..50 {
            assert_eq!(client.get("/open").await.status(), 200);
        }
        // Names that nobody has wait as well, and more than so many do not.
        let mut clients = Vec::new();
        for number in 0..70 {
            let mut client = Client::connect(lab.vanne.http).await;
            let login = basic(&format!("eve{number}"), "x");
            client.send(format!("GET / HTTP/1.1\r\nhost: a\r\n{login}\r\n\r\n")).await;
            clients.push(client);
        }
        let refused = clients.last_mut().unwrap().answer("GET").await;
        assert_eq!(refused.refusal(), (503, "passwords_busy".into()));
        assert_eq!(client.get("/open").await.status(), 200);
        lab.counted("ops", "unavailable", 7.0).await;
    };
    tokio::select! {
        () = waits => {}
        () = others => {}
    }
}

#[tokio::test]
async fn what_a_limit_of_users_refuses_is_paid_to_no_other() {
    let server = RedisServer::start().await;
    for shared in ["no", "leased", "exact"] {
        let keys = format!("ann {}\nbob {}\n", sha256(b"a"), sha256(b"b"));
        let identities = format!(
            "[redis]\naddress = \"{}\"\ntimeout = \"5s\"\nprefix = \"{shared}:\"\n\
             [identity.keys.api_keys]\nfile = \"@files/keys\"\n\
             [rate_limit.place]\nkey = \"ip\"\nrate = \"1/h\"\nburst = 5\nshared = \"{shared}\"\n\
             [rate_limit.each]\nkey = \"user\"\nrate = \"1/h\"\nburst = 2\nshared = \"no\"",
            server.address
        );
        let mut lab = Lab::start("", &identities, "\"keys\"", &[("keys", &*keys)]).await;
        lab.config += "rate_limits = [\"place\", \"each\"]\n";
        assert_eq!(lab.vanne.reload(&lab.config).await["result"], "applied");
        lab.vanne.metric_is("vanne_redis_up", &[], 1.0).await;
        let ask = async |key: &str| lab.ask(&format!("x-api-key: {key}\r\n")).await.status();
        for status in [200, 200, 429, 429, 429, 429, 429, 429] {
            assert_eq!(ask("a").await, status, "{shared}");
        }
        assert_eq!(ask("b").await, 200, "{shared}: what was refused was not paid");
        // Who tries out keys pays for it.
        let mut tries = Vec::new();
        for _ in 0..12 {
            tries.push(ask("wrong").await);
        }
        assert_eq!(tries[..2], [401, 401], "{shared}");
        if shared != "exact" {
            assert_eq!(tries.last(), Some(&429), "{shared}");
        }
        assert_eq!(ask("b").await, 429, "{shared}");
    }
}

#[tokio::test]
async fn the_first_identity_that_finds_something_decides_alone() {
    let keys = format!("bot {}\n", sha256(b"one"));
    let users = format!("ann:{}\n", cheap("secret"));
    let identities = "[identity.keys.api_keys]\nfile = \"@files/keys\"\n\
                      [identity.ops.basic]\nfile = \"@files/users\"\n\
                      [identity.idp.jwt]\nalgorithms = [\"EdDSA\"]\njwks = \"@files/jwks\"";
    let names = "\"idp\", \"keys\", \"ops\"";
    let files = [("keys", &*keys), ("users", &*users), ("jwks", &*jwks())];
    let lab = Lab::start("", identities, names, &files).await;
    let user = async |fields: &str| {
        let answer = lab.ask(fields).await;
        lab.vanne.log_of(answer.id()).await["user"].as_str().map(str::to_owned)
    };
    let bearer = format!("authorization: Bearer {}\r\n", token("ed", "EdDSA", &claims("carl")));
    assert_eq!(user(&bearer).await.as_deref(), Some("carl"));
    assert_eq!(user("x-api-key: one\r\n").await.as_deref(), Some("bot"));
    let login = basic("ann", "secret") + "\r\n";
    assert_eq!(user(&login).await.as_deref(), Some("ann"));
    assert_eq!(user(&format!("{login}x-api-key: one\r\n")).await.as_deref(), Some("bot"));
    let both = lab.ask(&format!("{login}x-api-key: two\r\n")).await;
    assert_eq!((both.status(), &*lab.end(&both).await), (401, "api_key_unknown"));
    let none = lab.ask("").await;
    let challenges: Vec<&str> = none.head.all("www-authenticate").collect();
    let want =
        ["Bearer realm=\"idp\"", "ApiKey realm=\"keys\"", "Basic realm=\"ops\", charset=\"UTF-8\""];
    assert_eq!(challenges, want);
}
