//! Services that say who may pass: yes, no, elsewhere, and no word at all.

use crate::harness::authority::Authority;
use crate::harness::client::Answer;
use crate::harness::http2::{Client2, whole};
use crate::harness::issuer::{claims, jwks, token};
use crate::harness::ports::Port;
use crate::harness::vanne::list;
use crate::harness::wire::Head;
use crate::harness::{Client, Conn, Origin, Vanne, ask, ms, timed};
use parking_lot::Mutex;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// A service that answers what it is told to; nothing at all without it.
struct Service {
    origin: Origin,
    says: Arc<Mutex<Option<String>>>,
}

impl Service {
    async fn start(answer: &str) -> Self {
        let says = Arc::new(Mutex::new(Some(answer.to_owned())));
        let shared = Arc::clone(&says);
        let origin = Origin::start(move |mut conn: Conn| {
            let says = Arc::clone(&shared);
            async move {
                while conn.request().await.is_some() {
                    let answer = says.lock().clone();
                    match answer {
                        Some(answer) => conn.send(answer.as_bytes()).await,
                        None => return conn.note_end().await,
                    }
                }
            }
        })
        .await;
        Self { origin, says }
    }

    fn says(&self, answer: Option<&str>) {
        *self.says.lock() = answer.map(str::to_owned);
    }

    /// What it was asked last.
    fn asked(&self) -> Head {
        self.origin.requests().last().expect("it was not asked").clone()
    }

    fn count(&self) -> usize {
        self.origin.requests().len()
    }
}

const YES: &str = "HTTP/1.1 200 OK\r\nremote-user: ann\r\nremote-groups: a\r\nremote-groups: b\r\n\
                   x-scopes: read write\r\ncontent-length: 3\r\n\r\nyes";
const NO: &str = "HTTP/1.1 403 Forbidden\r\ncontent-type: text/html\r\nserver: auth\r\n\
                  content-length: 9\r\n\r\n<p>no</p>";
/// What the usual identity says besides the URL.
const USUAL: &str = "claims = { groups = \"Remote-Groups\", scope = \"X-Scopes\" }";
/// What the usual route asks.
const ASKS: &str = "identity = { use = [\"portal\"], claims_to_headers = { \"X-User\" = \"sub\", \
                    \"X-Groups\" = \"groups\" } }";

/// One worker: each has connections of its own.
const ONE: &str = "[process]\nworkers = 1";

/// A proxy that asks a service.
struct Lab {
    vanne: Vanne,
    origin: Origin,
    service: Service,
    dir: TempDir,
}

impl Lab {
    /// `identity` stands in the identity, `route` in the only route, `more` besides.
    async fn start(answer: &str, identity: &str, route: &str, more: &str) -> Self {
        let (origin, service) = (Origin::fixed("x").await, Service::start(answer).await);
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("jwks.json"), jwks()).unwrap();
        let to = service.origin.address;
        let vanne = Vanne::start(&config(&origin, to, &dir, identity, route, more)).await;
        Self { vanne, origin, service, dir }
    }

    /// Has this used from now on.
    async fn reload(&self, identity: &str, route: &str, more: &str) {
        let to = self.service.origin.address;
        let config = config(&self.origin, to, &self.dir, identity, route, more);
        let said = self.vanne.reload(&config).await;
        // Whoever looks after the file may have been faster.
        assert_ne!(said["result"], "refused", "{said}");
    }

    /// A request with these fields.
    async fn ask(&self, fields: &str) -> Answer {
        let head = format!("GET /a?b=c HTTP/1.1\r\nhost: shop.example\r\n{fields}\r\n");
        ask(self.vanne.http, &head).await
    }

    /// What a request with a cookie gets.
    async fn visit(&self) -> Answer {
        self.ask("cookie: s=1\r\n").await
    }

    async fn line(&self, answer: &Answer) -> Value {
        self.vanne.log_of(answer.id()).await
    }

    /// What the backend was told in the field `name` by the last request.
    fn told(&self, name: &str) -> Option<String> {
        let requests = self.origin.requests();
        requests.last().unwrap().field(name).map(str::to_owned)
    }

    async fn outcomes(&self, outcome: &str, count: f64) {
        let labels = [("identity", "portal"), ("outcome", outcome)];
        self.vanne.metric_is("vanne_identity_forward_total", &labels, count).await;
    }
}

