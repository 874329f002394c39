//! Which backend a request goes to.

use crate::harness::{Origin, Settings, Vanne, ask};

/// Asks for `target` at `host`: the body of the answer, or the refusal's reason.
async fn at(vanne: &Vanne, host: &str, target: &str) -> String {
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let answer = ask(vanne.http, &request).await;
    if answer.status() == 200 { answer.text() } else { answer.refusal().1 }
}

#[tokio::test]
async fn requests_are_spread_evenly_over_the_backends_of_a_pool() {
    let origins = [Origin::fixed("a").await, Origin::fixed("b").await, Origin::fixed("c").await];
    let addresses = origins.each_ref().map(|origin| origin.address);
    let settings = Settings { pool: "algorithm = \"round-robin\"", ..Settings::default() };
    let vanne = Vanne::with(&addresses, settings).await;
    for _ in 0..20 {
        assert_eq!(vanne.get("/").await.status(), 200);
    }
    let counts = origins.each_ref().map(|origin| origin.requests().len());
    assert!(counts.iter().all(|count| (6..=7).contains(count)), "{counts:?}");
}

#[tokio::test]
async fn a_path_matches_by_whole_segments_and_the_longest_wins() {
    let (api, v2, rest) =
        (Origin::fixed("api").await, Origin::fixed("v2").await, Origin::fixed("rest").await);
    let vanne = Vanne::start(&format!(
        r#"
        pool.api.backends = ["{}"]
        pool.v2.backends = ["{}"]
        pool.rest.backends = ["{}"]
        route = [
            {{ name = "rest", pool = "rest", match = {{ path = "/" }} }},
            {{ name = "api", pool = "api", match = {{ path = "/api" }} }},
            {{ name = "v2", pool = "v2", match = {{ path = "/api/v2/" }} }},
        ]
        "#,
        api.address, v2.address, rest.address
    ))
    .await;
    for (target, body) in [
        ("/api", "api"),
        ("/api/", "api"),
        ("/api/x", "api"),
        ("/api?x=/v2", "api"),
        ("/apix", "rest"),
        ("/API", "rest"),
        ("/", "rest"),
        ("/api/v2", "v2"),
        ("/api/v2/x?y", "v2"),
        ("/api/v22", "api"),
    ] {
        assert_eq!(at(&vanne, "any", target).await, body, "{target}");
    }
}

#[tokio::test]
async fn the_exact_host_wins_over_none_without_case_or_port() {
    let (named, any) = (Origin::fixed("named").await, Origin::fixed("any").await);
    let vanne = Vanne::start(&format!(
        r#"
        pool.named.backends = ["{}"]
        pool.any.backends = ["{}"]
        route = [
            {{ name = "any", pool = "any", match = {{ path = "/long/path" }} }},
            {{ name = "rest", pool = "any" }},
            {{ name = "named", pool = "named", match = {{ host = "api.Example.com" }} }},
        ]
        "#,
        named.address, any.address
    ))
    .await;
    for (host, target, body) in [
        ("api.example.com", "/", "named"),
        ("API.EXAMPLE.COM", "/", "named"),
        ("api.example.com:8080", "/", "named"),
        // The dot of the root is part of no name.
        ("api.example.com.", "/", "named"),
        ("API.example.com.:8080", "/", "named"),
        ("api.example.com..", "/", "any"),
        ("api.example.com", "/long/path", "named"),
        ("www.example.com", "/", "any"),
        ("x.api.example.com", "/", "any"),
        ("api.example.com.evil", "/", "any"),
    ] {
        assert_eq!(at(&vanne, host, target).await, body, "{host} {target}");
    }
    // An absolute target names the host too; one that differs from Host is refused.
    assert_eq!(at(&vanne, "api.example.com", "http://api.example.com/").await, "named");
    assert_eq!(at(&vanne, "other", "http://api.example.com/").await, "host_mismatch");
    let long = |bytes: usize| format!("{}.example", "x".repeat(bytes - ".example".len()));
    assert_eq!(at(&vanne, &format!("{}.:80", long(253)), "/").await, "any");
    assert_eq!(at(&vanne, &long(254), "/").await, "malformed_host");
}

#[tokio::test]
async fn a_request_that_no_route_takes_gets_404_no_route() {
    let origin = Origin::fixed("api").await;
    let settings =
        Settings { route: "match = { host = \"a.test\", path = \"/api\" }", ..Settings::default() };
    let vanne = Vanne::with(&[origin.address], settings).await;
    assert_eq!(at(&vanne, "a.test", "/api/x").await, "api");
    assert_eq!(at(&vanne, "a.test", "/other").await, "no_route");
    assert_eq!(at(&vanne, "b.test", "/api").await, "no_route");
    let answer = vanne.get("/").await;
    assert_eq!(answer.refusal(), (404, "no_route".into()));
    let line = vanne.log_of(answer.id()).await;
    assert_eq!(
        (&line["route"], &line["pool"], &line["backend"]),
        (&().into(), &().into(), &().into())
    );
    assert_eq!((&line["end"], &line["by"]), (&"no_route".into(), &"vanne".into()));
}

#[tokio::test]
async fn without_routes_everything_is_404() {
    let vanne = Vanne::start("").await;
    assert_eq!(vanne.get("/").await.refusal(), (404, "no_route".into()));
}
