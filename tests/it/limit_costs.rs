//! What a request costs a limit, and how a limit adapts to backends.

use crate::harness::{Origin, ask, eventually_async, ms, timed};
use crate::rate_limits::{applied, config, limited, statuses};

#[tokio::test]
async fn a_cost_may_go_by_route_and_method() {
    let origin = Origin::fixed("x").await;
    let limit = "[rate_limit.each]\nkey = \"ip\"\nrate = \"1/h\"\nburst = 10\ncost = 2\n\
                 method_cost = { POST = 5 }\n[[route]]\nname = \"dear\"\nmatch.path = \"/dear\"\n\
                 pool = \"app\"\nrate_limits = [{ name = \"each\", cost = 4 }]";
    let vanne = limited(&origin, "\"each\"", limit).await;
    let statuses = async |line: &str, client: &str| {
        let mut statuses = Vec::new();
        for _ in 0..6 {
            let head = format!("{line} HTTP/1.1\r\nhost: a\r\nx-forwarded-for: {client}\r\n\r\n");
            statuses.push(ask(vanne.http, &head).await.status());
        }
        statuses.iter().filter(|status| **status == 200).count()
    };
    assert_eq!(statuses("GET /", "192.0.2.1").await, 5);
    assert_eq!(statuses("POST /", "192.0.2.2").await, 2);
    assert_eq!(statuses("POST /dear", "192.0.2.3").await, 2);
    assert_eq!(statuses("GET /", "192.0.2.3").await, 1);
}

#[tokio::test]
async fn an_answer_may_say_what_its_request_has_cost() {
    let answer = |tokens: &str| {
        format!("HTTP/1.1 200 OK\r\nx-tokens: {tokens}\r\ncontent-length: 0\r\n\r\n")
    };
    let (dear, cheap) = (answer("9"), answer("1"));
    let (dear, cheap) = (Origin::answering(dear).await, Origin::answering(cheap).await);
    let limit = "[rate_limit.tokens]\nkey = \"ip\"\nrate = \"1/h\"\nburst = 10\ncost = 2\n\
                 cost_header = \"X-Tokens\"";
    let vanne = limited(&dear, "\"tokens\"", limit).await;
    // Two before, seven after; then one is left, which is less than a request pays before.
    assert_eq!(statuses(&vanne, "192.0.2.1", "", 2).await, [200, 429]);
    applied(&vanne, &config(&cheap, "\"tokens\"", limit)).await;
    assert_eq!(statuses(&vanne, "192.0.2.2", "", 10).await, [[200; 9].as_slice(), &[429]].concat());
}

#[tokio::test]
async fn a_limit_may_let_in_less_while_backends_are_in_trouble() {
    let bad = "HTTP/1.1 500 Oh no\r\ncontent-length: 0\r\n\r\n";
    let limit = |adaptive: &str| {
        format!("[rate_limit.all]\nkey = \"global\"\nrate = \"1000/s\"\nadaptive = {adaptive}")
    };
    for adaptive in
        ["{ errors = \"20%\", floor = \"50%\" }", "{ latency = \"1ms\", floor = \"50%\" }"]
    {
        let slow = adaptive.contains("latency");
        let origin = if slow { late().await } else { Origin::answering(bad).await };
        let vanne = limited(&origin, "\"all\"", &limit(adaptive)).await;
        let adapted = async || {
            vanne.get("/").await;
            let metrics = vanne.metrics().await;
            metrics.value("vanne_rate_limit_adapted", &[("limit", "all")]).unwrap()
        };
        eventually_async("it falls to its floor", async || (adapted().await == 0.5).then_some(()))
            .await;
        eventually_async("it recovers", async || {
            let metrics = vanne.metrics().await;
            let now = metrics.value("vanne_rate_limit_adapted", &[("limit", "all")]).unwrap();
            (now > 0.5).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn what_is_let_in_falls_and_rises_with_the_rate() {
    let bad = Origin::answering("HTTP/1.1 500 Oh no\r\ncontent-length: 0\r\n\r\n").await;
    let good = Origin::fixed("x").await;
    let limit = "[rate_limit.all]\nkey = \"global\"\nrate = \"20/s\"\nburst = 200\n\
                 adaptive = { errors = \"20%\", floor = \"10%\" }";
    let vanne = limited(&bad, "\"all\"", limit).await;
    let adapted = async || {
        let metrics = vanne.metrics().await;
        metrics.value("vanne_rate_limit_adapted", &[("limit", "all")]).unwrap()
    };
    // Somebody who asks for more than there is: how much passes in so many steps.
    let passed = async |steps: usize| {
        let mut passed = 0;
        for _ in 0..steps {
            passed += usize::from(vanne.get("/").await.status() != 429);
            tokio::time::sleep(ms(10)).await;
        }
        passed
    };
    passed(20).await;
    let mut all = 0;
    while adapted().await > 0.11 {
        let now = passed(20).await;
        all += now;
        assert!(all < 400, "the burst, and less and less");
    }
    // What is left of the burst is used up; then there are two a second.
    statuses(&vanne, "192.0.2.1", "", 300).await;
    let (time, few) = timed(passed(50)).await;
    let most = time.as_secs_f64().mul_add(4.0, 4.0);
    assert!(few as f64 <= most, "{few} in {time:?}");
    applied(&vanne, &config(&good, "\"all\"", limit)).await;
    let (time, some) = timed(passed(150)).await;
    assert!(some as f64 >= time.as_secs_f64(), "{some} in {time:?}");
}

/// A backend that takes its time.
async fn late() -> Origin {
    Origin::start(|mut conn| async move {
        while conn.request().await.is_some() {
            tokio::time::sleep(ms(5)).await;
            conn.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        }
    })
    .await
}
