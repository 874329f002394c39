//! Pages of other origins: who may read what, and which questions no backend hears.

use crate::harness::client::Answer;
use crate::harness::http2::{Client2, whole};
use crate::harness::{Origin, Settings, Vanne, ask, sha256};

const APP: &str = "https://app.example.com";

/// A request from a page of this origin, with more fields.
fn from(origin: &str, method: &str, fields: &str) -> String {
    let origin = match origin {
        "" => String::new(),
        origin => format!("origin: {origin}\r\n"),
    };
    format!("{method} / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{origin}{fields}\r\n")
}

const ASKS: &str = "access-control-request-method: PUT\r\naccess-control-request-headers: x-a\r\n";

/// What an answer says of CORS, in alphabetical order.
fn said(answer: &Answer) -> Vec<String> {
    let is_cors = |name: &str| name.starts_with("access-control-") || name == "vary";
    let of_cors = answer.head.fields.iter().filter(|(name, _)| is_cors(name));
    let mut said: Vec<_> = of_cors.map(|(name, value)| format!("{name}: {value}")).collect();
    said.sort();
    said
}

async fn before(origin: &Origin, cors: &str, route: &str) -> Vanne {
    let (more, route) = (format!("[cors.pages]\n{cors}"), format!("cors = \"pages\"\n{route}"));
    let listener = "protocols = [\"h2\", \"http/1.1\"]";
    let settings = Settings { listener, route: &route, more: &more, ..Settings::default() };
    Vanne::with(&[origin.address], settings).await
}

const RULES: &str = "origins = [\"https://app.example.com\", \"https://*.pages.example\"]\n\
    methods = [\"GET\", \"PUT\"]\nheaders = [\"authorization\", \"X-A\"]\nexpose = [\"x-b\"]\n\
    credentials = true\nmax_age = \"1h\"\n";

#[tokio::test]
async fn preflights_are_answered_before_anybody_else_is_asked() {
    let origin = Origin::fixed("x").await;
    let limit =
        "rate_limits = [\"one\"]\n[rate_limit.one]\nkey = \"route\"\nrate = \"1/h\"\nburst = 1";
    let vanne = before(&origin, RULES, limit).await;
    assert_eq!(ask(vanne.http, &from("", "GET", "")).await.status(), 200);
    for page in [APP, "https://x.pages.example"] {
        let answer = ask(vanne.http, &from(page, "OPTIONS", ASKS)).await;
        assert_eq!((answer.status(), answer.body.len()), (204, 0));
        let want = [
            "access-control-allow-credentials: true".to_owned(),
            "access-control-allow-headers: authorization, x-a".into(),
            "access-control-allow-methods: GET, PUT".into(),
            format!("access-control-allow-origin: {page}"),
            "access-control-max-age: 3600".into(),
            "vary: origin".into(),
        ];
        assert_eq!(said(&answer), want);
        assert_eq!(vanne.log_of(answer.id()).await["end"], "ok");
    }
    for page in ["null", "https://pages.example", "http://app.example.com", "https://evil.example"]
    {
        let answer = ask(vanne.http, &from(page, "OPTIONS", ASKS)).await;
        assert_eq!((answer.status(), said(&answer)), (204, vec!["vary: origin".into()]), "{page}");
    }
    // No preflight: the limit is asked, and its answer may be read.
    let answer = ask(vanne.http, &from(APP, "OPTIONS", "")).await;
    assert_eq!(answer.refusal(), (429, "rate_limited".into()));
    assert_eq!(answer.head.field("access-control-allow-origin"), Some(APP));
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn a_preflight_goes_by_the_route_of_what_it_asks_about() {
    let origin = Origin::fixed("x").await;
    let more = "[[route]]\nname = \"rest\"\npool = \"app\"";
    let route = format!("match = {{ path = \"/\", method = [\"PUT\"] }}\n{more}");
    let vanne = before(&origin, RULES, &route).await;
    let answer = ask(vanne.http, &from(APP, "OPTIONS", ASKS)).await;
    assert_eq!(answer.status(), 204);
    assert_eq!(answer.head.field("access-control-allow-origin"), Some(APP));
    // No preflights, and one that nobody's CORS is about: the backend's, as before.
    let delete = "access-control-request-method: DELETE\r\n";
    for (page, fields) in [("", ASKS), (APP, ""), (APP, delete)] {
        let answer = ask(vanne.http, &from(page, "OPTIONS", fields)).await;
        assert_eq!((answer.status(), said(&answer)), (200, vec![]), "{page} {fields}");
    }
    assert_eq!(origin.requests().len(), 3);
}

#[tokio::test]
async fn pages_that_may_read_an_answer_are_named_and_backends_are_not_asked_who() {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nAccess-Control-Allow-Origin: *\r\n\
         Access-Control-Allow-Credentials: true\r\nVary: accept\r\n\r\nok",
    )
    .await;
    let vanne = before(&origin, RULES, "").await;
    let allowed = [
        "access-control-allow-credentials: true",
        "access-control-allow-origin: https://app.example.com",
        "access-control-expose-headers: x-b",
        "vary: accept",
        "vary: origin",
    ];
    assert_eq!(said(&ask(vanne.http, &from(APP, "GET", "")).await), allowed);
    for page in ["", "null", "https://evil.example"] {
        let answer = ask(vanne.http, &from(page, "GET", "")).await;
        assert_eq!((answer.status(), answer.text()), (200, "ok".into()), "{page}");
        assert_eq!(said(&answer), ["vary: accept", "vary: origin"], "{page}");
    }
    let two = from(APP, "GET", &format!("origin: {APP}\r\n"));
    assert_eq!(said(&ask(vanne.http, &two).await), ["vary: accept", "vary: origin"]);
    // An OPTIONS of another kind is the backend's, which sees who asks.
    assert_eq!(ask(vanne.http, &from(APP, "OPTIONS", "")).await.text(), "ok");
    let last = origin.requests().pop().unwrap();
    assert_eq!((last.word(0), last.field("origin")), ("OPTIONS", Some(APP)));
}

