//! What limits of one request make of each other: those that are asked before it is known who sends
//! it, those that are asked then, those that wait for Redis or make requests wait, and those that
//! refuse nobody.

use crate::harness::issuer::{claims, jwks, token};
use crate::harness::redis::RedisServer;
use crate::harness::vanne::list;
use crate::harness::{Client, Origin, Vanne, ms, timed};
use crate::rate_limits::{from, limited, statuses};
use tempfile::TempDir;

/// A proxy whose only route wants to know who sends requests, and has these limits.
struct Lab {
    vanne: Vanne,
    _origin: Origin,
    _keys: TempDir,
}

impl Lab {
    /// `redis`: where limits are shared, if they are.
    async fn start(redis: Option<&str>, names: &str, limits: &str) -> Self {
        let origin = Origin::fixed("x").await;
        let keys = tempfile::tempdir().unwrap();
        std::fs::write(keys.path().join("jwks.json"), jwks()).unwrap();
        let redis = redis.map_or_else(String::new, |line| format!("[redis]\n{line}\n"));
        let config = format!(
            "{redis}[listener.http]\naddress = \"@http\"\ntrusted_proxies = [\"127.0.0.0/8\"]\n\
             [pool.app]\nbackends = {}\n\
             [identity.staff.jwt]\njwks = \"{}/jwks.json\"\nalgorithms = [\"EdDSA\"]\n\
             issuer = \"https://idp.example\"\naudiences = [\"api\"]\n\
             [[route]]\nname = \"all\"\npool = \"app\"\nidentity = {{ use = [\"staff\"] }}\n\
             rate_limits = [{names}]\n{limits}\n",
            list(&[origin.address]),
            keys.path().display()
        );
        Self { vanne: Vanne::start(&config).await, _origin: origin, _keys: keys }
    }

    /// The statuses of so many requests of `user` from `client`.
    async fn ask(&self, client: &str, user: &str, count: usize) -> Vec<u16> {
        statuses(&self.vanne, client, &bearing(user), count).await
    }
}

fn bearing(user: &str) -> String {
    format!("authorization: Bearer {}\r\n", token("ed", "EdDSA", &claims(user)))
}

fn shared(server: &RedisServer) -> String {
    format!("address = \"{}\"\ntimeout = \"5s\"", server.address)
}

const WRONG: &str = "authorization: Bearer wrong\r\n";
/// Three requests of one user.
const OF_USER: &str =
    "[rate_limit.each]\nkey = \"user\"\nrate = \"1/h\"\nburst = 3\nshared = \"no\"";

#[tokio::test]
async fn who_guesses_is_slowed_by_limits_that_wait_for_redis_too() {
    let server = RedisServer::start().await;
    let limit = "[rate_limit.tries]\nkey = \"ip\"\nrate = \"1/h\"\nburst = 3\nshared = \"exact\"";
    let lab = Lab::start(Some(&shared(&server)), "\"tries\"", limit).await;
    let guesses = statuses(&lab.vanne, "192.0.2.1", WRONG, 5).await;
    assert_eq!(guesses, [401, 401, 401, 429, 429]);
    let labels = [("limit", "tries"), ("result", "refused")];
    lab.vanne.metric_is("vanne_rate_limit_total", &labels, 2.0).await;
    assert_eq!(lab.ask("192.0.2.2", "ann", 4).await, [200, 200, 200, 429]);
}

#[tokio::test]
async fn what_redis_refuses_costs_the_user_nothing() {
    let server = RedisServer::start().await;
    let limits = format!(
        "[rate_limit.tries]\nkey = \"ip\"\nrate = \"1/h\"\nburst = 1\nshared = \"exact\"\n{OF_USER}"
    );
    let lab = Lab::start(Some(&shared(&server)), "\"tries\", \"each\"", &limits).await;
    assert_eq!(lab.ask("192.0.2.1", "ann", 5).await, [200, 429, 429, 429, 429]);
    let elsewhere = [
        lab.ask("192.0.2.2", "ann", 1).await,
        lab.ask("192.0.2.3", "ann", 1).await,
        lab.ask("192.0.2.4", "ann", 1).await,
    ];
    assert_eq!(elsewhere.concat(), [200, 200, 429]);
    // Nor does what the user's limit refuses cost the address.
    assert_eq!(lab.ask("192.0.2.4", "bob", 1).await, [200]);
}

