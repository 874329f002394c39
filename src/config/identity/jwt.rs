//! `[identity.NAME.jwt]`: signed tokens, and whose signature is believed.

use super::key_source::KeySource;
use crate::config::matching::{CookieName, FieldName};
use crate::config::observe::FilePath;
use crate::types::text::{TextValue, text_value};
use crate::types::units::{ByteSize, Period};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A token that an issuer has signed: a JSON Web Token (RFC 7519) as RFC 8725 advises. It is one
/// signed object in the compact form; encrypted and nested ones are refused, and so is one that
/// brings its own key or says how it wants to be checked.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Jwt {
    /// The algorithms that are believed. What the token says only chooses among them.
    #[schemars(length(min = 1))]
    pub algorithms: Vec<JwtAlgorithm>,
    /// Where the keys of the issuer are (RFC 7517): a file with a JSON Web Key Set, read with the
    /// config, of which a change is a change of the config; or a URL that it is fetched from. Keys
    /// are found by `kid`; one that is not for signatures by one of `algorithms` is not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<KeySource>,
    /// With a URL: how often keys are fetched. The issuer's `Cache-Control: max-age` may make it more
    /// often, down to 30 seconds. A token of an unknown key has them fetched at once, at most each
    /// ten seconds, and waits for that for a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Period>,
    /// With a URL: how long keys are good that cannot be fetched anew. Then tokens are refused with
    /// 503 `token_keys_unavailable`. Without it: a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Period>,
    /// With a URL: a PEM file with the authorities that certify the issuer, instead of the
    /// system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<FilePath>,
    /// A file with the secret that issuer and Vanne share, for `HS256`: its whole text but for
    /// white space around it, at least 32 bytes. It is read with the config.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<FilePath>,
    /// Where the token is: `"bearer"`, in `Authorization: Bearer`; `"header:NAME"`, in a field of
    /// its own; or `"cookie:NAME"`.
    #[serde(default)]
    pub from: TokenSource,
    /// What the claim `iss` must be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Of which the claim `aud` must name one. Without any: tokens for whomever are taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<String>,
    /// Claims that must be there.
    #[serde(default = "expiry")]
    pub required_claims: Vec<String>,
    /// How far the issuer's clock may be off, for `exp` and `nbf`.
    #[serde(default = "default_skew")]
    pub skew: Period,
    /// The claim that is the user's name, in the log and for rate limits of `user`: a text of at
    /// most 256 bytes.
    #[serde(default = "subject")]
    pub user_claim: String,
    /// The claim with the scopes: a text with blanks between them, or a list of texts.
    #[serde(default = "scope")]
    pub scopes_claim: String,
    /// The longest token that is looked at: up to 16 KiB.
    #[serde(default = "default_size")]
    pub max_token: ByteSize,
    /// Tokens that are remembered as good until they expire: they are not verified again. Of more,
    /// some are verified again. Each takes about twice its length.
    #[serde(default = "many")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_cached: u32,
}

/// How often keys are fetched, unless it is said.
pub const REFRESH: Period = Period::from_secs(5 * 60);
/// How long keys are good that cannot be fetched anew, unless it is said.
pub const MAX_AGE: Period = Period::from_secs(24 * 60 * 60);

fn expiry() -> Vec<String> {
    vec!["exp".to_owned()]
}

fn default_skew() -> Period {
    Period::from_secs(30)
}

fn subject() -> String {
    "sub".to_owned()
}

fn scope() -> String {
    "scope".to_owned()
}

fn default_size() -> ByteSize {
    ByteSize::from_kib(8)
}

fn many() -> u32 {
    10_000
}

/// An algorithm of signatures (RFC 7518 §3.1, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum JwtAlgorithm {
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// HMAC with SHA-256: whoever can check a token can make one.
    #[serde(rename = "HS256")]
    Hs256,
    /// RSA with PSS and SHA-256.
    #[serde(rename = "PS256")]
    Ps256,
    /// RSA with PKCS #1 v1.5 and SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
}

/// Where a token is in a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TokenSource {
    /// In `Authorization: Bearer`.
    #[default]
    Bearer,
    /// In a cookie.
    Cookie(CookieName),
    /// In a field of its own.
    Header(FieldName),
}

/// Why a text says no place of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no place of a token: expected {}", TokenSource::ACCEPTED)]
pub struct InvalidTokenSource;

impl FromStr for TokenSource {
    type Err = InvalidTokenSource;

    fn from_str(text: &str) -> Result<Self, InvalidTokenSource> {
        let wrong = |_| InvalidTokenSource;
        match text.split_once(':') {
            None if text == "bearer" => Ok(Self::Bearer),
            Some(("cookie", name)) => name.parse().map(Self::Cookie).map_err(wrong),
            Some(("header", name)) => name.parse().map(Self::Header).map_err(wrong),
            _ => Err(InvalidTokenSource),
        }
    }
}

impl fmt::Display for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bearer => f.write_str("bearer"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Header(name) => write!(f, "header:{name}"),
        }
    }
}

impl TextValue for TokenSource {
    const FORMAT: &'static str = "token-source";
    const ACCEPTED: &'static str = "\"bearer\", \"header:NAME\" or \"cookie:NAME\"";
}

text_value!(TokenSource);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_in_a_field_or_a_cookie() {
        for text in ["bearer", "header:x-token", "cookie:session"] {
            assert_eq!(text.parse::<TokenSource>().unwrap().to_string(), text);
        }
        for text in ["", "Bearer", "header:", "cookie:a b", "query:token"] {
            assert_eq!(text.parse::<TokenSource>(), Err(InvalidTokenSource), "{text}");
        }
    }
}
