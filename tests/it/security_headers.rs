//! Security headers on every kind of answer, and which set is whose.
//!
//! Every test of this binary looks for them too: whatever its clients read from a process must
//! carry them (`harness/client.rs`, `harness/http2.rs`).

use crate::harness::admin::{Asked, Lab};
use crate::harness::client::{ask_carelessly, get_carelessly};
use crate::harness::frames::{ACCEPTED, HANDSHAKE};
use crate::harness::http2::{Client2, whole};
use crate::harness::ports::Port;
use crate::harness::wire::Head;
use crate::harness::{Client, Origin, Settings, Vanne, ask, get, in_time};
use crate::refusals::FAULTS;
use std::collections::BTreeSet;
use vanne::control::admin::operations::OPERATIONS;
use vanne_filters::security_headers::SecurityHeaders;
use vanne_filters::security_headers::preset::{FIELDS, Preset};

/// What `head` says of security: names and values, in the order of the table.
fn said<'a>(all: impl Fn(&str) -> Vec<&'a str>) -> Vec<(String, Vec<&'a str>)> {
    let of = |name: &str| (name.to_owned(), all(name));
    let said = FIELDS.iter().map(|row| of(row.name.as_str()));
    said.filter(|(_, values)| !values.is_empty()).collect()
}

/// What answers say with `set`.
fn wanted(set: &SecurityHeaders, is_https: bool) -> Vec<(String, Vec<String>)> {
    let value = |line: &vanne_filters::Line| line.value.to_str().unwrap().to_owned();
    let lines = set.lines(is_https);
    lines.lines().iter().map(|line| (line.name.to_string(), vec![value(line)])).collect()
}

fn carries(head: &Head, preset: Preset, what: &str) {
    let said = said(|name| head.all(name).collect());
    let wanted = wanted(&SecurityHeaders::of(preset), false);
    assert_eq!(format!("{said:?}"), format!("{wanted:?}"), "{what}: {}", head.line);
}

/// A config with something for every kind of answer.
fn kinds(origin: &Origin, dead: &Port, more: &str) -> String {
    format!(
        r#"
        [listener.http]
        address = "@http"
        protocols = ["h2", "http/1.1"]
        timeouts = {{ head = "200ms" }}
        paths = {{ dot_segments = "reject", encoded_slashes = "reject" }}
        [security_headers.default]
        preset = "strict"
        [pool.up]
        backends = ["{up}"]
        timeouts = {{ first_byte = "100ms" }}
        [pool.down]
        backends = ["{dead}"]
        retries.attempts = 0
        [pool.empty]
        backends = []
        [pool.sorry]
        backends = ["{dead}"]
        retries.attempts = 0
        fallback = ["static:sorry"]
        [pool.kept]
        backends = ["{up}"]
        fallback = ["cached"]
        [page.sorry]
        html = "<p>Sorry"
        json = "{{}}"
        [rate_limit.none]
        key = "route"
        rate = "1/h"
        burst = 1
        {routes}
        {more}
        "#,
        up = origin.address,
        dead = dead.address,
        routes = ROUTES
            .iter()
            .map(|(path, target)| format!(
                "[[route]]\nname = \"{path}\"\nmatch = {{ path = \"/{path}\" }}\n{target}\n"
            ))
            .collect::<String>(),
    )
}

const ROUTES: [(&str, &str); 9] = [
    ("up", "pool = \"up\""),
    ("down", "pool = \"down\""),
    ("empty", "pool = \"empty\""),
    ("sorry", "pool = \"sorry\""),
    ("kept", "pool = \"kept\""),
    ("moved", "redirect = { host = \"b.example\" }"),
    ("said", "answer = { status = 200, body = \"x\" }"),
    ("limited", "pool = \"up\"\nrate_limits = [\"none\"]"),
    ("page", "pool = \"down\"\nerror_pages = { 502 = \"sorry\" }"),
];

