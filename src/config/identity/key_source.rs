//! Where the keys of an issuer are: in a file, or at a URL.

use super::url::HttpUrl;
use crate::config::observe::FilePath;
use crate::types::text::{TextValue, text_value};
use std::fmt;
use std::str::FromStr;

/// Where keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// In a file.
    File(FilePath),
    /// At a URL.
    Url(HttpUrl),
}

impl KeySource {
    /// The file, if it is one.
    #[must_use]
    pub fn file(&self) -> Option<&FilePath> {
        match self {
            Self::File(file) => Some(file),
            Self::Url(_) => None,
        }
    }

    /// The file, if it is one.
    pub fn file_mut(&mut self) -> Option<&mut FilePath> {
        match self {
            Self::File(file) => Some(file),
            Self::Url(_) => None,
        }
    }
}

/// Why a text says no place of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no place of keys: expected {}", KeySource::ACCEPTED)]
pub struct InvalidKeySource;

impl FromStr for KeySource {
    type Err = InvalidKeySource;

    fn from_str(text: &str) -> Result<Self, InvalidKeySource> {
        if text.contains("://") {
            return text.parse().map(Self::Url).map_err(|_form| InvalidKeySource);
        }
        match text.is_empty() {
            true => Err(InvalidKeySource),
            false => Ok(Self::File(FilePath(text.into()))),
        }
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => file.fmt(f),
            Self::Url(url) => url.fmt(f),
        }
    }
}

impl TextValue for KeySource {
    const FORMAT: &'static str = "key-source";
    const ACCEPTED: &'static str = "the path of a file with a JSON Web Key Set, or a URL like \
         \"https://idp.example.com/keys\"";
}

text_value!(KeySource);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_a_file_or_at_a_url() {
        for text in [
            "keys.json",
            "/etc/keys",
            "https://idp.example.com/keys",
            "http://127.0.0.1:8080/a/b?c=d",
            "https://[::1]:8443/",
        ] {
            assert_eq!(text.parse::<KeySource>().unwrap().to_string(), text);
        }
        let Ok(KeySource::Url(url)) = "https://[::1]".parse() else { panic!("a URL") };
        assert_eq!((url.host(), url.port(), url.path()), ("[::1]", 443, "/"));
        for text in [
            "",
            "ftp://a/b",
            "https://",
            "https://a:0/",
            "https://u@a/",
            "https://a/b#c",
            "https://a b/",
        ] {
            assert_eq!(text.parse::<KeySource>(), Err(InvalidKeySource), "{text}");
        }
    }
}
