//! Rate limits that replicas share through Redis: real processes, a real server.

use crate::harness::redis::{RedisServer, SlowWay};
use crate::harness::vanne::list;
use crate::harness::{Answer, Origin, Vanne, ask, eventually_async, timed};
use futures::future::join_all;
use std::time::Duration;
use vanne::control::redis::scripts::{self, Clock, LEASE, TAKE};
use vanne_filters::rate_limit::{Ask, Quota, Table, Take, Tick, lease};

/// A config with these limits, of which its only route names `names`.
fn config(origin: &Origin, redis: &str, names: &str, limits: &str) -> String {
    format!(
        "admin.socket = \"@dir/admin.sock\"\n[redis]\n{redis}\n\
         [listener.http]\naddress = \"@http\"\ntrusted_proxies = [\"127.0.0.0/8\"]\n\
         [pool.app]\nbackends = {}\n\
         [[route]]\nname = \"all\"\npool = \"app\"\nrate_limits = [{names}]\n{limits}\n",
        list(&[origin.address])
    )
}

/// So many replicas that know of each other.
async fn replicas(count: usize, config: &str) -> Vec<Vanne> {
    let all = join_all((0..count).map(|_| Vanne::start(config))).await;
    for vanne in &all {
        vanne.metric_is("vanne_redis_replicas", &[], count as f64).await;
    }
    all
}

async fn from(vanne: &Vanne, client: &str) -> Answer {
    ask(vanne.http, &format!("GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: {client}\r\n\r\n"))
        .await
}

/// How many of so many requests of one client pass, to each of `all` in turn, several at once.
async fn passed(all: &[Vanne], client: &str, count: usize) -> u32 {
    let mut passed = 0;
    for _ in 0..count.div_ceil(8) {
        let at_once = (0..8).map(|number| from(&all[number % all.len()], client));
        let answers = join_all(at_once).await;
        assert!(answers.iter().all(|answer| matches!(answer.status(), 200 | 429)));
        passed += answers.iter().map(|answer| u32::from(answer.status() == 200)).sum::<u32>();
    }
    passed
}

/// Random numbers, the same every time.
struct Numbers(fastrand::Rng);

impl Numbers {
    fn quota(&mut self) -> (Quota, u32) {
        let burst = self.0.u32(1..300);
        (self.rate(burst), burst)
    }

    fn rate(&mut self, burst: u32) -> Quota {
        let (count, per) = (self.0.u32(1..5000), *self.0.choice(&[1, 60, 3600]).unwrap());
        Quota::new(count, Duration::from_secs(per), burst).unwrap()
    }
}

