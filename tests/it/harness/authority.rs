//! A certificate authority of the test's own.

use super::in_time;
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::{ClientSessionMemoryCache, Resumption, WebPkiServerVerifier};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime,
};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error, HandshakeKind, NamedGroup, RootCertStore,
    ServerConfig, SignatureScheme, SupportedProtocolVersion,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// An authority, and what it signs.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    der: CertificateDer<'static>,
}

/// A certificate with its key.
pub(crate) struct Signed {
    pub(crate) pem: String,
    pub(crate) key_pem: String,
    pub(crate) der: CertificateDer<'static>,
    pub(crate) key: KeyPair,
}

/// A kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ecdsa,
    Rsa,
}

impl Signed {
    /// The certificate and its key as one text.
    pub(crate) fn bundle(&self) -> String {
        format!("{}{}", self.pem, self.key_pem)
    }
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let cert = params.self_signed(&key).unwrap();
        let (pem, der) = (cert.pem(), cert.der().clone());
        Self { issuer: Issuer::new(params, key), pem, der }
    }

    /// A certificate for these names.
    pub(crate) fn sign(&self, names: &[&str]) -> Signed {
        self.sign_as(names, Kind::Ecdsa)
    }

    /// The same with a key of this kind.
    pub(crate) fn sign_as(&self, names: &[&str], kind: Kind) -> Signed {
        let key = match kind {
            Kind::Ecdsa => KeyPair::generate().unwrap(),
            Kind::Rsa => KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap(),
        };
        self.signed(names, key, |_| ())
    }

    /// A certificate that says what `change` makes it say.
    pub(crate) fn sign_with(&self, change: impl FnOnce(&mut CertificateParams)) -> Signed {
        self.signed(&[], KeyPair::generate().unwrap(), change)
    }

    /// The same, valid from and to so many days from now.
    pub(crate) fn sign_for(&self, names: &[&str], from: i64, to: i64) -> Signed {
        self.sign_between(names, time::Duration::days(from), time::Duration::days(to))
    }

    /// The same, valid in so many seconds, for a day.
    pub(crate) fn sign_soon(&self, names: &[&str], seconds: i64) -> Signed {
        self.sign_between(names, time::Duration::seconds(seconds), time::Duration::days(1))
    }

    fn sign_between(&self, names: &[&str], from: time::Duration, to: time::Duration) -> Signed {
        let now = time::OffsetDateTime::now_utc();
        self.signed(names, KeyPair::generate().unwrap(), |params| {
            (params.not_before, params.not_after) = (now + from, now + to);
        })
    }

    fn signed(
        &self,
        names: &[&str],
        key: KeyPair,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Signed {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Signed { pem: cert.pem(), key_pem: key.serialize_pem(), der: cert.der().clone(), key }
    }

    /// A client that trusts this authority.
    pub(crate) fn client(&self) -> Tls {
        Tls::trusting(self.der.clone())
    }

    /// Writes the authority's own certificate.
    pub(crate) fn write(&self, path: &Path) {
        std::fs::write(path, &self.pem).unwrap();
    }

    /// What a server with a certificate for these names does with a connection; `asks`: it
    /// wants a certificate of this authority from the client too.
    pub(crate) fn acceptor(&self, names: &[&str], alpn: &[&str], asks: bool) -> TlsAcceptor {
        let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if asks {
            let mut roots = RootCertStore::empty();
            roots.add(self.der.clone()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let signed = self.sign(names);
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signed.key.serialize_der()));
        let mut config = builder.with_single_cert(vec![signed.der], key).unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }

    /// A server of this name that gives everyone the same answer, one to a connection.
    pub(crate) async fn answering(&self, name: &str, answer: String) -> SocketAddr {
        let acceptor = self.acceptor(&[name], &[], false);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut buffer = [0; 4096];
                if stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {
                    drop(stream.write_all(answer.as_bytes()).await);
                    drop(stream.shutdown().await);
                }
            }
        });
        address
    }
}

/// A client of TLS. Clones share the tickets they got.
#[derive(Clone)]
pub(crate) struct Tls {
    root: CertificateDer<'static>,
    versions: Vec<&'static SupportedProtocolVersion>,
    alpn: Vec<Vec<u8>>,
    trusts_all: bool,
    schemes: Option<Vec<SignatureScheme>>,
    /// What the client shows: a certificate, and its key.
    shown: Option<(CertificateDer<'static>, Vec<u8>)>,
    tickets: Arc<ClientSessionMemoryCache>,
    /// Made once: tickets are good only for the config that they came to.
    made: Arc<OnceLock<Arc<ClientConfig>>>,
    /// The scheme that the server proved itself by last.
    proved: Arc<Mutex<Option<SignatureScheme>>>,
}

pub(crate) type TlsClient = tokio_rustls::client::TlsStream<TcpStream>;

impl Tls {
    fn trusting(root: CertificateDer<'static>) -> Self {
        Self {
            root,
            versions: vec![&TLS13, &TLS12],
            alpn: Vec::new(),
            trusts_all: false,
            schemes: None,
            shown: None,
            tickets: Arc::new(ClientSessionMemoryCache::new(32)),
            made: Arc::default(),
            proved: Arc::default(),
        }
    }

