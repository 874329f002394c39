//! `[identity.NAME.api_keys]` and `[identity.NAME.basic]`: what is shown as it is, and compared with
//! what a file says of it.

use crate::config::matching::FieldName;
use crate::config::observe::FilePath;
use crate::types::units::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Keys of programs, which `vanne api-key` makes.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKeys {
    /// A file with a line for each key, `NAME SHA-256`, and what goes for it: `scopes=a,b`,
    /// `until=2027-01-31T00:00:00Z`. It is read with the config; a change in it is a change of the
    /// config.
    pub file: FilePath,
    /// The field that a key is shown in. Never the URL: those are in every log.
    /// Without it: `X-API-Key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<FieldName>,
}

/// Names and passwords (RFC 7617).
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Basic {
    /// A file with a line for each user, `NAME:HASH`: of argon2id (`$argon2id$…`), or of bcrypt
    /// as `htpasswd -B` writes it (`$2y$…`). It is read with the config; a change in it is a change
    /// of the config.
    pub file: FilePath,
    /// How long a good password is not verified again. After a change of the file all are.
    #[serde(default = "a_while")]
    pub remember: Period,
}

fn a_while() -> Period {
    Period::from_secs(300)
}
