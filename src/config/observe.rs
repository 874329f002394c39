//! `[log]` and `[access_log]`: what is written, and where.

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
    /// What clients do wrong, too.
    Debug,
    /// Everything.
    Trace,
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
            Self::Trace => "trace",
        }
    }
}

/// The access log: one JSON line per request.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AccessLog {
    /// Where it goes: `"stdout"`, `"off"`, or the path of a file that is appended to. A path
    /// has a `/` or ends in `.log`. When the writer cannot keep up, lines are dropped and
    /// counted in `vanne_access_log_dropped_total`; requests never wait.
    pub to: AccessLogTarget,
}

/// Where the access log goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AccessLogTarget {
    /// Nowhere.
    Off,
    /// Standard output.
    #[default]
    Stdout,
    /// This file.
    File(PathBuf),
}

/// Why a text is no target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a place for a log: expected {}", AccessLogTarget::ACCEPTED)]
pub struct InvalidTarget;

impl FromStr for AccessLogTarget {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        match text {
            "off" => Ok(Self::Off),
            "stdout" => Ok(Self::Stdout),
            path if !path.ends_with('/') && (path.contains('/') || path.ends_with(".log")) => {
                Ok(Self::File(path.into()))
            }
            _ => Err(InvalidTarget),
        }
    }
}

impl fmt::Display for AccessLogTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Stdout => f.write_str("stdout"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

impl TextValue for AccessLogTarget {
    const FORMAT: &'static str = "log-target";
    const ACCEPTED: &'static str = "\"stdout\", \"off\" or a path with a / or ending in .log";
}

text_value!(AccessLogTarget);

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
