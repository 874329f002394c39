//! Certificates of clients: who may shake hands, and who a certificate says that somebody is.

use crate::harness::authority::{Authority, Signed, Tls, TlsClient};
use crate::harness::http2::Client2;
use crate::harness::{Origin, Vanne, eventually_async, in_time, sha256};
use crate::tls::Lab;
use rcgen::{CertificateParams, DnType, SanType};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls::HandshakeKind;
use tokio_rustls::rustls::version::TLS12;

/// The listener's TLS; `@` is the folder of the files.
const ASKING: &str = "certificates = [\"@a.pem\"], client_ca = \"@ca.pem\"";
/// What the usual identity and route say.
const USUAL: &str = "identity = { use = [\"staff\"], claims_to_headers = { \"X-User\" = \"sub\", \
                     \"X-Cn\" = \"cn\", \"X-San\" = \"san\", \"X-Serial\" = \"serial\", \"X-Print\" = \
                     \"fingerprint\" } }\n[identity.staff.client_certificate]\n";

/// A certificate for a client.
fn client(
    authority: &Authority,
    name: &str,
    change: impl FnOnce(&mut CertificateParams),
) -> Signed {
    authority.sign_with(|params| {
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(vec![0x8a, 0x01].into());
        change(params);
    })
}

/// A proxy that asks for certificates, of an authority of their own.
struct Asking {
    lab: Lab,
    staff: Authority,
    origin: Origin,
    vanne: Vanne,
}

impl Asking {
    /// `tls` is added to the listener's TLS, `more` to the route.
    async fn start(tls: &str, more: &str) -> Self {
        let (lab, staff, origin) = (Lab::new(), Authority::new(), Origin::fixed("x").await);
        lab.put("a.pem", &lab.authority.sign(&["a.example"]));
        staff.write(&lab.file("ca.pem"));
        let config = config(&lab, &origin, tls, more);
        let vanne = Vanne::start(&config).await;
        Self { lab, staff, origin, vanne }
    }

    fn ann(&self) -> Signed {
        client(&self.staff, "ann", |_| ())
    }

    async fn reload(&self, tls: &str, more: &str) {
        let said = self.vanne.reload(&config(&self.lab, &self.origin, tls, more)).await;
        // Whoever looks after the file may have been faster.
        assert_ne!(said["result"], "refused", "{said}");
    }

    /// The status of an answer to who connects by `tls`, and how it begins; or why there is none.
    async fn try_get(&self, tls: &Tls) -> Result<String, String> {
        let mut stream = tls.connect(self.vanne.http, "a.example").await?;
        get(&mut stream).await
    }

