//! `[page.NAME]`: what clients are answered with when something else cannot be had.
//!
//! Fallbacks (`static:…`) and `error_pages` name pages, or a file with a single body.

use super::answer::FieldValue;
use super::matching::FieldName;
use super::observe::FilePath;
use crate::types::ids::PageId;
use crate::types::text::{TextValue, text_value};
use crate::types::units::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// An answer for clients, as HTML, as JSON or as both: the client's `Accept` chooses; who takes
/// both alike gets the JSON. What is there only once is for all.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Page {
    /// The status. Without it: that of the reason why the page is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 200, max = 599))]
    pub status: Option<u16>,
    /// The body as HTML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
    /// A file with the body as HTML, of at most 1 MiB. It is read with the config; a change in
    /// it is a change of the config.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub html_file: Option<FilePath>,
    /// The body as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json: Option<String>,
    /// A file with the body as JSON, of at most 1 MiB; read like `html_file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json_file: Option<FilePath>,
    /// After which time the client may try again: `Retry-After`, in whole seconds, rounded up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Period>,
    /// Further fields of the answer. Without a `cache-control` among them: `no-store`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = { "format": "field-name" }))]
    pub headers: BTreeMap<FieldName, FieldValue>,
}

/// Which page: one of the config's, or a file with its only body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageSource {
    /// The page of this name.
    Named(PageId),
    /// The body in this file, whose extension says what it is.
    File(FilePath),
}

/// Extensions of files that are a page.
const EXTENSIONS: [&str; 2] = ["html", "json"];

impl PageSource {
    /// The file, if it is one.
    pub fn file_mut(&mut self) -> Option<&mut FilePath> {
        match self {
            Self::Named(_) => None,
            Self::File(file) => Some(file),
        }
    }

    /// The file, if it is one.
    #[must_use]
    pub fn file(&self) -> Option<&FilePath> {
        match self {
            Self::Named(_) => None,
            Self::File(file) => Some(file),
        }
    }
}

/// Why a text names no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a page: expected {}", PageSource::ACCEPTED)]
pub struct InvalidPage;

impl FromStr for PageSource {
    type Err = InvalidPage;

    fn from_str(text: &str) -> Result<Self, InvalidPage> {
        let extension = Path::new(text).extension().and_then(|extension| extension.to_str());
        match extension {
            Some(extension) if EXTENSIONS.contains(&extension) => {
                Ok(Self::File(FilePath(text.into())))
            }
            _ => text.parse().map(Self::Named).map_err(|_no_name| InvalidPage),
        }
    }
}

impl fmt::Display for PageSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => name.fmt(f),
            Self::File(file) => file.fmt(f),
        }
    }
}

impl TextValue for PageSource {
    const FORMAT: &'static str = "page";
    const ACCEPTED: &'static str =
        "the name of a [page.NAME], or a file that ends with .html or .json";
}

text_value!(PageSource);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_a_name_or_a_file_of_a_kind_that_is_known() {
        assert_eq!("sorry".parse(), Ok(PageSource::Named("sorry".parse().unwrap())));
        for file in ["sorry.html", "/etc/vanne/a.b.json"] {
            assert_eq!(file.parse(), Ok(PageSource::File(FilePath(file.into()))));
        }
        for wrong in ["", "sorry.txt", "/etc/sorry", "Sorry"] {
            assert!(wrong.parse::<PageSource>().is_err(), "{wrong}");
        }
    }
}
