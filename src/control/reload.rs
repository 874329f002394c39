//! Reload: a new config while traffic flows, or the old one and the reason.
//!
//! Read → check → compile → publish. Everything that can fail happens before anything changes,
//! so a refused config costs nothing. What a request has begun with it keeps; what is counted
//! about a backend or a listener that stays is carried over ([`Kept`](super::kept::Kept)).

use super::compile::{self, Means};
use super::kept::Kept;
use super::listeners::Listeners;
use crate::config::{self, Config, Diagnostics, LogLevel, ProcessEnvironment};
use crate::data::engine::worker::Workers;
use crate::data::generation::{Generation, Generations};
use crate::data::snapshot::{Publisher, Snapshot};
use crate::observe::metrics::{
    CONFIG_APPLIED, CONFIG_GENERATION, CONFIG_RELOAD_SUCCESS, MetricError, Metrics, RELOADS,
};
use crate::types::clock;
use serde::Serialize;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// What came of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The config is in use.
    Applied,
    /// It says what is in use already.
    Unchanged,
    /// It cannot be used: the old one stays.
    Refused,
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
        }
    }
}

/// What is told about a reload.
#[derive(Clone, Debug, Serialize)]
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

/// Changes the level of the process log.
pub type SetLevel = Box<dyn Fn(LogLevel) + Send>;

/// What a reload works with.
pub struct Reloader {
    /// The file; without one there is nothing to reload.
    path: Option<PathBuf>,
    /// What is in use.
    pub config: Config,
    /// Files that the config is made of.
    files: Vec<PathBuf>,
    /// What was in them when they were read last.
    content: u64,
    number: u64,
    kept: Kept,
    /// The listeners that are there.
    pub listeners: Listeners,
    publisher: Publisher,
    metrics: Arc<Metrics>,
    generations: Arc<Generations>,
    workers: Option<Arc<Workers>>,
    set_level: SetLevel,
}

impl Reloader {
    /// Compiles the first config and opens its listeners. Workers are to be started on
    /// [`Listeners::sockets`], and then [`work_with`](Self::work_with).
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn start(
        config: Config,
        path: Option<PathBuf>,
        metrics: &Arc<Metrics>,
        set_level: SetLevel,
    ) -> anyhow::Result<Self> {
        let files = files_of(path.as_ref(), &config);
        let mut reloader = Self {
            content: content_of(&files),
            files,
            path,
            config: config.clone(),
            number: 0,
            kept: Kept::default(),
            listeners: Listeners::default(),
            publisher: Publisher::new(Snapshot::default()),
            metrics: Arc::clone(metrics),
            generations: Arc::default(),
            workers: None,
            set_level,
        };
        reloader.apply(config)?;
        reloader.note(Verdict::Applied)?;
        Ok(reloader)
    }

    /// Where snapshots are published.
    #[must_use]
    pub fn publisher(&self) -> Publisher {
        self.publisher.clone()
    }

    /// The generations that may be alive.
    #[must_use]
    pub fn generations(&self) -> Arc<Generations> {
        Arc::clone(&self.generations)
    }

    /// The workers to tell of what changes.
    pub fn work_with(&mut self, workers: &Arc<Workers>) {
        self.workers = Some(Arc::clone(workers));
    }

    /// Files whose change is a change of the config.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Reloads if the files are not as they were when they were read last.
    ///
    /// # Errors
    /// When a metric cannot be made.
    pub fn reload_if_changed(&mut self) -> Result<Option<Report>, MetricError> {
        match content_of(&self.files) == self.content {
            true => Ok(None),
            false => self.reload("its files have changed").map(Some),
        }
    }

    /// Reads the config again and uses it, or says why not.
    ///
    /// # Errors
    /// When a metric cannot be made.
    pub fn reload(&mut self, why: &str) -> Result<Report, MetricError> {
        let Some(path) = self.path.clone() else {
            return self.report(Verdict::Refused, vec![], "there is no file to read".to_owned());
        };
        self.content = content_of(&self.files);
        tracing::info!(why, file = %path.display(), "reading the config again");
        let loaded = match config::load(&path, &ProcessEnvironment) {
            Ok(loaded) => loaded,
            Err(diagnostics) => return self.refuse(&diagnostics),
        };
        let warnings = loaded.warnings.to_text(false);
        self.files = files_of(Some(&path), &loaded.config);
        self.content = content_of(&self.files);
        if loaded.config == self.config && !self.has_changed_files(&loaded.config) {
            return self.report(Verdict::Unchanged, vec![], warnings);
        }
        let restart_needed = restart_needed(&self.config, &loaded.config);
        match self.apply(loaded.config) {
            Ok(()) => self.report(Verdict::Applied, restart_needed, warnings),
            Err(error) => self.report(Verdict::Refused, vec![], format!("error: {error:#}\n")),
        }
    }

