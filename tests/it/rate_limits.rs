//! How much of what may come in how much time.

use crate::harness::client::Answer;
use crate::harness::http2::Client2;
use crate::harness::vanne::list;
use crate::harness::{Client, Origin, Vanne, ask, ms, timed};
use vanne::types::clock;

/// A config with these limits, of which its only route names `names`; it believes loopback.
pub(crate) fn config(origin: &Origin, names: &str, limits: &str) -> String {
    format!(
        "admin.socket = \"@dir/admin.sock\"\n[listener.http]\naddress = \"@http\"\n\
         trusted_proxies = [\"127.0.0.0/8\"]\n[pool.app]\nbackends = {}\n\
         [[route]]\nname = \"all\"\npool = \"app\"\nrate_limits = [{names}]\n{limits}\n",
        list(&[origin.address])
    )
}

pub(crate) async fn limited(origin: &Origin, names: &str, limits: &str) -> Vanne {
    Vanne::start(&config(origin, names, limits)).await
}

pub(crate) async fn applied(vanne: &Vanne, config: &str) {
    let said = vanne.reload(config).await;
    assert_eq!(said["result"], "applied", "{said}");
}

/// A request from `client`, with more fields.
pub(crate) async fn from(vanne: &Vanne, client: &str, fields: &str) -> Answer {
    let head = format!("GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: {client}\r\n{fields}\r\n");
    ask(vanne.http, &head).await
}

/// The statuses of so many requests from `client`.
pub(crate) async fn statuses(vanne: &Vanne, client: &str, fields: &str, count: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        statuses.push(from(vanne, client, fields).await.status());
    }
    statuses
}

fn is_refused(answer: &Answer) -> bool {
    answer.refusal() == (429, "rate_limited".into())
}

async fn counted(vanne: &Vanne, limit: &str, result: &str, count: f64) {
    let labels = [("limit", limit), ("result", result)];
    vanne.metric_is("vanne_rate_limit_total", &labels, count).await;
}

#[tokio::test]
async fn each_address_has_a_burst_and_then_the_rate() {
    let origin = Origin::fixed("x").await;
    let limit = "[rate_limit.each]\nkey = \"ip\"\nrate = \"2/h\"\nburst = 3";
    let vanne = limited(&origin, "\"each\"", limit).await;
    assert_eq!(statuses(&vanne, "192.0.2.1", "", 4).await, [200, 200, 200, 429]);
    let refused = from(&vanne, "192.0.2.1", "").await;
    assert!(is_refused(&refused));
    let fields = ["retry-after", "ratelimit-policy", "ratelimit"]
        .map(|name| refused.head.field(name).unwrap_or_default().to_owned());
    assert!(["1799", "1800"].contains(&fields[0].as_str()), "{fields:?}");
    assert_eq!(fields[1], "\"each\";q=3;w=5400");
    assert_eq!(fields[2], format!("\"each\";r=0;t={}", fields[0]));
    assert_eq!(origin.requests().len(), 3, "what is refused goes nowhere");
    let line = vanne.log_of(refused.id()).await;
    assert_eq!((&line["end"], &line["by"]), (&"rate_limited".into(), &"client".into()));
    assert_eq!((&line["rate_limit"], &line["route"]), (&"each".into(), &"all".into()));
    assert_eq!(statuses(&vanne, "192.0.2.2", "", 1).await, [200]);
    counted(&vanne, "each", "passed", 4.0).await;
    counted(&vanne, "each", "refused", 2.0).await;
}

#[tokio::test]
async fn the_bucket_fills_at_its_rate() {
    let origin = Origin::fixed("x").await;
    let limit = "[rate_limit.all]\nkey = \"global\"\nrate = \"10/s\"\nburst = 1";
    let vanne = limited(&origin, "\"all\"", limit).await;
    let (mut passed, began) = (0, clock::now());
    while began.elapsed() < ms(1000) {
        passed += usize::from(vanne.get("/").await.status() == 200);
    }
    let most = 1 + usize::try_from(began.elapsed().as_millis() / 100).unwrap();
    assert!((3..=most).contains(&passed), "{passed} of {most}");
}

