//! Paths that a backend could read otherwise than the routes: dot segments, slashes that follow each
//! other or are encoded, and what is encoded without need.

use crate::harness::http2::Client2;
use crate::harness::{Origin, Vanne, ask};

/// A proxy whose listener has this policy, before `origin`: a route for `/admin`, one for
/// `/public` that is rewritten to `/p`, and one for all else.
async fn before(origin: &Origin, paths: &str) -> Vanne {
    Vanne::start(&format!(
        r#"
        [listener.http]
        address = "@http"
        protocols = ["h2", "http/1.1"]
        paths = {{ {paths} }}
        [pool.app]
        backends = ["{}"]
        [[route]]
        name = "admin"
        pool = "app"
        match = {{ path = "/admin" }}
        [[route]]
        name = "public"
        pool = "app"
        match = {{ path = "/public" }}
        rewrite = {{ path_prefix = "/p" }}
        [[route]]
        name = "rest"
        pool = "app"
        "#,
        origin.address
    ))
    .await
}

/// What became of a request for `target`: its route, and the target that the backend got.
async fn asked(vanne: &Vanne, origin: &Origin, target: &str) -> (String, String) {
    let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let answer = ask(vanne.http, &request).await;
    assert_eq!(answer.status(), 200, "{target}");
    let line = vanne.log_of(answer.id()).await;
    assert_eq!(line["target"], target, "the log says what came");
    seen(&line, origin)
}

/// The same by HTTP/2.
async fn asked_by_http2(vanne: &Vanne, origin: &Origin, target: &str) -> (String, String) {
    let answer = Client2::connect(vanne.http).await.get(target).await;
    assert_eq!(answer.status(), 200, "{target}");
    let line = vanne.log_of(answer.field("x-request-id").unwrap()).await;
    assert_eq!(line["target"], target, "the log says what came");
    seen(&line, origin)
}

fn seen(line: &serde_json::Value, origin: &Origin) -> (String, String) {
    let head = origin.requests().pop().unwrap();
    let target = head.line.split(' ').nth(1).unwrap();
    (line["route"].as_str().unwrap().to_owned(), target.to_owned())
}

fn route_and_target(route: &str, target: &str) -> (String, String) {
    (route.to_owned(), target.to_owned())
}

#[tokio::test]
async fn dot_segments_are_taken_out_before_routes_edits_and_backends_see_them() {
    let origin = Origin::fixed("ok").await;
    let vanne = before(&origin, "dot_segments = \"normalise\"").await;
    for (target, route, to) in [
        ("/public/../admin?x=/../y", "admin", "/admin?x=/../y"),
        ("/public/%2e%2E/admin/./x", "admin", "/admin/x"),
        ("/admin/../public/x?y", "public", "/p/x?y"),
        ("/..", "rest", "/"),
        ("/public/..%2fadmin", "public", "/p/..%2fadmin"),
        ("/public/x", "public", "/p/x"),
        ("/x//y/?", "rest", "/x//y/?"),
    ] {
        let want = route_and_target(route, to);
        assert_eq!(asked(&vanne, &origin, target).await, want, "{target}");
        assert_eq!(asked_by_http2(&vanne, &origin, target).await, want, "{target} by HTTP/2");
    }
    let absolute = asked(&vanne, &origin, "http://a/public/../admin?x").await;
    assert_eq!(absolute, route_and_target("admin", "/admin?x"));
}

#[tokio::test]
async fn dot_segments_and_encoded_slashes_pass_as_they_came_unless_it_is_said() {
    let origin = Origin::fixed("ok").await;
    let vanne = before(&origin, "").await;
    for (target, route, to) in [
        ("/public/../admin", "public", "/p/../admin"),
        ("/%2e/x", "rest", "/%2e/x"),
        ("/public%2fx", "rest", "/public%2fx"),
        ("/a\\..\\b%5c", "rest", "/a\\..\\b%5c"),
        ("//admin", "rest", "//admin"),
        // The same path to everybody, so its route takes it, and may rewrite it.
        ("/%61dm%69n?%61", "admin", "/%61dm%69n?%61"),
        ("/%70ublic/x%2d?y", "public", "/p/x-?y"),
    ] {
        assert_eq!(asked(&vanne, &origin, target).await, route_and_target(route, to), "{target}");
    }
}

