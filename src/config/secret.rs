//! Secrets: values that are never shown.

use super::diagnostics::Problem;
use super::tree::Node;
use crate::types::text::{TextValue, text_value};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::str::FromStr;

/// Longest file that may hold a secret.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A text that does not show up in logs, errors or `show-config`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

/// Why a text is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a secret: expected {}", Secret::ACCEPTED)]
pub struct InvalidSecret;

impl Secret {
    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = InvalidSecret;
    fn from_str(text: &str) -> Result<Self, InvalidSecret> {
        let is_secret = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        if is_secret { Ok(Self(text.into())) } else { Err(InvalidSecret) }
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl TextValue for Secret {
    const FORMAT: &'static str = "secret";
    const ACCEPTED: &'static str = "printable ASCII without spaces, at least one character";
}

text_value!(Secret);

/// The metrics token from its file, if the config names one. Relative to `folder`.
pub fn from_file(root: &Node, folder: &Path, problems: &mut Vec<Problem>) -> Option<Secret> {
    let probe = root.get("probe")?;
    let node = probe.get("metrics_token_file")?;
    let key = "probe.metrics_token_file";
    let mut wrong = |message: String, accepted: &str| {
        problems.push(Problem::new(key, node.span.clone(), message).accepts(accepted));
    };
    if probe.get("metrics_token").is_some() {
        wrong("metrics_token is there too".into(), "only one of the two");
    }
    let path = folder.join(node.text()?);
    match read_bounded(&path) {
        Err(error) => {
            wrong(format!("{}: {error}", path.display()), "a file that can be read");
            None
        }
        Ok(text) => {
            let secret = text.trim().parse().ok();
            if secret.is_none() {
                wrong(format!("{} holds no secret", path.display()), Secret::ACCEPTED);
            }
            secret
        }
    }
}

/// The text of a file, at most [`FILE_BYTES_MAX`] of it: the path may be a device by mistake.
fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if u64::try_from(text.len()).is_ok_and(|length| length > FILE_BYTES_MAX) {
        return Err(io::Error::other(format!("longer than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_end_is_not_read_to_its_end() {
        assert!(read_bounded(Path::new("/dev/zero")).is_err());
    }

    #[test]
    fn a_secret_is_never_shown() {
        let secret: Secret = "s3cret".parse().unwrap();
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"***\"");
        assert_eq!(secret.expose(), "s3cret");
    }
}
