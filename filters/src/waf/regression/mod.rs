//! Regression tests of rules, in the format of the Core Rule Set: requests, and the ids that must
//! and must not be logged for each.
//!
//! Files of YAML hold tests of one or more stages; a stage is a request, by its fields or as bytes
//! in base64, and what is expected. The caller reads the text ([`File`] is what it deserializes to)
//! and the JSON of requests that the reference backend would reflect ([`Asked`]), so that this
//! crate needs no parser for them. What a server in front would answer is not known here: a
//! `status` is judged only where rules act, `expect_error` and texts of logs are not.

mod case;
mod file;
mod reflect;
mod request;
mod stage;

pub use case::{Case, Field};
pub use file::{File, Input};
pub use reflect::Asked;
pub use request::parse;
pub use stage::{Miss, Stage};

use std::path::Path;

/// Whether the file at `path` is one of tests, by its name.
#[must_use]
pub fn is_file_of_tests(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "yaml" || end == "yml")
}
