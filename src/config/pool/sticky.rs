//! How clients come back to the backend that they had.

use crate::config::matching::{CookieName, FieldName};
use crate::config::observe::FilePath;
use crate::types::units::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Clients come back to the backend that they had: by a token that they carry, either in a
/// cookie or in a header field. It is signed, and names no address.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sticky {
    /// The name of the cookie: HttpOnly, and Secure when the request came by HTTPS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie: Option<CookieName>,
    /// The name of a header field instead: answers carry it, and the client sends it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<FieldName>,
    /// When browsers send the cookie with requests that other sites cause.
    pub same_site: SameSiteName,
    /// How long a client is remembered that does not come. Each use renews it.
    pub ttl: Period,
    /// A file with the keys that sign tokens, one a line, at least 32 characters each: the
    /// first signs, all are accepted. Replicas need the same. Without it: a key of the
    /// process' own, and clients move when it restarts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<FilePath>,
    /// What clients of a backend that drains do.
    pub when_draining: WhenDraining,
    /// What clients of a backend with `max_requests` under way do.
    pub when_full: WhenFull,
    /// What clients of a backend do whose circuit is open, or half open and has its probes.
    pub when_open: WhenOpen,
}

impl Default for Sticky {
    fn default() -> Self {
        Self {
            cookie: None,
            header: None,
            same_site: SameSiteName::Lax,
            ttl: Period::from_secs(1800),
            key_file: None,
            when_draining: WhenDraining::Stay,
            when_full: WhenFull::Move,
            when_open: WhenOpen::Move,
        }
    }
}

/// When browsers send a cookie with requests that other sites cause (RFC 6265bis §5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SameSiteName {
    /// When a link is followed.
    Lax,
    /// Always: browsers take such a cookie over HTTPS only.
    None,
    /// Never.
    Strict,
}

/// What clients of a backend that drains do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WhenDraining {
    /// They go to another backend, and stay there.
    Move,
    /// They finish there.
    Stay,
}

/// What clients of a full backend do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WhenFull {
    /// They go to another backend, and stay there.
    Move,
    /// They get 503 `backends_full`.
    Refuse,
}

/// What clients of a backend with an open circuit do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WhenOpen {
    /// They go to another backend, and stay there.
    Move,
    /// They get 503 `circuit_open` until it is well.
    Refuse,
}
