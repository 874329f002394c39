//! Status: what there is to tell of a listener's certificates.

use super::Keeper;
use super::read::Certificate;
use jiff::Timestamp;
use rustls::SignatureAlgorithm;
use schemars::JsonSchema;
use serde::Serialize;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use x509_parser::prelude::{FromDer, X509Certificate};

/// A certificate that is in use, or a file that gives none.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CertificateStatus {
    /// The listener.
    pub listener: String,
    /// The file, or the pattern that finds none.
    pub file: String,
    /// The names it is for.
    pub names: Vec<String>,
    /// Who signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The kind of its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<&'static str>,
    /// Until when it is valid: RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    /// Whole days until then; negative: since then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days_left: Option<i64>,
    /// Why the file as it is now cannot be used; what it held before still is, if there is more
    /// to tell than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Keeper {
    /// All that is in use, and all that cannot be used, at the time `wall`.
    #[must_use]
    pub fn status(&self, wall: SystemTime) -> Vec<CertificateStatus> {
        let now = wall.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed());
        let used = self.certificates.iter().map(|(path, certificate)| CertificateStatus {
            names: certificate.names.clone(),
            issuer: issuer(certificate),
            key: Some(kind(certificate)),
            not_after: Timestamp::from_second(certificate.not_after).ok().map(|at| at.to_string()),
            days_left: Some((certificate.not_after - now).div_euclid(86_400)),
            ..self.nothing(path)
        });
        let unused = self.said.keys().filter(|path| !self.certificates.contains_key(*path));
        used.chain(unused.map(|path| self.nothing(path))).collect()
    }

    fn nothing(&self, path: &Path) -> CertificateStatus {
        CertificateStatus {
            listener: self.listener.clone(),
            file: path.display().to_string(),
            names: Vec::new(),
            issuer: None,
            key: None,
            not_after: None,
            days_left: None,
            error: self.said.get(path).cloned(),
        }
    }
}

fn issuer(certificate: &Certificate) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(certificate.key.cert.first()?).ok()?;
    Some(parsed.issuer().to_string())
}

fn kind(certificate: &Certificate) -> &'static str {
    match certificate.key.key.algorithm() {
        SignatureAlgorithm::ECDSA => "ecdsa",
        SignatureAlgorithm::ED25519 => "ed25519",
        SignatureAlgorithm::RSA => "rsa",
        _ => "other",
    }
}
