//! Requests that one client may have under way, and how often it may connect.

use crate::harness::vanne::list;
use crate::harness::{Client, Origin, Vanne, Wire};
use crate::rate_limits::{applied, from, statuses};

#[tokio::test]
async fn one_client_may_have_so_many_requests_under_way() {
    let (gate, opens) = tokio::sync::watch::channel(false);
    let held = Origin::start(move |mut conn| {
        let mut opens = opens.clone();
        async move {
            while conn.request().await.is_some() {
                opens.wait_for(|is_open| *is_open).await.unwrap();
                conn.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            }
        }
    })
    .await;
    let route = "[[route]]\nname = \"few\"\npool = \"app\"\n\
                 at_once = { key = \"ip\", max = 2, ipv6_prefix = 48 }";
    let config = format!(
        "[listener.http]\naddress = \"@http\"\ntrusted_proxies = [\"127.0.0.0/8\"]\n\
         [pool.app]\nbackends = {}\n{route}\n",
        list(&[held.address])
    );
    let vanne = Vanne::start(&config).await;
    let client = "2001:db8:1::1";
    let waiting = async || {
        let mut client_end = Client::connect(vanne.http).await;
        let head = format!("GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: {client}\r\n\r\n");
        client_end.send(head).await;
        client_end
    };
    let (first, mut second) = (waiting().await, waiting().await);
    vanne.metric_is("vanne_requests_in_flight", &[], 2.0).await;
    let refused = from(&vanne, "2001:db8:1:2::7", "").await;
    assert_eq!(refused.refusal(), (429, "too_many_at_once".into()));
    assert_eq!(refused.head.field("retry-after"), Some("1"));
    // One that leaves makes room, and so does one that is answered.
    drop(first);
    vanne.metric_is("vanne_requests_in_flight", &[], 1.0).await;
    let third = waiting().await;
    vanne.metric_is("vanne_requests_in_flight", &[], 2.0).await;
    assert_eq!(from(&vanne, client, "").await.status(), 429);
    gate.send(true).unwrap();
    assert_eq!(second.answer("GET").await.status(), 200);
    drop(third);
    vanne.metric_is("vanne_requests_in_flight", &[], 0.0).await;
    assert_eq!(statuses(&vanne, client, "", 5).await, [200; 5]);
}

#[tokio::test]
async fn an_address_may_connect_so_often() {
    let config = |rate: &str| {
        format!(
            "admin.socket = \"@dir/admin.sock\"\n[listener.http]\naddress = \"@http\"\n{rate}\n\
             [[route]]\nname = \"own\"\nanswer.body = \"own\"\n"
        )
    };
    let rate = "connection_rate = { rate = \"1/h\", burst = 2, ipv6_prefix = 56 }";
    let vanne = Vanne::start(&config(rate)).await;
    assert_eq!(vanne.get("/").await.status(), 200);
    let mut kept = Client::connect(vanne.http).await;
    for _ in 0..3 {
        assert_eq!(kept.get("/").await.status(), 200, "a connection that is open stays");
    }
    for _ in 0..2 {
        let mut third = Wire::connect(vanne.http).await;
        assert!(third.head().await.is_none(), "closed without an answer");
    }
    let labels = [("listener", "http"), ("reason", "connection_rate")];
    vanne.metric_is("vanne_connections_refused_total", &labels, 2.0).await;
    // Who is trusted speaks for many.
    let trusted = format!("{rate}\ntrusted_proxies = [\"127.0.0.0/8\"]");
    applied(&vanne, &config(&trusted)).await;
    assert_eq!(vanne.get("/").await.status(), 200);
}
