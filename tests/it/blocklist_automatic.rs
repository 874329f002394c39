//! Addresses that are blocked by themselves.

use crate::blocklist::delete;
use crate::harness::admin::Lab;
use crate::harness::{Origin, Vanne, ask, eventually, eventually_async, ms};

/// A proxy that believes loopback, with one route to `origin` and these lines of automatic blocks.
async fn watching(origin: &Origin, lines: &str, more: &str) -> Lab {
    let more = format!(
        "[listener.http]\naddress = \"@http\"\ntrusted_proxies = [\"127.0.0.1/32\"]\n\
         [blocklist]\nallow = [\"192.0.2.99\"]\n{more}\n[blocklist.automatic]\n{lines}\n"
    );
    Lab::start(&[origin.address], "", &more).await
}

/// The status of a request of `client`, who asks for `path`.
async fn status(vanne: &Vanne, client: &str, path: &str) -> u16 {
    let head = format!("GET {path} HTTP/1.1\r\nhost: a\r\nx-forwarded-for: {client}\r\n\r\n");
    ask(vanne.http, &head).await.status()
}

async fn is_blocked(vanne: &Vanne, client: &str) {
    eventually_async("it is blocked", async || {
        (status(vanne, client, "/").await == 403).then_some(())
    })
    .await;
}

/// A backend that knows nobody.
async fn stranger() -> Origin {
    Origin::answering("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").await
}

#[tokio::test]
async fn who_gets_too_many_refusals_is_blocked_for_a_while() {
    let origin = stranger().await;
    let lines = "after = 3\nwithin = \"1h\"\nblock_for = \"2s\"";
    let lab = watching(&origin, lines, "").await;
    for client in ["192.0.2.1", "192.0.2.2", "192.0.2.99", "127.0.0.1"] {
        assert_eq!(status(&lab.vanne, client, "/").await, 401);
        assert_eq!(status(&lab.vanne, client, "/").await, 401);
    }
    assert_eq!(status(&lab.vanne, "192.0.2.1", "/").await, 401, "the third");
    is_blocked(&lab.vanne, "192.0.2.1").await;
    lab.vanne.metric_is("vanne_automatic_blocks_total", &[], 1.0).await;
    let block = &lab.get("/v1/blocklist").await["blocks"][0];
    assert_eq!((&block["cidr"], &block["by"]), (&"192.0.2.1/32".into(), &"automatic".into()));
    assert!(block["reason"].as_str().unwrap().contains("3 in 1h"), "{block}");
    lab.vanne.says("address blocked by itself").await;
    // Whoever is allowed, and the machine itself, may do it for ever; one more is one too many.
    for client in ["192.0.2.99", "127.0.0.1"] {
        for _ in 0..5 {
            assert_eq!(status(&lab.vanne, client, "/").await, 401);
        }
    }
    assert_eq!(status(&lab.vanne, "192.0.2.2", "/").await, 401);
    is_blocked(&lab.vanne, "192.0.2.2").await;
    // It ends by itself, and then its next refusal is one too many again: an hour is not over.
    let over = async || (status(&lab.vanne, "192.0.2.1", "/").await == 401).then_some(());
    eventually_async("it is over", over).await;
    is_blocked(&lab.vanne, "192.0.2.1").await;
    // Who was forgiven begins anew.
    assert_eq!(delete(&lab, "192.0.2.1").await.status(), 200);
    assert_eq!(status(&lab.vanne, "192.0.2.1", "/").await, 401);
    assert_eq!(status(&lab.vanne, "192.0.2.1", "/").await, 401);
}

#[tokio::test]
async fn what_counts_is_what_the_config_says() {
    let origin = Origin::start(|mut conn| async move { drop(conn.request_head().await) }).await;
    for (on, counts) in
        [("\"backend_closed\"", true), ("\"502\"", true), ("\"404\", \"504\"", false)]
    {
        let lines = format!("after = 2\nwithin = \"1h\"\nblock_for = \"1h\"\non = [{on}]");
        let lab = watching(&origin, &lines, "").await;
        for _ in 0..2 {
            assert_eq!(status(&lab.vanne, "192.0.2.1", "/").await, 502);
        }
        if counts {
            is_blocked(&lab.vanne, "192.0.2.1").await;
        }
        assert_eq!(lab.get("/v1/blocklist").await["total"], u32::from(counts), "{on}");
    }
}

#[tokio::test]
async fn of_ipv6_a_network_is_one_client() {
    let origin = stranger().await;
    let lab = watching(&origin, "after = 3\nwithin = \"1h\"\nblock_for = \"1h\"", "").await;
    for last in 1..=3 {
        assert_eq!(status(&lab.vanne, &format!("2001:db8::{last}"), "/").await, 401);
    }
    is_blocked(&lab.vanne, "2001:db8::ffff:1").await;
    assert_eq!(status(&lab.vanne, "2001:db8:0:1::1", "/").await, 401);
    assert_eq!(lab.get("/v1/blocklist").await["blocks"][0]["cidr"], "2001:db8::/64");
}

#[tokio::test]
async fn a_bucket_empties_in_its_time() {
    let origin = stranger().await;
    let lab = watching(&origin, "after = 2\nwithin = \"200ms\"\nblock_for = \"1h\"", "").await;
    for _ in 0..4 {
        assert_eq!(status(&lab.vanne, "192.0.2.1", "/").await, 401);
        // What is measured here is time.
        tokio::time::sleep(ms(250)).await;
    }
    assert_eq!(lab.get("/v1/blocklist").await["total"], 0);
}

#[tokio::test]
async fn few_addresses_are_remembered_if_few_may_be() {
    let origin = stranger().await;
    let lines = "after = 2\nwithin = \"1h\"\nblock_for = \"1h\"\nmax_addresses = 1";
    let lab = watching(&origin, lines, "").await;
    // 64 parts of 8 places: of 700 some are forgotten, and their second refusal is a first one.
    let client = |number: u32| format!("10.0.{}.{}", number / 250, number % 250);
    for number in 0..1400 {
        assert_eq!(status(&lab.vanne, &client(number % 700), "/").await, 401);
    }
    let total = lab.get("/v1/blocklist").await["total"].as_u64().unwrap();
    assert!((1..690).contains(&total), "{total}");
}

#[tokio::test]
async fn no_more_are_blocked_than_may_be() {
    let origin = stranger().await;
    let lines = "after = 2\nwithin = \"1h\"\nblock_for = \"1h\"";
    let lab = watching(&origin, lines, "max_blocks = 1").await;
    for client in ["192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.2"] {
        assert_eq!(status(&lab.vanne, client, "/").await, 401);
    }
    let told =
        || lab.vanne.process_log().contains("blocklist.max_blocks hold already").then_some(());
    eventually("that is told", told).await;
    assert_eq!(lab.get("/v1/blocklist").await["total"], 1);
}
