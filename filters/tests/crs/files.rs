//! The Core Rule Set on disk: where it is, and how the loader reads it.

use std::path::{Path, PathBuf};

use vanne_filters::waf::seclang::Library;

/// Reads from the file system.
pub(crate) struct Disk;

impl Library for Disk {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        std::fs::read(path).map_err(|error| error.to_string())
    }

    fn list(&self, directory: &str) -> Result<Vec<String>, String> {
        let entries = std::fs::read_dir(directory).map_err(|error| error.to_string())?;
        Ok(entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect())
    }
}

/// The directory of `VANNE_CRS_DIR`, or `None` with a message.
#[expect(clippy::disallowed_methods, reason = "a test has no config to read the place from")]
pub(crate) fn crs() -> Option<PathBuf> {
    let directory = std::env::var("VANNE_CRS_DIR").ok().filter(|value| !value.is_empty());
    if directory.is_none() {
        eprintln!("VANNE_CRS_DIR is not set: tests of the Core Rule Set are skipped");
    }
    directory.map(PathBuf::from).filter(|path| Path::new(path).join("rules").is_dir())
}
