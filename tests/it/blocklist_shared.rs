//! Blocks that replicas share through Redis: real processes, a real server.

use crate::blocklist::{behind, delete, networks, post};
use crate::harness::admin::{Asked, Lab};
use crate::harness::redis::RedisServer;
use crate::harness::{Origin, eventually, eventually_async, ms, timed};
use futures::future::join_all;
use rustix::process::Signal;
use serde_json::json;
use std::path::Path;
use std::time::Duration;

/// A replica that shares through `server`.
async fn replica(origin: &Origin, server: &RedisServer, more: &str) -> Lab {
    let more = format!(
        "[listener.http]\naddress = \"@http\"\ntrusted_proxies = [\"127.0.0.1/32\"]\n\
         [redis]\naddress = \"{}\"\ntimeout = \"2s\"\n{more}\n",
        server.address
    );
    Lab::start(&[origin.address], "", &more).await
}

/// So many replicas that know of each other.
async fn replicas(count: usize, origin: &Origin, server: &RedisServer) -> Vec<Lab> {
    let all = join_all((0..count).map(|_| replica(origin, server, ""))).await;
    for lab in &all {
        is_up(lab, true).await;
    }
    all
}

async fn is_up(lab: &Lab, is_up: bool) {
    lab.vanne.metric_is("vanne_redis_up", &[], f64::from(u8::from(is_up))).await;
}

/// Waits until `client` gets this status everywhere.
async fn all_answer(all: &[Lab], client: &str, status: u16) {
    for lab in all {
        eventually_async("a replica knows", async || {
            (behind(&lab.vanne, client).await.status() == status).then_some(())
        })
        .await;
    }
}

async fn failures(lab: &Lab, reason: &str) -> f64 {
    let labels = [("reason", reason)];
    let metrics = lab.vanne.metrics().await;
    metrics.value("vanne_blocklist_shared_failures_total", &labels).unwrap()
}

/// Waits until nothing is to be told any more.
async fn is_told(lab: &Lab) {
    lab.vanne.metric_is("vanne_blocklist_shared_untold", &[], 0.0).await;
}

async fn total(lab: &Lab) -> u64 {
    lab.get("/v1/blocklist").await["total"].as_u64().unwrap()
}

#[tokio::test]
async fn a_block_reaches_every_replica_within_a_second_and_so_does_its_end() {
    let (server, origin) = (RedisServer::start().await, Origin::fixed("x").await);
    let all = replicas(3, &origin, &server).await;
    let block = json!({ "cidr": "192.0.2.0/24", "ttl": "1h", "reason": "scan", "owner": "kim" });
    let made = post(&all[0], block).await;
    let (time, ()) = timed(all_answer(&all, "192.0.2.7", 403)).await;
    assert!(time < ms(1000), "{time:?}");
    let there = &all[1].get("/v1/blocklist").await;
    let block = &there["blocks"][0];
    for key in ["cidr", "by", "owner", "reason", "since"] {
        assert_eq!(block[key], made[key], "{key}");
    }
    assert!((3590..=3600).contains(&block["seconds_left"].as_u64().unwrap()), "{block}");
    assert_eq!((&there["is_shared"], &there["total"]), (&json!(true), &json!(1)));
    // Lifted by another than the one that made it.
    assert_eq!(delete(&all[2], "192.0.2.0/24").await.status(), 200);
    let (time, ()) = timed(all_answer(&all, "192.0.2.7", 200)).await;
    assert!(time < ms(1000), "{time:?}");
    post(&all[1], json!({ "cidr": "192.0.2.8", "ttl": 2 })).await;
    all_answer(&all, "192.0.2.8", 403).await;
    all_answer(&all, "192.0.2.8", 200).await;
    for lab in &all {
        networks(&lab.vanne, "api", 0.0).await;
        let age = lab.vanne.metrics().await.value("vanne_blocklist_shared_age_seconds", &[]);
        assert!(age.unwrap() < 2.0, "{age:?}");
        assert_eq!(failures(lab, "asking").await + failures(lab, "entry").await, 0.0);
    }
    // What was told comes back to nobody as something new: four changes, four numbers.
    let number: String = server.ask(&["HGET", "vanne:blocklist:about", "number"]).await;
    assert_eq!(number, "3");
}

#[tokio::test]
async fn automatic_blocks_hold_on_all_replicas() {
    let server = RedisServer::start().await;
    let origin = Origin::answering("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").await;
    let lines = "[blocklist.automatic]\nafter = 3\nwithin = \"1h\"\nblock_for = \"1h\"";
    let all = [replica(&origin, &server, lines).await, replica(&origin, &server, lines).await];
    for _ in 0..3 {
        assert_eq!(behind(&all[0].vanne, "192.0.2.1").await.status(), 401);
    }
    all_answer(&all, "192.0.2.1", 403).await;
    networks(&all[1].vanne, "automatic", 1.0).await;
    // Its bucket is empty everywhere once an operator has lifted the block.
    assert_eq!(delete(&all[1], "192.0.2.1").await.status(), 200);
    all_answer(&all, "192.0.2.1", 401).await;
}

