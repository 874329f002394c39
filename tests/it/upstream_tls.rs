//! TLS with backends.

use crate::harness::authority::Authority;
use crate::harness::frames::{ACCEPTED, HANDSHAKE};
use crate::harness::http2::Client2;
use crate::harness::origin2::Origin2;
use crate::harness::{Client, Origin, Settings, Vanne, ask, eventually_async};
use http::Response;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Files of an authority, and the authority.
struct Lab {
    authority: Authority,
    dir: TempDir,
}

impl Lab {
    fn new() -> Self {
        let lab = Self { authority: Authority::new(), dir: TempDir::new().unwrap() };
        lab.authority.write(&lab.file("ca.pem"));
        let client = lab.authority.sign(&["client"]);
        std::fs::write(lab.file("client.pem"), &client.pem).unwrap();
        std::fs::write(lab.file("client.key"), &client.key_pem).unwrap();
        lab
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A pool of backends inside TLS that are spoken to by this protocol.
    fn pool(&self, protocol: &str) -> String {
        let ca = self.file("ca.pem");
        format!("tls = {{ ca_file = \"{}\" }}\nprotocol = \"{protocol}\"", ca.display())
    }

    /// What a request through a pool with these settings of TLS gets.
    async fn ask(&self, acceptor: TlsAcceptor, tls: &str) -> (u16, String) {
        let address = http1(acceptor).await;
        let tls = tls.replace('@', &format!("{}/", self.dir.path().display()));
        let pool = format!("tls = {{ {tls} }}");
        let settings = Settings { pool: &pool, ..Settings::default() };
        let vanne = Vanne::with(&[address], settings).await;
        let answer = vanne.get("/").await;
        if answer.status() == 200 { (200, answer.text()) } else { answer.refusal() }
    }
}

/// A backend that speaks HTTP/1.1 inside TLS, and says by which name it was asked for.
async fn http1(acceptor: TlsAcceptor) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let name = stream.get_ref().1.server_name().unwrap_or("none").to_owned();
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {
                    let answer =
                        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{name}", name.len());
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    address
}

/// A backend that says `two` by HTTP/2 where that was agreed, else `one`, on connections that end
/// with the first answer; and that may begin to agree to something else.
struct Changing {
    address: std::net::SocketAddr,
    /// Which of its acceptors is next.
    mind: Arc<AtomicUsize>,
}

impl Changing {
    async fn start(acceptors: Vec<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mind = Arc::new(AtomicUsize::new(0));
        let told = Arc::clone(&mind);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let accepting = acceptors[told.load(Ordering::Relaxed)].accept(stream);
                tokio::spawn(async move {
                    let Ok(stream) = accepting.await else { return };
                    match stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                        true => say_two(stream).await,
                        false => say_one(stream).await,
                    }
                });
            }
        });
        Self { address, mind }
    }
}

async fn say_one(mut stream: TlsStream<TcpStream>) {
    let mut buffer = [0; 4096];
    if stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\none";
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
    }
}

async fn say_two(stream: TlsStream<TcpStream>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    if let Some(Ok((_, mut respond))) = connection.accept().await {
        connection.graceful_shutdown();
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        stream.send_data(bytes::Bytes::from_static(b"two"), true).unwrap();
        while connection.accept().await.is_some() {}
    }
}

/// An answer with a length and a coding.
const TWO_FRAMINGS: &str = "HTTP/1.1 200 OK\r\ncontent-length: 7\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";

/// A backend that answers everything inside TLS with these bytes, and how many connections it
/// has had.
async fn saying(
    acceptor: TlsAcceptor,
    answer: &'static str,
) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    (address, connections)
}

#[tokio::test]
async fn a_backend_proves_the_name_it_is_asked_for() {
    let lab = Lab::new();
    let acceptor = || lab.authority.acceptor(&["api.internal"], &[], false);
    let tls = "ca_file = \"@ca.pem\", server_name = \"api.internal\"";
    assert_eq!(lab.ask(acceptor(), tls).await, (200, "api.internal".to_owned()));
    let other = "ca_file = \"@ca.pem\", server_name = \"other.internal\"";
    assert_eq!(lab.ask(acceptor(), other).await, (502, "tls_failed".to_owned()));
}