#[tokio::test]
async fn slashes_are_merged_and_needless_encoding_undone_before_routes_look() {
    let origin = Origin::fixed("ok").await;
    let paths = "dot_segments = \"normalise\", repeated_slashes = \"merge\"";
    let vanne = before(&origin, paths).await;
    for (target, route, to) in [
        ("//admin", "admin", "/admin"),
        ("/x/..//admin//x?a//b", "admin", "/admin/x?a//b"),
        ("/%61dmin", "admin", "/admin"),
        ("/public//x", "public", "/p/x"),
        ("/x/", "rest", "/x/"),
    ] {
        let want = route_and_target(route, to);
        assert_eq!(asked(&vanne, &origin, target).await, want, "{target}");
        assert_eq!(asked_by_http2(&vanne, &origin, target).await, want, "{target} by HTTP/2");
    }
    // What some readers cut off has no form that all agree on.
    for (target, reason) in [("/;/admin", "repeated_slash"), ("/x/..;/admin", "dot_segment")] {
        assert_eq!(vanne.get(target).await.refusal(), (400, reason.into()), "{target}");
    }
}

#[tokio::test]
async fn what_a_client_ought_to_have_encoded_is_encoded_if_the_listener_says_so() {
    let origin = Origin::fixed("ok").await;
    let targets = [
        ("/public/\"a\"", "public", "/p/%22a%22"),
        ("/<b>?q=<i>\"\u{e4}\"", "rest", "/%3Cb%3E?q=%3Ci%3E%22%C3%A4%22"),
        ("http://a/admin/<?>", "admin", "/admin/%3C?%3E"),
        ("/admin/%22?%3c", "admin", "/admin/%22?%3c"),
        ("/%zz`/100%?%`", "rest", "/%25zz%60/100%25?%`"),
    ];
    let encoding = before(&origin, "unsafe_characters = \"encode\"").await;
    for (target, route, to) in targets {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let line = encoding.log_of(ask(encoding.http, &request).await.id()).await;
        assert_eq!(seen(&line, &origin), route_and_target(route, to), "{target}");
    }
    // The library of HTTP/2 takes no `<` and no `>`.
    let answer = Client2::connect(encoding.http).await.get("/public/\"?\u{e4}").await;
    let line = encoding.log_of(answer.field("x-request-id").unwrap()).await;
    assert_eq!(seen(&line, &origin), route_and_target("public", "/p/%22?%C3%A4"));
    let refusing = before(&origin, "").await;
    for target in targets[..3].iter().map(|it| it.0).chain(["/100%", "/a`"]) {
        let head = format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n");
        let refusal = ask(refusing.http, &head).await.refusal();
        assert_eq!(refusal, (400, "malformed_target".into()), "{target}");
    }
    let mut client = Client2::connect(refusing.http).await;
    assert_eq!(client.get("/public/\"").await.status(), 400);
    // What ends a request line or begins a fragment is no part of any target.
    for target in ["/a#b", "/a\u{7f}", "/a b"] {
        let head = format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(ask(encoding.http, &head).await.status(), 400, "{target}");
    }
}

#[tokio::test]
async fn a_path_that_the_listener_refuses_gets_400_with_the_reason() {
    let origin = Origin::fixed("ok").await;
    let slashes = before(&origin, "encoded_slashes = \"reject\"").await;
    let dots = before(&origin, "dot_segments = \"reject\"").await;
    let repeated = before(&origin, "repeated_slashes = \"reject\"").await;
    for (vanne, reason, targets) in [
        (&slashes, "encoded_slash", ["/a%2fb", "/a%5Cb?c", "/a\\b"]),
        (&repeated, "repeated_slash", ["//admin", "/a//?b", "/a/%2fb"]),
        (&dots, "dot_segment", ["/public/../admin", "/%2e", "/public/..%2fadmin"]),
    ] {
        let mut client = Client2::connect(vanne.http).await;
        for target in targets {
            let answer = vanne.get(target).await;
            assert_eq!(answer.refusal(), (400, reason.into()), "{target}");
            let line = vanne.log_of(answer.id()).await;
            assert_eq!((&line["target"], &line["end"]), (&target.into(), &reason.into()));
            let answer = client.get(target).await;
            assert_eq!(answer.status(), 400, "{target}");
            assert!(answer.text().contains(reason), "{}", answer.text());
        }
    }
    assert_eq!(origin.connections(), 0, "a backend saw one");
    assert_eq!(asked(&slashes, &origin, "/../x?%2f").await.1, "/../x?%2f");
    assert_eq!(asked(&dots, &origin, "/a%2fb?/../x").await.1, "/a%2fb?/../x");
}