#[tokio::test]
async fn redis_gives_the_verdicts_of_the_local_reference() {
    let server = RedisServer::start().await;
    let mut connection = server.connect().await;
    TAKE.load_async(&mut connection).await.unwrap();
    let mut numbers = Numbers(fastrand::Rng::with_seed(1));
    let (mut passed, mut refused) = (0, 0);
    for sequence in 0..1000 {
        let (quota, burst) = numbers.quota();
        let patience = Duration::from_millis(numbers.0.u64(0..2) * numbers.0.u64(0..300));
        let begin =
            Duration::from_secs(1_700_000_000) + Duration::from_nanos(numbers.0.u64(..) / 8);
        let (mut at, mut arrivals) = (begin, Vec::new());
        for _ in 0..60 {
            at += Duration::from_nanos(numbers.0.u64(0..40_000_000));
            arrivals.push((at, numbers.0.u32(1..4)));
        }
        // Every other time replicas do not agree on the rate.
        let other = numbers.rate(burst);
        let quotas = if sequence % 2 == 0 { vec![quota] } else { vec![quota, quota, other] };
        // Its time is not the store's, which would forget the bucket by its own: so it is kept.
        let mut pipe = redis::pipe();
        pipe.atomic();
        for (number, (at, cost)) in arrivals.iter().enumerate() {
            let quota = &quotas[number % quotas.len()];
            let take = Take { quota, cost: *cost, patience };
            let arguments = scripts::take_arguments(Clock::At(*at), std::iter::once(take));
            pipe.cmd("EVALSHA").arg(TAKE.get_hash()).arg(1).arg(sequence).arg(arguments);
            pipe.cmd("PERSIST").arg(sequence).ignore();
        }
        let told: Vec<Vec<i64>> = pipe.query_async(&mut connection).await.unwrap();
        // The reference's own clock begins later, and its buckets are full then.
        let (mut bucket, mut before) = (quota.full(Tick::after(Duration::ZERO)), quota);
        let mut touched = Tick::after(Duration::ZERO);
        for (at, (when, cost)) in arrivals.into_iter().enumerate() {
            let (quota, now) = (quotas[at % quotas.len()], Tick::after(when - begin));
            if let Some(change) = quota.change_from(&before, touched, now) {
                bucket = change.of(bucket);
                (before, touched) = (quota, now);
            }
            let want = quota.take(&mut bucket, now, cost, patience);
            if want.is_ok() {
                touched = now;
            }
            let take = Take { quota: &quota, cost, patience };
            match (want, scripts::verdict(&[take], &told[at]).unwrap()) {
                (Ok(pass), Ok(same)) => {
                    assert_eq!(vec![pass], same, "{sequence}");
                    passed += 1;
                }
                (Err(no), Err((0, same))) => {
                    assert_eq!(no, same, "{sequence}");
                    refused += 1;
                }
                other => panic!("{sequence}: {other:?}"),
            }
        }
    }
    assert!(passed > 10_000 && refused > 3000, "{passed} {refused}");
}

#[tokio::test]
async fn what_is_leased_is_what_a_bucket_here_would_give() {
    let server = RedisServer::start().await;
    let mut connection = server.connect().await;
    LEASE.load_async(&mut connection).await.unwrap();
    let mut numbers = Numbers(fastrand::Rng::with_seed(2));
    let key = Table::new(1).key(b"a");
    for sequence in 0..200 {
        let (quota, burst) = numbers.quota();
        let begin = Duration::from_secs(1_700_000_000);
        let mut at = begin;
        let mut bucket = quota.full(Tick::after(Duration::ZERO));
        for _ in 0..40 {
            at += Duration::from_nanos(numbers.0.u64(0..80_000_000));
            let [owed, back] = [numbers.0.u32(0..burst), numbers.0.u32(0..2)];
            let want = numbers.0.u32(0..=burst);
            let ask = Ask { key, owed, back, want, least: 1 };
            let arguments = scripts::lease_arguments(Clock::At(at), &quota, &ask);
            // Its time is not the store's, as above.
            let (mut pipe, name) = (redis::pipe(), format!("l{sequence}"));
            pipe.atomic();
            pipe.cmd("EVALSHA").arg(LEASE.get_hash()).arg(1).arg(&name).arg(arguments);
            pipe.cmd("PERSIST").arg(&name).ignore();
            let (told,): (Vec<i64>,) = pipe.query_async(&mut connection).await.unwrap();
            let heard = scripts::heard(&ask, &told).unwrap();
            let now = Tick::after(at - begin);
            quota.give_back(&mut bucket, back);
            if owed > 0 {
                quota.charge(&mut bucket, now, owed);
            }
            let mut amounts =
                [want, want / 4, 1].into_iter().filter(|amount| *amount > 0 && want > 0);
            let granted = amounts
                .find(|amount| quota.take(&mut bucket, now, *amount, Duration::ZERO).is_ok());
            let no = quota.take(&mut { bucket }, now, 1, Duration::ZERO).err();
            let empty_for = no.map(|no| no.retry_after).filter(|_| granted.is_none());
            let want = (granted.unwrap_or_default(), empty_for.unwrap_or_default());
            assert_eq!((heard.granted, heard.empty_for), want, "{ask:?}");
        }
    }
}

