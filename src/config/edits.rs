//! What a route changes on the way: fields of heads, host and path.

use super::matching::{FieldName, PathPattern};
use super::route::{Host, PathPrefix};
use crate::types::template::Template;
use crate::types::text::{TextValue, text_value};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Changes of header fields.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RouteHeaders {
    /// In the request, on its way to the backend.
    pub request: FieldEdits,
    /// In the answer, on its way to the client: a backend's, or one of Vanne's own.
    pub response: FieldEdits,
}

/// Changes of the fields of one head.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FieldEdits {
    /// Fields that are there once, with this value, whatever was there before.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = { "format": "field-name" }))]
    pub set: BTreeMap<FieldName, Template>,
    /// Fields that are there once more, with this value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = { "format": "field-name" }))]
    pub add: BTreeMap<FieldName, Template>,
    /// Fields that are taken out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<FieldName>,
}

/// What the backend is asked for instead.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rewrite {
    /// The host, in the `Host` field or `:authority`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Host>,
    /// What the path begins with, instead of `match.path`: with `"/v2"` there and `"/"` here
    /// `/v2/x` becomes `/x`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_prefix: Option<PathPrefix>,
    /// A regular expression that the whole path must fit for `path` to take its place; if it
    /// does not, the path stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_regex: Option<PathPattern>,
    /// The whole path; the query stays. `$1` to `$9` are what the groups of `path_regex` hold,
    /// `$$` is a dollar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathTemplate>,
}

/// A path with the groups of a regular expression in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTemplate {
    text: Box<str>,
    parts: Vec<(Box<[u8]>, Option<usize>)>,
}

/// Why a text is no such path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a path: expected {}", PathTemplate::ACCEPTED)]
pub struct InvalidPathTemplate;

impl PathTemplate {
    /// Texts, and the groups that follow them.
    #[must_use]
    pub fn parts(&self) -> &[(Box<[u8]>, Option<usize>)] {
        &self.parts
    }

    /// The last group that is in it; 0 for none.
    #[must_use]
    pub fn group_max(&self) -> usize {
        self.parts.iter().filter_map(|(_, group)| *group).max().unwrap_or_default()
    }
}

impl FromStr for PathTemplate {
    type Err = InvalidPathTemplate;

    fn from_str(text: &str) -> Result<Self, InvalidPathTemplate> {
        let is_part = |byte: u8| byte.is_ascii_graphic() && !b"?#*\"<>\\".contains(&byte);
        if !text.starts_with('/') || text.starts_with("//") || !text.bytes().all(is_part) {
            return Err(InvalidPathTemplate);
        }
        let mut parts = Vec::new();
        let mut plain = Vec::new();
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            match (byte, if byte == b'$' { bytes.next() } else { None }) {
                (b'$', Some(group @ b'1'..=b'9')) => {
                    let text = std::mem::take(&mut plain).into_boxed_slice();
                    parts.push((text, Some(usize::from(group - b'0'))));
                }
                (b'$', Some(b'$')) => plain.push(b'$'),
                (b'$', _) => return Err(InvalidPathTemplate),
                (other, _) => plain.push(other),
            }
        }
        parts.push((plain.into(), None));
        Ok(Self { text: text.into(), parts })
    }
}

impl fmt::Display for PathTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TextValue for PathTemplate {
    const FORMAT: &'static str = "path-template";
    const ACCEPTED: &'static str = "a path that begins with one /, without ?, # or *, other characters \
         %-encoded; $1 to $9 for groups, $$ for a dollar";
}

text_value!(PathTemplate);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_holds_groups() {
        let parse = |text: &str| text.parse::<PathTemplate>();
        let path = parse("/a/$1$2/$$x").unwrap();
        assert_eq!(path.group_max(), 2);
        let shown: Vec<(&[u8], Option<usize>)> =
            path.parts().iter().map(|(text, group)| (&**text, *group)).collect();
        assert_eq!(shown, [(&b"/a/"[..], Some(1)), (b"", Some(2)), (b"/$x", None)]);
        for wrong in ["", "a", "//a", "/a?b", "/$", "/$0", "/$x", "/a b"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
