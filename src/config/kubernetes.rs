//! `[kubernetes]`: how the API server is reached; and `kubernetes = { … }` of a pool: backends
//! that are the pods of a Service.

use super::observe::FilePath;
use crate::types::text::{TextValue, text_value};
use crate::types::units::Period;
use schemars::JsonSchema;
use serde::de::{Deserializer, Error, Unexpected, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// How the API server of Kubernetes is reached, for pools that follow a Service.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Kubernetes {
    /// A kubeconfig file. It is read again whenever the API server has to be reached anew.
    /// Without it: what a pod is given (its service account's token and authority).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<FilePath>,
    /// The context of the kubeconfig. Without it: its current one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// The zone that Vanne runs in, for pools that prefer pods near by; often `"${ZONE:-}"`.
    /// Without it, or empty: all zones are alike.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// How often all is listed anew, a tenth sooner or later by chance. Changes come at once
    /// without that; it is for what no watch tells, like a store that was restored to an older
    /// state while the API server went on.
    pub resync: Period,
}

impl Default for Kubernetes {
    fn default() -> Self {
        Self { kubeconfig: None, context: None, zone: None, resync: Period::from_secs(300) }
    }
}

/// Backends that are the pods of a Service of Kubernetes, as its EndpointSlices tell. While the
/// API server cannot be reached the last list stays in use.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KubernetesService {
    /// The namespace of the Service. Without it: the pod's own, or that of the kubeconfig's
    /// context, else `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<ObjectName>,
    /// The name of the Service. It need not be there yet.
    pub service: ObjectName,
    /// The port of the pods: the name that the Service gives it, or the number that the pods
    /// listen on (its `targetPort`).
    pub port: ServicePort,
    /// Whether pods that Kubernetes hints for Vanne's own zone (`kubernetes.zone`) are preferred.
    #[serde(default)]
    pub zone: ZoneRule,
}

/// What hints for zones are worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ZoneRule {
    /// Pods of all zones are alike.
    Ignore,
    /// Those for the own zone are used, the others are backups: for when none of these can be.
    #[default]
    Prefer,
}

/// The name of a Service or namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName(Box<str>);

/// Why a text is no name of Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a name in Kubernetes: expected {}", ObjectName::ACCEPTED)]
pub struct InvalidObjectName;

impl ObjectName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether `text` is a label as RFC 1123 has it, in lower case.
fn is_label(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_edge = text.starts_with('-') || text.ends_with('-');
    (1..=63).contains(&text.len()) && !is_edge && text.bytes().all(is_plain)
}

impl FromStr for ObjectName {
    type Err = InvalidObjectName;
    fn from_str(text: &str) -> Result<Self, InvalidObjectName> {
        if is_label(text) { Ok(Self(text.into())) } else { Err(InvalidObjectName) }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TextValue for ObjectName {
    const FORMAT: &'static str = "kubernetes-name";
    const ACCEPTED: &'static str = "1 to 63 of a-z 0-9 -, the first and the last a letter or digit";
}

text_value!(ObjectName);

/// The port of a Service's pods.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ServicePort {
    /// As the Service calls it.
    Name(Box<str>),
    /// The number that the pods listen on; 1 to 65535.
    Number(u16),
}

/// Why a text is no port of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a port: expected {}", ServicePort::ACCEPTED)]
pub struct InvalidServicePort;

impl FromStr for ServicePort {
    type Err = InvalidServicePort;
    fn from_str(text: &str) -> Result<Self, InvalidServicePort> {
        match text.parse() {
            Ok(0) => Err(InvalidServicePort),
            Ok(number) => Ok(Self::Number(number)),
            Err(_) if is_label(text) && text.bytes().any(|byte| byte.is_ascii_lowercase()) => {
                Ok(Self::Name(text.into()))
            }
            Err(_) => Err(InvalidServicePort),
        }
    }
}

impl fmt::Display for ServicePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Number(number) => number.fmt(f),
        }
    }
}

impl TextValue for ServicePort {
    const FORMAT: &'static str = "service-port";
    const ACCEPTED: &'static str = "the name of a port, like \"http\", or its number";
}

impl Serialize for ServicePort {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Name(name) => to.serialize_str(name),
            Self::Number(number) => to.serialize_u16(*number),
        }
    }
}

impl<'de> Deserialize<'de> for ServicePort {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = ServicePort;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(ServicePort::ACCEPTED)
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<ServicePort, E> {
                let wrong = |_| E::invalid_value(Unexpected::Unsigned(number), &self);
                match u16::try_from(number).map_err(wrong)? {
                    0 => Err(E::invalid_value(Unexpected::Unsigned(0), &self)),
                    number => Ok(ServicePort::Number(number)),
                }
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<ServicePort, E> {
                match u64::try_from(number) {
                    Ok(number) => self.visit_u64(number),
                    Err(_) => Err(E::invalid_value(Unexpected::Signed(number), &self)),
                }
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<ServicePort, E> {
                text.parse().map_err(E::custom)
            }
        }
        from.deserialize_any(Either)
    }
}

impl JsonSchema for ServicePort {
    fn schema_name() -> Cow<'static, str> {
        "ServicePort".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "anyOf": [
                { "type": "string", "format": Self::FORMAT },
                { "type": "integer", "minimum": 1, "maximum": 65535 },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ports_are_right_once_they_are_read() {
        for (text, want) in [
            ("orchestrator", true),
            ("a-1", true),
            ("1a", true),
            ("", false),
            ("A", false),
            ("a.b", false),
            ("-a", false),
            ("a-", false),
        ] {
            assert_eq!(text.parse::<ObjectName>().is_ok(), want, "{text}");
        }
        for (text, want) in [
            ("http", Some(ServicePort::Name("http".into()))),
            ("8080", Some(ServicePort::Number(8080))),
            ("0", None),
            ("65536", None),
            ("", None),
            ("HTTP", None),
        ] {
            assert_eq!(text.parse::<ServicePort>().ok(), want, "{text}");
        }
    }

    #[test]
    fn a_port_is_written_as_a_number_or_a_text() {
        for (text, want) in [
            ("8080", Some(ServicePort::Number(8080))),
            ("\"8080\"", Some(ServicePort::Number(8080))),
            ("\"http\"", Some(ServicePort::Name("http".into()))),
            ("0", None),
            ("-1", None),
            ("70000", None),
            ("true", None),
        ] {
            assert_eq!(serde_json::from_str(text).ok(), want, "{text}");
        }
        assert_eq!(serde_json::to_string(&ServicePort::Number(80)).unwrap(), "80");
    }
}
