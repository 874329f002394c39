//! `/v1/config`: the config in use.

use super::call::{Call, Reply};
use super::problem::Problem;
use crate::config;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is shown of the config.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Defaults {
    /// Whether keys are shown that the file leaves at their defaults.
    defaults: bool,
}

/// The config in use.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct ConfigStatus {
    /// Its number.
    generation: u64,
    /// Its file, if it is from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// The SHA-256 of the file as it was read: what `sha256sum` prints.
    sha256: String,
    /// The config.
    config: Value,
}

pub(super) async fn show(call: Call) -> Result<Reply, Problem> {
    let Defaults { defaults } = call.query()?;
    let found = call.look(move |reloader, _| {
        let written = (!defaults).then_some(&reloader.in_use.written);
        let config = config::shown(&reloader.config, written)?;
        serde_json::Result::Ok(ConfigStatus {
            generation: reloader.generation(),
            path: reloader.path().map(|path| path.display().to_string()),
            sha256: reloader.in_use.sha256.clone(),
            config,
        })
    });
    match found.await? {
        Ok(config) => Reply::json(config).await,
        Err(error) => Err(Problem::internal(error.to_string())),
    }
}
