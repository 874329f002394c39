//! `[probe]`: the port for orchestrators and Prometheus.

use super::listener::Address;
use super::observe::FilePath;
use super::secret::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The port for orchestrators and Prometheus: `/healthz`, `/startupz`, `/readyz`, `/health`,
/// `/metrics`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Probe {
    /// Where it listens.
    pub address: Address,
    /// Bearer token that `/metrics` asks for; the other paths never do. Without it
    /// `/metrics` is open to whoever reaches the port. Better written as `"${NAME}"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics_token: Option<Secret>,
    /// File that holds the token, instead of `metrics_token`. A relative path counts from
    /// the config file's folder; white space around the token is not part of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics_token_file: Option<FilePath>,
}

impl Default for Probe {
    fn default() -> Self {
        Self { address: Address::loopback(9901), metrics_token: None, metrics_token_file: None }
    }
}
