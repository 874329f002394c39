//! What the system and the allocator tell of the process, asked when somebody looks.

use super::{ALLOCATOR_BYTES, MetricError, Metrics, Watched};
use prometheus::Registry;
use prometheus::process_collector::ProcessCollector;
use tikv_jemalloc_ctl::{epoch, stats};

/// Shows the process' CPU time, memory, files and threads, by their usual names
/// (`process_cpu_seconds_total`, `process_resident_memory_bytes`, …).
pub(super) fn register(registry: &Registry) -> Result<(), MetricError> {
    registry.register(Box::new(ProcessCollector::for_self()))?;
    Ok(())
}

/// Asks the allocator for one of its numbers, in bytes.
type Ask = fn() -> tikv_jemalloc_ctl::Result<usize>;

/// What the allocator tells. Its numbers are of the moment when they are asked for.
const KINDS: [(&str, Ask); 4] = [
    ("allocated", stats::allocated::read),
    ("active", stats::active::read),
    ("resident", stats::resident::read),
    ("retained", stats::retained::read),
];

impl Metrics {
    /// Shows the allocator's memory, as long as what is returned is held.
    #[must_use]
    pub fn watch_allocator(&self) -> Vec<Watched> {
        let watch = |(kind, ask): (&str, Ask)| {
            self.watch(&ALLOCATOR_BYTES, [kind], move || {
                epoch::advance().ok()?;
                #[expect(clippy::cast_precision_loss, reason = "exact to 2^53 bytes")]
                ask().map(|bytes| bytes as f64).ok()
            })
        };
        KINDS.into_iter().filter_map(watch).collect()
    }
}
