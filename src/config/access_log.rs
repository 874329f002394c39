//! `[access_log]`: one line per request: where it goes, how it looks, which are written.
//!
//! What is wrong between these keys is found by `check_access_log`.

use super::health::StatusSet;
use super::matching::{FieldName, ParameterName};
use crate::types::ids::RouteId;
use crate::types::log_format::LogFormat;
use crate::types::text::{TextValue, text_value};
use crate::types::units::{ByteSize, Percent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// The access log: one line per request, written when it is over.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AccessLog {
    /// Where it goes. A path has a `/` or ends in `.log`: the file is appended to, and opened
    /// again on SIGUSR1; it may be a named pipe. Syslog is RFC 5424, facility `local0`,
    /// severity `info`; TCP counts octets (RFC 6587). When the writer cannot keep up, lines
    /// are dropped and counted in `vanne_access_log_dropped_total`; requests never wait.
    pub to: AccessLogTarget,
    /// How a line looks: `"json"`; `"ecs"`, JSON with the names of the Elastic Common Schema;
    /// `"httplog"`, as HAProxy's `option httplog`; or a text with fields in braces. The manual
    /// lists the fields. Captured header fields are `{request_header:NAME}` and
    /// `{response_header:NAME}`. What is not known is `-`.
    pub format: LogFormat,
    /// Header fields that are in the line.
    pub headers: AccessLogHeaders,
    /// What is shown as `***`.
    pub redact: Redact,
    /// Which lines are written, where that is not all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sample: Vec<SampleRule>,
}

/// Header fields that are captured.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AccessLogHeaders {
    /// Of the request, as the client sent it: each with the most that is kept of its value, from
    /// `"1B"` to `"4KiB"`, like `{ user-agent = "200B" }`. Several of one name are joined by
    /// commas.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = { "format": "field-name" }))]
    pub request: BTreeMap<FieldName, ByteSize>,
    /// The same of the answer, as the backend sent it; answers that Vanne gives itself have none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = { "format": "field-name" }))]
    pub response: BTreeMap<FieldName, ByteSize>,
}

/// Secrets that are not to be in the log.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Redact {
    /// Captured header fields whose value is shown as `***`; besides these always
    /// `authorization`, `cookie`, `proxy-authorization` and `set-cookie`.
    pub headers: Vec<FieldName>,
    /// Parameters whose value is shown as `***`, in the target and in captured header fields;
    /// in any case of letters, however they are encoded.
    pub parameters: Vec<ParameterName>,
}

/// Names of parameters that usually hold a secret.
const SECRET_PARAMETERS: [&str; 16] = [
    "access_token",
    "api_key",
    "apikey",
    "auth",
    "client_secret",
    "code",
    "id_token",
    "key",
    "passwd",
    "password",
    "refresh_token",
    "secret",
    "sig",
    "signature",
    "token",
    "x-amz-signature",
];
/// Names of header fields that usually hold one.
const SECRET_HEADERS: [&str; 3] = ["x-api-key", "x-auth-token", "x-csrf-token"];

impl Default for Redact {
    fn default() -> Self {
        Self {
            headers: SECRET_HEADERS.iter().filter_map(|name| name.parse().ok()).collect(),
            parameters: SECRET_PARAMETERS.iter().filter_map(|name| name.parse().ok()).collect(),
        }
    }
}

/// Which share of some requests has a line: the first rule that fits decides; without one all
/// have. A request that Vanne ended, or with a status of 500 or above, fits only rules that
/// name its status. The share stands in the line (`sampled`). The request's id decides which
/// ones they are.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SampleRule {
    /// Requests of this route; by default of any, and those without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteId>,
    /// Requests with this status, of gRPC calls what their status means in HTTP; by default all
    /// that Vanne did not end and that are below 500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusSet>,
    /// The share that has a line.
    pub share: Percent,
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
    /// A syslog server at this datagram socket.
    SyslogUnix(PathBuf),
    /// A syslog server at this host and port, by UDP.
    SyslogUdp(String),
    /// The same by TCP.
    SyslogTcp(String),
}

/// Why a text is no target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a place for a log: expected {}", AccessLogTarget::ACCEPTED)]
pub struct InvalidTarget;

impl FromStr for AccessLogTarget {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        if let Some(server) = text.strip_prefix("syslog:") {
            return match server.split_once(':') {
                Some(("unix", path)) if path.starts_with('/') => Ok(Self::SyslogUnix(path.into())),
                Some(("udp", place)) if is_place(place) => Ok(Self::SyslogUdp(place.into())),
                Some(("tcp", place)) if is_place(place) => Ok(Self::SyslogTcp(place.into())),
                _ => Err(InvalidTarget),
            };
        }
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

/// Whether this is a host, by name or address, and a port.
fn is_place(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match inner {
        Some(address) => address.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6()),
        None => {
            let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            !host.is_empty() && host.bytes().all(is_part)
        }
    };
    is_host && is_port
}

impl fmt::Display for AccessLogTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Stdout => f.write_str("stdout"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::SyslogUnix(path) => write!(f, "syslog:unix:{}", path.display()),
            Self::SyslogUdp(place) => write!(f, "syslog:udp:{place}"),
            Self::SyslogTcp(place) => write!(f, "syslog:tcp:{place}"),
        }
    }
}

impl TextValue for AccessLogTarget {
    const FORMAT: &'static str = "log-target";
    const ACCEPTED: &'static str = "\"stdout\", \"off\", a path with a / or ending in .log, \
         \"syslog:unix:/dev/log\", \"syslog:udp:HOST:PORT\" or \"syslog:tcp:HOST:PORT\"";
}

text_value!(AccessLogTarget);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_target() {
        for text in [
            "off",
            "stdout",
            "a.log",
            "./a",
            "/dev/stderr",
            "syslog:unix:/dev/log",
            "syslog:udp:logs.example:514",
            "syslog:udp:[::1]:514",
            "syslog:tcp:192.0.2.1:601",
        ] {
            assert_eq!(text.parse::<AccessLogTarget>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "on",
            "a/",
            "syslog:",
            "syslog:unix:dev/log",
            "syslog:udp:logs.example",
            "syslog:udp::514",
            "syslog:tcp:a:0",
            "syslog:tcp:[::1:514",
            "syslog:/dev/log",
        ] {
            assert_eq!(text.parse::<AccessLogTarget>(), Err(InvalidTarget), "{text}");
        }
    }

    #[test]
    fn every_name_of_a_secret_is_a_name() {
        let redact = Redact::default();
        assert_eq!(redact.parameters.len(), SECRET_PARAMETERS.len());
        assert_eq!(redact.headers.len(), SECRET_HEADERS.len());
    }
}
