//! Fields on the way through: what ends here, what is replaced, what is added.

use crate::harness::{Answer, Client, Origin, Settings, Vanne, ask, ms};

const PRESET: [(&str, &str); 3] = [
    ("x-frame-options", "DENY"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "strict-origin-when-cross-origin"),
];

fn has_preset(answer: &Answer) {
    for (name, value) in PRESET {
        let all: Vec<_> = answer.head.all(name).collect();
        assert_eq!(all, [value], "{name} on {}", answer.head.line);
    }
}

#[tokio::test]
async fn fields_of_one_connection_do_not_reach_the_backend() {
    let origin = Origin::fixed("ok").await;
    let vanne = Vanne::before(&[origin.address]).await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Named, Host\r\n\
        Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\n\
        Proxy-Authorization: Basic eDp5\r\nUpgrade: h2c\r\nX-Named: 1\r\nX-Other: 1\r\n\r\n";
    assert_eq!(ask(vanne.http, request).await.status(), 200);
    let head = origin.only_request();
    for name in
        ["keep-alive", "proxy-connection", "te", "proxy-authorization", "upgrade", "x-named"]
    {
        assert_eq!(head.field(name), None, "{name}");
    }
    assert_ne!(head.field("connection"), Some("close"));
    assert_eq!((head.field("x-other"), head.field("host")), (Some("1"), Some("a")));
}

#[tokio::test]
async fn fields_of_one_connection_do_not_reach_the_client() {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive, X-Named\r\n\
         Keep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\nX-Named: 1\r\n\
         X-Other: 1\r\n\r\nok",
    )
    .await;
    let vanne = Vanne::before(&[origin.address]).await;
    let answer = Client::connect(vanne.http).await.get("/").await;
    for name in ["keep-alive", "proxy-authenticate", "upgrade", "x-named"] {
        assert_eq!(answer.head.field(name), None, "{name}");
    }
    assert_eq!(answer.head.field("x-other"), Some("1"));
}

#[tokio::test]
async fn trailers_of_a_request_end_here() {
    let origin = Origin::start(|mut conn| async move {
        while conn.request_head().await.is_some() {
            let body = conn.exactly("3\r\nabc\r\n0\r\n\r\n".len()).await;
            conn.say(&String::from_utf8(body).unwrap());
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        }
    })
    .await;
    let vanne = Vanne::before(&[origin.address]).await;
    let mut client = Client::connect(vanne.http).await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n";
    for parts in [
        &["X-User: root\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n"][..],
        &["X-User: ad", "min\r\nX-Forwarded-For: 9.9.9.9\r", "\n\r", "\n"],
        &["\r", "\n"],
        &["\r\n"],
    ] {
        client.send(head).await;
        for part in parts {
            // In pieces, as they may come.
            tokio::time::sleep(ms(10)).await;
            client.send(part).await;
        }
        assert_eq!(client.answer("POST").await.status(), 200, "{parts:?}");
        origin.says("3\r\nabc\r\n0\r\n\r\n").await;
    }
}

