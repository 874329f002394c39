//! `[blocklist]`: addresses that may not come in.

use super::error_pages::ErrorKey;
use super::network::Network;
use super::observe::FilePath;
use crate::types::country::Country;
use crate::types::units::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vanne_filters::rate_limit::Quota;

/// Addresses that may not come in. A connection of a blocked peer is closed when it is accepted,
/// before TLS; a request that a trusted proxy passes on for a blocked client gets 403 `blocked`.
/// `allow` wins over all the rest. Operators block and unblock addresses at run time (`vanne
/// block`); with `process.state_dir` that outlives the process.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Blocklist {
    /// Networks that are never blocked, whatever is said elsewhere.
    pub allow: Vec<Network>,
    /// Networks that are blocked.
    pub deny: Vec<Network>,
    /// Files of networks that are blocked, one a line; `#` begins a comment. `*` in a name stands
    /// for any letters. They are read again when they change: with a line that is none, all
    /// stays as it was. At most four million lines in all.
    pub files: Vec<FilePath>,
    /// Countries whose addresses are blocked, by the file `geoip.country`.
    pub deny_countries: Vec<Country>,
    /// If there are any: addresses that are known to be in another country are blocked.
    pub only_countries: Vec<Country>,
    /// Numbers of operators' networks (autonomous systems) that are blocked, by the file
    /// `geoip.asn`.
    pub deny_asns: Vec<u32>,
    /// Blocks that may be made at run time, by operators and by themselves.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_blocks: u32,
    /// Whether blocks that are made at run time hold on all replicas, where there is a `[redis]`
    /// that they share.
    pub shared: bool,
    /// Blocks that are made by themselves. Without it: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub automatic: Option<AutomaticBlocks>,
}

/// Who gets answers of some kinds too often is blocked for a while: of IPv6 the network of 64
/// bits. Never who is in `allow`, a trusted proxy, or the machine itself.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AutomaticBlocks {
    /// How many such answers at once get an address blocked. Each address has a bucket of so
    /// many, which empties in `within`: spread over that time it may be nearly twice as many.
    #[schemars(range(min = 2, max = 1_000_000))]
    pub after: u32,
    /// In what time a full bucket empties.
    pub within: Period,
    /// For how long an address is blocked.
    pub block_for: Period,
    /// Which answers count: statuses, also of backends' answers, or reasons of Vanne's own.
    #[serde(default = "refusals")]
    #[schemars(length(min = 1))]
    pub on: Vec<ErrorKey>,
    /// Addresses that are remembered at least. Each takes up to 32 bytes.
    #[serde(default = "many")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_addresses: u32,
}

fn refusals() -> Vec<ErrorKey> {
    vec![ErrorKey::Status(401), ErrorKey::Status(429)]
}

fn many() -> u32 {
    100_000
}

impl AutomaticBlocks {
    /// The bucket of an address. `None`: `within` is longer than 62 days.
    #[must_use]
    pub fn quota(&self) -> Option<Quota> {
        Quota::new(self.after, self.within.as_duration(), self.after.saturating_sub(1).max(1))
    }
}

impl Default for Blocklist {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            deny: Vec::new(),
            files: Vec::new(),
            deny_countries: Vec::new(),
            only_countries: Vec::new(),
            deny_asns: Vec::new(),
            max_blocks: 100_000,
            shared: true,
            automatic: None,
        }
    }
}
