//! Body processors: what the body of a request says, as arguments, files and markup.
//!
//! A processor takes the whole body: it is inspected once it is complete, so the verdict cannot
//! depend on the pieces in which it came. What it finds goes to a [`Fields`], in the order of the
//! body, with nothing kept in between; what is wrong with the body comes back as a [`Fault`] and
//! never stops a rule from seeing what was found before.

mod json;
mod multipart;
#[cfg(test)]
mod tests;
mod urlencoded;
mod xml;

pub use json::json;
pub use multipart::{MultipartFlags, multipart};
pub use urlencoded::urlencoded;
pub use xml::xml;

use thiserror::Error;

/// Where a body's contents go. The slices live as long as the call.
pub trait Fields {
    /// An argument: a row of ARGS_POST (or ARGS_GET), decoded.
    fn argument(&mut self, name: &[u8], value: &[u8]);
    /// A file of a form: FILES_NAMES is `field`, FILES is `name`, FILES_SIZES is `size_bytes`.
    fn file(&mut self, _field: &[u8], _name: &[u8], _size_bytes: usize) {}
    /// Another name that a server may read for the last file: FILES too, its size counted once.
    fn file_alias(&mut self, _name: &[u8]) {}
    /// A line of a part's head, `Name: value`, without its end: MULTIPART_PART_HEADERS of `part`.
    fn part_header(&mut self, _part: &[u8], _line: &[u8]) {}
    /// The text of an element: XML:/*
    fn xml_text(&mut self, _text: &[u8]) {}
    /// The value of an attribute: XML://@*
    fn xml_attribute(&mut self, _value: &[u8]) {}
}

/// How much a processor reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Arguments (parts of a form, text and attributes of XML count too) of one call.
    pub arguments: usize,
    /// Depth of JSON's and XML's nesting.
    pub depth: usize,
    /// Parts of a multipart body that are files.
    pub files: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { arguments: 1000, depth: 512, files: 100 }
    }
}

/// What is wrong with a body: REQBODY_ERROR is 1 and REQBODY_ERROR_MSG is its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// More arguments than [`Limits::arguments`]; those up to it were given.
    #[error("more than {0} arguments")]
    Arguments(usize),
    /// Nested deeper than [`Limits::depth`].
    #[error("nested more than {0} deep")]
    Depth(usize),
    /// More files than [`Limits::files`].
    #[error("more than {0} files")]
    Files(usize),
    /// Not of the format. `at`: the byte where it stops being so.
    #[error("{format} is broken at byte {at}: {what}")]
    Syntax {
        /// "JSON", "XML", "multipart".
        format: &'static str,
        /// What is wrong.
        what: &'static str,
        /// Where, in bytes from the beginning.
        at: usize,
    },
}
