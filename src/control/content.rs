//! What is in the files of a config, to know whether it has changed.

use crate::config::rule_files;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;

/// What was in the files of a config, as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Content {
    /// Of the config file itself.
    pub own: u64,
    /// Of those that it names.
    pub named: u64,
}

impl Content {
    /// What is in these files, or that they cannot be read.
    pub(super) fn of(own: Option<&PathBuf>, named: &[PathBuf]) -> Self {
        Self { own: number_of(own.as_slice().iter().copied()), named: number_of(named) }
    }
}

fn number_of<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for file in files {
        match std::fs::read(file) {
            Ok(bytes) => bytes.hash(&mut hasher),
            Err(error) => {
                error.kind().hash(&mut hasher);
                rule_files::named_by(file).hash(&mut hasher);
            }
        }
    }
    hasher.finish()
}
