//! A backend as it is written in a config or in a file of backends.

use crate::types::text::{TextValue, text_value};
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// Largest weight of a backend.
const WEIGHT_MAX: u16 = 1000;

/// A backend: its address, and what is special about it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BackendEntry {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its share of new traffic; 0: none.
    pub weight: u16,
    /// It is used when none of the others can be.
    pub is_backup: bool,
    /// Requests that it may work on at once; as the pool says, if `None`.
    pub max_requests: Option<u32>,
}

/// Why a text is no backend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEntry {
    /// The address.
    #[error("`{0}` is not an address: expected an IP address and a port, like \"10.0.0.1:8080\"")]
    Address(String),
    /// A word after it.
    #[error("`{0}` is not known here: expected {words}", words = BackendEntry::WORDS)]
    Word(String),
    /// No address.
    #[error("not a backend: expected {accepted}", accepted = BackendEntry::ACCEPTED)]
    Empty,
}

impl BackendEntry {
    const WORDS: &str = "weight=0 to 1000, max_requests=1 or more, or backup";

    /// A backend at `address` with nothing special about it.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        Self { address, weight: 1, is_backup: false, max_requests: None }
    }

    fn add(&mut self, word: &str) -> Option<()> {
        match word.split_once('=') {
            Some(("weight", number)) => {
                self.weight = number.parse().ok().filter(|weight| *weight <= WEIGHT_MAX)?;
            }
            Some(("max_requests", number)) => {
                self.max_requests = Some(number.parse().ok().filter(|most| *most > 0)?);
            }
            None if word == "backup" => self.is_backup = true,
            _ => return None,
        }
        Some(())
    }
}

impl FromStr for BackendEntry {
    type Err = InvalidEntry;
    fn from_str(text: &str) -> Result<Self, InvalidEntry> {
        let mut words = text.split_ascii_whitespace();
        let address = words.next().ok_or(InvalidEntry::Empty)?;
        let parsed = address.parse().ok().filter(|address: &SocketAddr| address.port() != 0);
        let address = parsed.ok_or_else(|| InvalidEntry::Address(address.to_owned()))?;
        let mut entry = Self::at(address);
        for word in words {
            entry.add(word).ok_or_else(|| InvalidEntry::Word(word.to_owned()))?;
        }
        Ok(entry)
    }
}

impl fmt::Display for BackendEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        if self.weight != 1 {
            write!(f, " weight={}", self.weight)?;
        }
        if let Some(most) = self.max_requests {
            write!(f, " max_requests={most}")?;
        }
        if self.is_backup { f.write_str(" backup") } else { Ok(()) }
    }
}

impl TextValue for BackendEntry {
    const FORMAT: &'static str = "backend";
    const ACCEPTED: &'static str = "an IP address and a port, then weight=, max_requests= or \
         backup as needed, like \"10.0.0.1:8080 weight=5\"";
}

text_value!(BackendEntry);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_an_address_and_words() {
        let full = "[::1]:80 weight=0 max_requests=7 backup";
        for text in ["10.0.0.1:8080", "10.0.0.1:8080 weight=1000", full] {
            assert_eq!(text.parse::<BackendEntry>().unwrap().to_string(), text);
        }
        for (text, why) in [
            ("", "not a backend"),
            ("localhost:80", "`localhost:80` is not an address"),
            ("10.0.0.1", "`10.0.0.1` is not an address"),
            ("10.0.0.1:0", "`10.0.0.1:0` is not an address"),
            ("10.0.0.1:80 weight=1001", "`weight=1001` is not known here"),
            ("10.0.0.1:80 max_requests=0", "`max_requests=0` is not known here"),
            ("10.0.0.1:80 Backup", "`Backup` is not known here"),
        ] {
            let error = text.parse::<BackendEntry>().unwrap_err().to_string();
            assert!(error.starts_with(why), "{error}");
        }
    }
}
