//! What a route changes on the way: fields, host and path.

use crate::harness::origin2::Origin2;
use crate::harness::{Client, Origin, Settings, Vanne, ask};

#[tokio::test]
async fn a_route_edits_the_heads_of_its_requests() {
    let origin = Origin::fixed("ok").await;
    let route = r#"
        [route.headers.request]
        set = { X-Client = "{client}", x-asked = "{host} {request_id}", X-Forwarded-Proto = "https" }
        add = { x-tag = "b", X-New = "1" }
        remove = ["Cookie", "x-absent"]
    "#;
    let settings = Settings { route, ..Settings::default() };
    let vanne = Vanne::with(&[origin.address], settings).await;
    let request = "GET /x HTTP/1.1\r\nHost: a.example:80\r\nConnection: close\r\nCookie: a=b\r\n\
        X-Client: 6.6.6.6\r\nx-client: 7.7.7.7\r\nX-Tag: a\r\n\r\n";
    let answer = ask(vanne.http, request).await;
    let head = origin.only_request();
    let all = |name: &str| head.all(name).collect::<Vec<_>>();
    assert_eq!(all("x-client"), ["127.0.0.1"]);
    assert_eq!(all("x-asked"), [format!("a.example {}", answer.id())]);
    assert_eq!(all("x-forwarded-proto"), ["https"]);
    assert_eq!((all("x-tag"), all("x-new")), (vec!["a", "b"], vec!["1"]));
    assert_eq!(head.field("cookie"), None);
}

#[tokio::test]
async fn a_route_edits_the_heads_of_its_answers() {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nServer: old/1.0\r\nX-Tag: a\r\nX-Set: 1\r\nX-Set: 2\r\n\r\nok",
    )
    .await;
    let route = r#"
        [route.headers.response]
        set = { x-set = "for {host}", X-Frame-Options = "SAMEORIGIN" }
        add = { x-tag = "{client}" }
        remove = ["Server"]
    "#;
    let settings = Settings { route, ..Settings::default() };
    let vanne = Vanne::with(&[origin.address], settings).await;
    let answer = Client::connect(vanne.http).await.get("/").await;
    let all = |name: &str| answer.head.all(name).collect::<Vec<_>>();
    assert_eq!((all("server").len(), all("x-frame-options")), (0, vec!["SAMEORIGIN"]));
    assert_eq!((all("x-set").len(), all("x-tag")), (1, vec!["a", "127.0.0.1"]));
    assert!(all("x-set")[0].starts_with("for "));
    drop(origin);
    let answer = vanne.get("/").await;
    assert_eq!(answer.refusal().0, 502);
    assert_eq!(answer.head.field("x-tag"), Some("127.0.0.1"), "our own answers are edited too");
    assert_eq!(answer.head.field("x-frame-options"), Some("SAMEORIGIN"));
}

/// What the only backend of a route with these lines is asked for: target and host.
async fn asked(route: &str, request: &str) -> (String, String) {
    let origin = Origin::fixed("ok").await;
    let settings = Settings { route, ..Settings::default() };
    let vanne = Vanne::with(&[origin.address], settings).await;
    let request = format!("GET {request} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n");
    let answer = ask(vanne.http, &request).await;
    assert_eq!(answer.status(), 200);
    let line = vanne.log_of(answer.id()).await;
    let target = request.split(' ').nth(1).unwrap();
    assert_eq!((&line["target"], &line["host"]), (&target.into(), &"a.example".into()));
    let head = origin.only_request();
    assert_eq!(head.field("x-forwarded-host"), Some("a.example"));
    let target = head.line.split(' ').nth(1).unwrap().to_owned();
    (target, head.field("host").unwrap().to_owned())
}

#[tokio::test]
async fn a_path_is_rewritten_on_its_way_and_not_in_the_log() {
    let prefix = "match = { path = \"/api/v1\" }\nrewrite = { path_prefix = \"/\" }";
    let longer = "match = { path = \"/api\" }\nrewrite = { path_prefix = \"/new/api/\" }";
    let pattern = "rewrite = { path_regex = \"/u/([0-9]+)(/.*)?\", path = \"/users/$1$2\" }";
    let whole = "rewrite = { path = \"/one\" }";
    for (route, request, want) in [
        (prefix, "/api/v1/x?y=/api/v1", "/x?y=/api/v1"),
        (prefix, "/api/v1", "/"),
        (prefix, "http://a.example/api/v1/x", "/x"),
        (longer, "/api/x/", "/new/api/x/"),
        (pattern, "/u/17/x?q", "/users/17/x?q"),
        (pattern, "/u/17", "/users/17"),
        (pattern, "/u/x", "/u/x"),
        (whole, "/any/path?q=1", "/one?q=1"),
    ] {
        assert_eq!(
            asked(route, request).await,
            (want.to_owned(), "a.example".to_owned()),
            "{request}"
        );
    }
}

#[tokio::test]
async fn a_backend_is_asked_for_the_host_that_the_route_says() {
    let route = "rewrite = { host = \"internal.example\" }";
    for request in ["/x?y", "http://a.example/x?y"] {
        let want = ("/x?y".to_owned(), "internal.example".to_owned());
        assert_eq!(asked(route, request).await, want, "{request}");
    }
}

#[tokio::test]
async fn rewriting_is_the_same_for_backends_that_speak_http2() {
    let origin = Origin2::start(None, |request, mut respond| async move {
        let uri = request.uri();
        let seen = format!("{} {}", uri.authority().unwrap(), uri.path_and_query().unwrap());
        let tag = request.headers()["x-tag"].to_str().unwrap().to_owned();
        let mut response = http::Response::new(());
        response.headers_mut().insert("x-seen", format!("{seen} {tag}").parse().unwrap());
        drop(respond.send_response(response, true));
    })
    .await;
    let settings = Settings {
        pool: "protocol = \"h2\"",
        route: "match = { path = \"/api\" }\nrewrite = { host = \"b.example\", path_prefix = \"/v2\" }\n\
            headers = { request = { set = { x-tag = \"t\" } } }",
        ..Settings::default()
    };
    let vanne = Vanne::with(&[origin.address], settings).await;
    let answer = vanne.get("/api/x?q").await;
    assert_eq!(answer.head.field("x-seen"), Some("b.example /v2/x?q t"));
}
