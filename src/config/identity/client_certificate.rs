//! `[identity.NAME.client_certificate]`: who a certificate names that the client has shown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The certificate that the client showed when it connected. Listeners ask for one
/// (`listener.NAME.tls.client_ca`) and believe only those of their authorities; here it says who the
/// client is. Claims: `sub` (the name that `user` chooses), `cn`, `san` (a list of names of hosts, addresses of mail and URIs), `serial` and
/// `fingerprint` (the SHA-256 of the certificate), both in hexadecimal.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClientCertificate {
    /// What in the certificate is the user's name. One that has none is refused with 401
    /// `certificate_nameless`.
    pub user: CertificateName,
}

/// A name in a certificate. Of alternative names the first of its kind counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateName {
    /// The common name of the subject, if there is one and no other.
    #[default]
    Cn,
    /// A name of a host.
    SanDns,
    /// An address of mail.
    SanEmail,
    /// A URI, like a SPIFFE ID.
    SanUri,
}
