//! `tls = { … }` of a listener: TLS towards clients.

use super::observe::FilePath;
use crate::types::units::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// TLS towards clients. Certificates and keys are read again when their files change; one that
/// cannot be used leaves what was there in use.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerTls {
    /// PEM files, by name or pattern (`certs/*.pem`). Each holds a certificate with those that
    /// lead to its root. The key is in the same file, or beside it: `a.key` or `a-key.pem` for
    /// `a.pem`, `tls.key` for `tls.crt`, `privkey.pem` for `fullchain.pem`. A client gets the
    /// one for the name it asks for.
    #[schemars(length(min = 1))]
    pub certificates: Vec<FilePath>,
    /// The file of `certificates` for clients that ask for no name, or for an unknown one. It
    /// must be one that they name. Without it: the first by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_certificate: Option<FilePath>,
    /// The oldest version that is spoken.
    #[serde(default)]
    pub min_version: TlsVersion,
    /// Whether clients that ask for no name, or for an unknown one, are refused, by the alert
    /// `unrecognized_name`.
    #[serde(default)]
    pub strict_sni: bool,
    /// A PEM file with the authorities whose certificates clients may show. With it clients are asked
    /// for one; one of another authority, or out of its time, ends the handshake. Read again when it
    /// changes, for handshakes from then on. Each handshake is a whole one: no session tickets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<FilePath>,
    /// With `client_ca`: whether clients must show a certificate. Without it: they must.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificates: Option<ClientCertificates>,
    /// How long a key for session tickets encrypts; for two periods more it still decrypts.
    /// The keys are made anew at each start, unless `ticket_keys_file` names some.
    #[serde(default = "default_rotation")]
    pub ticket_rotation: Period,
    /// A file with keys for session tickets, for replicas to share: lines of base64 of 48
    /// bytes each (`openssl rand -base64 48`). The first encrypts, all decrypt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket_keys_file: Option<FilePath>,
}

fn default_rotation() -> Period {
    Period::from_secs(12 * 3600)
}

/// Whether clients must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClientCertificates {
    /// They may; routes can ask for one (`[identity.NAME.client_certificate]`).
    Optional,
    /// They must: else there is no handshake.
    Required,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum TlsVersion {
    /// TLS 1.2 and 1.3.
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3.
    #[default]
    #[serde(rename = "1.3")]
    Tls13,
}
