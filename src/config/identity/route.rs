//! `identity = { … }` of a route: who may send its requests, and what backends are told of them.

use crate::config::matching::FieldName;
use crate::types::ids::IdentityId;
use crate::types::text::{TextValue, text_value};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Who may send the requests of a route, and what its backends are told of them.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteIdentity {
    /// The `[identity.NAME]`s that are taken, at most four. The first that finds something of its
    /// kind in a request decides alone: what it refuses the others do not make good.
    #[serde(rename = "use")]
    #[schemars(length(min = 1, max = 4))]
    pub uses: Vec<IdentityId>,
    /// What becomes of requests that show nothing of the kind.
    #[serde(default)]
    pub mode: IdentityMode,
    /// Scopes that who sends it must have, all of them. Else: 403 `scope_missing`; who shows
    /// nothing has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<Scope>,
    /// Fields that tell the backend of who sent the request, and the claims that are their values:
    /// texts, numbers and booleans as they are, lists of texts with commas between them. A claim
    /// that is missing or is no value of a field has no field. These fields are Vanne's alone:
    /// whatever clients send in one of them is taken out, on every route, however it is spelled
    /// (`X_User` for `X-User`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = { "format": "field-name" }))]
    pub claims_to_headers: BTreeMap<FieldName, String>,
}

/// What becomes of requests that show nothing by which it is known who sends them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum IdentityMode {
    /// They pass, and it is not known who sends them. What is shown must be good all the same.
    Optional,
    /// They are refused with 401.
    #[default]
    Required,
}

/// What somebody may do, in a word.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope(Box<str>);

/// Why a text is no scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a scope: expected {}", Scope::ACCEPTED)]
pub struct InvalidScope;

impl Scope {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        // RFC 6749 §3.3.
        let is_part = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\');
        let is_scope = !text.is_empty() && text.len() <= 128 && text.bytes().all(is_part);
        if is_scope { Ok(Self(text.into())) } else { Err(InvalidScope) }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TextValue for Scope {
    const FORMAT: &'static str = "scope";
    const ACCEPTED: &'static str = "1 to 128 visible characters but \" and \\";
}

text_value!(Scope);