    async fn status(&self, tls: &Tls) -> u16 {
        let answer = self.try_get(tls).await.unwrap();
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// The line of the log for an answer.
    async fn line(&self, answer: &str) -> Value {
        let id = answer.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap();
        self.vanne.log_of(id).await
    }

    /// What the backend was told in the field `name` by the last request.
    fn told(&self, name: &str) -> Option<String> {
        let requests = self.origin.requests();
        requests.last().unwrap().field(name).map(str::to_owned)
    }

    async fn failed(&self, reason: &str, count: f64) {
        let labels = [("listener", "https"), ("reason", reason)];
        self.vanne.metric_is("vanne_tls_handshake_failures_total", &labels, count).await;
    }
}

fn config(lab: &Lab, origin: &Origin, tls: &str, more: &str) -> String {
    let tls = format!("{ASKING}{tls}");
    let listener = "protocols = [\"http/1.1\", \"h2\"]";
    format!("admin.socket = \"@dir/admin.sock\"\n{}{more}\n", lab.config(origin, &tls, listener))
}

/// Asks on `stream` and reads the head of the answer; more can be asked after it.
async fn get(stream: &mut TlsClient) -> Result<String, String> {
    let head = b"GET / HTTP/1.1\r\nhost: a.example\r\nx-user: root\r\nx_cn: root\r\n\r\n";
    // In TLS 1.3 a refusal may come only now.
    drop(stream.write_all(head).await);
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !answer.ends_with(b"x") && !answer.ends_with(b")\n") {
        let read = in_time("an answer", stream.read(&mut buffer)).await;
        match read.map_err(|error| error.to_string())? {
            0 => return Err(format!("it ends after {answer:?}")),
            count => answer.extend_from_slice(&buffer[..count]),
        }
    }
    Ok(String::from_utf8(answer).unwrap())
}

#[tokio::test]
async fn a_certificate_says_who_its_client_is() {
    let asking = Asking::start("", USUAL).await;
    let ann = client(&asking.staff, "ann", |params| {
        params.subject_alt_names = vec![
            SanType::URI("spiffe://corp/ann".try_into().unwrap()),
            SanType::DnsName("ann.example".try_into().unwrap()),
            SanType::Rfc822Name("ann@corp.example".try_into().unwrap()),
        ];
    });
    let tls = asking.lab.tls().showing(&ann);
    let mut stream = tls.connect(asking.vanne.http, "a.example").await.unwrap();
    // All requests of a connection are its client's.
    for _ in 0..2 {
        assert!(get(&mut stream).await.unwrap().starts_with("HTTP/1.1 200"));
        for (name, value) in [
            ("x-user", Some("ann".to_owned())),
            ("x-cn", Some("ann".to_owned())),
            ("x_cn", None),
            ("x-san", Some("spiffe://corp/ann,ann.example,ann@corp.example".to_owned())),
            ("x-serial", Some("8a01".to_owned())),
            ("x-print", Some(sha256(&ann.der))),
        ] {
            assert_eq!(asking.told(name), value, "{name}");
        }
    }
    let answer = get(&mut stream).await.unwrap();
    assert_eq!(asking.line(&answer).await["user"], "ann");
    let tls = asking.lab.tls().showing(&ann).alpn(&["h2"]);
    let stream = tls.connect(asking.vanne.http, "a.example").await.unwrap();
    let mut client = Client2::on(stream, "a.example").await;
    for _ in 0..2 {
        assert_eq!(client.get("/").await.status(), 200);
        assert_eq!(asking.told("x-user").as_deref(), Some("ann"));
    }
    for (user, name) in [
        ("san-dns", "ann.example"),
        ("cn", "ann"),
        ("san-email", "ann@corp.example"),
        ("san-uri", "spiffe://corp/ann"),
    ] {
        asking.reload("", &format!("{USUAL}user = \"{user}\"")).await;
        // On a connection of before, too.
        assert_eq!(client.get("/").await.status(), 200);
        assert_eq!(asking.told("x-user").as_deref(), Some(name));
    }
    // One that has no such name is nobody's.
    let bob = asking.lab.tls().showing(&client_of(&asking.staff));
    let answer = asking.try_get(&bob).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert_eq!(asking.line(&answer).await["end"], "certificate_nameless");
}

fn client_of(authority: &Authority) -> Signed {
    client(authority, "bob", |_| ())
}

#[tokio::test]
async fn who_must_show_a_certificate_shakes_no_hands_with_a_bad_one_or_none() {
    let asking = Asking::start("", USUAL).await;
    let tls = || asking.lab.tls();
    assert_eq!(asking.status(&tls().showing(&asking.ann())).await, 200);
    let error = asking.try_get(&tls()).await.unwrap_err();
    assert!(error.contains("CertificateRequired"), "{error}");
    asking.failed("client_certificate_missing", 1.0).await;
    let stranger = client(&Authority::new(), "ann", |_| ());
    let error = asking.try_get(&tls().showing(&stranger)).await.unwrap_err();
    assert!(error.contains("received fatal alert"), "{error}");
    asking.failed("client_certificate_unknown", 1.0).await;
    let now = time::OffsetDateTime::now_utc();
    let old = client(&asking.staff, "ann", |params| {
        params.not_after = now - time::Duration::days(1);
    });
    let early = client(&asking.staff, "ann", |params| {
        params.not_before = now + time::Duration::days(1);
    });
    for (at, wrong) in [old, early].iter().enumerate() {
        let error = asking.try_get(&tls().showing(wrong)).await.unwrap_err();
        assert!(error.contains("received fatal alert"), "{error}");
        asking.failed("client_certificate_expired", if at == 0 { 1.0 } else { 2.0 }).await;
    }
    let other = client(&asking.staff, "ann", |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    });
    asking.try_get(&tls().showing(&other)).await.unwrap_err();
    asking.failed("client_certificate_refused", 1.0).await;
    assert_eq!(asking.origin.requests().len(), 1);
}

