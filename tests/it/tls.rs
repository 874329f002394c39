//! TLS with clients.

use crate::harness::authority::{Authority, Kind, Signed, Tls};
use crate::harness::frames::HANDSHAKE;
use crate::harness::http2::Client2;
use crate::harness::in_time;
use crate::harness::vanne::list;
use crate::harness::{
    Client, Origin, Vanne, eventually, eventually_async, ms, noise, sha256, timed,
};
use crate::websocket;
use std::path::PathBuf;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls::version::TLS12;
use tokio_rustls::rustls::{HandshakeKind, NamedGroup, SignatureScheme};

/// A proxy with TLS, and the files of its certificates.
pub(crate) struct Lab {
    pub(crate) authority: Authority,
    dir: TempDir,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self { authority: Authority::new(), dir: TempDir::new().unwrap() }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a certificate for these names with its key in one file, by renaming.
    pub(crate) fn put(&self, name: &str, signed: &Signed) {
        let temporary = self.file("new.tmp");
        std::fs::write(&temporary, signed.bundle()).unwrap();
        std::fs::rename(temporary, self.file(name)).unwrap();
    }

    pub(crate) fn config(&self, origin: &Origin, tls: &str, more: &str) -> String {
        let tls = tls.replace('@', &format!("{}/", self.dir.path().display()));
        format!(
            "[listener.https]\naddress = \"@http\"\ntls = {{ {tls} }}\n{more}\n\
             [pool.app]\nbackends = {}\n[[route]]\nname = \"all\"\npool = \"app\"\n",
            list(&[origin.address])
        )
    }

    pub(crate) async fn vanne(&self, origin: &Origin, tls: &str) -> Vanne {
        Vanne::start(&self.config(origin, tls, "")).await
    }

    pub(crate) fn tls(&self) -> Tls {
        self.authority.client()
    }
}

pub(crate) const ALL: &str = "certificates = [\"@*.pem\"]";

#[tokio::test]
async fn a_client_gets_the_certificate_for_the_name_it_asks_for() {
    let (lab, origin) = (Lab::new(), Origin::fixed("x").await);
    lab.put("a.pem", &lab.authority.sign(&["a.example"]));
    lab.put("b.pem", &lab.authority.sign(&["b.example", "*.b.example"]));
    let vanne = lab.vanne(&origin, ALL).await;
    for (name, want) in [
        ("a.example", "a.example"),
        ("b.example", "b.example"),
        ("x.b.example", "b.example"),
        ("x.y.b.example", "a.example"),
        ("other.example", "a.example"),
    ] {
        assert_eq!(
            lab.tls().trusting_all().names(vanne.http, name).await.unwrap()[0],
            want,
            "{name}"
        );
    }
    let default = format!("{ALL}, default_certificate = \"@b.pem\"");
    let vanne = lab.vanne(&origin, &default).await;
    assert_eq!(lab.tls().trusting_all().names(vanne.http, "other").await.unwrap()[0], "b.example");
    let strict = format!("{ALL}, strict_sni = true");
    let vanne = lab.vanne(&origin, &strict).await;
    assert!(lab.tls().names(vanne.http, "a.example").await.is_ok());
    let error = lab.tls().trusting_all().names(vanne.http, "other.example").await.unwrap_err();
    assert!(error.contains("UnrecognisedName"), "an alert: {error}");
    let labels = [("listener", "https"), ("reason", "certificate")];
    vanne.metric_is("vanne_tls_handshake_failures_total", &labels, 1.0).await;
}

#[tokio::test]
async fn tls_12_is_refused_unless_it_is_allowed() {
    let (lab, origin) = (Lab::new(), Origin::fixed("x").await);
    lab.put("a.pem", &lab.authority.sign(&["a.example"]));
    let vanne = lab.vanne(&origin, ALL).await;
    let old = || lab.tls().versions(&[&TLS12]);
    let error = old().names(vanne.http, "a.example").await.unwrap_err();
    assert!(error.contains("ProtocolVersion"), "an alert: {error}");
    let labels = [("listener", "https"), ("reason", "unsupported")];
    vanne.metric_is("vanne_tls_handshake_failures_total", &labels, 1.0).await;
    let vanne = lab.vanne(&origin, &format!("{ALL}, min_version = \"1.2\"")).await;
    assert!(old().names(vanne.http, "a.example").await.is_ok());
}

