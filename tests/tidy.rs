//! House rules that neither the compiler nor clippy checks: layers, lengths, clocks, tables, words.
//!
//! Each rule is a function over one file, a test that runs it over the tree, and a test that shows
//! it on a text that breaks it. To add one, write the three in the file of its kind. To change a
//! limit, say why in the commit. What is not here: anything that a lint of Cargo.toml can say.
#![cfg(test)]
#![expect(
    clippy::string_slice,
    reason = "offsets come from searches in the same text; a test may panic"
)]

#[path = "tidy/form.rs"]
mod form;
#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/words.rs"]
mod words;

use std::path::Path;

use source::{Source, Violation, read_tree};

/// All our code.
const EVERYWHERE: &[&str] = &["src", "filters/src"];

/// Fails with a line for each place under `folders` that breaks `rule`.
pub(crate) fn check(folders: &[&str], rule: fn(&Source) -> Vec<Violation>) {
    let files = read_tree(Path::new(env!("CARGO_MANIFEST_DIR")), folders);
    assert!(!files.is_empty(), "no source files under {folders:?}");
    let found: Vec<String> = files
        .iter()
        .flat_map(rule)
        .map(|violation| format!("{}:{}: {}", violation.path, violation.line, violation.advice))
        .collect();
    assert!(found.is_empty(), "house rules broken:\n{}", found.join("\n"));
}

/// Lines at which `rule` complains about `text` under `path`.
pub(crate) fn lines(rule: fn(&Source) -> Vec<Violation>, path: &str, text: &str) -> Vec<usize> {
    rule(&Source::new(path, text)).iter().map(|violation| violation.line).collect()
}
