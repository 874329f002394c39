//! What is shown of the config in use, and of attempts at a new one.

use super::report::Verdict;
use crate::observe::metrics::{
    CONFIG_APPLIED, CONFIG_GENERATION, CONFIG_INFO, CONFIG_RELOAD_SUCCESS, Counter, Gauge, Metrics,
    RELOADS,
};
use crate::types::clock;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// Handles of the config's metrics.
pub struct ConfigGauges {
    metrics: Arc<Metrics>,
    reloads: [Counter; Verdict::ALL.len()],
    success: Gauge,
    generation: Gauge,
    applied: Gauge,
    /// `vanne_config_info` of the config in use.
    info: Option<(String, Gauge)>,
}

impl ConfigGauges {
    /// Nothing is in use yet.
    #[must_use]
    pub fn new(metrics: &Arc<Metrics>) -> Self {
        let mut group = metrics.group();
        Self {
            reloads: Verdict::ALL.map(|verdict| group.handle(&RELOADS, [verdict.as_str()])),
            success: group.handle(&CONFIG_RELOAD_SUCCESS, []),
            generation: group.handle(&CONFIG_GENERATION, []),
            applied: group.handle(&CONFIG_APPLIED, []),
            info: None,
            metrics: Arc::clone(metrics),
        }
    }

    /// Shows what came of a reload: this generation is in use, whose file has this hash if it
    /// was not refused.
    pub fn note(&mut self, verdict: Verdict, generation: u64, hash: &str) {
        let counter = Verdict::ALL.into_iter().zip(&self.reloads).find(|(one, _)| *one == verdict);
        if let Some((_, counter)) = counter {
            counter.inc();
        }
        self.generation.set(generation.cast_signed());
        self.success.set(i64::from(verdict != Verdict::Refused));
        if verdict == Verdict::Applied {
            let since = clock::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.applied.set(since.as_secs().cast_signed());
        }
        let is_same = self.info.as_ref().is_some_and(|(before, _)| before == hash);
        if verdict != Verdict::Refused && !is_same {
            let info = self.metrics.handle(&CONFIG_INFO, [hash]);
            info.set(1);
            self.info = Some((hash.to_owned(), info));
        }
    }
}
