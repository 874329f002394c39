//! 1 · TLS towards clients: the handshake, and what it needs.
//!
//! TLS 1.3, and 1.2 only where the config says so. Which certificate a client gets is
//! [`certificates`]; whose certificates a client may show is [`clients`]; how it comes back without
//! a full handshake is [`tickets`]. All are read live and replaced by the control plane; a handshake
//! never waits for them. No early data: it can be replayed, and a proxy cannot know for which
//! requests that is harmless. No tickets where clients show certificates: whoever comes back by one
//! is believed without a look at the certificate of then.

pub mod certificates;
pub mod clients;
pub mod tickets;

use super::Protocols;
use crate::observe::metrics::{Counter, Metrics, TLS_HANDSHAKE_FAILURES, TLS_HANDSHAKES};
use arc_swap::ArcSwap;
use certificates::Resolver;
use clients::{ClientAuthorities, Verifier};
use rustls::server::{Acceptor, NoServerSessionStorage};
use rustls::{CertificateError, Error, HandshakeKind, ServerConfig, SupportedProtocolVersion};
use std::sync::Arc;
use std::time::Duration;
use tickets::TicketKeys;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

/// The record that refuses a name: a fatal alert (RFC 8446 §6), in plain text since no keys
/// are agreed on yet.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// What a listener's handshakes rest on.
pub struct Terms {
    /// TLS 1.2 is spoken too.
    pub allows_tls12: bool,
    /// What is offered by ALPN.
    pub protocols: Protocols,
    /// Which certificate a client gets.
    pub resolver: Arc<Resolver>,
    /// The keys of session tickets.
    pub tickets: Arc<TicketKeys>,
    /// Whose certificates clients may show, if they are asked for one.
    pub clients: Option<Arc<ClientAuthorities>>,
    /// The longest a handshake may take.
    pub deadline: Duration,
}

/// Terminates TLS for one listener, on all workers.
pub struct Terminator {
    terms: Terms,
    made: ArcSwap<Made>,
    full: Counter,
    resumed: Counter,
    failures: [Counter; Failure::ALL.len()],
}

/// What handshakes go by, made of the terms and of what clients' certificates are verified by.
struct Made {
    config: Arc<ServerConfig>,
    verifier: Option<Arc<Verifier>>,
}

/// Why a handshake came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// There is no certificate for the name that the client asks for.
    Certificate,
    /// The client left, or said that it does not like us.
    Client,
    /// The client's certificate is not valid yet, or any more.
    ClientCertificateExpired,
    /// The client has shown no certificate, and must.
    ClientCertificateMissing,
    /// The client's certificate is not good for another reason.
    ClientCertificateRefused,
    /// The client's certificate is of an authority that is not believed.
    ClientCertificateUnknown,
    /// What came is not TLS, or breaks its rules.
    Malformed,
    /// The client was too slow.
    Timeout,
    /// As many connections are open as the listener takes.
    TooManyConnections,
    /// Nothing that both speak: version, cipher, group or protocol.
    Unsupported,
}

impl Failure {
    /// All failures, for resolving handles ahead.
    pub const ALL: [Self; 10] = [
        Self::Certificate,
        Self::Client,
        Self::ClientCertificateExpired,
        Self::ClientCertificateMissing,
        Self::ClientCertificateRefused,
        Self::ClientCertificateUnknown,
        Self::Malformed,
        Self::Timeout,
        Self::TooManyConnections,
        Self::Unsupported,
    ];

    /// The label in log and metric.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Client => "client",
            Self::ClientCertificateExpired => "client_certificate_expired",
            Self::ClientCertificateMissing => "client_certificate_missing",
            Self::ClientCertificateRefused => "client_certificate_refused",
            Self::ClientCertificateUnknown => "client_certificate_unknown",
            Self::Malformed => "malformed",
            Self::Timeout => "timeout",
            Self::TooManyConnections => "too_many_connections",
            Self::Unsupported => "unsupported",
        }
    }

    fn of(error: &std::io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(Error::General(_)) => Self::Certificate,
            Some(Error::NoCertificatesPresented) => Self::ClientCertificateMissing,
            Some(Error::InvalidCertificate(wrong)) => Self::of_certificate(wrong),
            Some(
                Error::PeerIncompatible(_)
                | Error::NoApplicationProtocol
                | Error::InappropriateHandshakeMessage { .. },
            ) => Self::Unsupported,
            Some(Error::AlertReceived(_)) | None => Self::Client,
            Some(_) => Self::Malformed,
        }
    }

    fn of_certificate(wrong: &CertificateError) -> Self {
        use CertificateError as Wrong;
        match wrong {
            Wrong::Expired
            | Wrong::ExpiredContext { .. }
            | Wrong::NotValidYet
            | Wrong::NotValidYetContext { .. } => Self::ClientCertificateExpired,
            // Of two authorities with one name, too.
            Wrong::UnknownIssuer | Wrong::BadSignature => Self::ClientCertificateUnknown,
            _ => Self::ClientCertificateRefused,
        }
    }
}