#[tokio::test]
async fn streams_of_http2_get_the_same() {
    let origin = Origin::hashing().await;
    let vanne = before(&origin, RULES, "").await;
    let mut client = Client2::connect(vanne.http).await;
    let request = client.request("OPTIONS", "/").header("origin", APP);
    let request = request.header("access-control-request-method", "PUT");
    let answer = whole(client.send(request, true).await.0).await.unwrap();
    assert_eq!((answer.status(), answer.field("access-control-allow-origin")), (204, Some(APP)));
    assert_eq!(answer.field("access-control-allow-methods"), Some("GET, PUT"));
    let request = client.request("GET", "/").header("origin", APP);
    let answer = whole(client.send(request, true).await.0).await.unwrap();
    assert_eq!(answer.text(), format!("0 {}", sha256(b"")));
    assert_eq!(answer.field("access-control-allow-origin"), Some(APP));
    assert_eq!((answer.field("vary"), origin.requests().len()), (Some("origin"), 1));
}

#[tokio::test]
async fn what_everybody_may_read_is_the_same_for_all() {
    let origin = Origin::fixed("x").await;
    let rules = "origins = [\"*\"]\nmethods = [\"*\"]\nheaders = [\"*\"]\nprivate_network = true";
    let vanne = before(&origin, rules, "").await;
    for page in ["", "null", APP] {
        let answer = ask(vanne.http, &from(page, "GET", "")).await;
        assert_eq!(said(&answer), ["access-control-allow-origin: *"], "{page}");
    }
    let asks = format!("{ASKS}access-control-request-private-network: true\r\n");
    let want = [
        "access-control-allow-headers: *",
        "access-control-allow-methods: *",
        "access-control-allow-origin: *",
        "access-control-allow-private-network: true",
        "access-control-max-age: 600",
    ];
    assert_eq!(said(&ask(vanne.http, &from("null", "OPTIONS", &asks)).await), want);
    assert_eq!(said(&ask(vanne.http, &from(APP, "OPTIONS", ASKS)).await).len(), 4);
}