/// Paths, and how they are answered: a status, and why if Vanne refuses.
const PATHS: [(&str, u16, &str); 14] = [
    ("/up", 200, ""),
    ("/up/teapot", 418, ""),
    ("/up/hang", 504, "first_byte_timeout"),
    ("/up/nonsense", 502, "backend_malformed"),
    ("/up/close", 502, "backend_closed"),
    ("/down", 502, "connect_refused"),
    ("/empty", 503, "no_backend"),
    ("/nowhere", 404, "no_route"),
    ("/sorry", 502, ""),
    ("/kept", 200, ""),
    ("/moved", 302, ""),
    ("/said", 200, ""),
    ("/up/%2f", 400, "encoded_slash"),
    ("/page", 502, ""),
];

async fn backend() -> Origin {
    Origin::start(|mut conn| async move {
        while let Some(request) = conn.request().await {
            let own = "Server: secret\r\nX-Powered-By: secret\r\n\
                       Strict-Transport-Security: max-age=1\r\n";
            match request.head.word(1) {
                "/ws" => return conn.send(ACCEPTED).await,
                "/up/teapot" => {
                    conn.send(format!("HTTP/1.1 418 T\r\n{own}content-length: 0\r\n\r\n")).await;
                }
                "/up/hang" => conn.note_end().await,
                "/up/nonsense" => return conn.send("nonsense\r\n\r\n").await,
                "/up/close" => return,
                _ => {
                    let head = format!("HTTP/1.1 200 OK\r\n{own}cache-control: max-age=60\r\n");
                    conn.send(format!("{head}content-length: 2\r\n\r\nok")).await;
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn every_kind_of_answer_carries_the_security_headers() {
    let (origin, dead) = (backend().await, Port::take());
    let more = "[[route]]\nname = \"ws\"\nmatch = { path = \"/ws\" }\npool = \"up\"\n";
    let vanne = Vanne::start(&kinds(&origin, &dead, more)).await;
    let mut seen = BTreeSet::new();
    for (path, status, reason) in PATHS {
        for method in ["GET", "HEAD"] {
            let request =
                format!("{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
            let answer = ask(vanne.http, &request).await;
            assert_eq!(answer.status(), status, "{path}");
            carries(&answer.head, Preset::Strict, path);
            for name in ["server", "x-powered-by"] {
                assert_eq!(answer.head.field(name), None, "{path}");
            }
            if !reason.is_empty() && method == "GET" {
                assert_eq!(answer.refusal(), (status, reason.into()));
                seen.insert(reason.to_owned());
            }
        }
    }
    for (request, status, reason) in FAULTS {
        let mut client = Client::connect(vanne.http).await;
        client.send(request).await;
        let answer = client.answer("GET").await;
        assert_eq!(answer.refusal(), (status, reason.into()), "{request:?}");
        carries(&answer.head, Preset::Strict, reason);
        seen.insert(reason.to_owned());
    }
    assert_eq!(get(vanne.http, "/limited").await.status(), 200);
    let large = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(100 * 1024));
    for (request, reason) in [
        ("GET /limited HTTP/1.1\r\nhost: a\r\n\r\n", "rate_limited"),
        ("GET / HTTP/1.1\r\n", "head_timeout"),
        ("GET /up/../x HTTP/1.1\r\nhost: a\r\n\r\n", "dot_segment"),
        ("CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n", "method_refused"),
        (&large, "head_too_large"),
    ] {
        let answer = ask(vanne.http, request).await;
        assert_eq!(answer.refusal().1, reason);
        carries(&answer.head, Preset::Strict, reason);
        seen.insert(reason.to_owned());
    }
    assert!(seen.len() >= 30, "{seen:?}");
    let mut client = Client::connect(vanne.http).await;
    client.send(HANDSHAKE).await;
    let head = client.head().await.unwrap();
    assert_eq!(head.status(), 101);
    carries(&head, Preset::Strict, "a WebSocket");
}

#[tokio::test]
async fn every_kind_of_answer_by_http2_carries_them_too() {
    let (origin, dead) = (backend().await, Port::take());
    let vanne = Vanne::start(&kinds(&origin, &dead, "")).await;
    let mut client = Client2::connect(vanne.http).await;
    let strict = wanted(&SecurityHeaders::of(Preset::Strict), false);
    let carries = |answer: &crate::harness::http2::Answer2, what: &str| {
        let all = |name: &str| {
            let values = answer.head.headers().get_all(name);
            values.iter().map(|value| value.to_str().unwrap()).collect()
        };
        assert_eq!(format!("{:?}", said(all)), format!("{strict:?}"), "{what}");
        assert!(answer.field("server").is_none());
    };
    for (path, status, _) in PATHS {
        let answer = client.get(path).await;
        assert_eq!(answer.status(), status, "{path}");
        carries(&answer, path);
    }
    let call = client.request("POST", "/down").header("content-type", "application/grpc");
    let answer = whole(client.send(call, true).await.0).await.unwrap();
    assert_eq!((answer.status(), answer.field("grpc-status")), (200, Some("14")));
    carries(&answer, "a gRPC call");
    // Too large a head is ours to refuse, not the library's.
    let mut request = client.request("GET", "/up");
    for at in 0..100 {
        request = request.header(format!("x-{at}"), "v".repeat(1000));
    }
    let answer = whole(client.send(request, true).await.0).await.unwrap();
    assert_eq!(answer.status(), 431);
    carries(&answer, "a head that is too large");
    let id = answer.field("x-request-id").unwrap();
    assert_eq!(vanne.log_of(id).await["end"], "head_too_large");
}

#[tokio::test]
async fn who_is_one_too_many_or_is_sent_to_https_is_told_carefully() {
    let port = Port::take();
    let config = format!(
        "[listener.http]\naddress = \"@http\"\nmax_connections = 1\n\
         [listener.other]\naddress = \"{}\"\nredirect_to_https = true\n\
         [security_headers.default]\npreset = \"strict\"\n\
         [[route]]\nname = \"all\"\nanswer = {{ body = \"x\" }}\n",
        port.address
    );
    let vanne = Vanne::start(&config).await;
    let mut first = Client::connect(vanne.http).await;
    assert_eq!(first.get("/").await.status(), 200);
    let answer = get(vanne.http, "/").await;
    assert_eq!(answer.refusal(), (503, "too_many_connections".into()));
    carries(&answer.head, Preset::Strict, "one connection too many");
    let answer = get(port.address, "/").await;
    assert_eq!(answer.status(), 301);
    carries(&answer.head, Preset::Strict, "a redirect to HTTPS");
}

/// Every answer of the admin API and the probe port carries what the preset `api` says.
#[tokio::test]
async fn answers_of_the_admin_api_and_of_the_probe_port_carry_them_too() {
    let lab = Lab::start(&[], "", "").await;
    let mut count = 0;
    for operation in OPERATIONS.iter() {
        let path = operation.path.replace("{pool}", "app").replace("{backend}", "127.0.0.1:1");
        let path = path.replace("{name}", "app");
        let own = operation.method.as_str();
        for (method, token) in [
            (own, Some("admin")),
            (own, Some("read")),
            (own, None),
            (own, Some("guess")),
            ("OPTIONS", Some("read")),
            ("HEAD", Some("read")),
            ("BREW", Some("read")),
        ] {
            let line = format!("{method} {path}");
            let answer = lab.ask(Asked { token, ..Asked::new(&line, "") }).await;
            carries(&answer.head, Preset::Api, &format!("{line} of {token:?}"));
            count += 1;
        }
    }
    assert!(count > 7 * 20, "{count}");
    for (line, fields) in [
        ("GET /nowhere", ""),
        ("GET /v1/status", "Host: evil.example\r\n"),
        ("GET /v1/status", "Origin: https://evil.example\r\n"),
        ("PATCH /v1/log", "Content-Type: text/plain\r\n"),
    ] {
        let answer = lab.ask(Asked { fields, ..Asked::new(line, "admin") }).await;
        carries(&answer.head, Preset::Api, line);
    }
    for path in ["/healthz", "/startupz", "/readyz", "/health", "/metrics", "/nowhere"] {
        for method in ["GET", "HEAD", "POST"] {
            let request =
                format!("{method} {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
            let answer = in_time("an answer", ask(lab.vanne.probe, &request)).await;
            carries(&answer.head, Preset::Api, &request);
        }
    }
}

/// What an answer to a request for `path` says, that came by HTTPS as a trusted proxy says.
async fn said_of(vanne: &Vanne, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nx-forwarded-proto: https\r\n\r\n");
    let answer = ask_carelessly(vanne.http, &request).await;
    format!("{:?}", said(|name| answer.head.all(name).collect()))
}

#[tokio::test]
async fn a_route_names_a_set_or_a_preset_or_brings_its_own() {
    let origin = Origin::fixed("ok").await;
    let sets = "\
        [security_headers.default]\npreset = \"api\"\nframe_options = \"SAMEORIGIN\"\n\
        [security_headers.site]\npreset = \"strict\"\npermissions_policy = \"\"\n";
    let route = |path: &str, says: &str| {
        format!(
            "[[route]]\nname = \"{path}\"\nmatch = {{ path = \"/{path}\" }}\npool = \"app\"\n{says}\n"
        )
    };
    let named = [
        ("strict", SecurityHeaders::of(Preset::Strict)),
        ("api", SecurityHeaders::of(Preset::Api)),
        ("basic", SecurityHeaders::of(Preset::Basic)),
        ("off", SecurityHeaders::of(Preset::Off)),
        (
            "site",
            SecurityHeaders {
                permissions_policy: Some(String::new()),
                ..SecurityHeaders::of(Preset::Strict)
            },
        ),
    ];
    let mut routes: Vec<String> = named
        .iter()
        .map(|(name, _)| route(name, &format!("security_headers = \"{name}\"")))
        .collect();
    routes.push(route("own", "security_headers = { preset = \"off\", frame_options = \"DENY\" }"));
    routes.push(route("none", ""));
    let config = format!(
        "[listener.http]\naddress = \"@http\"\ntrusted_proxies = [\"127.0.0.1\"]\n\
         [pool.app]\nbackends = [\"{}\"]\n{sets}{}",
        origin.address,
        routes.concat()
    );
    let vanne = Vanne::start(&config).await;
    for (name, set) in named {
        let wanted = format!("{:?}", wanted(&set, true));
        assert_eq!(said_of(&vanne, &format!("/{name}")).await, wanted, "{name}");
    }
    let only =
        SecurityHeaders { frame_options: Some("DENY".into()), ..SecurityHeaders::of(Preset::Off) };
    assert_eq!(said_of(&vanne, "/own").await, format!("{:?}", wanted(&only, true)));
    let default = SecurityHeaders {
        frame_options: Some("SAMEORIGIN".into()),
        ..SecurityHeaders::of(Preset::Api)
    };
    for path in ["/none", "/nowhere"] {
        assert_eq!(said_of(&vanne, path).await, format!("{:?}", wanted(&default, true)), "{path}");
    }
}

#[tokio::test]
async fn fields_are_replaced_or_removed_as_the_set_says() {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Security-Policy: default-src *\r\n\
         X-Frame-Options: SAMEORIGIN\r\nX-Frame-Options: SAMEORIGIN\r\nServer: x\r\nX-Version: 1\r\n\
         Connection: x-content-type-options\r\nX-Content-Type-Options: wrong\r\n\r\nok",
    )
    .await;
    let route = "security_headers = { preset = \"api\", replace = [\"content-security-policy\"], \
                 remove = [\"x-version\"] }";
    let vanne = Vanne::with(&[origin.address], Settings { route, ..Settings::default() }).await;
    let answer = get_carelessly(vanne.http, "/").await;
    let all = |name: &str| answer.head.all(name).collect::<Vec<_>>();
    assert_eq!(all("content-security-policy"), ["default-src 'none'; frame-ancestors 'none'"]);
    // What stays is as the backend sent it, and what is of one connection only is not there.
    assert_eq!(all("x-frame-options"), ["SAMEORIGIN", "SAMEORIGIN"]);
    assert_eq!(all("x-content-type-options"), ["nosniff"]);
    assert_eq!((all("server"), all("x-version")), (vec!["x"], vec![]));
}
