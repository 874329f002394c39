//! `[blocklist]`: addresses that may not come in.

use super::network::Network;
use super::observe::FilePath;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// Blocks that may be made at run time, by operators and by themselves.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_blocks: u32,
}

impl Default for Blocklist {
    fn default() -> Self {
        Self { allow: Vec::new(), deny: Vec::new(), files: Vec::new(), max_blocks: 100_000 }
    }
}
