//! A pool's wire, compiled: its protocol, and TLS with the files it names.

use super::client_tls;
use super::compile::CompileError;
use crate::config::{self, PoolProtocol, PoolTls};
use crate::data::upstream::wire::{Client, Identity};
use crate::data::upstream::{Protocol, Tls, Wire};
use crate::types::ids::PoolId;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::hash::DefaultHasher;
use std::path::Path;
use std::sync::Arc;

/// Compiles how the backends of the pool `id` are spoken to.
///
/// # Errors
/// When a file that it names cannot be used.
pub(super) fn compile(id: &PoolId, config: &config::Pool) -> Result<Wire, CompileError> {
    let tls = config.tls.as_ref().map(|tls| compile_tls(id, tls)).transpose()?;
    let protocol = match config.protocol {
        PoolProtocol::Auto if tls.is_some() => Protocol::Agreed,
        PoolProtocol::Auto | PoolProtocol::Http1 => Protocol::Http1,
        PoolProtocol::Http2 => Protocol::Http2,
    };
    let streams_max = usize::try_from(config.http2.max_streams).unwrap_or(usize::MAX);
    Ok(Wire::new(protocol, streams_max, tls.map(Arc::new)))
}

fn compile_tls(id: &PoolId, config: &PoolTls) -> Result<Tls, CompileError> {
    let at = |key: &str, path: &Path, why: String| CompileError::File {
        key: format!("pool.{id}.tls.{key}"),
        path: path.display().to_string(),
        why,
    };
    let read = |key: &str, path: &Path| certificates(path).map_err(|why| at(key, path, why));
    let authorities =
        config.ca_file.as_ref().map(|path| read("ca_file", path.0.as_path())).transpose()?;
    let identity = match &config.certificate_file {
        None => None,
        Some(path) => {
            let chain = read("certificate_file", path.0.as_path())?;
            let (name, key) = match &config.key_file {
                Some(key) => ("key_file", key.0.as_path()),
                None => ("certificate_file", path.0.as_path()),
            };
            Some(identity(chain, key).map_err(|why| at(name, key, why))?)
        }
    };
    let der = |list: Vec<CertificateDer<'_>>| list.into_iter().map(|cert| cert.to_vec()).collect();
    let server_name = config.server_name.as_ref().map(|name| name.as_str().to_owned());
    let (name, mut client) = client_tls::compile(id, config, &mut DefaultHasher::new())?;
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    let client = Client { name, config: Arc::new(client) };
    Ok(Tls::new(server_name, config.verify, authorities.map(der), identity, client))
}

/// The certificates in a PEM file; at least one, and each of them one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let list = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| format!("cannot be read as certificates in PEM: {error}"))?;
    if list.is_empty() {
        return Err("holds no certificate: expected PEM with BEGIN CERTIFICATE".to_owned());
    }
    for certificate in &list {
        webpki::EndEntityCert::try_from(certificate)
            .map_err(|error| format!("holds a certificate that is none: {error}"))?;
    }
    Ok(list)
}

/// The chain with the key in the file at `path`, which must be the key of its first.
fn identity(chain: Vec<CertificateDer<'static>>, path: &Path) -> Result<Identity, String> {
    let key = PrivateKeyDer::from_pem_file(path)
        .map_err(|error| format!("cannot be read as a key in PEM: {error}"))?;
    let provider = CryptoProvider::get_default().ok_or("no TLS in this process")?;
    let der = (chain.iter().map(|cert| cert.to_vec()).collect(), key.secret_der().to_vec());
    CertifiedKey::from_der(chain, key, provider)
        .map_err(|error| format!("is not the key of the certificate: {error}"))?;
    Ok(der)
}