#[tokio::test]
async fn three_replicas_share_a_limit_exactly() {
    let (server, origin) = (RedisServer::start().await, Origin::fixed("x").await);
    let limit = "[rate_limit.each]\nkey = \"ip\"\nrate = \"1/h\"\nburst = 30\nshared = \"exact\"";
    let redis = format!("address = \"{}\"\ntimeout = \"5s\"", server.address);
    let all = replicas(3, &config(&origin, &redis, "\"each\"", limit)).await;
    assert_eq!(passed(&all, "192.0.2.1", 80).await, 30);
    assert_eq!(passed(&all, "192.0.2.2", 40).await, 30);
    let refused = from(&all[0], "192.0.2.1").await;
    let after: u64 = refused.head.field("retry-after").unwrap().parse().unwrap();
    assert!((3500..=3600).contains(&after), "{after}");
    assert_eq!(all[0].log_of(refused.id()).await["rate_limit"], "each");
}

#[tokio::test]
async fn three_replicas_lease_no_more_than_the_stated_bound() {
    let (server, origin) = (RedisServer::start().await, Origin::fixed("x").await);
    let limit = "[rate_limit.each]\nkey = \"ip\"\nrate = \"1/h\"\nburst = 30";
    let redis = format!("address = \"{}\"\ntimeout = \"5s\"", server.address);
    let all = replicas(3, &config(&origin, &redis, "\"each\"", limit)).await;
    let quota = Quota::new(1, Duration::from_secs(3600), 30).unwrap();
    let bound = 30 + 3 * (30_u32.div_ceil(3) + lease(&quota, 3, 1));
    for client in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
        let passed = passed(&all, client, 160).await;
        assert!((30..=bound).contains(&passed), "{passed} of {bound}");
    }
    // What is known in Redis is forgotten when the buckets are full again.
    let keys: Vec<String> = server.ask(&["KEYS", "vanne:limit:each:*"]).await;
    assert_eq!(keys.len(), 3, "{keys:?}");
    let left: i64 = server.ask(&["PTTL", &keys[0]]).await;
    assert!((3_600_000 * 20..3_600_000 * 61).contains(&left), "{left}");
}

#[tokio::test]
async fn a_client_below_the_rate_is_served_by_whichever_replica() {
    let (server, origin) = (RedisServer::start().await, Origin::fixed("x").await);
    let limit = "[rate_limit.each]\nkey = \"ip\"\nrate = \"1000/s\"\nburst = 600";
    let redis = format!("address = \"{}\"\ntimeout = \"5s\"", server.address);
    let all = replicas(3, &config(&origin, &redis, "\"each\"", limit)).await;
    for vanne in &all {
        for _ in 0..60 {
            assert_eq!(from(vanne, "192.0.2.1").await.status(), 200);
        }
    }
    let told = all[0].metrics().await;
    let enough = [("limit", "each"), ("result", "enough")];
    assert!(told.value("vanne_rate_limit_shared_total", &enough).unwrap() > 0.0);
}

#[tokio::test]
async fn without_redis_each_replica_goes_on_with_its_share() {
    let (mut server, origin) = (RedisServer::start().await, Origin::fixed("x").await);
    for shared in ["leased", "exact"] {
        let limit = format!(
            "[rate_limit.each]\nkey = \"ip\"\nrate = \"1/h\"\nburst = 30\nshared = \"{shared}\""
        );
        let redis = format!("address = \"{}\"\ntimeout = \"5s\"", server.address);
        let all = replicas(3, &config(&origin, &redis, "\"each\"", &limit)).await;
        server.kill();
        for vanne in &all {
            vanne.metric_is("vanne_redis_up", &[], 0.0).await;
        }
        for vanne in &all {
            assert_eq!(passed(std::slice::from_ref(vanne), "192.0.2.1", 24).await, 10);
        }
        server.restart().await;
        for vanne in &all {
            vanne.metric_is("vanne_redis_up", &[], 1.0).await;
        }
        let again = passed(&all, "192.0.2.7", 120).await;
        assert!(again >= 30, "{again}");
    }
}