#[tokio::test]
async fn a_backend_without_a_name_proves_its_address() {
    let lab = Lab::new();
    let named = lab.authority.acceptor(&["api.internal"], &[], false);
    assert_eq!(lab.ask(named, "ca_file = \"@ca.pem\"").await, (502, "tls_failed".to_owned()));
    let addressed = lab.authority.acceptor(&["127.0.0.1"], &[], false);
    assert_eq!(lab.ask(addressed, "ca_file = \"@ca.pem\"").await, (200, "none".to_owned()));
}

#[tokio::test]
async fn a_backend_of_an_unknown_authority_is_refused_unless_verify_is_off() {
    let lab = Lab::new();
    let acceptor = || Authority::new().acceptor(&["api.internal"], &[], false);
    let name = "server_name = \"api.internal\"";
    assert_eq!(lab.ask(acceptor(), name).await, (502, "tls_failed".to_owned()));
    let ca = format!("ca_file = \"@ca.pem\", {name}");
    assert_eq!(lab.ask(acceptor(), &ca).await, (502, "tls_failed".to_owned()));
    let off = format!("{name}, verify = false");
    assert_eq!(lab.ask(acceptor(), &off).await.0, 200);
}

#[tokio::test]
async fn a_backend_that_asks_for_it_gets_our_certificate() {
    let lab = Lab::new();
    let acceptor = || lab.authority.acceptor(&["127.0.0.1"], &[], true);
    let without = "ca_file = \"@ca.pem\"";
    assert_ne!(lab.ask(acceptor(), without).await.0, 200);
    let with =
        "ca_file = \"@ca.pem\", certificate_file = \"@client.pem\", key_file = \"@client.key\"";
    assert_eq!(lab.ask(acceptor(), with).await.0, 200);
}