#[tokio::test]
async fn a_key_tells_clients_apart() {
    let origin = Origin::fixed("x").await;
    let limit = |key: &str| {
        format!("[rate_limit.one]\nkey = \"{key}\"\nrate = \"1/h\"\nburst = 1\nipv6_prefix = 56")
    };
    let config = |key: &str| config(&origin, "\"one\"", &limit(key));
    let vanne = Vanne::start(&config("ip")).await;
    // Of IPv6 a network is one client.
    assert_eq!(statuses(&vanne, "2001:db8:0:100::1", "", 1).await, [200]);
    assert_eq!(statuses(&vanne, "2001:db8:0:1ff::2", "", 1).await, [429]);
    assert_eq!(statuses(&vanne, "2001:db8:0:200::1", "", 1).await, [200]);
    let (key_a, key_b) = ("x-api-key: a\r\n", "x-api-key: b\r\n");
    applied(&vanne, &config("header:X-Api-Key")).await;
    assert_eq!(statuses(&vanne, "192.0.2.1", key_a, 2).await, [200, 429]);
    assert_eq!(statuses(&vanne, "192.0.2.2", key_a, 1).await, [429]);
    assert_eq!(statuses(&vanne, "192.0.2.2", key_b, 1).await, [200]);
    // Who sends none is counted by address.
    assert_eq!(statuses(&vanne, "192.0.2.2", "", 2).await, [200, 429]);
    assert_eq!(statuses(&vanne, "192.0.2.3", "", 1).await, [200]);
    // Of IPv6 by its network.
    assert_eq!(statuses(&vanne, "2001:db8:0:300::1", "", 1).await, [200]);
    assert_eq!(statuses(&vanne, "2001:db8:0:3ff::2", "", 1).await, [429]);
    applied(&vanne, &config("cookie:sid+ip")).await;
    let cookie = |of: &str| format!("cookie: a=1; sid={of}\r\n");
    assert_eq!(statuses(&vanne, "192.0.2.1", &cookie("x"), 2).await, [200, 429]);
    assert_eq!(statuses(&vanne, "192.0.2.2", &cookie("x"), 1).await, [200]);
    assert_eq!(statuses(&vanne, "192.0.2.1", &cookie("y"), 1).await, [200]);
}

#[tokio::test]
async fn a_request_passes_all_limits_of_its_route_or_pays_none() {
    let origin = Origin::fixed("x").await;
    let limits = "[rate_limit.all]\nkey = \"global\"\nrate = \"1/h\"\nburst = 4\ncost = 2\n\
                  [rate_limit.each]\nkey = \"ip+route\"\nrate = \"1/h\"\nburst = 1";
    let vanne = limited(&origin, "\"all\", \"each\"", limits).await;
    assert_eq!(statuses(&vanne, "192.0.2.1", "", 5).await, [200, 429, 429, 429, 429]);
    assert_eq!(statuses(&vanne, "192.0.2.2", "", 1).await, [200]);
    let refused = from(&vanne, "192.0.2.3", "").await;
    assert_eq!(vanne.log_of(refused.id()).await["rate_limit"], "all");
    // It paid nothing for being refused: another limit lets it in once that one does.
    counted(&vanne, "each", "passed", 2.0).await;
    counted(&vanne, "each", "refused", 4.0).await;
    counted(&vanne, "all", "refused", 1.0).await;
}

#[tokio::test]
async fn a_limit_may_make_requests_wait() {
    let origin = Origin::fixed("x").await;
    let limit = "[rate_limit.slow]\nkey = \"global\"\nrate = \"5/s\"\nburst = 1\n\
                 action = \"delay\"\nmax_delay = \"250ms\"";
    let vanne = limited(&origin, "\"slow\"", limit).await;
    let ask = || timed(vanne.get("/"));
    let (first, second, third) = tokio::join!(ask(), ask(), ask());
    let mut all = [first, second, third];
    all.sort_by_key(|(time, answer)| (answer.status(), *time));
    let statuses = all.each_ref().map(|(_, answer)| answer.status());
    assert_eq!(statuses, [200, 200, 429]);
    assert!(all[1].0 >= ms(150), "{:?}", all[1].0);
    let waited = vanne.log_of(all[1].1.id()).await;
    assert_eq!((&waited["rate_limit"], &waited["end"]), (&"slow".into(), &"ok".into()));
    counted(&vanne, "slow", "delayed", 1.0).await;
}

