//! What a route may do instead of asking a backend: send the client elsewhere, or answer.

use super::matching::FieldName;
use super::observe::FilePath;
use super::route::{Host, PathPrefix};
use crate::types::text::{TextValue, text_value};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Where a redirect leads: a whole address, or the request's own with some parts changed.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Redirect {
    /// The whole address, like `"https://www.example.com/new"` or `"/new"`. Not beside the
    /// parts below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<RedirectTo>,
    /// The scheme. Without it: that of the request, as a trusted proxy says or by `tls`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
    /// The host. Without it: that of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Host>,
    /// The port. Without it: the scheme's own, if scheme or host are given; else that of the
    /// request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// The whole path. Without it: that of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathPrefix>,
    /// The status. Clients may turn a POST into a GET at 301 and 302, and do so at 303; at 307
    /// and 308 they keep it. They may remember 301 and 308 for ever.
    pub status: RedirectStatus,
    /// Whether the query of the request is kept: appended, if the address has one of its own.
    #[serde(default = "kept")]
    pub keep_query: bool,
}

fn kept() -> bool {
    true
}

/// A scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// Plain text.
    Http,
    /// TLS.
    Https,
}

/// The status of a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct RedirectStatus(u16);

impl RedirectStatus {
    const ALL: [u16; 5] = [301, 302, 303, 307, 308];
}

impl Default for RedirectStatus {
    fn default() -> Self {
        Self(302)
    }
}

impl TryFrom<u16> for RedirectStatus {
    type Error = &'static str;
    fn try_from(status: u16) -> Result<Self, &'static str> {
        if Self::ALL.contains(&status) { Ok(Self(status)) } else { Err("no redirect's status") }
    }
}

impl From<RedirectStatus> for u16 {
    fn from(status: RedirectStatus) -> Self {
        status.0
    }
}

impl JsonSchema for RedirectStatus {
    fn schema_name() -> Cow<'static, str> {
        "RedirectStatus".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "enum": Self::ALL })
    }
}

/// The whole address that a redirect leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirectTo(Box<str>);

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address: expected {}", RedirectTo::ACCEPTED)]
pub struct InvalidRedirectTo;

impl RedirectTo {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RedirectTo {
    type Err = InvalidRedirectTo;

    fn from_str(text: &str) -> Result<Self, InvalidRedirectTo> {
        let schemes = ["http://", "https://"];
        let host = schemes.into_iter().find_map(|scheme| text.strip_prefix(scheme));
        let begins = match host {
            Some(host) => host.bytes().next().is_some_and(|byte| !b"/?".contains(&byte)),
            // Two slashes would begin a host.
            None => text.starts_with('/') && !text.starts_with("//"),
        };
        let is_part = |byte: u8| byte.is_ascii_graphic() && !b"\"<>#\\".contains(&byte);
        let is_address = begins && text.bytes().all(is_part);
        if is_address { Ok(Self(text.into())) } else { Err(InvalidRedirectTo) }
    }
}

impl fmt::Display for RedirectTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TextValue for RedirectTo {
    const FORMAT: &'static str = "redirect-to";
    const ACCEPTED: &'static str = "an address that begins with http://, https:// or /, without #; \
         other characters %-encoded";
}

text_value!(RedirectTo);

/// An answer that is always the same.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FixedAnswer {
    /// The status. 204, 205 and 304 have no body.
    #[schemars(range(min = 200, max = 599))]
    pub status: u16,
    /// The body. Without it, and without `body_file`: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// A file with the body, of at most 1 MiB. It is read with the config; a change in it is a
    /// change of the config.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_file: Option<FilePath>,
    /// The type of the body (`Content-Type`).
    #[schemars(extend("format" = "header-value"))]
    pub content_type: String,
    /// Further fields of the answer, like `{ cache-control = "max-age=60" }`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = { "format": "field-name" }))]
    pub headers: BTreeMap<FieldName, FieldValue>,
}

impl Default for FixedAnswer {
    fn default() -> Self {
        Self {
            status: 200,
            body: None,
            body_file: None,
            content_type: "text/plain; charset=utf-8".into(),
            headers: BTreeMap::new(),
        }
    }
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct FieldValue(#[schemars(extend("format" = "header-value"))] pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_a_host_or_begins_with_one_slash() {
        for text in ["/", "/new?a=b", "https://a.example", "http://a:80/x"] {
            assert!(text.parse::<RedirectTo>().is_ok(), "{text}");
        }
        for text in [
            "",
            "new",
            "//evil",
            "/\\evil",
            "https://",
            "https:///a",
            "ftp://a",
            "/a#b",
            "/ä",
            "/a b",
        ] {
            assert!(text.parse::<RedirectTo>().is_err(), "{text}");
        }
    }
}