    /// The config says the same, but files that it names may not.
    fn has_changed_files(&self, config: &Config) -> bool {
        config.pool.values().any(|pool| pool.tls.is_some())
    }

    fn refuse(&self, diagnostics: &Diagnostics) -> Result<Report, MetricError> {
        self.report(Verdict::Refused, vec![], diagnostics.to_text(false))
    }

    /// Makes `config` the one in use. Nothing has changed if this fails.
    fn apply(&mut self, config: Config) -> anyhow::Result<()> {
        let (now, wall) = (clock::now(), clock::wall());
        let mut means = Means { metrics: &self.metrics, kept: &mut self.kept, now };
        let generation = Generation::new(self.number + 1);
        let snapshot = compile::snapshot(&config, &generation, &mut means)
            .map_err(|error| anyhow::anyhow!("{}: {error}", error.key().unwrap_or("config")))?;
        let prepared = self.listeners.prepare(&config, &mut means, wall)?;
        self.number = generation.number;
        self.generations.add(&generation);
        self.publisher.publish(snapshot);
        let workers = self.workers.as_deref();
        self.listeners.apply(prepared, &config, workers, &self.metrics)?;
        if let Some(workers) = workers {
            workers.look();
        }
        if config.log.level != self.config.log.level {
            (self.set_level)(config.log.level);
        }
        self.config = config;
        self.kept.forget(now);
        Ok(())
    }

    fn report(
        &self,
        result: Verdict,
        restart_needed: Vec<&'static str>,
        message: String,
    ) -> Result<Report, MetricError> {
        self.note(result)?;
        let generation = self.number;
        match result {
            Verdict::Refused => {
                tracing::error!(generation, %message, "config refused, the old one stays in use");
            }
            _ => tracing::info!(generation, result = result.as_str(), "config read"),
        }
        for key in &restart_needed {
            tracing::warn!(key, "changed, but counts only after a restart");
        }
        Ok(Report { result, generation, restart_needed, message })
    }

    fn note(&self, result: Verdict) -> Result<(), MetricError> {
        self.metrics.counter(&RELOADS, &[result.as_str()])?.inc();
        let is_good = i64::from(result != Verdict::Refused);
        self.metrics.gauge(&CONFIG_RELOAD_SUCCESS, &[])?.set(is_good);
        self.metrics.gauge(&CONFIG_GENERATION, &[])?.set(self.number.cast_signed());
        if result == Verdict::Applied {
            let since = clock::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.metrics.gauge(&CONFIG_APPLIED, &[])?.set(since.as_secs().cast_signed());
        }
        Ok(())
    }

    /// What has to be done now and then: certificates are looked at, old records forgotten.
    pub fn tend(&mut self) {
        let now = clock::now();
        self.listeners.refresh(&self.metrics, now, clock::wall());
        self.kept.forget(now);
    }
}

/// Keys that differ and are only read at the start.
fn restart_needed(old: &Config, new: &Config) -> Vec<&'static str> {
    let rows = [
        ("access_log.to", old.access_log == new.access_log),
        ("admin.socket", old.admin == new.admin),
        ("probe", old.probe == new.probe),
        (
            "process.idle_upstream_connections",
            old.process.idle_upstream_connections == new.process.idle_upstream_connections,
        ),
        ("process.watch_config", old.process.watch_config == new.process.watch_config),
        ("process.workers", old.process.workers == new.process.workers),
    ];
    rows.into_iter().filter(|(_, is_same)| !is_same).map(|(key, _)| key).collect()
}

/// The file at `path`, and those that `config` says are part of it.
fn files_of(path: Option<&PathBuf>, config: &Config) -> Vec<PathBuf> {
    path.into_iter().cloned().chain(config.files()).collect()
}

/// A number that tells what is in `files`, or that they cannot be read.
fn content_of(files: &[PathBuf]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for file in files {
        match std::fs::read(file) {
            Ok(bytes) => bytes.hash(&mut hasher),
            Err(error) => error.kind().hash(&mut hasher),
        }
    }
    hasher.finish()
}
