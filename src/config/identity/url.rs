//! A URL of a service that Vanne asks for something.

use crate::config::route::Host;
use crate::types::text::{TextValue, text_value};
use std::fmt;
use std::str::FromStr;

/// A URL of `https` or `http`, without user and fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUrl {
    is_https: bool,
    host: Host,
    port: Option<u16>,
    path: Box<str>,
}

impl HttpUrl {
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

    /// The path, with the query if there is one; at least a slash.
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
        let is_path = is_path && path.parse::<http::uri::PathAndQuery>().is_ok();
        let host = host.parse().ok().filter(|_| is_path)?;
        Some(Self { is_https, host, port, path: path.into() })
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

/// Why a text is no such URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a URL: expected {}", HttpUrl::ACCEPTED)]
pub struct InvalidHttpUrl;

impl FromStr for HttpUrl {
    type Err = InvalidHttpUrl;

    fn from_str(text: &str) -> Result<Self, InvalidHttpUrl> {
        Self::parse(text).ok_or(InvalidHttpUrl)
    }
}

impl TextValue for HttpUrl {
    const FORMAT: &'static str = "http-url";
    const ACCEPTED: &'static str = "a URL of http or https without user and fragment, like \
         \"https://auth.example.com/check\"";
}

text_value!(HttpUrl);