    pub(crate) fn trusting_all(mut self) -> Self {
        self.trusts_all = true;
        self
    }

    pub(crate) fn versions(mut self, versions: &[&'static SupportedProtocolVersion]) -> Self {
        self.versions = versions.to_vec();
        self
    }

    pub(crate) fn alpn(mut self, names: &[&str]) -> Self {
        self.alpn = names.iter().map(|name| name.as_bytes().to_vec()).collect();
        self
    }

    /// Understands this scheme only.
    pub(crate) fn only(mut self, scheme: SignatureScheme) -> Self {
        self.schemes = Some(vec![scheme]);
        self
    }

    /// Shows this certificate to who asks for one.
    pub(crate) fn showing(mut self, signed: &Signed) -> Self {
        self.shown = Some((signed.der.clone(), signed.key.serialize_der()));
        // Another one was perhaps made for who shows nothing.
        self.made = Arc::default();
        self
    }

    fn config(&self) -> ClientConfig {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Seeing {
                inner: verifier.build().unwrap(),
                trusts_all: self.trusts_all,
                schemes: self.schemes.clone(),
                proved: Arc::clone(&self.proved),
            }));
        let mut config = match &self.shown {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.clone()));
                builder.with_client_auth_cert(vec![certificate.clone()], key).unwrap()
            }
        };
        config.alpn_protocols.clone_from(&self.alpn);
        config.resumption = Resumption::store(Arc::clone(&self.tickets) as Arc<_>);
        config
    }

    /// A connection whose handshake is done, or why there is none.
    pub(crate) async fn connect(&self, to: SocketAddr, name: &str) -> Result<TlsClient, String> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let config = Arc::clone(self.made.get_or_init(|| Arc::new(self.config())));
        let socket = TcpStream::connect(to).await.unwrap();
        let shaking = TlsConnector::from(config).connect(name, socket);
        in_time("a handshake", shaking).await.map_err(|error| error.to_string())
    }

    /// The certificate that is shown.
    pub(crate) async fn leaf(&self, to: SocketAddr, name: &str) -> CertificateDer<'static> {
        let stream = self.fresh().connect(to, name).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    }

    /// The names in the certificate that is shown. In TLS 1.3 a refusal may come only now.
    pub(crate) async fn names(&self, to: SocketAddr, name: &str) -> Result<Vec<String>, String> {
        let mut stream = self.fresh().connect(to, name).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let read = in_time("an answer", stream.read(&mut [0; 12])).await;
        read.map_err(|error| error.to_string())?;
        let leaf = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
        let leaf = webpki::EndEntityCert::try_from(&leaf).unwrap();
        Ok(leaf.valid_dns_names().map(str::to_owned).collect())
    }

    /// The scheme by which the server proves itself.
    pub(crate) async fn scheme(&self, to: SocketAddr, name: &str) -> SignatureScheme {
        let client = self.fresh();
        client.connect(to, name).await.unwrap();
        client.proved.lock().unwrap()
    }

    /// The group of the key exchange.
    pub(crate) async fn group(&self, to: SocketAddr, name: &str) -> NamedGroup {
        let stream = self.connect(to, name).await.unwrap();
        stream.get_ref().1.negotiated_key_exchange_group().unwrap().name()
    }

    /// Makes a request on a connection of its own: by what kind of handshake. Tickets that
    /// came with the answer are kept for the next time.
    pub(crate) async fn come_back(&self, to: SocketAddr) -> HandshakeKind {
        let stream = self.connect(to, "a.example").await.unwrap();
        let kind = stream.get_ref().1.handshake_kind().unwrap();
        assert!(Self::post(stream, b"").await.starts_with("HTTP/1.1 200"));
        kind
    }

    /// Posts a body and reads the answer to its end.
    pub(crate) async fn post(mut stream: TlsClient, body: &[u8]) -> String {
        let head = format!(
            "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        // What the socket did not take at once is left with TLS until then.
        stream.flush().await.unwrap();
        let mut answer = String::new();
        in_time("an answer", stream.read_to_string(&mut answer)).await.unwrap();
        answer
    }

    /// The same client without tickets.
    fn fresh(&self) -> Self {
        let tickets = Arc::new(ClientSessionMemoryCache::new(32));
        Self { tickets, made: Arc::default(), ..self.clone() }
    }
}

/// Verifies as usual, and remembers by what scheme the server proved itself.
#[derive(Debug)]
struct Seeing {
    inner: Arc<WebPkiServerVerifier>,
    trusts_all: bool,
    schemes: Option<Vec<SignatureScheme>>,
    proved: Arc<Mutex<Option<SignatureScheme>>>,
}

impl ServerCertVerifier for Seeing {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.trusts_all {
            true => Ok(ServerCertVerified::assertion()),
            false => self.inner.verify_server_cert(leaf, others, name, ocsp, now),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        *self.proved.lock() = Some(signed.scheme);
        self.inner.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone().unwrap_or_else(|| self.inner.supported_verify_schemes())
    }
}