#[tokio::test]
async fn who_comes_later_gets_all_that_holds() {
    let (server, origin) = (RedisServer::start().await, Origin::fixed("x").await);
    let first = replica(&origin, &server, "").await;
    // More than what is read, or told, at once.
    for part in 0..40 {
        let block = |number| post(&first, json!({ "cidr": format!("10.0.{part}.{number}") }));
        join_all((0..30).map(block)).await;
    }
    is_told(&first).await;
    let second = replica(&origin, &server, "").await;
    networks(&second.vanne, "api", 1200.0).await;
    assert_eq!(behind(&second.vanne, "10.0.39.29").await.status(), 403);
    // One that is full says so, and takes what it has room for.
    let small = replica(&origin, &server, "[blocklist]\nmax_blocks = 700").await;
    networks(&small.vanne, "api", 700.0).await;
    assert_eq!(failures(&small, "full").await, 500.0);
    let age = small.vanne.metrics().await.value("vanne_blocklist_shared_age_seconds", &[]);
    assert!(age.is_some());
}

#[tokio::test]
async fn what_changes_while_redis_is_away_is_told_when_it_is_back() {
    let (mut server, origin) = (RedisServer::start().await, Origin::fixed("x").await);
    let all = replicas(2, &origin, &server).await;
    for client in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
        post(&all[0], json!({ "cidr": client })).await;
        all_answer(&all, client, 403).await;
    }
    server.kill();
    for lab in &all {
        is_up(lab, false).await;
    }
    post(&all[0], json!({ "cidr": "192.0.2.4" })).await;
    assert_eq!(delete(&all[1], "192.0.2.1").await.status(), 200);
    // Never heard of by others: nothing is left to tell.
    post(&all[1], json!({ "cidr": "192.0.2.5" })).await;
    assert_eq!(delete(&all[1], "192.0.2.5").await.status(), 200);
    let status = async |lab: &Lab, client: &str| behind(&lab.vanne, client).await.status();
    assert_eq!(
        [status(&all[0], "192.0.2.4").await, status(&all[1], "192.0.2.4").await],
        [403, 200]
    );
    assert_eq!(
        [status(&all[0], "192.0.2.1").await, status(&all[1], "192.0.2.1").await],
        [403, 200]
    );
    let untold = async |lab: &Lab| lab.get("/v1/blocklist").await["untold"].clone();
    assert_eq!([untold(&all[0]).await, untold(&all[1]).await], [json!(1), json!(1)]);
    let shown = all[0].prints(&["block", "list"]).await;
    assert!(shown.contains("1 changes wait to be told to other replicas"), "{shown}");
    // It comes back without anything, and is told of what held before, too.
    server.restart().await;
    all_answer(&all, "192.0.2.4", 403).await;
    all_answer(&all, "192.0.2.1", 200).await;
    for client in ["192.0.2.2", "192.0.2.3"] {
        all_answer(&all, client, 403).await;
    }
    let late = replica(&origin, &server, "").await;
    networks(&late.vanne, "api", 3.0).await;
    let told = || all[0].vanne.process_log().contains("redis has lost blocks").then_some(());
    eventually("that is told", told).await;
}

#[tokio::test]
async fn a_replica_that_was_away_knows_what_it_had_to_say_and_what_it_missed() {
    let (mut server, origin) = (RedisServer::start().await, Origin::fixed("x").await);
    let folder = tempfile::tempdir().unwrap();
    let keeping = |folder: &Path| format!("[process]\nstate_dir = \"{}\"", folder.display());
    let mut first = replica(&origin, &server, &keeping(folder.path())).await;
    let second = replica(&origin, &server, "").await;
    for client in ["192.0.2.1", "192.0.2.2"] {
        post(&first, json!({ "cidr": client })).await;
    }
    networks(&second.vanne, "api", 2.0).await;
    is_told(&first).await;
    let kept = || std::fs::read_to_string(folder.path().join("blocklist.state")).unwrap();
    eventually("the store is known", || kept().contains("\"store\"").then_some(())).await;
    // It goes; one of its blocks is lifted meanwhile.
    let end = async |lab: &mut Lab| {
        lab.vanne.signal(Signal::KILL);
        lab.vanne.process().exit_within(Duration::from_secs(5)).await;
    };
    end(&mut first).await;
    assert_eq!(delete(&second, "192.0.2.1").await.status(), 200);
    is_told(&second).await;
    let mut first = replica(&origin, &server, &keeping(folder.path())).await;
    networks(&first.vanne, "api", 1.0).await;
    assert_eq!(behind(&first.vanne, "192.0.2.1").await.status(), 200);
    // What it says while Redis is away it says after its own restart.
    server.freeze();
    is_up(&first, false).await;
    post(&first, json!({ "cidr": "192.0.2.3" })).await;
    assert_eq!(delete(&first, "192.0.2.2").await.status(), 200);
    end(&mut first).await;
    server.thaw();
    let first = replica(&origin, &server, &keeping(folder.path())).await;
    for lab in [&first, &second] {
        eventually_async("both have the same", async || {
            let page = lab.get("/v1/blocklist").await;
            (page["total"] == 1 && page["blocks"][0]["cidr"] == "192.0.2.3/32").then_some(())
        })
        .await;
    }
    server.kill();
}

