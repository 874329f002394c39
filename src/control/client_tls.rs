//! TLS towards backends, compiled from a pool's config: for checks, and for the lean engine.

use super::compile::CompileError;
use super::wire;
use crate::config::{FilePath, PoolTls};
use crate::types::ids::{IdentityId, PoolId};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::{Arc, LazyLock};

/// The name that backends of the pool `id` are asked for and must prove (without one, their
/// address), and what is believed and shown. What makes it different from another one goes to
/// `hasher`.
///
/// # Errors
/// When a file that the config names cannot be used.
pub(super) fn compile(
    id: &PoolId,
    config: &PoolTls,
    hasher: &mut impl Hasher,
) -> Result<(Option<ServerName<'static>>, ClientConfig), CompileError> {
    let at = |key: &str, path: &Path, why: String| CompileError::File {
        key: format!("pool.{id}.tls.{key}"),
        path: path.display().to_string(),
        why,
    };
    let unusable = |why: &str| at("server_name", Path::new("-"), why.to_owned());
    let name = match &config.server_name {
        None => None,
        Some(host) => {
            let bare = host.as_str().trim_matches(['[', ']']).to_owned();
            let name = ServerName::try_from(bare);
            Some(name.map_err(|_form| unusable("is not a name that TLS can ask for"))?)
        }
    };
    (config.server_name.as_ref().map(|host| host.as_str()), config.verify).hash(hasher);
    let provider = CryptoProvider::get_default().ok_or_else(|| unusable("no TLS here"))?;
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error.to_string()))?;
    let roots = match &config.ca_file {
        None => Arc::clone(&SYSTEM_ROOTS),
        Some(path) => {
            let list = wire::certificates(&path.0).map_err(|why| at("ca_file", &path.0, why))?;
            list.hash(hasher);
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(list);
            Arc::new(roots)
        }
    };
    let builder = match config.verify {
        true => builder.with_root_certificates(roots),
        false => {
            let anyone = Arc::new(Anyone(Arc::clone(provider)));
            builder.dangerous().with_custom_certificate_verifier(anyone)
        }
    };
    let compiled = match &config.certificate_file {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let chain =
                wire::certificates(&path.0).map_err(|why| at("certificate_file", &path.0, why))?;
            let (key_name, key_path) = match &config.key_file {
                Some(key) => ("key_file", &key.0),
                None => ("certificate_file", &path.0),
            };
            let key = PrivateKeyDer::from_pem_file(key_path)
                .map_err(|error| at(key_name, key_path, format!("cannot be read: {error}")))?;
            (&chain, key.secret_der()).hash(hasher);
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| at(key_name, key_path, error.to_string()))?
        }
    };
    Ok((name, compiled))
}

/// TLS with a service that the identity `id` needs: whom to believe that it is who it is. `kind`: the
/// table of the identity that names the file of authorities.
///
/// # Errors
/// When that file cannot be used.
pub(super) fn of_service(
    (id, kind): (&IdentityId, &str),
    authorities: Option<&FilePath>,
) -> Result<Arc<ClientConfig>, CompileError> {
    let at = |path: &Path, why: String| CompileError::File {
        key: format!("identity.{id}.{kind}.ca_file"),
        path: path.display().to_string(),
        why,
    };
    let roots = match authorities {
        None => Arc::clone(&SYSTEM_ROOTS),
        Some(FilePath(path)) => {
            let list = wire::certificates(path).map_err(|why| at(path, why))?;
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(list);
            Arc::new(roots)
        }
    };
    let none = || at(Path::new("-"), "no TLS here".to_owned());
    let provider = CryptoProvider::get_default().ok_or_else(none)?;
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// Whom the system trusts; read once.
static SYSTEM_ROOTS: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    match rustls_native_certs::load_native_certs() {
        Ok(list) => drop(roots.add_parsable_certificates(list)),
        Err(error) => tracing::warn!(%error, "the system's authorities cannot be read"),
    }
    Arc::new(roots)
});

/// Believes that everybody is who they say, as `verify = false` asks for. Handshakes are still
/// whole: whoever shows a certificate has its key.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
