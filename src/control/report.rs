//! Report: what came of a reload, for those who asked for it.

use schemars::JsonSchema;
use serde::Serialize;

/// What came of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The config is in use.
    Applied,
    /// It says what is in use already.
    Unchanged,
    /// It cannot be used: the old one stays.
    Refused,
}

impl Report {
    /// Whether the config was refused.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.result == Verdict::Refused
    }
}

impl Verdict {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Applied, Self::Unchanged, Self::Refused];

    /// As a label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
        }
    }
}

/// What is told about a reload.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Report {
    /// What came of it.
    pub result: Verdict,
    /// Number of the config in use.
    pub generation: u64,
    /// Keys that changed and count only after a restart.
    pub restart_needed: Vec<&'static str>,
    /// Why it was refused, or what is odd about it; for people.
    pub message: String,
}