#[tokio::test]
async fn what_is_no_block_in_redis_is_counted_and_left_out() {
    let (server, origin) = (RedisServer::start().await, Origin::fixed("x").await);
    let all = replicas(2, &origin, &server).await;
    post(&all[0], json!({ "cidr": "192.0.2.1" })).await;
    all_answer(&all, "192.0.2.1", 403).await;
    // Something that is no block, as if a replica had written it.
    let script = "redis.call('HSET', KEYS[1], ARGV[1], 'x') \
                  local number = redis.call('HINCRBY', KEYS[4], 'number', 1) \
                  redis.call('ZADD', KEYS[2], number, ARGV[1]) \
                  return redis.call('ZADD', KEYS[3], '+inf', ARGV[1])";
    let keys = ["", ":order", ":ends", ":about"].map(|end| format!("vanne:blocklist{end}"));
    let [key, order, ends, about] = keys.each_ref().map(String::as_str);
    let words = ["EVAL", script, "4", key, order, ends, about, "MULTI-nonsense"];
    assert_eq!(server.ask::<i64>(&words).await, 1);
    for lab in &all {
        eventually_async("it is counted", async || {
            (failures(lab, "entry").await == 1.0).then_some(())
        })
        .await;
    }
    post(&all[1], json!({ "cidr": "192.0.2.2" })).await;
    all_answer(&all, "192.0.2.2", 403).await;
    // A key that holds something else: each goes on by itself, and that is told.
    let script = "redis.call('DEL', KEYS[1]) return redis.call('LPUSH', KEYS[1], 'something')";
    assert_eq!(server.ask::<i64>(&["EVAL", script, "1", key]).await, 1);
    post(&all[0], json!({ "cidr": "192.0.2.3" })).await;
    for lab in &all {
        eventually_async("that is told", async || {
            let log = lab.vanne.process_log();
            (failures(lab, "asking").await > 1.0).then_some(())?;
            (log.matches("blocks are not shared").count() == 1).then_some(())
        })
        .await;
        assert_eq!(total(lab).await, if std::ptr::eq(lab, &all[0]) { 3 } else { 2 });
    }
    // Away again, what is left of the rest is not believed, and everything is told anew.
    server.ask::<i64>(&["DEL", key]).await;
    for client in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
        all_answer(&all, client, 403).await;
    }
    for lab in &all {
        is_told(lab).await;
    }
    let told = server.ask::<Vec<String>>(&["HKEYS", key]).await;
    assert_eq!(told.len(), 3, "{told:?}");
    // An older state of the store, as after a restart of one that writes to its disk now and then.
    // In one step: a store that is there in part only is not believed.
    let script = "redis.call('ZREM', KEYS[2], ARGV[1]) redis.call('ZREM', KEYS[3], ARGV[1]) \
                  redis.call('HSET', KEYS[4], 'number', 1) \
                  return redis.call('HDEL', KEYS[1], ARGV[1])";
    let words = ["EVAL", script, "4", key, order, ends, about, "192.0.2.3/32"];
    assert_eq!(server.ask::<i64>(&words).await, 1);
    eventually_async("it is told again", async || {
        (server.ask::<i64>(&["HLEN", key]).await == 3).then_some(())
    })
    .await;
    all_answer(&all, "192.0.2.3", 403).await;
}

#[tokio::test]
async fn blocks_that_are_not_shared_stay_here() {
    let (server, origin) = (RedisServer::start().await, Origin::fixed("x").await);
    let own = replica(&origin, &server, "[blocklist]\nshared = false").await;
    let other = replica(&origin, &server, "").await;
    post(&other, json!({ "cidr": "192.0.2.1" })).await;
    is_told(&other).await;
    post(&own, json!({ "cidr": "192.0.2.2" })).await;
    let shared = own.get("/v1/blocklist").await;
    assert_eq!((&shared["is_shared"], &shared["total"]), (&json!(false), &json!(1)));
    eventually_async("only what is shared is there", async || {
        let keys: Vec<String> = server.ask(&["HKEYS", "vanne:blocklist"]).await;
        (keys == ["192.0.2.1/32"]).then_some(())
    })
    .await;
    // Shared from now on: each learns what the other has. The file may be seen to change before.
    let config = own.config.replace("shared = false", "shared = true");
    assert_ne!(own.vanne.reload(&config).await["result"], "refused");
    for lab in [&own, &other] {
        networks(&lab.vanne, "api", 2.0).await;
    }
    // And no longer: it keeps what it has.
    assert_ne!(own.vanne.reload(&own.config).await["result"], "refused");
    eventually_async("it shares no more", async || {
        (own.get("/v1/blocklist").await["is_shared"] == false).then_some(())
    })
    .await;
    let lift = Asked::new("DELETE /v1/blocklist/192.0.2.1", "operate");
    assert_eq!(other.ask(lift).await.status(), 200);
    is_told(&other).await;
    assert_eq!([total(&own).await, total(&other).await], [2, 1]);
}
