//! Paths that a backend could read otherwise than the routes: dot segments, encoded slashes.

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
    ] {
        assert_eq!(asked(&vanne, &origin, target).await, route_and_target(route, to), "{target}");
    }
}

#[tokio::test]
async fn a_path_that_the_listener_refuses_gets_400_with_the_reason() {
    let origin = Origin::fixed("ok").await;
    let slashes = before(&origin, "encoded_slashes = \"reject\"").await;
    let dots = before(&origin, "dot_segments = \"reject\"").await;
    for (vanne, reason, targets) in [
        (&slashes, "encoded_slash", ["/a%2fb", "/a%5Cb?c", "/a\\b"]),
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