#[tokio::test]
async fn a_limit_may_be_tried_out() {
    let origin = Origin::fixed("x").await;
    let limits = "[rate_limit.trial]\nkey = \"ip\"\nrate = \"1/h\"\nburst = 1\naction = \"shadow\"\n\
                  [rate_limit.real]\nkey = \"ip\"\nrate = \"1/h\"\nburst = 2\ntell = \"always\"";
    let vanne = limited(&origin, "\"trial\", \"real\"", limits).await;
    let first = from(&vanne, "192.0.2.1", "").await;
    assert_eq!(first.head.field("ratelimit"), Some("\"real\";r=1;t=0"));
    assert_eq!(vanne.log_of(first.id()).await.get("rate_limit"), None);
    let second = from(&vanne, "192.0.2.1", "").await;
    assert_eq!(second.status(), 200);
    assert_eq!(second.head.field("ratelimit"), Some("\"real\";r=0;t=0"));
    assert_eq!(vanne.log_of(second.id()).await["rate_limit"], "trial");
    assert_eq!(statuses(&vanne, "192.0.2.1", "", 1).await, [429]);
    counted(&vanne, "trial", "passed", 1.0).await;
    counted(&vanne, "trial", "shadowed", 1.0).await;
    counted(&vanne, "real", "refused", 1.0).await;
}

#[tokio::test]
async fn a_reload_keeps_the_buckets_and_memory_is_bounded() {
    let origin = Origin::fixed("x").await;
    let limit = "[rate_limit.each]\nkey = \"ip\"\nrate = \"1/h\"\nburst = 2\nmax_keys = 1";
    let vanne = limited(&origin, "\"each\"", limit).await;
    assert_eq!(statuses(&vanne, "192.0.2.1", "", 3).await, [200, 200, 429]);
    let faster = limit.replace("1/h", "2/h") + "\ntell = \"never\"";
    applied(&vanne, &config(&origin, "\"each\"", &faster)).await;
    let refused = from(&vanne, "192.0.2.1", "").await;
    assert!(is_refused(&refused) && refused.head.field("ratelimit").is_none());
    assert!(refused.head.field("retry-after").is_some());
    // 64 parts of 8 places: with 700 that are used once, some of the first must be forgotten, and
    // those that are fullest are.
    for number in 0..700 {
        statuses(&vanne, &format!("10.0.{}.{}", number / 250, number % 250), "", 1).await;
    }
    assert_eq!(statuses(&vanne, "192.0.2.1", "", 1).await, [429], "the busiest stay");
    let mut forgotten = 0;
    for number in 0..700 {
        let client = format!("10.0.{}.{}", number / 250, number % 250);
        let both = statuses(&vanne, &client, "", 2).await;
        forgotten += usize::from(both == [200, 200]);
    }
    assert!(forgotten > 0);
}

#[tokio::test]
async fn what_a_route_answers_itself_and_http2_are_counted_too() {
    let config = "[listener.http]\naddress = \"@http\"\nprotocols = [\"h2\"]\n\
                  [rate_limit.all]\nkey = \"global\"\nrate = \"1/h\"\nburst = 1\n\
                  [[route]]\nname = \"own\"\nanswer.body = \"own\"\nrate_limits = [\"all\"]";
    let vanne = Vanne::start(config).await;
    let mut client = Client2::connect(vanne.http).await;
    let statuses = [client.get("/").await.status(), client.get("/").await.status()];
    assert_eq!(statuses, [200, 429]);
}

