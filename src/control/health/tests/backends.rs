//! Backends that do what a test says.

use crate::control::task::Task;
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use socket2::{Domain, SockRef, Socket, Type};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// What a backend does with a connection, step by step. After the last it closes.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// Reads a head.
    Read,
    /// Writes this.
    Say(String),
    /// Reads until the other side has closed.
    Wait,
    /// Closes by a reset.
    Reset,
}

/// Reads a head and says this.
pub(super) fn answer(text: &str) -> Vec<Act> {
    vec![Act::Read, Act::Say(text.to_owned())]
}

/// What it has seen.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) heads: Mutex<Vec<String>>,
    pub(super) opened: AtomicUsize,
    pub(super) open: AtomicUsize,
    /// The most that were open at once.
    pub(super) most: AtomicUsize,
}

pub(super) struct Backend {
    pub(super) address: SocketAddr,
    pub(super) seen: Arc<Seen>,
    pub(super) script: Arc<Mutex<Vec<Act>>>,
    _task: Task,
}

/// Counts a connection while it is open.
struct Counted<'a>(&'a Seen);

impl<'a> Counted<'a> {
    fn new(seen: &'a Seen) -> Self {
        seen.opened.fetch_add(1, Ordering::SeqCst);
        let open = seen.open.fetch_add(1, Ordering::SeqCst) + 1;
        seen.most.fetch_max(open, Ordering::SeqCst);
        Self(seen)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Backend {
    /// One that follows `script` on each connection, in plain text.
    pub(super) async fn start(script: Vec<Act>) -> Self {
        Self::start_with(script, None).await
    }

    /// The same with TLS.
    pub(super) async fn start_with(script: Vec<Act>, tls: Option<ServerConfig>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, script) = (Arc::<Seen>::default(), Arc::new(Mutex::new(script)));
        let shared = (Arc::clone(&seen), Arc::clone(&script));
        let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        let task = Task::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, script) = (Arc::clone(&shared.0), shared.1.lock().clone());
                tokio::spawn(serve(stream, tls.clone(), script, seen));
            }
        });
        Self { address, seen, script, _task: task }
    }

    pub(super) fn heads(&self) -> Vec<String> {
        self.seen.heads.lock().clone()
    }

    pub(super) fn opened(&self) -> usize {
        self.seen.opened.load(Ordering::SeqCst)
    }
}

async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, script: Vec<Act>, seen: Arc<Seen>) {
    let _counted = Counted::new(&seen);
    if script.iter().any(|act| matches!(act, Act::Reset)) {
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
    match tls {
        None => follow(stream, &script, &seen).await,
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                follow(stream, &script, &seen).await;
            }
        }
    }
}

async fn follow(mut stream: impl AsyncRead + AsyncWrite + Unpin, script: &[Act], seen: &Seen) {
    for act in script {
        match act {
            Act::Read => {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => return,
                    }
                }
                seen.heads.lock().push(String::from_utf8(head).unwrap());
            }
            // Who has heard enough may close.
            Act::Say(text) => drop(stream.write_all(text.as_bytes()).await),
            Act::Wait => {
                let mut bytes = [0; 1024];
                while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
            }
            Act::Reset => return,
        }
    }
    drop(stream.shutdown().await);
}

/// An address that is held, where nobody listens.
pub(super) struct Refusing {
    pub(super) address: SocketAddr,
    _socket: Socket,
}

impl Refusing {
    pub(super) fn take() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM.cloexec(), None).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        Self { address, _socket: socket }
    }
}

/// An address where connecting takes for ever: its queue is full.
pub(super) struct BlackHole {
    pub(super) address: SocketAddr,
    _sockets: Vec<Socket>,
}

impl BlackHole {
    pub(super) fn open() -> Self {
        let new = || Socket::new(Domain::IPV4, Type::STREAM.cloexec(), None).unwrap();
        let listener = new();
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let mut sockets = vec![listener];
        while sockets.len() < 64 {
            let socket = new();
            let wait = Duration::from_millis(100);
            let is_full = socket.connect_timeout(&address.into(), wait).is_err();
            sockets.push(socket);
            if is_full {
                return Self { address, _sockets: sockets };
            }
        }
        panic!("the queue of {address} does not fill");
    }
}

/// An authority, with its certificate in a file.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    folder: tempfile::TempDir,
}

impl Authority {
    pub(super) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let cert = params.self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), cert.pem()).unwrap();
        let der = cert.der().clone();
        Self { issuer: Issuer::new(params, key), der, folder }
    }

    /// The `tls` of a pool that believes it, with these keys besides.
    pub(super) fn pool(&self, keys: &str) -> String {
        format!("tls = {{ ca_file = {:?}, {keys} }}", self.folder.path().join("ca.pem"))
    }

    /// A certificate for `name`, valid for so many days from now.
    fn sign(&self, name: &str, days: i64) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let now = time::OffsetDateTime::now_utc();
        params.not_before = now - time::Duration::days(10);
        params.not_after = now + time::Duration::days(days);
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// A file with a certificate of a client and its key.
    pub(super) fn client(&self) -> PathBuf {
        let (cert, key) = self.sign("client", 1);
        let path = self.folder.path().join("client.pem");
        std::fs::write(&path, cert.pem() + &key.serialize_pem()).unwrap();
        path
    }

    /// What a backend with a certificate for `name` speaks.
    pub(super) fn config(&self, name: &str, days: i64, alpn: &[&str]) -> ServerConfig {
        self.finish(ServerConfig::builder().with_no_client_auth(), name, days, alpn)
    }

    /// The same for one that asks for a certificate of this authority.
    pub(super) fn strict_config(&self, name: &str) -> ServerConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
        self.finish(ServerConfig::builder().with_client_cert_verifier(verifier), name, 1, &[])
    }

    fn finish(
        &self,
        builder: rustls::ConfigBuilder<ServerConfig, rustls::server::WantsServerCert>,
        name: &str,
        days: i64,
        alpn: &[&str],
    ) -> ServerConfig {
        let (cert, key) = self.sign(name, days);
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let mut config = builder.with_single_cert(vec![cert.der().clone()], key).unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }
}

impl Backend {
    /// Waits until no connection is open and at least one was.
    pub(super) async fn all_closed(&self) {
        let is_so = || self.opened() > 0 && self.seen.open.load(Ordering::SeqCst) == 0;
        super::eventually("all connections are closed", is_so).await;
    }
}
