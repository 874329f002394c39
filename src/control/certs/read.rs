//! A certificate with its key, read from files and checked.

use crate::data::listener::tls::tickets::KEY_BYTES;
use base64::Engine;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// A certificate that can be used.
#[derive(Clone)]
pub(super) struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    /// The names it is for, in lower case and in order.
    pub(super) names: Vec<String>,
    /// Until when it is valid, in seconds of Unix time.
    pub(super) not_after: i64,
}

/// Why a file gives no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("cannot be read: {0}")]
    Unreadable(String),
    #[error("holds no certificate: expected PEM with BEGIN CERTIFICATE")]
    NoCertificate {
        /// It holds a key, for another file.
        has_key: bool,
    },
    #[error("holds a certificate that is none: {0}")]
    Malformed(String),
    #[error("has no key: expected one in the same file or in one of {0}")]
    NoKey(String),
    #[error("its key does not match, or cannot be used: {0}")]
    Key(String),
    #[error("is not valid before {shown}")]
    TooEarly { from: SystemTime, shown: String },
    #[error("has expired at {0}")]
    Expired(String),
    #[error("names no host: expected a subject alternative name")]
    NoName,
}

impl Fault {
    /// When it is none any more, by itself.
    pub(super) fn valid_from(&self) -> Option<SystemTime> {
        if let Self::TooEarly { from, .. } = self { Some(*from) } else { None }
    }
}

/// Where the key for the certificate at `path` may be, if not in the same file.
pub(super) fn key_files(path: &Path) -> Vec<PathBuf> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut files =
        vec![path.with_extension("key"), path.with_file_name(format!("{stem}-key.pem"))];
    if stem == "fullchain" {
        files.push(path.with_file_name("privkey.pem"));
    }
    files.retain(|file| file != path);
    files
}

/// Reads the certificate at `path` with its key, and checks both at the time `wall`.
pub(super) fn certificate(path: &Path, wall: SystemTime) -> Result<Certificate, Fault> {
    let bytes = std::fs::read(path).map_err(|error| Fault::Unreadable(error.to_string()))?;
    let chain = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Fault::Malformed(error.to_string()))?;
    let own_key = PrivateKeyDer::from_pem_slice(&bytes).ok();
    let Some(leaf) = chain.first() else {
        return Err(Fault::NoCertificate { has_key: own_key.is_some() });
    };
    let (names, not_after) = names_and_end(leaf, wall)?;
    let key = match own_key {
        Some(key) => key,
        None => key_files(path)
            .iter()
            .find_map(|file| PrivateKeyDer::from_pem_file(file).ok())
            .ok_or_else(|| Fault::NoKey(listed(&key_files(path))))?,
    };
    let provider = CryptoProvider::get_default().ok_or(Fault::Key("no TLS here".to_owned()))?;
    let key = CertifiedKey::from_der(chain, key, provider)
        .map_err(|error| Fault::Key(error.to_string()))?;
    Ok(Certificate { key: Arc::new(key), names, not_after })
}

fn listed(files: &[PathBuf]) -> String {
    let names: Vec<_> =
        files.iter().filter_map(|file| file.file_name()?.to_str().map(str::to_owned)).collect();
    names.join(", ")
}

fn names_and_end(leaf: &CertificateDer<'_>, wall: SystemTime) -> Result<(Vec<String>, i64), Fault> {
    let (_, parsed) =
        X509Certificate::from_der(leaf).map_err(|error| Fault::Malformed(error.to_string()))?;
    let now = wall.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed());
    let validity = parsed.validity();
    let (from, to) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    if now < from {
        let since = Duration::from_secs(from.unsigned_abs());
        let shown = validity.not_before.to_string();
        return Err(Fault::TooEarly { from: UNIX_EPOCH + since, shown });
    }
    if now > to {
        return Err(Fault::Expired(validity.not_after.to_string()));
    }
    let san = parsed.subject_alternative_name().ok().flatten();
    let mut names: Vec<String> = san
        .iter()
        .flat_map(|san| &san.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            // Clients ask for no name when they want an address: the default is for them.
            GeneralName::IPAddress(_) => Some(String::new()),
            _ => None,
        })
        .collect();
    names.sort();
    names.dedup();
    if names.is_empty() { Err(Fault::NoName) } else { Ok((names, to)) }
}

/// The keys for tickets in the file at `path`.
pub(super) fn ticket_keys(path: &Path) -> Result<Vec<[u8; KEY_BYTES]>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
    let mut keys = Vec::new();
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let bytes = base64::engine::general_purpose::STANDARD.decode(line).ok();
        let key = bytes.and_then(|bytes| bytes.try_into().ok());
        keys.push(key.ok_or_else(|| {
            format!("line {number} is no key: expected base64 of {KEY_BYTES} bytes")
        })?);
    }
    if keys.is_empty() {
        return Err(format!("holds no key: expected lines of base64 of {KEY_BYTES} bytes"));
    }
    Ok(keys)
}
