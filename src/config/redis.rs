//! `[redis]`: the store through which replicas share limits and blocks.

use super::observe::FilePath;
use crate::types::text::{TextValue, text_value};
use crate::types::units::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A Redis (or Valkey) through which replicas share rate limits, and blocks that are made at run
/// time. No request fails when it is away: each replica then goes on by itself.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// Where it is: `"HOST:PORT"` or `"redis://HOST:PORT"`, `"rediss://HOST:PORT"` by TLS, or
    /// `"unix:PATH"`.
    pub address: RedisAddress,
    /// With `rediss`: certificates of the authorities that are believed, PEM. Without it: those
    /// that the system trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<FilePath>,
    /// The user to log in as. Without it: `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<RedisText>,
    /// A file with the password. Blanks at its end do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<FilePath>,
    /// The number of the database.
    #[serde(default)]
    #[schemars(range(max = 1_000_000))]
    pub database: u32,
    /// What the names of all keys begin with. Replicas with the same prefix share.
    #[serde(default = "prefix")]
    pub prefix: RedisText,
    /// How long a command may take. One that takes longer has failed; after two in a row Redis is
    /// away, until it answers again.
    #[serde(default = "timeout")]
    pub timeout: Period,
}

fn prefix() -> RedisText {
    RedisText("vanne:".into())
}

fn timeout() -> Period {
    Period::from_millis(50)
}

/// Where a Redis is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisAddress {
    /// A host, its port, and whether it speaks TLS there.
    Host {
        /// A name or an address, IPv6 without brackets.
        host: Box<str>,
        /// 1 to 65535.
        port: u16,
        /// Whether it speaks TLS.
        is_tls: bool,
    },
    /// A unix socket.
    Unix(PathBuf),
}

/// Why a text is no address of a Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address of a Redis: expected {}", RedisAddress::ACCEPTED)]
pub struct InvalidRedisAddress;

impl RedisAddress {
    /// Makes the path of a socket count from `folder`.
    pub(super) fn resolve(&mut self, folder: &Path) {
        if let Self::Unix(path) = self {
            *path = folder.join(&path);
        }
    }
}

impl FromStr for RedisAddress {
    type Err = InvalidRedisAddress;

    fn from_str(text: &str) -> Result<Self, InvalidRedisAddress> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() {
                Err(InvalidRedisAddress)
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        let (is_tls, place) = match text.strip_prefix("rediss://") {
            Some(place) => (true, place),
            None => (false, text.strip_prefix("redis://").unwrap_or(text)),
        };
        let (host, port) = place.rsplit_once(':').ok_or(InvalidRedisAddress)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_name = |host: &str| {
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        };
        let is_right = match bare {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => is_name(host),
        };
        let port: u16 = port.parse().map_err(|_no_number| InvalidRedisAddress)?;
        if !is_right || port == 0 {
            return Err(InvalidRedisAddress);
        }
        Ok(Self::Host { host: bare.unwrap_or(host).into(), port, is_tls })
    }
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Host { host, port, is_tls } => {
                let scheme = if *is_tls { "rediss://" } else { "" };
                match host.contains(':') {
                    true => write!(f, "{scheme}[{host}]:{port}"),
                    false => write!(f, "{scheme}{host}:{port}"),
                }
            }
        }
    }
}

impl TextValue for RedisAddress {
    const FORMAT: &'static str = "redis-address";
    const ACCEPTED: &'static str =
        "\"HOST:PORT\" or \"redis://HOST:PORT\", \"rediss://HOST:PORT\" by TLS, or \"unix:PATH\"";
}

text_value!(RedisAddress);

/// A short text for Redis: a user, or what names of keys begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisText(Box<str>);

/// Why a text is none for Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a text for Redis: expected {}", RedisText::ACCEPTED)]
pub struct InvalidRedisText;

impl RedisText {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RedisText {
    type Err = InvalidRedisText;

    fn from_str(text: &str) -> Result<Self, InvalidRedisText> {
        let is_right = text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_right { Ok(Self(text.into())) } else { Err(InvalidRedisText) }
    }
}

impl fmt::Display for RedisText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TextValue for RedisText {
    const FORMAT: &'static str = "redis-text";
    const ACCEPTED: &'static str = "up to 64 visible ASCII characters";
}

text_value!(RedisText);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_or_a_socket() {
        for text in [
            "redis:6379",
            "127.0.0.1:6379",
            "rediss://redis.example.com:6380",
            "[::1]:6379",
            "rediss://[::1]:6379",
            "unix:/run/redis.sock",
        ] {
            assert_eq!(text.parse::<RedisAddress>().unwrap().to_string(), text);
        }
        assert_eq!("redis://a:1".parse::<RedisAddress>().unwrap().to_string(), "a:1");
        for text in [
            "",
            "redis",
            "redis:",
            "redis:0",
            "redis:70000",
            ":1",
            "unix:",
            "::1:1",
            "a/b:1",
            "http://a:1",
        ] {
            assert_eq!(text.parse::<RedisAddress>(), Err(InvalidRedisAddress), "{text}");
        }
    }
}
