//! Which route a request takes, by all that may be asked for.

use crate::harness::{Origin, Vanne, ask};

/// A proxy with these routes, `NAME = MATCH` each: a request's route is told by `asks`.
async fn before(origin: &Origin, listener: &str, routes: &[(&str, &str)]) -> Vanne {
    let route = |(name, matches): &(&str, &str)| {
        format!("[[route]]\nname = \"{name}\"\npool = \"app\"\nmatch = {matches}\n")
    };
    let routes: String = routes.iter().map(route).collect();
    Vanne::start(&format!(
        "[listener.http]\naddress = \"@http\"\n{listener}\n[pool.app]\nbackends = [\"{}\"]\n{routes}",
        origin.address
    ))
    .await
}

/// The route that a request takes, as the log tells it; empty if none.
async fn asks(vanne: &Vanne, method: &str, host: &str, target: &str, fields: &str) -> String {
    let request =
        format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{fields}\r\n");
    let answer = ask(vanne.http, &request).await;
    let line = vanne.log_of(answer.id()).await;
    line["route"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_wildcard_stands_between_its_hosts_and_all_others() {
    let origin = Origin::fixed("ok").await;
    let routes = [
        ("all", "{}"),
        ("wide", "{ host = \"*.example.com\" }"),
        ("narrow", "{ host = \"*.eu.example.com\" }"),
        ("one", "{ host = \"shop.eu.example.com\", path = \"/shop\" }"),
    ];
    let vanne = before(&origin, "", &routes).await;
    for (host, target, want) in [
        ("shop.eu.example.com", "/shop/1", "one"),
        ("shop.eu.example.com:8080", "/", "narrow"),
        ("a.b.EU.example.com", "/", "narrow"),
        ("eu.example.com", "/", "wide"),
        ("a.b.example.com", "/shop", "wide"),
        ("example.com", "/", "all"),
        ("evil-example.com", "/", "all"),
    ] {
        assert_eq!(asks(&vanne, "GET", host, target, "").await, want, "{host}{target}");
    }
}

#[tokio::test]
async fn exact_paths_and_patterns_stand_among_prefixes() {
    let origin = Origin::fixed("ok").await;
    let routes = [
        ("all", "{}"),
        ("users", "{ path = \"/users\" }"),
        ("user", "{ path_regex = \"/users/[0-9]+\" }"),
        ("me", "{ path = \"/users/me\" }"),
        ("first", "{ path_exact = \"/users/1\" }"),
    ];
    let vanne = before(&origin, "", &routes).await;
    for (target, want) in [
        ("/users/1", "first"),
        ("/users/1?a=b", "first"),
        ("/users/1/", "users"),
        ("/users/2", "user"),
        ("/users/2/posts", "users"),
        ("/users/me/1", "me"),
        ("/users", "users"),
        ("/x/users/2", "all"),
    ] {
        assert_eq!(asks(&vanne, "GET", "a", target, "").await, want, "{target}");
    }
}

#[tokio::test]
async fn a_route_takes_only_the_methods_it_names() {
    let origin = Origin::fixed("ok").await;
    let routes =
        [("read", "{ method = [\"GET\", \"HEAD\"] }"), ("more", "{ method = [\"M-SEARCH\"] }")];
    let vanne = before(&origin, "", &routes).await;
    for (method, want) in [("GET", "read"), ("M-SEARCH", "more"), ("DELETE", ""), ("get", "")] {
        assert_eq!(asks(&vanne, method, "a", "/", "").await, want, "{method}");
    }
}

#[tokio::test]
async fn values_of_headers_parameters_and_cookies_choose_a_route() {
    let origin = Origin::fixed("ok").await;
    let rules = [
        ("exact", "\"red\""),
        ("prefix", "{ prefix = \"pre-\" }"),
        ("suffix", "{ suffix = \"-fix\" }"),
        ("contains", "{ contains = \"mid\" }"),
        ("regex", "{ regex = \"v[0-9]+\" }"),
        ("present", "{ present = true }"),
    ];
    let cases = [
        ("red", "exact"),
        ("pre-x", "prefix"),
        ("x-fix", "suffix"),
        ("amidst", "contains"),
        ("v12", "regex"),
        ("v12x", "present"),
        ("", "present"),
    ];
    for kind in ["header", "query", "cookie"] {
        let matches =
            rules.map(|(name, rule)| (name, format!("{{ {kind} = {{ Colour = {rule} }} }}")));
        let absent = format!("{{ {kind} = {{ Colour = {{ present = false }} }} }}");
        let mut routes = matches.each_ref().map(|(name, text)| (*name, text.as_str())).to_vec();
        routes.push(("absent", &absent));
        let vanne = before(&origin, "", &routes).await;
        let with = async |value: Option<&str>| {
            let (target, fields) = match (kind, value) {
                (_, None) => ("/?x=red".to_owned(), "X: red\r\nCookie: x=red\r\n".to_owned()),
                ("header", Some(value)) => ("/".to_owned(), format!("cOLOUR: {value}\r\n")),
                ("query", Some(value)) => (format!("/?a&Colour={value}"), String::new()),
                (_, Some(value)) => ("/".to_owned(), format!("Cookie: a=b; Colour={value}\r\n")),
            };
            asks(&vanne, "GET", "a", &target, &fields).await
        };
        for (value, want) in cases {
            assert_eq!(with(Some(value)).await, want, "{kind} {value:?}");
        }
        assert_eq!(with(None).await, "absent", "{kind}");
    }
}

#[tokio::test]
async fn a_client_is_matched_as_it_is_believed() {
    let origin = Origin::fixed("ok").await;
    let routes = [
        ("inside", "{ client = [\"10.0.0.0/8\", \"fd00::/8\"] }"),
        ("local", "{ client = [\"127.0.0.1\"] }"),
    ];
    let claim = "X-Forwarded-For: 10.1.2.3\r\n";
    let vanne = before(&origin, "", &routes).await;
    assert_eq!(asks(&vanne, "GET", "a", "/", claim).await, "local", "nobody is believed");
    let vanne = before(&origin, "trusted_proxies = [\"127.0.0.0/8\"]", &routes).await;
    assert_eq!(asks(&vanne, "GET", "a", "/", claim).await, "inside");
    assert_eq!(asks(&vanne, "GET", "a", "/", "X-Forwarded-For: fd00::1\r\n").await, "inside");
    assert_eq!(asks(&vanne, "GET", "a", "/", "").await, "local");
    assert_eq!(asks(&vanne, "GET", "a", "/", "X-Forwarded-For: 192.0.2.1\r\n").await, "");
}

#[tokio::test]
async fn all_any_and_not_compose_conditions() {
    let origin = Origin::fixed("ok").await;
    let routes = [
        (
            "any",
            "{ path = \"/a\", any = [{ header = { x-a = \"1\" } }, { query = { a = \"1\" } }] }",
        ),
        ("not", "{ path = \"/a\", not = { path_regex = \".*/secret\" } }"),
        (
            "both",
            "{ path = \"/a\", all = [{ header = { x-a = \"1\" } }, { header = { x-b = \"1\" } }] }",
        ),
        ("rest", "{}"),
    ];
    let vanne = before(&origin, "", &routes).await;
    for (target, fields, want) in [
        ("/a", "X-A: 1\r\n", "any"),
        ("/a/secret?b&a=1", "", "any"),
        ("/a", "X-A: 1\r\nX-B: 1\r\n", "both"),
        ("/a", "X-B: 1\r\n", "not"),
        ("/a/secret", "X-B: 1\r\n", "rest"),
    ] {
        assert_eq!(asks(&vanne, "GET", "a", target, fields).await, want, "{target} {fields}");
    }
}