#[tokio::test]
async fn another_rate_or_burst_counts_from_the_reload_on() {
    let origin = Origin::fixed("x").await;
    let limit = |rate: &str, burst: u32| {
        let limit = format!("[rate_limit.each]\nkey = \"ip\"\nrate = \"{rate}\"\nburst = {burst}");
        config(&origin, "\"each\"", &limit)
    };
    let vanne = Vanne::start(&limit("1/h", 2)).await;
    assert_eq!(statuses(&vanne, "192.0.2.1", "", 3).await, [200, 200, 429]);
    applied(&vanne, &limit("1000/s", 2)).await;
    tokio::time::sleep(ms(20)).await;
    assert_eq!(statuses(&vanne, "192.0.2.1", "", 2).await, [200, 200], "nobody waits for an hour");
    applied(&vanne, &limit("10/s", 100)).await;
    let mut served = 0;
    while from(&vanne, "192.0.2.2", "").await.status() == 200 {
        served += 1;
    }
    assert!(served >= 100, "{served}");
    let (reloading, ()) = timed(applied(&vanne, &limit("1/h", 100))).await;
    tokio::time::sleep(ms(1500)).await;
    let served = statuses(&vanne, "192.0.2.2", "", 40).await;
    let count = served.iter().filter(|status| **status == 200).count();
    let at_most = reloading.as_secs_f64().mul_add(10.0, 2.0);
    assert!(count as f64 <= at_most, "no burst anew, nor what the old rate would give: {count}");
    applied(&vanne, &limit("1/h", 2)).await;
    let refused = from(&vanne, "192.0.2.2", "").await;
    let after: u64 = refused.head.field("retry-after").unwrap().parse().unwrap();
    assert!((1..=3600).contains(&after), "{after}");
}

#[tokio::test]
async fn of_limits_that_tell_all_the_tightest_tells() {
    let origin = Origin::fixed("x").await;
    let limits = "[rate_limit.a]\nkey = \"ip\"\nrate = \"1/h\"\nburst = 9\ntell = \"always\"\n\
                  [rate_limit.b]\nkey = \"ip\"\nrate = \"1/h\"\nburst = 4\n\
                  [rate_limit.c]\nkey = \"ip\"\nrate = \"1/h\"\nburst = 5\ntell = \"always\"\n\
                  action = \"shadow\"";
    let vanne = limited(&origin, "\"a\", \"b\"", limits).await;
    let told = from(&vanne, "192.0.2.1", "").await;
    assert_eq!(
        told.head.field("ratelimit"),
        Some("\"a\";r=8;t=0"),
        "b, which is tighter, tells none"
    );
    assert_eq!(told.head.field("ratelimit-policy"), Some("\"a\";q=9;w=32400"));
    applied(&vanne, &config(&origin, "\"a\", \"b\", \"c\"", limits)).await;
    let told = from(&vanne, "192.0.2.2", "").await;
    assert_eq!(told.head.field("ratelimit"), Some("\"c\";r=4;t=0"), "also one that is tried out");
    let refused = statuses(&vanne, "192.0.2.2", "", 4).await;
    assert_eq!(refused, [200, 200, 200, 429]);
    let refused = from(&vanne, "192.0.2.2", "").await;
    assert_eq!(refused.head.field("ratelimit"), Some("\"b\";r=0;t=3600"));
}

#[tokio::test]
async fn who_leaves_while_waiting_gives_its_place_to_others() {
    let origin = Origin::fixed("x").await;
    let limit = "[rate_limit.slow]\nkey = \"global\"\nrate = \"1/s\"\nburst = 1\n\
                 action = \"delay\"\nmax_delay = \"30s\"";
    let vanne = limited(&origin, "\"slow\"", limit).await;
    assert_eq!(vanne.get("/").await.status(), 200);
    let mut gone = Vec::new();
    for _ in 0..6 {
        let mut client = Client::connect(vanne.http).await;
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        gone.push(client);
    }
    counted(&vanne, "slow", "delayed", 6.0).await;
    drop(gone);
    vanne.is_idle().await;
    let (time, answer) = timed(vanne.get("/")).await;
    assert_eq!(answer.status(), 200);
    assert!(time < ms(3000), "{time:?}");
}