#[tokio::test]
async fn what_a_client_claims_about_its_way_is_replaced() {
    let origin = Origin::fixed("ok").await;
    let vanne = Vanne::before(&[origin.address]).await;
    let request = "GET / HTTP/1.1\r\nHost: a.test:81\r\nConnection: close\r\n\
        X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 7.7.7.7\r\nX-Forwarded-Proto: https\r\n\
        X-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /evil\r\n\
        Forwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n\r\n";
    assert_eq!(ask(vanne.http, request).await.status(), 200);
    let head = origin.only_request();
    let all = |name| head.all(name).collect::<Vec<_>>();
    assert_eq!(all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(all("x-forwarded-proto"), ["http"]);
    assert_eq!(all("x-forwarded-host"), ["a.test:81"]);
    assert_eq!(all("x-forwarded-port"), [vanne.http.port().to_string()]);
    for name in ["forwarded", "x-real-ip", "x-forwarded-prefix"] {
        assert_eq!(all(name), [""; 0], "{name}");
    }
}

#[tokio::test]
async fn a_request_has_one_id_for_backend_client_and_log() {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Request-Id: of-the-backend\r\n\r\nok",
    )
    .await;
    let vanne = Vanne::before(&[origin.address]).await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: of-the-client\r\n\r\n";
    let mut client = Client::connect(vanne.http).await;
    let mut ids = Vec::new();
    for index in 0..2 {
        client.send(request).await;
        let answer = client.answer("GET").await;
        let id = answer.id().to_owned();
        assert_eq!(answer.head.all("x-request-id").count(), 1);
        assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
        let head = origin.requests().swap_remove(index);
        assert_eq!(head.all("x-request-id").collect::<Vec<_>>(), [id.as_str()]);
        assert_eq!(vanne.log_of(&id).await["status"], 200);
        ids.push(id);
    }
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn security_headers_are_on_every_answer() {
    let origin = Origin::fixed("ok").await;
    let port = crate::harness::ports::Port::take();
    let vanne = Vanne::start(&format!(
        r#"
        [listener.http]
        address = "@http"
        timeouts = {{ head = "200ms" }}
        [pool.up]
        backends = ["{}"]
        [pool.down]
        backends = ["{}"]
        retries.attempts = 0
        [[route]]
        name = "up"
        match = {{ path = "/up" }}
        pool = "up"
        [[route]]
        name = "down"
        match = {{ path = "/down" }}
        pool = "down"
        "#,
        origin.address, port.address
    ))
    .await;
    for (target, status) in [("/up", 200), ("/down", 502), ("/nowhere", 404)] {
        let answer = vanne.get(target).await;
        assert_eq!(answer.status(), status);
        has_preset(&answer);
    }
    for (request, status) in
        [("GET / HTTP/1.1\r\n\r\n", 400), ("nonsense\r\n\r\n", 400), ("GET / HTTP/1.1\r\n", 408)]
    {
        let answer = ask(vanne.http, request).await;
        assert_eq!(answer.status(), status, "{request:?}");
        has_preset(&answer);
    }
}

#[tokio::test]
async fn a_backends_own_security_headers_are_kept() {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Frame-Options: SAMEORIGIN\r\n\r\nok",
    )
    .await;
    let vanne = Vanne::before(&[origin.address]).await;
    let answer = vanne.get("/").await;
    assert_eq!(answer.head.all("x-frame-options").collect::<Vec<_>>(), ["SAMEORIGIN"]);
    assert_eq!(answer.head.field("x-content-type-options"), Some("nosniff"));
}

#[tokio::test]
async fn a_route_uses_the_security_headers_it_names() {
    let origin = Origin::fixed("ok").await;
    let settings = Settings {
        route: "security_headers = \"site\"",
        more: r#"
            [security_headers.site]
            strict_transport_security = "max-age=31536000; includeSubDomains"
            content_security_policy = "default-src 'self'"
            frame_options = "SAMEORIGIN"
            content_type_options = ""
            referrer_policy = "no-referrer"
            permissions_policy = "camera=()"
            cross_origin_opener_policy = "same-origin"
            cross_origin_embedder_policy = "credentialless"
            cross_origin_resource_policy = "same-site"
        "#,
        ..Settings::default()
    };
    let vanne = Vanne::with(&[origin.address], settings).await;
    let mut client = Client::careless(vanne.http).await;
    let answer = client.get("/").await;
    for (name, value) in [
        ("strict-transport-security", None),
        ("content-security-policy", Some("default-src 'self'")),
        ("x-frame-options", Some("SAMEORIGIN")),
        ("x-content-type-options", None),
        ("referrer-policy", Some("no-referrer")),
        ("permissions-policy", Some("camera=()")),
        ("cross-origin-opener-policy", Some("same-origin")),
        ("cross-origin-embedder-policy", Some("credentialless")),
        ("cross-origin-resource-policy", Some("same-site")),
    ] {
        assert_eq!(answer.head.field(name), value, "{name}");
    }
    // What the preset leaves out is not sent elsewhere.
    let vanne = Vanne::before(&[origin.address]).await;
    let answer = vanne.get("/").await;
    for name in ["strict-transport-security", "content-security-policy", "permissions-policy"] {
        assert_eq!(answer.head.field(name), None, "{name}");
    }
}