#[tokio::test]
async fn where_certificates_are_optional_routes_say_who_needs_one() {
    let optional = ", client_certificates = \"optional\"";
    let open = "[[route]]\nname = \"open\"\npool = \"app\"\nmatch.path = \"/\"\n\
                match.header = { \"x-open\" = \"1\" }\n";
    let asking = Asking::start(optional, &format!("{USUAL}{open}")).await;
    let tls = asking.lab.tls();
    let answer = asking.try_get(&tls).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(answer.contains("www-authenticate: ClientCertificate realm=\"staff\"\r\n"), "{answer}");
    let line = asking.line(&answer).await;
    assert_eq!((&line["end"], &line["by"]), (&"certificate_missing".into(), &"client".into()));
    let stream = asking.lab.tls().alpn(&["h2"]).connect(asking.vanne.http, "a.example").await;
    let stream = stream.unwrap();
    let mut client2 = Client2::on(stream, "a.example").await;
    assert_eq!(client2.get("/").await.status(), 401);
    let request = client2.request("GET", "/").header("x-open", "1");
    let (answer, _) = client2.send(request, true).await;
    assert_eq!(crate::harness::http2::whole(answer).await.unwrap().status(), 200);
    assert_eq!(asking.status(&tls.clone().showing(&asking.ann())).await, 200);
    // What is shown must be good all the same.
    let stranger = client(&Authority::new(), "ann", |_| ());
    asking.try_get(&tls.clone().showing(&stranger)).await.unwrap_err();
    asking.failed("client_certificate_unknown", 1.0).await;
    // A route may take it or leave it, or take something else.
    let either = USUAL.replace("[\"staff\"]", "[\"staff\", \"keys\"]").replace(
        "[identity.staff",
        "[identity.keys.api_keys]\nfile = \"@dir/keys\"\n[identity.staff",
    );
    std::fs::write(asking.vanne.file("keys"), format!("job {}\n", sha256(b"one"))).unwrap();
    asking.reload(optional, &either).await;
    let answer = asking.try_get(&tls).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert_eq!(asking.line(&answer).await["end"], "token_missing");
    let request = client2.request("GET", "/").header("x-api-key", "one");
    let (answer, _) = client2.send(request, true).await;
    assert_eq!(crate::harness::http2::whole(answer).await.unwrap().status(), 200);
    assert_eq!(asking.told("x-user").as_deref(), Some("job"));
    asking
        .reload(optional, &USUAL.replace("[\"staff\"]", "[\"staff\"], mode = \"optional\""))
        .await;
    assert_eq!(asking.status(&tls).await, 200);
    assert_eq!(asking.told("x-user"), None);
}

#[tokio::test]
async fn other_authorities_count_from_the_next_handshake_on() {
    let asking = Asking::start(", min_version = \"1.2\"", USUAL).await;
    let (ann, next) = (asking.ann(), Authority::new());
    let before = asking.lab.tls().showing(&ann);
    let mut open = before.connect(asking.vanne.http, "a.example").await.unwrap();
    get(&mut open).await.unwrap();
    let older = asking.lab.tls().showing(&ann).versions(&[&TLS12]);
    assert_eq!(asking.status(&older).await, 200);
    next.write(&asking.lab.file("ca.pem"));
    let new = client(&next, "zoe", |_| ());
    let after = asking.lab.tls().showing(&new);
    eventually_async("the new authority is believed", async || {
        asking.try_get(&after).await.ok().filter(|answer| answer.starts_with("HTTP/1.1 200"))
    })
    .await;
    assert_eq!(asking.told("x-user").as_deref(), Some("zoe"));
    // No ticket leads past it.
    for tls in [&before, &older] {
        asking.try_get(tls).await.unwrap_err();
    }
    assert!(get(&mut open).await.unwrap().starts_with("HTTP/1.1 200"), "who is in stays");
    // A file that holds none leaves those of before.
    std::fs::write(asking.lab.file("ca.pem"), "nonsense").unwrap();
    let labels = [("listener", "https")];
    asking.vanne.metric_is("vanne_certificate_errors_total", &labels, 1.0).await;
    assert_eq!(asking.status(&after).await, 200);
    asking.vanne.says("ca.pem").await;
}

#[tokio::test]
async fn no_session_comes_back_without_its_certificate() {
    let asking = Asking::start(", min_version = \"1.2\"", USUAL).await;
    let ann = asking.ann();
    for versions in [vec![], vec![&TLS12]] {
        let tls = asking.lab.tls().showing(&ann);
        let tls = if versions.is_empty() { tls } else { tls.versions(&versions) };
        for _ in 0..3 {
            assert_ne!(tls.come_back(asking.vanne.http).await, HandshakeKind::Resumed);
        }
    }
    let labels = [("listener", "https"), ("kind", "resumed")];
    let resumed = asking.vanne.metrics().await.value("vanne_tls_handshakes_total", &labels);
    assert_eq!(resumed, Some(0.0));
}

#[tokio::test]
async fn users_known_by_certificates_have_limits_of_their_own() {
    let limit = "\n[rate_limit.each]\nkey = \"user\"\nrate = \"1/h\"\nburst = 1";
    let usual = format!("rate_limits = [\"each\"]\n{USUAL}{limit}");
    let asking = Asking::start("", &usual).await;
    let (ann, bob) = (asking.ann(), client_of(&asking.staff));
    for (signed, status) in [(&ann, 200), (&ann, 429), (&bob, 200), (&bob, 429)] {
        assert_eq!(asking.status(&asking.lab.tls().showing(signed)).await, status);
    }
}