#[tokio::test]
async fn a_name_with_two_kinds_of_keys_serves_all_clients() {
    let (lab, origin) = (Lab::new(), Origin::fixed("x").await);
    lab.put("a-rsa.pem", &lab.authority.sign_as(&["a.example"], Kind::Rsa));
    lab.put("b-ecdsa.pem", &lab.authority.sign(&["a.example"]));
    let vanne = lab.vanne(&origin, ALL).await;
    for name in ["a.example", "unknown"] {
        let scheme = lab.tls().trusting_all().scheme(vanne.http, name).await;
        assert_eq!(scheme, SignatureScheme::ECDSA_NISTP256_SHA256, "ECDSA first");
        let only = lab.tls().trusting_all().only(SignatureScheme::RSA_PSS_SHA256);
        assert_eq!(only.scheme(vanne.http, name).await, SignatureScheme::RSA_PSS_SHA256);
    }
}

#[tokio::test]
async fn the_key_exchange_is_safe_from_quantum_computers_where_the_client_can() {
    let (lab, origin) = (Lab::new(), Origin::fixed("x").await);
    lab.put("a.pem", &lab.authority.sign(&["a.example"]));
    let vanne = lab.vanne(&origin, ALL).await;
    let group = lab.tls().group(vanne.http, "a.example").await;
    assert_eq!(group, NamedGroup::X25519MLKEM768);
}

#[tokio::test]
async fn requests_go_over_tls_by_both_protocols_and_backends_are_told() {
    let (lab, origin) = (Lab::new(), Origin::hashing().await);
    lab.put("a.pem", &lab.authority.sign(&["a.example"]));
    let vanne = lab.vanne(&origin, ALL).await;
    let body = noise(4 * 1024 * 1024);
    let stream = lab.tls().connect(vanne.http, "a.example").await.unwrap();
    let answer = Tls::post(stream, &body).await;
    assert!(answer.ends_with(&format!("{} {}", body.len(), sha256(&body))), "{answer}");
    let stream = lab.tls().alpn(&["h2"]).connect(vanne.http, "a.example").await.unwrap();
    let mut client = Client2::on(stream, "a.example").await;
    assert_eq!(client.post("/", "abc").await.text(), format!("3 {}", sha256(b"abc")));
    for head in origin.requests() {
        assert_eq!(head.field("x-forwarded-proto"), Some("https"));
    }
    for version in ["HTTP/1.1", "HTTP/2"] {
        let is_of = |line: &serde_json::Value| line["version"] == version;
        eventually(version, || vanne.log_lines().iter().any(is_of).then_some(())).await;
    }
}

