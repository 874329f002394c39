//! Files that bodies of our own answers are in, and the fields beside them.

use super::CompileError;
use crate::config::{FieldName, FieldValue, FilePath};
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Longest body of an answer of ours.
const BODY_BYTES_MAX: u64 = 1024 * 1024;

/// The body that is in the file which `key` names.
///
/// # Errors
/// When the file cannot be read, or is too large.
pub(super) fn body(FilePath(path): &FilePath, key: &str) -> Result<Bytes, CompileError> {
    read(path).map_err(|why| CompileError::File {
        key: key.to_owned(),
        path: path.display().to_string(),
        why,
    })
}

fn read(path: &Path) -> Result<Bytes, String> {
    let mut body = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    let count = file.take(BODY_BYTES_MAX + 1).read_to_end(&mut body);
    match count.map_err(|error| error.to_string())? as u64 {
        0..=BODY_BYTES_MAX => Ok(body.into()),
        _ => Err("is longer than 1 MiB".to_owned()),
    }
}

/// The fields that the config adds; it was checked.
pub(super) fn fields(
    config: &BTreeMap<FieldName, FieldValue>,
) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    config.iter().filter_map(|(name, FieldValue(text))| {
        let name = HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
        Some((name, HeaderValue::from_str(text).ok()?))
    })
}
