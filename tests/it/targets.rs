//! What a route does with its requests, when it does not pass them on.

use crate::harness::http2::Client2;
use crate::harness::{Answer, Client, Vanne, ask};

/// A proxy with these routes: lines of TOML each, beside a name.
async fn with(routes: &[&str]) -> Vanne {
    let route =
        |(index, lines): (usize, &&str)| format!("[[route]]\nname = \"r{index}\"\n{lines}\n");
    let routes: String = routes.iter().enumerate().map(route).collect();
    Vanne::start(&format!("[listener.http]\naddress = \"@http\"\n{routes}")).await
}

async fn at(vanne: &Vanne, host: &str, target: &str) -> Answer {
    ask(vanne.http, &format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
        .await
}

fn location(answer: &Answer) -> (u16, &str) {
    (answer.status(), answer.head.field("location").unwrap_or_default())
}

#[tokio::test]
async fn a_redirect_leads_to_the_whole_address_it_names() {
    let vanne = with(&[
        "match = { path = \"/a\" }\nredirect = { to = \"https://b.example/new\" }",
        "match = { path = \"/b\" }\nredirect = { to = \"/new?c=d\", status = 308 }",
        "match = { path = \"/c\" }\nredirect = { to = \"/new\", keep_query = false, status = 303 }",
    ])
    .await;
    for (target, status, to) in [
        ("/a/x", 302, "https://b.example/new"),
        ("/a?x=y", 302, "https://b.example/new?x=y"),
        ("/b?x=y", 308, "/new?c=d&x=y"),
        ("/c?x=y", 303, "/new"),
    ] {
        let answer = at(&vanne, "a.example", target).await;
        assert_eq!(location(&answer), (status, to), "{target}");
        assert_eq!(answer.head.field("x-frame-options"), Some("DENY"), "as on every answer");
        let line = vanne.log_of(answer.id()).await;
        assert_eq!(
            (&line["end"], &line["by"], &line["pool"]),
            (&"ok".into(), &().into(), &().into())
        );
        assert_eq!((&line["status"], &line["target"]), (&status.into(), &target.into()));
    }
    let labels = [("route", "r0"), ("pool", "-"), ("class", "3xx")];
    vanne.metric_is("vanne_requests_total", &labels, 2.0).await;
    assert_eq!(vanne.metrics().await.value("vanne_refusals_total", &[]), None, "it is no refusal");
}

#[tokio::test]
async fn a_redirect_changes_the_parts_it_names() {
    let vanne = with(&[
        "match = { path = \"/scheme\" }\nredirect = { scheme = \"https\" }",
        "match = { path = \"/host\" }\nredirect = { host = \"b.example\" }",
        "match = { path = \"/port\" }\nredirect = { port = 8443, scheme = \"https\" }",
        "match = { path = \"/path\" }\nredirect = { path = \"/other\" }",
    ])
    .await;
    for (target, to) in [
        ("/scheme/x?y=z", "https://a.example/scheme/x?y=z"),
        ("/host/x", "http://b.example/host/x"),
        ("/port/x", "https://a.example:8443/port/x"),
        ("/path/x?y", "/other?y"),
    ] {
        let answer = at(&vanne, "a.example:8080", target).await;
        assert_eq!(location(&answer), (302, to), "{target}");
    }
    let answer = ask(vanne.http, "GET /scheme HTTP/1.0\r\n\r\n").await;
    assert_eq!(answer.refusal(), (400, "missing_host".into()));
}

#[tokio::test]
async fn a_route_may_answer_itself() {
    let vanne = with(&[
        "match = { path = \"/robots.txt\" }\n\
         answer = { body = \"User-agent: *\\n\", headers = { Cache-Control = \"max-age=60\", X-A = \"1\" } }",
        "match = { path = \"/json\" }\n\
         answer = { status = 503, body = \"{}\", content_type = \"application/json\" }",
        "match = { path = \"/empty\" }\nanswer = { status = 204 }",
    ])
    .await;
    let mut client = Client::connect(vanne.http).await;
    let answer = client.get("/robots.txt").await;
    assert_eq!((answer.status(), answer.text().as_str()), (200, "User-agent: *\n"));
    for (name, value) in [
        ("content-type", "text/plain; charset=utf-8"),
        ("cache-control", "max-age=60"),
        ("x-a", "1"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(answer.head.field(name), Some(value), "{name}");
    }
    let answer = client.get("/json").await;
    assert_eq!((answer.status(), answer.text().as_str()), (503, "{}"));
    assert_eq!(answer.head.field("content-type"), Some("application/json"));
    let answer = client.get("/empty").await;
    assert_eq!((answer.status(), answer.text().as_str()), (204, ""));
    assert_eq!(
        (answer.head.field("content-length"), answer.head.field("content-type")),
        (None, None)
    );
    assert_eq!(client.get("/json").await.status(), 503, "the connection goes on");
    let line = vanne.log_of(answer.id()).await;
    assert_eq!((&line["end"], &line["route"]), (&"ok".into(), &"r2".into()));
    let head = "HEAD /json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = ask(vanne.http, head).await;
    assert_eq!((answer.status(), answer.head.field("content-length")), (503, Some("2")));
}

#[tokio::test]
async fn the_body_of_an_answer_may_be_in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sorry.html");
    std::fs::write(&file, "<p>Sorry").unwrap();
    let lines =
        format!("answer = {{ status = 503, content_type = \"text/html\", body_file = {file:?} }}");
    let vanne = with(&[&lines]).await;
    let answer = vanne.get("/").await;
    assert_eq!((answer.status(), answer.text().as_str()), (503, "<p>Sorry"));
    assert_eq!(answer.head.field("content-type"), Some("text/html"));
    std::fs::write(&file, "<p>Better soon").unwrap();
    crate::harness::eventually_async("the new body", async || {
        (vanne.get("/").await.text() == "<p>Better soon").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_body_that_is_not_there_is_found_by_check_deep_at_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("vanne.toml");
    let text = "[listener.http]\naddress = \"127.0.0.1:1\"\n[[route]]\nname = \"a\"\n\
        redirect = { to = \"/b\" }\nmatch = { path = \"/a\" }\n\
        [[route]]\nname = \"b\"\nanswer = { body_file = \"missing.html\" }\n";
    std::fs::write(&config, text).unwrap();
    let mut command = std::process::Command::new(crate::harness::vanne::binary());
    let output = command.args(["check", "--deep"]).arg(&config).output().unwrap();
    let shown =
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert!(
        shown.contains("route[1].answer.body_file") && shown.contains("vanne.toml:9:"),
        "{shown}"
    );
}

#[tokio::test]
async fn over_http2_it_is_the_same_and_calls_get_what_it_means_in_grpc() {
    let routes = "protocols = [\"h2\"]\n[[route]]\nname = \"a\"\nmatch = { path = \"/a\" }\n\
        answer = { status = 403, body = \"no\" }\n[[route]]\nname = \"b\"\n\
        redirect = { scheme = \"https\" }\n";
    let vanne = Vanne::start(&format!("[listener.http]\naddress = \"@http\"\n{routes}")).await;
    let mut client = Client2::connect(vanne.http).await;
    let answer = client.get("/a").await;
    assert_eq!((answer.status(), answer.text().as_str()), (403, "no"));
    let answer = client.get("/b?c").await;
    let host = client.request("GET", "/").uri_ref().unwrap().host().unwrap().to_owned();
    assert_eq!(
        (answer.status(), answer.field("location")),
        (302, Some(&*format!("https://{host}/b?c")))
    );
    for (path, status) in [("/a", "7"), ("/b", "2")] {
        let request = client.request("POST", path).header("content-type", "application/grpc");
        let (answer, _) = client.send(request, true).await;
        let answer = crate::harness::http2::whole(answer).await.unwrap();
        assert_eq!((answer.status(), answer.field("grpc-status")), (200, Some(status)), "{path}");
        assert_eq!((answer.body.len(), answer.field("location")), (0, None));
    }
}
