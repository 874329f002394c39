//! Listeners that come, go, change and move while traffic flows.

use crate::harness::ports::Port;
use crate::harness::{Client, End, Origin, Vanne, eventually_async, get, ms, timed};
use crate::reload_effects::{config, result};
use std::net::SocketAddr;

/// A config with these listeners, before one backend.
fn listening(listeners: &[(&str, SocketAddr, &str)], backend: SocketAddr) -> String {
    let tables: String = listeners
        .iter()
        .map(|(name, address, more)| {
            format!("[listener.{name}]\naddress = \"{address}\"\n{more}\n")
        })
        .collect();
    config(&format!(
        "pool.app.backends = [\"{backend}\"]\nroute = [{{ name = \"all\", pool = \"app\" }}]\n{tables}"
    ))
}

async fn is_refused(address: SocketAddr) {
    eventually_async("connections are refused", async || {
        tokio::net::TcpStream::connect(address).await.is_err().then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_rules_of_a_listener_count_for_new_connections_and_the_next_request() {
    let origin = Origin::fixed("ok").await;
    let vanne = Vanne::start(&config(&format!(
        "pool.app.backends = [\"{}\"]\nroute = [{{ name = \"all\", pool = \"app\" }}]",
        origin.address
    )))
    .await;
    let mut kept = Client::connect(vanne.http).await;
    assert_eq!(kept.get("/").await.status(), 200);
    let rules = "max_connections = 1\ntimeouts.idle = \"300ms\"";
    vanne.reload(&listening(&[("http", vanne.http, rules)], origin.address)).await;
    // The kept connection is counted still: there is no place for another.
    assert_eq!(get(vanne.http, "/").await.refusal(), (503, "too_many_connections".into()));
    // From its next request on it has the new limit.
    assert_eq!(kept.get("/").await.status(), 200);
    let (taken, end) = timed(kept.end()).await;
    assert_eq!(end, End::Closed);
    assert!(taken < ms(5000), "{taken:?}");
    vanne.is_idle().await;
    assert_eq!(get(vanne.http, "/").await.text(), "ok");
}

#[tokio::test]
async fn a_listener_is_added_and_removed() {
    let origin = Origin::fixed("ok").await;
    let port = Port::take();
    let one = |address| listening(&[("http", address, "")], origin.address);
    let vanne = Vanne::start(&listening(&[], origin.address)).await;
    let http = vanne.http;
    let both = listening(&[("http", http, ""), ("more", port.address, "")], origin.address);
    assert_eq!(result(&vanne.reload(&both).await), ("applied", 2));
    assert_eq!(get(port.address, "/").await.text(), "ok");
    assert_eq!(get(http, "/").await.text(), "ok");
    vanne.metric_is("vanne_connections_accepted_total", &[("listener", "more")], 1.0).await;
    let mut idle = Client::connect(port.address).await;
    assert_eq!(idle.get("/").await.status(), 200);
    // It goes, and comes back at once, again and again.
    for _ in 0..5 {
        assert_eq!(vanne.reload(&one(http)).await["result"], "applied");
        is_refused(port.address).await;
        assert_eq!(vanne.reload(&both).await["result"], "applied");
        assert_eq!(get(port.address, "/").await.text(), "ok");
    }
    assert_eq!(idle.end().await, End::Closed, "who is idle is sent away");
    vanne.reload(&one(http)).await;
    assert_eq!(get(http, "/").await.text(), "ok");
    eventually_async("no series of the listener", async || {
        (!vanne.metrics().await.0.contains("listener=\"more\"")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_in_flight_at_a_removed_listener_is_finished_and_told_to_close() {
    let (release, released) = tokio::sync::watch::channel(false);
    let origin = Origin::start(move |mut conn| {
        let mut released = released.clone();
        async move {
            while conn.request().await.is_some() {
                drop(released.wait_for(|go| *go).await);
                conn.send(crate::harness::origin::ok("ok")).await;
            }
        }
    })
    .await;
    let port = Port::take();
    let vanne = Vanne::start(&listening(&[], origin.address)).await;
    let (http, more) = (("http", vanne.http, ""), ("more", port.address, ""));
    vanne.reload(&listening(&[http, more], origin.address)).await;
    let mut client = Client::connect(port.address).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    origin.has_got(1).await;
    vanne.reload(&listening(&[http], origin.address)).await;
    is_refused(port.address).await;
    release.send(true).unwrap();
    let answer = client.answer("GET").await;
    assert_eq!((answer.text().as_str(), answer.head.field("connection")), ("ok", Some("close")));
    assert_eq!(client.end().await, End::Closed);
}

#[tokio::test]
async fn listeners_swap_their_addresses_and_names_without_a_gap() {
    let origin = Origin::fixed("ok").await;
    let port = Port::take();
    let vanne = Vanne::start(&listening(&[], origin.address)).await;
    let (a, b) = (vanne.http, port.address);
    let pair = |first: SocketAddr, second: SocketAddr| {
        listening(&[("first", first, ""), ("second", second, "")], origin.address)
    };
    // The address of `http` goes to `first`.
    assert_eq!(vanne.reload(&pair(a, b)).await["result"], "applied");
    let mut kept = Client::connect(a).await;
    assert_eq!(kept.get("/").await.text(), "ok");
    // New connections all the time, to both, while the two swap their addresses.
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let load = tokio::spawn(async move {
        let mut count = 0;
        while !*stopped.borrow() {
            for address in [a, b] {
                assert_eq!(get(address, "/").await.text(), "ok");
                count += 1;
            }
        }
        count
    });
    for round in 0..10 {
        let config = if round % 2 == 0 { pair(b, a) } else { pair(a, b) };
        let report = vanne.reload(&config).await;
        assert_eq!(report["result"], "applied", "{report}");
        assert_ne!(kept.get("/").await.head.field("connection"), Some("close"));
    }
    stop.send(true).unwrap();
    assert!(load.await.unwrap() > 0);
    // The log has the name that the address has now.
    vanne.reload(&pair(b, a)).await;
    let id = get(a, "/").await.id().to_owned();
    assert_eq!(vanne.log_of(&id).await["listener"], "second");
}

#[tokio::test]
async fn an_address_that_is_not_free_refuses_the_whole_config() {
    let (old, new) = (Origin::fixed("old").await, Origin::fixed("new").await);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, address) = (Port::take(), taken.local_addr().unwrap());
    let vanne = Vanne::start(&listening(&[], old.address)).await;
    let http = ("http", vanne.http, "max_connections = 7");
    let wanted = [http, ("a", port.address, ""), ("b", address, "")];
    let report = vanne.reload(&listening(&wanted, new.address)).await;
    assert_eq!(result(&report), ("refused", 1));
    let message = report["message"].as_str().unwrap();
    let place = format!("listener.b.address: cannot listen on {address}");
    assert!(message.contains(&place) && message.contains("in use"), "{message}");
    assert_eq!(get(vanne.http, "/").await.text(), "old", "nothing has changed");
    is_refused(port.address).await;
    drop(taken);
    let report = vanne.reload(&listening(&wanted, new.address)).await;
    assert_eq!(result(&report), ("applied", 2), "{report}");
    for address in [vanne.http, port.address, address] {
        assert_eq!(get(address, "/").await.text(), "new");
    }
}
