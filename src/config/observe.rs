//! `[log]`: what the process log holds; and paths, which many keys are.

use crate::types::text::{TextValue, text_value};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The process log, on standard error.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The least important lines that are written.
    pub level: LogLevel,
}

/// How important a line of the process log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// Nothing is written.
    Off,
    /// Faults of our own.
    Error,
    /// Faults of backends, and what an operator should look at.
    Warn,
    /// Starts, stops and changes.
    #[default]
    Info,
    /// What clients do wrong, too, and what libraries tell.
    Debug,
}

impl LogLevel {
    /// As written in config.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// A path in the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePath(pub PathBuf);

impl FromStr for FilePath {
    type Err = Infallible;
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.into()))
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.display())
    }
}

impl TextValue for FilePath {
    const FORMAT: &'static str = "path";
    const ACCEPTED: &'static str = "a path, absolute or beside the config file";
}

text_value!(FilePath);
