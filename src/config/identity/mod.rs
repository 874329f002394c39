//! `[identity.NAME]`: how it is known who sends a request; and what a route asks of that.

pub mod jwt;
pub mod key_source;
mod route;
mod shared;

pub use jwt::{Jwt, JwtAlgorithm, TokenSource};
pub use key_source::{KeySource, KeyUrl};
pub use route::{IdentityMode, RouteIdentity, Scope};
pub use shared::{ApiKeys, Basic};

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
    /// A token that an issuer has signed (RFC 7519).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt: Option<Jwt>,
}