#[tokio::test]
async fn what_a_backend_says_inside_tls_is_checked_and_its_connection_kept() {
    let lab = Lab::new();
    for protocol in ["http/1.1", "auto"] {
        let pool = format!("{}\nretries.attempts = 0", lab.pool(protocol));
        let settings = Settings { pool: &pool, ..Settings::default() };
        for (answer, status) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 200),
            ("HTTP/1.1 200 OK\ncontent-length: 2\n\nok", 502),
            (TWO_FRAMINGS, 502),
        ] {
            let acceptor = lab.authority.acceptor(&["127.0.0.1"], &["http/1.1"], false);
            let (address, connections) = saying(acceptor, answer).await;
            let vanne = Vanne::with(&[address], settings).await;
            // One client: what a worker keeps is its own.
            let mut client = Client::connect(vanne.http).await;
            for _ in 0..3 {
                assert_eq!(client.get("/").await.status(), status, "{protocol}: {answer:?}");
            }
            let made = connections.load(Ordering::Relaxed);
            assert_eq!(made, if status == 200 { 1 } else { 3 }, "{protocol}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_pool_of_http2_has_no_use_for_a_backend_that_does_not_agree_to_it() {
    let lab = Lab::new();
    let pool = format!("{}\nretries.attempts = 0", lab.pool("h2"));
    let settings = Settings { pool: &pool, ..Settings::default() };
    for agreed in [&["http/1.1"][..], &[]] {
        let backend = http1(lab.authority.acceptor(&["127.0.0.1"], agreed, false)).await;
        let vanne = Vanne::with(&[backend], settings).await;
        assert_eq!(vanne.get("/").await.refusal(), (502, "tls_failed".to_owned()), "{agreed:?}");
    }
}

#[tokio::test]
async fn auto_speaks_http2_to_those_that_agree_and_http1_to_others() {
    let lab = Lab::new();
    let pool = lab.pool("auto");
    let settings = Settings { process: "workers = 1", pool: &pool, ..Settings::default() };
    let acceptor = lab.authority.acceptor(&["127.0.0.1"], &["h2", "http/1.1"], false);
    let origin = Origin2::start(Some(acceptor), |request, mut respond| async move {
        let mut body = request.into_body();
        while let Some(Ok(data)) = body.data().await {
            body.flow_control().release_capacity(data.len()).unwrap();
        }
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        stream.send_data("two".into(), true).unwrap();
    })
    .await;
    let vanne = Vanne::with(&[origin.address], settings).await;
    let body = "x".repeat(100_000);
    let post =
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    for _ in 0..3 {
        let answer = ask(vanne.http, &post).await;
        assert_eq!(answer.text(), "two");
        let line = vanne.log_of(answer.id()).await;
        assert_eq!(line["attempts"].as_array().map(Vec::len), Some(1), "{line}");
    }
    assert_eq!(origin.connections(), 2, "it is asked once, on a connection of its own");
    let old = http1(lab.authority.acceptor(&["127.0.0.1"], &["http/1.1"], false)).await;
    let vanne = Vanne::with(&[old], settings).await;
    assert_eq!(vanne.get("/").await.text(), "none");
}

#[tokio::test]
async fn auto_asks_for_a_websocket_by_http1() {
    let lab = Lab::new();
    let pool = lab.pool("auto");
    let settings = Settings { pool: &pool, ..Settings::default() };
    let acceptor = lab.authority.acceptor(&["127.0.0.1"], &["h2", "http/1.1"], false);
    let (backend, _) = saying(acceptor, ACCEPTED).await;
    let vanne = Vanne::with(&[backend], settings).await;
    let mut client = Client::connect(vanne.http).await;
    client.send(HANDSHAKE).await;
    assert_eq!(client.head().await.unwrap().status(), 101);
}

#[tokio::test]
async fn auto_finds_out_by_streams_too() {
    let lab = Lab::new();
    let pool = lab.pool("auto");
    let settings = Settings {
        process: "workers = 1",
        listener: "protocols = [\"h2\"]",
        pool: &pool,
        ..Settings::default()
    };
    for (agreed, text) in [(&["h2", "http/1.1"][..], "two"), (&["http/1.1"], "one")] {
        let acceptor = lab.authority.acceptor(&["127.0.0.1"], agreed, false);
        let changing = Changing::start(vec![acceptor]).await;
        let vanne = Vanne::with(&[changing.address], settings).await;
        let mut client = Client2::connect(vanne.http).await;
        for _ in 0..3 {
            assert_eq!(client.get("/").await.text(), text);
            assert_eq!(client.post("/", "hello").await.text(), text);
        }
    }
}

#[tokio::test]
async fn a_backend_that_changes_its_mind_is_still_understood() {
    let lab = Lab::new();
    let pool = lab.pool("auto");
    let settings = Settings { process: "workers = 1", pool: &pool, ..Settings::default() };
    let acceptor = |alpn: &[&str]| lab.authority.acceptor(&["127.0.0.1"], alpn, false);
    let minds: [&[&str]; 3] = [&["h2", "http/1.1"], &["http/1.1"], &["h2"]];
    let changing = Changing::start(minds.map(acceptor).to_vec()).await;
    let vanne = Vanne::with(&[changing.address], settings).await;
    // At last HTTP/2 is not offered to it for a while, and it does without.
    for (mind, text) in [(0, "two"), (1, "one"), (0, "one")] {
        changing.mind.store(mind, Ordering::Relaxed);
        for _ in 0..3 {
            let answer = vanne.get("/").await;
            assert_eq!(answer.text(), text, "{:?}", answer.head);
        }
    }
    // Or it does not: then it is asked once more.
    changing.mind.store(2, Ordering::Relaxed);
    let is_understood = async || (vanne.get("/").await.text() == "two").then_some(());
    eventually_async("HTTP/2 is spoken again", is_understood).await;
}

#[tokio::test]
async fn copies_for_a_mirror_go_over_tls_to_a_backend_that_proves_its_name() {
    let lab = Lab::new();
    let origin = Origin::fixed("ok").await;
    for (name, outcome) in [("api.internal", "answered"), ("other.internal", "failed")] {
        let shadow =
            http1(lab.authority.acceptor(&["api.internal"], &["h2", "http/1.1"], false)).await;
        let more = format!(
            "[pool.shadow]\nbackends = [\"{shadow}\"]\nprotocol = \"auto\"\n\
             tls = {{ ca_file = \"{}\", server_name = \"{name}\" }}\n",
            lab.file("ca.pem").display()
        );
        let route = "mirror = { pool = \"shadow\" }";
        let settings = Settings { route, more: &more, ..Settings::default() };
        let vanne = Vanne::with(&[origin.address], settings).await;
        assert_eq!(vanne.get("/").await.text(), "ok");
        let labels = [("route", "all"), ("pool", "shadow"), ("outcome", outcome)];
        vanne.metric_is("vanne_mirrored_total", &labels, 1.0).await;
    }
}
