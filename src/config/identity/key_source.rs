//! Where the keys of an issuer are: in a file, or at a URL.

use crate::config::observe::FilePath;
use crate::config::route::Host;
use crate::types::text::{TextValue, text_value};
use std::fmt;
use std::str::FromStr;

/// Where keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// In a file.
    File(FilePath),
    /// At a URL.
    Url(KeyUrl),
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

/// A URL of `https` or `http`, without user, query and fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUrl {
    is_https: bool,
    host: Host,
    port: Option<u16>,
    path: Box<str>,
}

impl KeyUrl {
    /// Whether it is fetched by TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.is_https
    }

    /// The host; an address of IPv6 in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.host.as_str()
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.is_https { 443 } else { 80 })
    }

    /// The path; at least a slash.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The host, with the port if the URL names one.
    #[must_use]
    pub fn authority(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.to_string(),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let is_https = match scheme {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let slash = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(slash)?;
        let is_path =
            path.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'#' | b'"' | b'\\'));
        let path = if path.is_empty() { "/" } else { path };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, Some(port.parse().ok().filter(|port| *port > 0)?))
            }
            _ => (authority, None),
        };
        let host = host.parse().ok().filter(|_| is_path)?;
        Some(Self { is_https, host, port, path: path.into() })
    }
}

impl fmt::Display for KeyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
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
            return KeyUrl::parse(text).map(Self::Url).ok_or(InvalidKeySource);
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