#[tokio::test]
async fn who_leaves_while_a_limit_makes_it_wait_has_cost_the_user_nothing() {
    let limits = format!(
        "[rate_limit.tries]\nkey = \"ip\"\nrate = \"1/m\"\nburst = 1\naction = \"delay\"\n\
         max_delay = \"60s\"\n{OF_USER}"
    );
    let lab = Lab::start(None, "\"tries\", \"each\"", &limits).await;
    assert_eq!(lab.ask("192.0.2.1", "ann", 1).await, [200]);
    let mut leaving = Client::connect(lab.vanne.http).await;
    let fields = format!("x-forwarded-for: 192.0.2.1\r\n{}", bearing("ann"));
    leaving.send(format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n")).await;
    lab.vanne.metric_is("vanne_requests_in_flight", &[], 1.0).await;
    drop(leaving);
    lab.vanne.metric_is("vanne_requests_in_flight", &[], 0.0).await;
    assert_eq!(lab.ask("192.0.2.2", "ann", 1).await, [200]);
    assert_eq!(lab.ask("192.0.2.3", "ann", 1).await, [200]);
    assert_eq!(lab.ask("192.0.2.4", "ann", 1).await, [429]);
}

#[tokio::test]
async fn who_guesses_waits_as_others_do() {
    let limit = "[rate_limit.tries]\nkey = \"ip\"\nrate = \"20/s\"\nburst = 1\naction = \"delay\"\n\
                 max_delay = \"10s\"";
    let lab = Lab::start(None, "\"tries\"", limit).await;
    let (took, guesses) = timed(statuses(&lab.vanne, "192.0.2.1", WRONG, 5)).await;
    assert_eq!(guesses, [401; 5]);
    assert!(took >= ms(195), "{took:?}");
}

#[tokio::test]
async fn a_limit_on_trial_pays_for_what_passes_and_learns_what_it_has_cost() {
    let limits = "[rate_limit.trial]\nkey = \"ip\"\nrate = \"1/h\"\nburst = 3\naction = \"shadow\"\n\
                  [rate_limit.each]\nkey = \"user\"\nrate = \"1/h\"\nburst = 1";
    let lab = Lab::start(None, "\"trial\", \"each\"", limits).await;
    assert_eq!(lab.ask("192.0.2.1", "ann", 5).await, [200, 429, 429, 429, 429]);
    for user in ["bob", "cid"] {
        assert_eq!(lab.ask("192.0.2.1", user, 1).await, [200]);
    }
    let shadowed = async |vanne: &Vanne| {
        let labels = [("limit", "trial"), ("result", "shadowed")];
        vanne.metrics().await.value("vanne_rate_limit_total", &labels).unwrap_or_default()
    };
    assert_eq!(shadowed(&lab.vanne).await, 0.0, "three have passed");
    assert_eq!(lab.ask("192.0.2.1", "dan", 1).await, [200]);
    assert_eq!(shadowed(&lab.vanne).await, 1.0);

    let dear = "HTTP/1.1 200 OK\r\nx-tokens: 9\r\ncontent-length: 0\r\n\r\n";
    let limit = "[rate_limit.trial]\nkey = \"ip\"\nrate = \"1/h\"\nburst = 10\ncost = 2\n\
                 cost_header = \"X-Tokens\"\naction = \"shadow\"";
    let origin = Origin::answering(dear).await;
    let vanne = limited(&origin, "\"trial\"", limit).await;
    assert_eq!(statuses(&vanne, "192.0.2.1", "", 2).await, [200, 200]);
    assert_eq!(shadowed(&vanne).await, 1.0);
}

#[tokio::test]
async fn a_cost_beyond_all_numbers_is_a_whole_bucket_and_a_policy_is_ours_alone() {
    let dear = "HTTP/1.1 200 OK\r\nx-tokens: 99999999999\r\nratelimit-policy: \"x\";q=9;w=1\r\n\
                ratelimit: \"x\";r=9;t=1\r\ncontent-length: 0\r\n\r\n";
    let limit = "[rate_limit.tokens]\nkey = \"ip\"\nrate = \"1/h\"\nburst = 10\n\
                 cost_header = \"X-Tokens\"\ntell = \"always\"";
    let origin = Origin::answering(dear).await;
    let vanne = limited(&origin, "\"tokens\"", limit).await;
    let first = from(&vanne, "192.0.2.1", "").await;
    assert_eq!(first.status(), 200);
    for name in ["ratelimit-policy", "ratelimit"] {
        let values: Vec<_> = first.head.all(name).collect();
        assert!(values.len() == 1 && values[0].starts_with("\"tokens\";"), "{name}: {values:?}");
    }
    let refused = from(&vanne, "192.0.2.1", "").await;
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.head.field("retry-after"), Some("39600"), "a bucket owed, and one more");
}
