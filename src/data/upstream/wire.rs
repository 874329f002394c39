//! 8 · Wire: how the backends of a pool are spoken to: the protocol, and TLS or not.

use pingora_core::protocols::tls::CaType;
use pingora_core::utils::tls::{CertKey, WrappedX509, parse_x509};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// What is spoken with a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2, without asking.
    Http2,
    /// HTTP/2 if the backend agrees to it by ALPN, else HTTP/1.1.
    Agreed,
}

/// How the backends of a pool are spoken to.
#[derive(Default)]
pub struct Wire {
    /// The protocol.
    pub protocol: Protocol,
    /// Requests at once on an HTTP/2 connection.
    pub http2_streams_max: usize,
    /// TLS, if any.
    pub tls: Option<Arc<Tls>>,
    /// The same without the choice, where backends have one: HTTP/1.1.
    http1: Option<Arc<Self>>,
    /// Connections are kept for reuse only among equals: the same for equal settings, all of
    /// them counted.
    pub group: u64,
}

/// TLS with the backends of a pool.
pub struct Tls {
    /// The name they are asked for and must prove; without one, their own address.
    pub server_name: Option<String>,
    /// Whether they have to prove who they are.
    pub is_verified: bool,
    /// Who may vouch for them; without it, whom the system trusts.
    pub authorities: Option<Arc<CaType>>,
    /// The certificate that we show, with its key.
    pub identity: Option<Arc<CertKey>>,
    /// The same, for an engine that shakes hands itself.
    pub client: Client,
}

/// TLS as a client that speaks HTTP/1.1.
#[derive(Clone)]
pub struct Client {
    /// The name that is asked for and must be proved; without one, the address.
    pub name: Option<ServerName<'static>>,
    /// What is believed and shown.
    pub config: Arc<ClientConfig>,
}

/// A certificate with those that lead to its root, and its key; all in DER.
pub type Identity = (Vec<Vec<u8>>, Vec<u8>);

impl Wire {
    /// The wire with these settings.
    #[must_use]
    pub fn new(protocol: Protocol, http2_streams_max: usize, tls: Option<Arc<Tls>>) -> Self {
        let mut hasher = DefaultHasher::new();
        (protocol, http2_streams_max, tls.is_some()).hash(&mut hasher);
        if let Some(tls) = &tls {
            (&tls.server_name, tls.is_verified).hash(&mut hasher);
            for authority in tls.authorities.iter().flat_map(|list| list.iter()) {
                authority.borrow_raw_cert().hash(&mut hasher);
            }
            if let Some(identity) = &tls.identity {
                (identity.leaf().borrow_raw_cert(), identity.key()).hash(&mut hasher);
            }
        }
        let http1 = (protocol == Protocol::Agreed)
            .then(|| Arc::new(Self::new(Protocol::Http1, http2_streams_max, tls.clone())));
        Self { protocol, http2_streams_max, tls, http1, group: hasher.finish() }
    }

    /// How a request is sent; one for a WebSocket by HTTP/1.1 where backends have the choice.
    /// `None`: they have none, and no WebSockets.
    #[must_use]
    pub fn for_request(self: &Arc<Self>, is_websocket: bool) -> Option<&Arc<Self>> {
        match (is_websocket, self.protocol) {
            (false, _) | (true, Protocol::Http1) => Some(self),
            (true, Protocol::Http2) => None,
            (true, Protocol::Agreed) => self.http1.as_ref(),
        }
    }
}

impl Tls {
    /// TLS with these settings. The certificates must have been read as certificates before.
    #[must_use]
    pub fn new(
        server_name: Option<String>,
        is_verified: bool,
        authorities: Option<Vec<Vec<u8>>>,
        identity: Option<Identity>,
        client: Client,
    ) -> Self {
        let wrap = |list: Vec<Vec<u8>>| {
            list.into_iter().map(|der| WrappedX509::new(der, parse_x509)).collect()
        };
        Self {
            server_name,
            is_verified,
            authorities: authorities.map(wrap),
            identity: identity.map(|(chain, key)| Arc::new(CertKey::new(chain, key))),
            client,
        }
    }
}