fn config(
    origin: &Origin,
    to: SocketAddr,
    dir: &TempDir,
    identity: &str,
    route: &str,
    more: &str,
) -> String {
    format!(
        "admin.socket = \"@dir/admin.sock\"\n[listener.http]\naddress = \"@http\"\n\
         protocols = [\"http/1.1\", \"h2\"]\n[pool.app]\nbackends = {}\n\
         [identity.portal.forward]\nurl = \"http://{to}/check?x=1\"\n{identity}\n\
         [identity.staff.jwt]\njwks = \"{}\"\nalgorithms = [\"EdDSA\"]\naudiences = [\"api\"]\n\
         [[route]]\nname = \"all\"\npool = \"app\"\n{route}\n\
         [[route]]\nname = \"open\"\npool = \"app\"\nmatch.path = \"/open\"\n{more}\n",
        list(&[origin.address]),
        dir.path().join("jwks.json").display(),
    )
}

#[tokio::test]
async fn who_may_pass_is_known_by_what_the_service_says() {
    let lab = Lab::start(YES, USUAL, ASKS, ONE).await;
    let answer = lab.ask("cookie: s=1\r\nauthorization: Basic YTpi\r\nx-secret: 1\r\n").await;
    assert_eq!((answer.status(), answer.text()), (200, "x".into()));
    assert_eq!(lab.line(&answer).await["user"], "ann");
    assert_eq!(lab.told("x-user").as_deref(), Some("ann"));
    assert_eq!(lab.told("x-groups").as_deref(), Some("a,b"));
    assert_eq!(lab.told("remote-user"), None, "its fields are claims, no more");
    let asked = lab.service.asked();
    assert_eq!(asked.line, "GET /check?x=1 HTTP/1.1");
    for (name, value) in [
        ("host", Some(lab.service.origin.address.to_string())),
        ("authorization", Some("Basic YTpi".into())),
        ("cookie", Some("s=1".into())),
        ("x-secret", None),
        ("x-request-id", Some(answer.id().into())),
        ("x-forwarded-method", Some("GET".into())),
        ("x-forwarded-uri", Some("/a?b=c".into())),
        ("x-forwarded-host", Some("shop.example".into())),
        ("x-forwarded-proto", Some("http".into())),
        ("x-forwarded-for", Some("127.0.0.1".into())),
    ] {
        assert_eq!(asked.field(name).map(str::to_owned), value, "{name}");
    }
    // What clients say of their way is theirs, and so are fields that tell who somebody is.
    let forged = "cookie: s=1\r\nx-forwarded-uri: /open\r\nx-forwarded-method: HEAD\r\n\
                  x-forwarded-host: evil\r\nx-forwarded-for: 6.6.6.6\r\nx-forwarded-proto: https\r\n\
                  x-user: root\r\nx_user: root\r\nx-groups: admin\r\n";
    assert_eq!(lab.ask(forged).await.status(), 200);
    let asked = lab.service.asked();
    for (name, value) in [
        ("x-forwarded-uri", "/a?b=c"),
        ("x-forwarded-method", "GET"),
        ("x-forwarded-host", "shop.example"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
    ] {
        assert_eq!(asked.all(name).collect::<Vec<_>>(), [value], "{name}");
    }
    assert_eq!(lab.origin.requests().last().unwrap().all("x-user").collect::<Vec<_>>(), ["ann"]);
    assert_eq!(lab.told("x_user"), None);
    assert_eq!(lab.told("x-groups").as_deref(), Some("a,b"));
    assert_eq!(lab.service.origin.connections(), 1, "its connection is kept");
    lab.outcomes("allowed", 2.0).await;
    let metrics = lab.vanne.metrics().await;
    let times = metrics.value("vanne_identity_forward_seconds_count", &[("identity", "portal")]);
    assert_eq!(times, Some(2.0));
    assert_eq!(lab.vanne.get("/open").await.status(), 200);
    assert_eq!(lab.service.count(), 2, "other routes do not ask");
    let twice = "authorization: Basic YTpi\r\nauthorization: Basic Yzpk\r\n";
    let refused = lab.ask(twice).await;
    assert_eq!(lab.line(&refused).await["end"], "token_repeated");
    assert_eq!(lab.service.count(), 2);
}

#[tokio::test]
async fn what_it_gets_and_what_its_fields_are_called_is_said_in_the_config() {
    let lab = Lab::start(YES, USUAL, ASKS, "").await;
    let identity = "request_headers = [\"X-Secret\", \"User-Agent\"]\nuser_header = \"X-Scopes\"";
    lab.reload(identity, ASKS, "").await;
    let answer = lab.ask("cookie: s=1\r\nx-secret: 1\r\nx-secret: 2\r\nuser-agent: me\r\n").await;
    assert_eq!(lab.line(&answer).await["user"], "read write");
    assert_eq!(lab.told("x-groups"), None);
    let asked = lab.service.asked();
    assert_eq!((asked.field("cookie"), asked.field("user-agent")), (None, Some("me")));
    assert_eq!(asked.all("x-secret").collect::<Vec<_>>(), ["1", "2"]);
    let scopes =
        |scope: &str| format!("identity = {{ use = [\"portal\"], scopes = [\"{scope}\"] }}");
    lab.reload(USUAL, &scopes("write"), "").await;
    assert_eq!(lab.visit().await.status(), 200);
    lab.reload(USUAL, &scopes("admin"), "").await;
    let refused = lab.visit().await;
    assert_eq!(refused.refusal(), (403, "insufficient_scope".into()));
    assert_eq!(lab.line(&refused).await["end"], "scope_missing");
}

#[tokio::test]
async fn a_no_is_told_in_the_words_of_the_service() {
    let lab = Lab::start(NO, USUAL, ASKS, "").await;
    let refused = lab.visit().await;
    assert_eq!((refused.status(), refused.text()), (403, "<p>no</p>".into()));
    let field = |answer: &Answer, name: &str| answer.head.field(name).map(str::to_owned);
    assert_eq!(field(&refused, "content-type").as_deref(), Some("text/html"));
    assert_eq!(field(&refused, "cache-control").as_deref(), Some("no-store"));
    assert_eq!(field(&refused, "server"), None, "no more than is meant for clients");
    let line = lab.line(&refused).await;
    assert_eq!((&line["end"], &line["status"]), (&"forward_forbidden".into(), &403.into()));
    let elsewhere = "HTTP/1.1 303 See Other\r\nlocation: https://login.example/?rd=%2Fa\r\n\
                     set-cookie: a=1; Path=/\r\nset-cookie: b=2\r\ncontent-length: 0\r\n\r\n";
    lab.service.says(Some(elsewhere));
    // Who shows nothing is sent to the login page, too.
    let sent = lab.ask("").await;
    assert_eq!(sent.status(), 303);
    assert_eq!(field(&sent, "location").as_deref(), Some("https://login.example/?rd=%2Fa"));
    assert_eq!(sent.head.all("set-cookie").collect::<Vec<_>>(), ["a=1; Path=/", "b=2"]);
    let line = lab.line(&sent).await;
    assert_eq!((&line["end"], &line["status"]), (&"forward_redirected".into(), &303.into()));
    lab.service.says(Some(
        "HTTP/1.1 401 Who\r\nwww-authenticate: Negotiate\r\ncontent-length: 3\r\n\r\nwho",
    ));
    let asked = lab.visit().await;
    assert_eq!((asked.status(), asked.text()), (401, "who".into()));
    assert_eq!(asked.head.all("www-authenticate").collect::<Vec<_>>(), ["Negotiate"]);
    assert_eq!(lab.line(&asked).await["end"], "forward_unauthorized");
    let mut client = Client2::connect(lab.vanne.http).await;
    let answer = client.get("/a").await;
    assert_eq!((answer.status(), answer.text()), (401, "who".into()));
    let call = client.request("POST", "/a").header("content-type", "application/grpc");
    let (answer, _) = client.send(call, true).await;
    let answer = whole(answer).await.unwrap();
    assert_eq!((answer.status(), answer.field("grpc-status")), (200, Some("16")));
    assert_eq!(answer.field("www-authenticate"), None);
    let long = format!(
        "HTTP/1.1 401 Who\r\ncontent-type: text/html\r\ncontent-length: 70000\r\n\r\n{}",
        "x".repeat(70_000)
    );
    lab.service.says(Some(&long));
    let cut = lab.visit().await;
    assert_eq!((cut.status(), cut.body.len(), cut.head.field("content-type")), (401, 0, None));
    lab.outcomes("refused", 6.0).await;
    assert!(lab.origin.requests().is_empty(), "who is refused goes nowhere");
}

#[tokio::test]
async fn without_a_word_of_the_service_nobody_passes() {
    let lab = Lab::start(YES, &format!("{USUAL}\ntimeout = \"200ms\""), ASKS, "").await;
    let unavailable = async |what: &str| {
        let (time, refused) = timed(lab.visit()).await;
        assert_eq!(refused.refusal(), (503, "forward_unavailable".into()), "{what}");
        assert_eq!(refused.head.field("www-authenticate"), None);
        let line = lab.line(&refused).await;
        assert_eq!((&line["end"], &line["by"]), (&"forward_unavailable".into(), &"vanne".into()));
        time
    };
    for wrong in [
        "HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
    ] {
        lab.service.says(Some(wrong));
        unavailable(wrong).await;
    }
    lab.outcomes("wrong", 4.0).await;
    lab.outcomes("failed", 1.0).await;
    lab.service.says(None);
    let time = unavailable("nothing").await;
    assert!((ms(195)..ms(2000)).contains(&time), "{time:?}");
    lab.outcomes("timeout", 1.0).await;
    assert_eq!(lab.vanne.get("/open").await.status(), 200);
    lab.service.says(Some(YES));
    assert_eq!(lab.visit().await.status(), 200, "it is asked again at once");
    lab.vanne.says("answers again").await;
    let log = lab.vanne.process_log();
    assert!(log.contains("status 500"), "{log}");
    assert_eq!(log.matches("requests are refused").count(), 1, "{log}");
    // Nobody is there at all.
    let away = Port::take();
    let config = config(&lab.origin, away.address, &lab.dir, USUAL, ASKS, "");
    assert_ne!(lab.vanne.reload(&config).await["result"], "refused");
    unavailable("away").await;
    lab.vanne.says("connect: ").await;
    let labels = [("identity", "portal"), ("result", "unavailable")];
    lab.vanne.metric_is("vanne_identity_total", &labels, 7.0).await;
}

#[tokio::test]
async fn a_connection_that_the_service_has_closed_costs_nobody_anything() {
    let lab = Lab::start(YES, USUAL, ASKS, ONE).await;
    let last = YES.replace("content-length", "connection: close\r\ncontent-length");
    for answer in [YES, &last, YES, YES] {
        lab.service.says(Some(answer));
        assert_eq!(lab.visit().await.status(), 200);
    }
    assert!(lab.service.origin.connections() <= 3, "{}", lab.service.origin.connections());
}

#[tokio::test]
async fn a_slow_service_holds_up_its_own_route_and_no_other() {
    let identity = "timeout = \"5s\"\nmax_at_once = 3";
    let lab = Lab::start(YES, identity, ASKS, ONE).await;
    lab.service.says(None);
    let mut waiting = Vec::new();
    for count in 1..=3 {
        let mut client = Client::connect(lab.vanne.http).await;
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        lab.service.origin.has_got(count).await;
        waiting.push(client);
    }
    // Beyond so many nobody waits.
    let refused = lab.visit().await;
    assert_eq!(refused.refusal(), (503, "forward_busy".into()));
    lab.outcomes("busy", 1.0).await;
    let mut slowest = Duration::ZERO;
    for _ in 0..50 {
        let (time, answer) = timed(lab.vanne.get("/open")).await;
        assert_eq!(answer.status(), 200);
        slowest = slowest.max(time);
    }
    assert!(slowest < ms(1000), "{slowest:?}");
    // Who leaves gives the place back, and is not asked about any more.
    drop(waiting);
    lab.service.origin.first_end().await;
    lab.service.says(Some(YES));
    crate::harness::eventually_async("places are free again", async || {
        (lab.visit().await.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_yes_is_remembered_for_the_same_request_if_the_config_says_so() {
    let lab = Lab::start(YES, "remember = \"60s\"", ASKS, "").await;
    for _ in 0..3 {
        assert_eq!(lab.visit().await.status(), 200);
        assert_eq!(lab.told("x-user").as_deref(), Some("ann"));
    }
    assert_eq!(lab.service.count(), 1);
    let labels = [("identity", "portal"), ("result", "cached")];
    lab.vanne.metric_is("vanne_identity_total", &labels, 2.0).await;
    // All that it gets counts: another cookie, another path.
    lab.service.says(Some(NO));
    assert_eq!(lab.ask("cookie: s=2\r\n").await.status(), 403);
    let other = ask(lab.vanne.http, "GET /b HTTP/1.1\r\nhost: a\r\ncookie: s=1\r\n\r\n").await;
    assert_eq!(other.status(), 403);
    assert_eq!(lab.ask("cookie: s=2\r\n").await.status(), 403, "a no is asked again");
    assert_eq!(lab.service.count(), 4);
    lab.reload("remember = \"100ms\"", ASKS, "").await;
    lab.service.says(Some(YES));
    assert_eq!(lab.visit().await.status(), 200);
    lab.service.says(Some(NO));
    crate::harness::eventually_async("it is forgotten", async || {
        (lab.visit().await.status() == 403).then_some(())
    })
    .await;
}

#[tokio::test]
async fn limits_by_address_come_before_it_and_those_of_users_after() {
    let limits = "[rate_limit.tries]\nkey = \"ip\"\nrate = \"1/h\"\nburst = 2\n\
                  [rate_limit.each]\nkey = \"user\"\nrate = \"1/h\"\nburst = 1";
    let route = format!("{ASKS}\nrate_limits = [\"tries\", \"each\"]");
    let lab = Lab::start(YES, USUAL, &route, limits).await;
    assert_eq!(lab.visit().await.status(), 200);
    assert_eq!(lab.visit().await.status(), 429, "one for each user, who then pays for none");
    lab.service.says(Some(&YES.replace("ann", "bob")));
    assert_eq!(lab.visit().await.status(), 200);
    assert_eq!(lab.service.count(), 3);
    assert_eq!(lab.visit().await.status(), 429);
    assert_eq!(lab.service.count(), 3, "it is not asked about who is refused before");
}

#[tokio::test]
async fn the_first_of_several_that_finds_something_decides_and_the_last_is_asked_in_any_case() {
    let both = |first: &str, second: &str, mode: &str| {
        format!("identity = {{ use = [\"{first}\", \"{second}\"], mode = \"{mode}\" }}")
    };
    let lab = Lab::start(NO, USUAL, &both("staff", "portal", "required"), "").await;
    let good = format!("authorization: Bearer {}\r\n", token("ed", "EdDSA", &claims("eve")));
    let answer = lab.ask(&good).await;
    assert_eq!((answer.status(), &lab.line(&answer).await["user"]), (200, &"eve".into()));
    assert_eq!(lab.ask("authorization: Bearer x\r\n").await.status(), 401);
    assert_eq!(lab.service.count(), 0, "a token is no matter of the service");
    assert_eq!(lab.ask("").await.status(), 403);
    assert_eq!(lab.service.count(), 1);
    // First in the list it is asked about what is of its kind alone.
    lab.reload("request_headers = [\"Cookie\"]", &both("portal", "staff", "required"), "").await;
    assert_eq!(lab.ask(&good).await.status(), 200);
    let missing = lab.ask("").await;
    assert_eq!(missing.head.field("www-authenticate"), Some("Bearer realm=\"staff\""));
    assert_eq!(lab.service.count(), 1);
    assert_eq!(lab.ask(&format!("{good}cookie: s=1\r\n")).await.status(), 403);
    lab.reload("", &both("staff", "portal", "optional"), "").await;
    assert_eq!(lab.ask("").await.status(), 200, "who shows nothing is nobody");
    assert_eq!(lab.visit().await.status(), 403, "what is shown must be good");
    assert_eq!(lab.service.count(), 3);
}

#[tokio::test]
async fn cookies_that_http2_brings_one_by_one_are_one_field() {
    let lab = Lab::start(YES, USUAL, ASKS, "").await;
    let mut client = Client2::connect(lab.vanne.http).await;
    let request = client.request("GET", "/a").header("cookie", "a=1").header("cookie", "b=2");
    let (answer, _) = client.send(request, true).await;
    assert_eq!(whole(answer).await.unwrap().status(), 200);
    assert_eq!(lab.service.asked().all("cookie").collect::<Vec<_>>(), ["a=1; b=2"]);
    assert_eq!(lab.told("x-user").as_deref(), Some("ann"));
}

#[tokio::test]
async fn a_service_proves_by_tls_that_it_is_the_one() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    let file = dir.path().join("ca.pem");
    authority.write(&file);
    let port = authority.answering("localhost", YES.to_owned()).await.port();
    let config = format!(
        "admin.socket = \"@dir/admin.sock\"\n[listener.http]\naddress = \"@http\"\n\
         [identity.portal.forward]\nurl = \"https://localhost:{port}/check\"\nca_file = \"{}\"\n\
         [[route]]\nname = \"all\"\nanswer.body = \"in\"\nidentity.use = [\"portal\"]\n",
        file.display()
    );
    let vanne = Vanne::start(&config).await;
    assert_eq!(vanne.get("/").await.status(), 200);
    assert_eq!(vanne.get("/").await.status(), 200);
    // Another authority counts from the next connection on, though the config says the same.
    Authority::new().write(&file);
    assert_ne!(vanne.reload(&config).await["result"], "refused");
    assert_eq!(vanne.get("/").await.refusal(), (503, "forward_unavailable".into()));
    vanne.says("tls: ").await;
}