#[tokio::test]
async fn a_redis_that_is_slow_or_frozen_delays_nobody_for_long() {
    let (server, origin) = (RedisServer::start().await, Origin::fixed("x").await);
    let way = SlowWay::to(server.address).await;
    let limit = "[rate_limit.each]\nkey = \"ip\"\nrate = \"1000/s\"\nshared = \"exact\"";
    let redis = format!("address = \"{}\"\ntimeout = \"100ms\"", way.address);
    let all = replicas(1, &config(&origin, &redis, "\"each\"", limit)).await;
    let vanne = &all[0];
    let up = async |value| vanne.metric_is("vanne_redis_up", &[], value).await;
    for trouble in ["slow", "frozen"] {
        match trouble {
            "slow" => way.delay(1000),
            _ => server.freeze(),
        }
        for _ in 0..20 {
            let (time, answer) = timed(from(vanne, "192.0.2.1")).await;
            assert_eq!(answer.status(), 200);
            assert!(time < Duration::from_millis(900), "{trouble}: {time:?}");
        }
        up(0.0).await;
        let (time, _) = timed(join_all((0..20).map(|_| from(vanne, "192.0.2.1")))).await;
        assert!(time < Duration::from_secs(1), "away, nobody waits: {time:?}");
        match trouble {
            "slow" => way.delay(0),
            _ => server.thaw(),
        }
        up(1.0).await;
    }
}

#[tokio::test]
async fn a_key_that_holds_something_else_is_counted_here() {
    let origin = Origin::fixed("x").await;
    for shared in ["exact", "leased"] {
        // One of its own: a replica that is gone is counted with for three seconds.
        let server = RedisServer::start().await;
        let limit = format!(
            "[rate_limit.{shared}]\nkey = \"global\"\nrate = \"1/h\"\nburst = 4\nshared = \"{shared}\""
        );
        let redis = format!("address = \"{}\"\ntimeout = \"5s\"", server.address);
        let all = replicas(1, &config(&origin, &redis, &format!("\"{shared}\""), &limit)).await;
        assert_eq!(from(&all[0], "192.0.2.1").await.status(), 200);
        let pattern = format!("vanne:limit:{shared}:*");
        let key = eventually_async("a key", async || {
            server.ask::<Vec<String>>(&["KEYS", &pattern]).await.into_iter().next()
        })
        .await;
        server.ask::<i64>(&["DEL", &key]).await;
        server.ask::<i64>(&["LPUSH", &key, "something", "else"]).await;
        let passed = passed(&all, "192.0.2.1", 16).await;
        assert!((3..=4).contains(&passed), "{shared}: {passed}");
        eventually_async("a failure is counted", async || {
            from(&all[0], "192.0.2.1").await;
            let failed = [("reason", "answer")];
            let count = all[0].metrics().await.value("vanne_redis_failures_total", &failed)?;
            (count > 0.0).then_some(())
        })
        .await;
        all[0].metric_is("vanne_redis_up", &[], 1.0).await;
        all[0].says("redis refuses what it is asked").await;
        let log = all[0].process_log();
        assert!(log.matches("redis refuses").count() == 1 && log.contains("WRONGTYPE"), "{log}");
    }
}

