//! `[admin]`: how operators reach the running process.

use super::observe::FilePath;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How operators reach the running process.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// A unix socket that only the process' own user may open, for `vanne reload`. Without it:
    /// none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<FilePath>,
}
