//! `[identity.NAME]`: how it is known who sends a request; and what a route asks of that.

mod client_certificate;
mod forward;
pub mod jwt;
pub mod key_source;
mod route;
mod shared;
mod url;

pub use client_certificate::{CertificateName, ClientCertificate};
pub use forward::Forward;
pub use jwt::{Jwt, JwtAlgorithm, TokenSource};
pub use key_source::KeySource;
pub use route::{IdentityMode, RouteIdentity, Scope};
pub use shared::{ApiKeys, Basic};
pub use url::HttpUrl;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How it is known who sends a request. Exactly one kind for each name. Routes name those that
/// they take (`route.identity`); nothing else asks who sends a request.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Identity {
    /// Keys of programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_keys: Option<ApiKeys>,
    /// Names and passwords (RFC 7617).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic: Option<Basic>,
    /// The certificate that the client has shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<ClientCertificate>,
    /// A service that is asked about requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward: Option<Forward>,
    /// A token that an issuer has signed (RFC 7519).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt: Option<Jwt>,
}