#[tokio::test]
async fn keys_are_in_the_database_and_under_the_prefix_of_the_config() {
    let (server, origin) = (RedisServer::start().await, Origin::fixed("x").await);
    let limit = "[rate_limit.all]\nkey = \"global\"\nrate = \"1/h\"\nburst = 1\nshared = \"exact\"\n\
                 [blocklist]\nshared = false";
    let redis = |more: &str| format!("address = \"{}\"\ntimeout = \"5s\"\n{more}", server.address);
    let here = config(&origin, &redis("database = 3\nprefix = \"a:\""), "\"all\"", limit);
    let there = config(&origin, &redis("database = 3\nprefix = \"b:\""), "\"all\"", limit);
    let (first, second) = (replicas(1, &here).await, replicas(1, &there).await);
    assert_eq!(passed(&first, "192.0.2.1", 8).await, 1);
    assert_eq!(passed(&second, "192.0.2.1", 8).await, 1);
    let spaces: String = server.ask(&["INFO", "keyspace"]).await;
    assert!(spaces.contains("db3:keys=4") && !spaces.contains("db0"), "{spaces}");
    // A limit that is not shared counts by itself.
    let own = limit.replace("exact", "no");
    let said = second[0].reload(&config(&origin, &redis("database = 3"), "\"all\"", &own)).await;
    assert_eq!(said["result"], "applied");
    assert_eq!(passed(&second, "192.0.2.1", 8).await, 1);
}

#[tokio::test]
async fn what_was_leased_is_given_back_at_the_end() {
    let (server, origin) = (RedisServer::start().await, Origin::fixed("x").await);
    let limit = "[rate_limit.each]\nkey = \"ip\"\nrate = \"1/h\"\nburst = 400\n\
                 [process]\ndrain_delay = \"10ms\"";
    let redis = format!("address = \"{}\"\ntimeout = \"5s\"", server.address);
    let mut all = replicas(1, &config(&origin, &redis, "\"each\"", limit)).await;
    let mut used = 0.0;
    // What is missing from the bucket, in requests: it would have filled since that second.
    let taken = async || {
        let keys: Vec<String> = server.ask(&["KEYS", "vanne:limit:each:*"]).await;
        let value: String = server.ask(&["GET", keys.first()?]).await;
        let (time, _): (f64, f64) = server.ask(&["TIME"]).await;
        let since: f64 = value.split(':').next()?.parse().unwrap();
        Some(400.0 - (time - since) / 3600.0)
    };
    eventually_async("more is leased than is used", async || {
        used += f64::from(passed(&all, "192.0.2.1", 8).await);
        (taken().await? > used + 1.0).then_some(())
    })
    .await;
    all[0].sigterm();
    assert_eq!(all[0].exit_within(Duration::from_secs(5)).await, 0);
    let left = taken().await.unwrap();
    assert!((used - 0.1..used + 0.1).contains(&left), "{left} of {used}");
}

#[tokio::test]
async fn another_rate_counts_for_what_is_shared_too() {
    let (server, origin) = (RedisServer::start().await, Origin::fixed("x").await);
    for shared in ["exact", "leased"] {
        let limit = |rate: &str, burst: u32| {
            let limit = format!(
                "[rate_limit.{shared}]\nkey = \"ip\"\nrate = \"{rate}\"\nburst = {burst}\n\
                 shared = \"{shared}\""
            );
            let redis = format!("address = \"{}\"\ntimeout = \"5s\"", server.address);
            config(&origin, &redis, &format!("\"{shared}\""), &limit)
        };
        let all = replicas(1, &limit("1/h", 2)).await;
        passed(&all, "192.0.2.1", 16).await;
        let refused = from(&all[0], "192.0.2.1").await;
        let after: u64 = refused.head.field("retry-after").unwrap().parse().unwrap();
        assert!((3000..=7200).contains(&after), "{after}");
        assert_eq!(all[0].reload(&limit("1000/s", 2)).await["result"], "applied");
        let passes = async || (from(&all[0], "192.0.2.1").await.status() == 200).then_some(());
        eventually_async("nobody waits for an hour", passes).await;
        assert_eq!(all[0].reload(&limit("10/s", 100)).await["result"], "applied");
        passed(&all, "192.0.2.2", 200).await;
        assert_eq!(all[0].reload(&limit("1/h", 100)).await["result"], "applied");
        let again = passed(&all, "192.0.2.2", 160).await;
        assert!(again < 50, "no burst anew: {again}");
    }
}
