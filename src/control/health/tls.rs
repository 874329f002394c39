//! TLS of checks: what is believed and shown, and what goes wrong in words.
//!
//! The same as towards the backends of the pool, but for one thing: no session is resumed,
//! since a resumed one does not show the certificate again.

use crate::config::PoolTls;
use crate::control::client_tls;
use crate::control::compile::CompileError;
use crate::types::ids::PoolId;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, Error};
use std::hash::{Hash, Hasher};
use std::io;
use std::sync::Arc;

/// TLS of a check.
pub(super) struct CheckTls {
    /// The name that is asked for and must be proved; without one, the address.
    pub(super) name: Option<ServerName<'static>>,
    pub(super) config: Arc<ClientConfig>,
}

/// Compiles the TLS of checks of the pool `id`, which speaks `protocol` in it. What makes it
/// different from another one goes to `hasher`.
pub(super) fn compile(
    id: &PoolId,
    config: &PoolTls,
    protocol: &[u8],
    hasher: &mut impl Hasher,
) -> Result<CheckTls, CompileError> {
    protocol.hash(hasher);
    let (name, mut compiled) = client_tls::compile(id, config, hasher)?;
    compiled.resumption = Resumption::disabled();
    compiled.alpn_protocols = vec![protocol.to_vec()];
    Ok(CheckTls { name, config: Arc::new(compiled) })
}

/// What went wrong in a handshake, in words; `name` was asked for.
pub(super) fn words(error: &io::Error, name: &ServerName<'_>) -> String {
    use CertificateError as Wrong;
    let found = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let Some(found) = found else {
        return super::connect::words(error, "in the TLS handshake");
    };
    match found {
        Error::InvalidCertificate(wrong) => match wrong {
            Wrong::Expired | Wrong::ExpiredContext { .. } => "tls: certificate expired".to_owned(),
            Wrong::NotValidYet | Wrong::NotValidYetContext { .. } => {
                "tls: certificate is not valid yet".to_owned()
            }
            Wrong::NotValidForName | Wrong::NotValidForNameContext { .. } => {
                format!("tls: certificate is not for {}", name.to_str())
            }
            // Of two authorities with one name, too.
            Wrong::UnknownIssuer | Wrong::BadSignature => {
                "tls: certificate of an unknown authority".to_owned()
            }
            Wrong::Revoked => "tls: certificate revoked".to_owned(),
            other => format!("tls: certificate refused: {other}"),
        },
        Error::AlertReceived(alert) => format!("tls: the backend refused: {alert:?}"),
        Error::InvalidMessage(_) => "tls: the backend does not speak TLS".to_owned(),
        Error::NoApplicationProtocol => "tls: the backend agrees to no protocol".to_owned(),
        other => format!("tls: {other}"),
    }
}