impl Made {
    fn of(terms: &Terms, verifier: Option<Arc<Verifier>>) -> Self {
        static TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
        static TLS12: &[&SupportedProtocolVersion] =
            &[&rustls::version::TLS13, &rustls::version::TLS12];
        let versions = if terms.allows_tls12 { TLS12 } else { TLS13 };
        let builder = ServerConfig::builder_with_protocol_versions(versions);
        let builder = match &verifier {
            None => builder.with_no_client_auth(),
            Some(verifier) => builder.with_client_cert_verifier(Verifier::clone(verifier)),
        };
        let mut config = builder.with_cert_resolver(Arc::clone(&terms.resolver) as Arc<_>);
        config.alpn_protocols = terms.protocols.alpn();
        // All that a client needs to come back is in its ticket: any worker can read it.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        match &verifier {
            None => config.ticketer = Arc::clone(&terms.tickets) as Arc<_>,
            Some(_) => config.send_tls13_tickets = 0,
        }
        Self { config: Arc::new(config), verifier }
    }
}

impl Terminator {
    /// The terminator of the listener called `name`.
    ///
    /// # Errors
    /// When the process has no crypto provider that can do it.
    pub fn new(terms: Terms, name: &str, metrics: &Metrics) -> Result<Self, Error> {
        let verifier = terms.clients.as_ref().map(|clients| clients.verifier());
        let made = Made::of(&terms, verifier);
        let mut group = metrics.group();
        Ok(Self {
            terms,
            made: ArcSwap::from_pointee(made),
            full: group.handle(&TLS_HANDSHAKES, [name, "full"]),
            resumed: group.handle(&TLS_HANDSHAKES, [name, "resumed"]),
            failures: Failure::ALL
                .map(|why| group.handle(&TLS_HANDSHAKE_FAILURES, [name, why.as_str()])),
        })
    }

    /// Shakes hands on `socket`.
    ///
    /// # Errors
    /// The failure, counted; the client was told by an alert where there is one.
    pub async fn accept(&self, socket: TcpStream) -> Result<TlsStream<TcpStream>, Failure> {
        let shaken = tokio::time::timeout(self.terms.deadline, self.shake_hands(socket)).await;
        let failure = match shaken {
            Ok(Ok(stream)) => {
                match stream.get_ref().1.handshake_kind() {
                    Some(HandshakeKind::Resumed) => self.resumed.inc(),
                    _ => self.full.inc(),
                }
                return Ok(stream);
            }
            Ok(Err(failure)) => failure,
            Err(_elapsed) => Failure::Timeout,
        };
        self.count(failure);
        Err(failure)
    }

    /// Counts a handshake that came to nothing.
    pub fn count(&self, failure: Failure) {
        let index = Failure::ALL.iter().position(|&one| one == failure);
        if let Some(counter) = index.and_then(|index| self.failures.get(index)) {
            counter.inc();
        }
    }

    async fn shake_hands(&self, socket: TcpStream) -> Result<TlsStream<TcpStream>, Failure> {
        let failed = |error: std::io::Error| Failure::of(&error);
        let mut begun =
            LazyConfigAcceptor::new(Acceptor::default(), socket).await.map_err(failed)?;
        // What happens to a resolver without an answer says `access_denied`, which tells the
        // client nothing about its name.
        if !self.terms.resolver.serves(begun.client_hello().server_name()) {
            return match begun.io.write_all(&UNRECOGNIZED_NAME).await {
                Ok(()) => Err(Failure::Certificate),
                Err(_gone) => Err(Failure::Client),
            };
        }
        begun.into_stream(self.config()).await.map_err(failed)
    }

    /// What a handshake goes by that begins now.
    fn config(&self) -> Arc<ServerConfig> {
        let made = self.made.load();
        let Some(clients) = &self.terms.clients else { return Arc::clone(&made.config) };
        let present = clients.verifier();
        if made.verifier.as_ref().is_some_and(|known| Arc::ptr_eq(known, &present)) {
            return Arc::clone(&made.config);
        }
        // Of two handshakes that see it at once, each makes one; the last stays.
        let made = Made::of(&self.terms, Some(present));
        let config = Arc::clone(&made.config);
        self.made.store(Arc::new(made));
        config
    }
}