#[tokio::test]
async fn large_bodies_and_websockets_go_over_tls() {
    let (lab, origin) = (Lab::new(), Origin::hashing().await);
    lab.put("a.pem", &lab.authority.sign(&["a.example"]));
    let vanne = lab.vanne(&origin, ALL).await;
    let body = noise(16 * 1024 * 1024);
    let stream = lab.tls().connect(vanne.http, "a.example").await.unwrap();
    let answer = Tls::post(stream, &body).await;
    assert!(answer.ends_with(&format!("{} {}", body.len(), sha256(&body))), "{answer}");

    let origin = websocket::echo().await;
    let vanne = lab.vanne(&origin, ALL).await;
    let mut stream = lab.tls().connect(vanne.http, "a.example").await.unwrap();
    stream.write_all(HANDSHAKE.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(in_time("the answer", stream.read_u8()).await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"));
    // "hi" in one frame, under a mask of zeros; it comes back without a mask.
    stream.write_all(b"\x81\x82\0\0\0\0hi").await.unwrap();
    let mut frame = [0; 4];
    in_time("a message", stream.read_exact(&mut frame)).await.unwrap();
    assert_eq!(&frame, b"\x81\x02hi");
}

#[tokio::test]
async fn a_connection_too_many_is_closed_before_its_handshake() {
    let (lab, origin) = (Lab::new(), Origin::fixed("x").await);
    lab.put("a.pem", &lab.authority.sign(&["a.example"]));
    let vanne = Vanne::start(&lab.config(&origin, ALL, "max_connections = 1")).await;
    let _first = lab.tls().connect(vanne.http, "a.example").await.unwrap();
    assert!(lab.tls().connect(vanne.http, "a.example").await.is_err());
    let labels = [("listener", "https"), ("reason", "too_many_connections")];
    vanne.metric_is("vanne_tls_handshake_failures_total", &labels, 1.0).await;
}

#[tokio::test]
async fn a_client_that_does_not_shake_hands_is_closed_at_the_deadline() {
    let (lab, origin) = (Lab::new(), Origin::fixed("x").await);
    lab.put("a.pem", &lab.authority.sign(&["a.example"]));
    let more = "timeouts = { handshake = \"300ms\" }";
    let vanne = Vanne::start(&lab.config(&origin, ALL, more)).await;
    let mut client = Client::connect(vanne.http).await;
    let (took, _) = timed(client.end()).await;
    assert!((ms(250)..ms(700)).contains(&took), "{took:?}");
    let labels = [("listener", "https"), ("reason", "timeout")];
    vanne.metric_is("vanne_tls_handshake_failures_total", &labels, 1.0).await;
}

#[tokio::test]
async fn a_client_comes_back_by_a_ticket_to_any_worker_and_any_replica_with_the_keys() {
    let (lab, origin) = (Lab::new(), Origin::fixed("x").await);
    lab.put("a.pem", &lab.authority.sign(&["a.example"]));
    let key = |byte: u8| {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode([byte; 48])
    };
    std::fs::write(lab.file("tickets"), format!("{}\n{}\n", key(1), key(2))).unwrap();
    let shared = format!("{ALL}, ticket_keys_file = \"@tickets\"");
    let (one, other) = (lab.vanne(&origin, &shared).await, lab.vanne(&origin, &shared).await);
    let alone = lab.vanne(&origin, ALL).await;
    let client = lab.tls();
    assert_eq!(client.come_back(one.http).await, HandshakeKind::Full);
    for vanne in [&one, &other, &one, &other] {
        assert_eq!(client.come_back(vanne.http).await, HandshakeKind::Resumed);
    }
    assert_eq!(client.come_back(alone.http).await, HandshakeKind::Full);
    for _ in 0..20 {
        assert_eq!(client.come_back(alone.http).await, HandshakeKind::Resumed);
    }
    // Keys that are replaced are used at once, and the old ones forgotten.
    let again = lab.tls();
    assert_eq!(again.come_back(one.http).await, HandshakeKind::Full);
    std::fs::write(lab.file("tickets"), format!("{}\n", key(3))).unwrap();
    let read_again = "certificates read again";
    eventually("read", || one.process_log().contains(read_again).then_some(())).await;
    assert_eq!(again.come_back(one.http).await, HandshakeKind::Full, "the old key is gone");
}

#[tokio::test]
async fn ticket_keys_are_rotated_and_old_tickets_still_read_for_two_periods() {
    let (lab, origin) = (Lab::new(), Origin::fixed("x").await);
    lab.put("a.pem", &lab.authority.sign(&["a.example"]));
    let vanne = lab.vanne(&origin, &format!("{ALL}, ticket_rotation = \"1s\"")).await;
    let client = lab.tls();
    assert_eq!(client.come_back(vanne.http).await, HandshakeKind::Full);
    tokio::time::sleep(ms(1200)).await;
    assert_eq!(client.come_back(vanne.http).await, HandshakeKind::Resumed);
    // Its ticket is good for two periods; after that it is not even offered.
    tokio::time::sleep(ms(4500)).await;
    assert_eq!(client.come_back(vanne.http).await, HandshakeKind::Full);
}

#[tokio::test]
async fn a_new_certificate_is_served_within_a_second_however_it_came() {
    let (lab, origin) = (Lab::new(), Origin::fixed("x").await);
    lab.put("a.pem", &lab.authority.sign(&["a.example", "zero.example"]));
    // As Kubernetes does it: the file is a link into a folder that is a link.
    let mount = lab.file("mount");
    let version = |number: u32, signed: &Signed| {
        let folder = mount.join(format!("..{number}"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("tls.crt"), &signed.pem).unwrap();
        std::fs::write(folder.join("tls.key"), &signed.key_pem).unwrap();
        let link = mount.join("..new");
        std::os::unix::fs::symlink(format!("..{number}"), &link).unwrap();
        std::fs::rename(link, mount.join("..data")).unwrap();
    };
    version(1, &lab.authority.sign(&["k.example", "zero.example"]));
    for file in ["tls.crt", "tls.key"] {
        std::os::unix::fs::symlink(format!("..data/{file}"), mount.join(file)).unwrap();
    }
    let tls = "certificates = [\"@*.pem\", \"@mount/tls.crt\"]";
    let vanne = lab.vanne(&origin, tls).await;
    let serves = async |host: &str, name: &str| {
        let (took, ()) = timed(eventually_async(name, async || {
            let names = lab.tls().names(vanne.http, host).await.unwrap();
            names.iter().any(|one| one == name).then_some(())
        }))
        .await;
        assert!(took < ms(1100), "{name} after {took:?}");
    };
    lab.put("a.pem", &lab.authority.sign(&["a.example", "renamed.example"]));
    serves("a.example", "renamed.example").await;
    let signed = lab.authority.sign(&["a.example", "inplace.example"]);
    std::fs::write(lab.file("a.pem"), signed.bundle()).unwrap();
    serves("a.example", "inplace.example").await;
    version(2, &lab.authority.sign(&["k.example", "swapped.example"]));
    serves("k.example", "swapped.example").await;
    lab.put("new.pem", &lab.authority.sign(&["added.example"]));
    eventually_async("added", async || lab.tls().names(vanne.http, "added.example").await.ok())
        .await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_leaves_the_old_one_in_use() {
    let (lab, origin) = (Lab::new(), Origin::fixed("x").await);
    let good = lab.authority.sign(&["a.example"]);
    let other = lab.authority.sign(&["a.example"]);
    lab.put("a.pem", &good);
    let vanne = lab.vanne(&origin, ALL).await;
    let whole = other.bundle();
    let days = |from, to| lab.authority.sign_for(&["a.example"], from, to).bundle();
    let broken = [
        (format!("{}{}", other.pem, good.key_pem), "does not match"),
        (days(-20, -10), "has expired"),
        (days(10, 20), "is not valid before"),
        (whole.get(..whole.len() / 3).unwrap().to_owned(), "is none"),
        ("nonsense".to_owned(), "holds no certificate"),
        (other.pem.clone(), "has no key"),
    ];
    for (at, (text, why)) in broken.iter().enumerate() {
        std::fs::write(lab.file("a.pem"), text).unwrap();
        eventually_async(why, async || vanne.process_log().contains(why).then_some(())).await;
        let served = lab.tls().leaf(vanne.http, "a.example").await;
        assert_eq!(served, good.der, "{why}");
        let errors = f64::from(u32::try_from(at).unwrap() + 1);
        vanne.metric_is("vanne_certificate_errors_total", &[("listener", "https")], errors).await;
    }
    std::fs::remove_file(lab.file("a.pem")).unwrap();
    tokio::time::sleep(ms(700)).await;
    assert_eq!(lab.tls().leaf(vanne.http, "a.example").await, good.der, "the last one stays");
    lab.put("a.pem", &other);
    eventually_async("the good one", async || {
        (lab.tls().leaf(vanne.http, "a.example").await == other.der).then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_any_usable_certificate_it_does_not_start_and_check_deep_says_why() {
    let (lab, origin) = (Lab::new(), Origin::fixed("x").await);
    std::fs::write(lab.file("a.pem"), "nonsense").unwrap();
    let config = lab.config(&origin, "certificates = [\"@a.pem\", \"@missing.pem\"]", "");
    let config = config.replace("@http", "127.0.0.1:65001");
    let file = lab.file("vanne.toml");
    std::fs::write(&file, config).unwrap();
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(crate::harness::vanne::binary())
            .args(arguments)
            .arg(&file)
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    assert_eq!(run(&["check"]).0, Some(0), "files are not read without --deep");
    let (code, text) = run(&["check", "--deep"]);
    assert_eq!(code, Some(1), "{text}");
    for part in [
        "listener.https.tls.certificates",
        "a.pem: holds no certificate",
        "missing.pem: no such file",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let (code, text) = run(&["run", "--config"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("listener.https.tls.certificates") && text.contains("a.pem"), "{text}");
}

#[tokio::test]
async fn what_clients_do_wrong_does_not_fill_the_log() {
    let (lab, origin) = (Lab::new(), Origin::fixed("x").await);
    lab.put("a.pem", &lab.authority.sign(&["a.example"]));
    let vanne = lab.vanne(&origin, ALL).await;
    for _ in 0..20 {
        assert!(lab.tls().versions(&[&TLS12]).names(vanne.http, "a.example").await.is_err());
        // A name that is none, as some scanners send it: 127.0.0.1.
        let mut client = Client::connect(vanne.http).await;
        client.send(include_bytes!("hello_with_address.bin")).await;
        client.exactly(1).await;
    }
    assert_eq!(vanne.process_log().lines().count(), 1, "{}", vanne.process_log());
}
