//! What there is to tell of web application firewalls: which rules have matched most.

use super::reload::Reloader;
use crate::config::WafMode;
use schemars::JsonSchema;
use serde::Serialize;

/// Rules that are told of each firewall.
const RULES_MAX: usize = 50;

/// A web application firewall.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct WafStatus {
    /// Its name.
    pub waf: String,
    /// `block`, `detect` or `off`.
    pub mode: WafMode,
    /// Rules that log and have matched since the start, those that did most often first; fifty
    /// at most.
    pub rules: Vec<RuleStatus>,
}

/// A rule that has matched.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RuleStatus {
    /// Its id.
    pub rule: u64,
    /// How often it has matched.
    pub matches: u64,
    /// How often in a request that was refused, or would have been.
    pub refused: u64,
    /// Its message.
    pub message: String,
}

impl Reloader {
    /// The firewalls of the config in use.
    #[must_use]
    pub fn wafs(&self) -> Vec<WafStatus> {
        let status = |(id, waf): (&_, &crate::config::Waf)| {
            let rows =
                self.kept.known_tally(id).map(|tally| tally.top(RULES_MAX)).unwrap_or_default();
            let rules = rows.into_iter().map(|(rule, row)| RuleStatus {
                rule,
                matches: row.matches,
                refused: row.refused,
                message: row.message,
            });
            WafStatus { waf: id.to_string(), mode: waf.mode, rules: rules.collect() }
        };
        self.config.waf.iter().map(status).collect()
    }
}
