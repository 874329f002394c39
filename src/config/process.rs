//! `[process]`: the process as a whole.

use super::observe::FilePath;
use super::overload::Overload;
use crate::types::units::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The process as a whole.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Process {
    /// Worker threads. Each has a runtime and connections to backends of its own. Without
    /// it: as many as there are cores.
    #[schemars(range(min = 1, max = 256))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<u16>,
    /// After SIGTERM, how long connections are still accepted: readiness is false at once,
    /// and whoever sends traffic has so much time to notice. At least `1ms`.
    pub drain_delay: Period,
    /// After SIGTERM, when the process exits at the latest; what is still in flight then is
    /// cut. It exits as soon as nothing is in flight. Must be longer than `drain_delay`.
    pub drain_deadline: Period,
    /// Connections to backends that each worker keeps open for reuse, over all pools: so many by
    /// HTTP/1.1, and so many by HTTP/2. At the limit one of HTTP/1.1 is closed after its answer;
    /// of those by HTTP/2 the one unused for the longest is.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub idle_upstream_connections: u32,
    /// How many requests may be under way in all. Without it: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overload: Option<Overload>,
    /// A folder that the process may write to, for what is to outlive it: the last backends that
    /// Kubernetes told of. A start while the API server is away uses these; without it there are
    /// none then. It must be there already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_dir: Option<FilePath>,
    /// Whether the config is read again when its file changes, or a file that is part of it.
    /// Also without this SIGHUP and `vanne reload` do that.
    pub watch_config: bool,
}

impl Default for Process {
    fn default() -> Self {
        Self {
            workers: None,
            drain_delay: Period::from_secs(5),
            drain_deadline: Period::from_secs(30),
            idle_upstream_connections: 1024,
            overload: None,
            state_dir: None,
            watch_config: true,
        }
    }
}

impl Process {
    /// Workers to start on a machine with so many cores.
    #[must_use]
    pub fn worker_count(&self, cores: usize) -> usize {
        self.workers.map_or(cores.clamp(1, 256), usize::from)
    }
}
