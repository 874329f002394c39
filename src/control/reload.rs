//! Reload: a new config while traffic flows, or the old one and the reason.
//!
//! Read → check → compile → publish. Everything that can fail happens before anything changes,
//! so a refused config costs nothing. What a request has begun with it keeps; what is counted
//! about a backend or a listener that stays is carried over ([`Kept`]).

use super::access_log::Log;
use super::admin::access::{Access, Rules};
use super::blocklist::Blocks;
use super::compile::{self, Means};
use super::config_gauges::ConfigGauges;
use super::content::Content;
use super::discovery::Pushed;
use super::health::Finding;
use super::identity::Followed;
use super::kept::Kept;
use super::listeners::Listeners;
use super::log_level::{LogControl, SetLevel};
use super::pools::{Pools, Told};
use super::redis::Redis;
use super::report::{Report, Verdict};
use super::starting::Starting;
use super::telling::InUse;
use crate::config::{self, Config, Diagnostics, Loaded, ProcessEnvironment, Secret};
use crate::data::engine::worker::Workers;
use crate::data::generation::{Generation, Generations};
use crate::data::snapshot::{Publisher, Snapshot};
use crate::observe::metrics::Metrics;
use crate::types::clock;
use crate::types::moment::Moment;
use arc_swap::ArcSwapOption;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::Notify;

/// The token that `/metrics` asks for, if any; read at each scrape.
pub type MetricsToken = Arc<ArcSwapOption<Secret>>;

/// Times a config is read until the files that it names stay the same.
const READS_MAX: u32 = 3;

/// What a reload works with.
pub struct Reloader {
    /// The file; without one there is nothing to reload.
    path: Option<PathBuf>,
    /// What is in use.
    pub config: Config,
    /// What else there is to tell of it.
    pub in_use: InUse,
    /// What came of the last reload, and when.
    pub last_report: Option<(SystemTime, Report)>,
    /// What the process was started with: some of it counts until a restart.
    started: Config,
    /// Other files that the config read last is made of.
    named: Vec<PathBuf>,
    /// What was in all of them when they were read last.
    content: Content,
    /// What was in the others when the config in use was read.
    applied: u64,
    /// Why the config read last was refused, if it was.
    refusal: Option<String>,
    number: u64,
    pub(super) kept: Kept,
    /// Who may not come in.
    pub blocks: Blocks,
    /// The pools that are there.
    pub pools: Pools,
    /// The issuers whose keys are fetched.
    followed: Followed,
    /// The listeners that are there.
    pub listeners: Listeners,
    /// Where the access log goes.
    pub access_log: Log,
    /// Where the firewalls' log goes.
    pub waf_log: Log,
    publisher: Publisher,
    pub(super) metrics: Arc<Metrics>,
    gauges: ConfigGauges,
    generations: Arc<Generations>,
    workers: Option<Arc<Workers>>,
    metrics_token: MetricsToken,
    /// Who may come in at the admin API.
    pub access: Arc<Access>,
    /// The level of the process log.
    pub log: LogControl,
}

/// What an attempt at a new config came to.
struct Outcome {
    result: Verdict,
    restart_needed: Vec<&'static str>,
    message: String,
}

impl Reloader {
    /// Compiles the first config and opens its listeners. Workers are to be started on
    /// [`Listeners::sockets`], and then [`work_with`](Self::work_with).
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn start(
        loaded: Loaded,
        path: Option<PathBuf>,
        metrics: &Arc<Metrics>,
        set_level: SetLevel,
    ) -> anyhow::Result<Self> {
        let in_use = InUse::of(&loaded, clock::wall());
        let config = loaded.config;
        let named = config.files();
        let content = Content::of(path.as_ref(), &named);
        let kept = Kept::default();
        let blocks = Blocks::new(metrics).with_link(kept.redis.link());
        let mut reloader = Self {
            in_use: in_use.clone(),
            last_report: None,
            content,
            applied: content.named,
            named,
            refusal: None,
            path,
            config: config.clone(),
            started: config.clone(),
            number: 0,
            kept: kept.with_blocklist(blocks.shared()),
            blocks,
            pools: Pools::default(),
            followed: Followed::default(),
            listeners: Listeners::default(),
            access_log: Log::default(),
            waf_log: Log::default(),
            publisher: Publisher::new(Snapshot::default()),
            metrics: Arc::clone(metrics),
            gauges: ConfigGauges::new(metrics),
            generations: Arc::default(),
            workers: None,
            metrics_token: MetricsToken::default(),
            access: Arc::default(),
            log: LogControl::new(set_level, config.log.level),
        };
        reloader.apply(config, in_use)?;
        reloader.note(Verdict::Applied);
        Ok(reloader)
    }

    /// The file of the config, if it is from one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The number of the config in use.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.number
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
        self.blocks.work_with(workers);
        self.workers = Some(Arc::clone(workers));
    }

    /// The token for `/metrics`, as it is at any time.
    #[must_use]
    pub fn metrics_token(&self) -> MetricsToken {
        Arc::clone(&self.metrics_token)
    }

    /// Files whose change is a change of the config.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.path.iter().chain(&self.named).cloned().collect()
    }

    /// Reloads if the files are not as they were when they were read last.
    pub fn reload_if_changed(&mut self) -> Option<Report> {
        let is_changed = Content::of(self.path.as_ref(), &self.named) != self.content;
        is_changed.then(|| self.reload("its files have changed"))
    }

    /// Tries a config again that was refused: what was in its way, an address in use or a file
    /// that it names, may be gone. The same reason is not told twice.
    pub fn retry(&mut self) -> Option<Report> {
        let refusal = self.refusal.clone()?;
        let outcome = self.attempt();
        let is_same = outcome.result == Verdict::Refused && outcome.message == refusal;
        (!is_same).then(|| self.report(outcome))
    }

    /// Reads the config again and uses it, or says why not.
    pub fn reload(&mut self, why: &str) -> Report {
        let file = self.path.as_deref().unwrap_or(Path::new("-"));
        tracing::info!(why, file = %file.display(), "reading the config again");
        self.access.look();
        let outcome = self.attempt();
        self.report(outcome)
    }

    fn attempt(&mut self) -> Outcome {
        let refused =
            |message| Outcome { result: Verdict::Refused, restart_needed: Vec::new(), message };
        let Some(path) = self.path.clone() else {
            return refused("error: there is no file to read\n".to_owned());
        };
        let loaded = match self.read(&path) {
            Ok(loaded) => loaded,
            Err(diagnostics) => return refused(diagnostics.to_text(false)),
        };
        let message = loaded.warnings.to_text(false);
        let restart_needed = restart_needed(&self.started, &loaded.config);
        let in_use = InUse::of(&loaded, clock::wall());
        if loaded.config == self.config && self.content.named == self.applied {
            self.in_use = InUse { applied: self.in_use.applied, ..in_use };
            return Outcome { result: Verdict::Unchanged, restart_needed, message };
        }
        match self.apply(loaded.config, in_use) {
            Ok(()) => Outcome { result: Verdict::Applied, restart_needed, message },
            Err(error) => refused(format!("error: {error:#}\n")),
        }
    }

    /// Reads the config. What is noted as its content was there before: a file that changes
    /// while it is read is seen to have changed.
    fn read(&mut self, path: &PathBuf) -> Result<Loaded, Box<Diagnostics>> {
        let mut reads = 1;
        loop {
            self.content = Content::of(Some(path), &self.named);
            let loaded = config::load(path, &ProcessEnvironment)?;
            let named = loaded.config.files();
            let is_noted = named == self.named;
            self.named = named;
            if is_noted || reads == READS_MAX {
                return Ok(loaded);
            }
            // It names other files than before: nothing is noted of them yet.
            reads += 1;
        }
    }

    /// Makes `config` the one in use. Nothing has changed if this fails.
    fn apply(&mut self, config: Config, in_use: InUse) -> anyhow::Result<()> {
        let (now, wall) = (clock::now(), clock::wall());
        let mut means = Means { metrics: &self.metrics, kept: &mut self.kept, now };
        let generation = Generation::new(self.number + 1);
        let compiled = compile::snapshot(&config, &generation, &mut means)
            .map_err(|error| anyhow::anyhow!("{}: {error}", error.key().unwrap_or("config")))?;
        let redis = Redis::prepare(config.redis.as_ref())
            .map_err(|error| anyhow::anyhow!("{}: {error}", error.key().unwrap_or("redis")))?;
        let log = self
            .access_log
            .prepare(&self.config.access_log.to, &config.access_log.to)
            .map_err(|error| anyhow::anyhow!("access_log.to: {}: {error}", config.access_log.to))?;
        let waf_log = self
            .waf_log
            .prepare(&self.config.waf_log.to, &config.waf_log.to)
            .map_err(|error| anyhow::anyhow!("waf_log.to: {}: {error}", config.waf_log.to))?;
        let prepared = self.listeners.prepare(&config, &mut means, wall)?;
        let blocks = self
            .blocks
            .prepare(&config)
            .map_err(|error| anyhow::anyhow!("{}: {error}", error.key().unwrap_or("blocklist")))?;
        let rules = Rules::of(&config.admin)
            .map_err(|error| anyhow::anyhow!("admin.tokens_file: {error}"))?;
        means.kept.redis.apply(redis, &self.metrics)?;
        self.number = generation.number;
        self.generations.add(&generation);
        self.pools.apply(compiled.pools, &mut means);
        self.blocks.apply(blocks, &config, &self.metrics);
        self.kept.commit();
        self.followed.apply(compiled.issuers);
        self.access_log.apply(log);
        self.waf_log.apply(waf_log);
        self.publisher.publish(compiled.snapshot);
        self.kept.limits.commit(now);
        let workers = self.workers.as_deref();
        self.listeners.apply(prepared, &config, workers, &self.metrics);
        if let Some(workers) = workers {
            workers.look();
        }
        self.metrics_token.store(config.probe.metrics_token.clone().map(Arc::new));
        self.applied = self.content.named;
        self.log.configure(config.log.level);
        self.access.replace(rules);
        (self.config, self.in_use) = (config, in_use);
        self.kept.forget(now);
        Ok(())
    }

    fn report(&mut self, outcome: Outcome) -> Report {
        let Outcome { result, restart_needed, message } = outcome;
        self.note(result);
        let generation = self.number;
        match result {
            Verdict::Refused => {
                tracing::error!(generation, %message, "config refused, the old one stays in use");
                self.refusal = Some(message.clone());
            }
            _ => {
                tracing::info!(generation, result = result.as_str(), "config read");
                self.refusal = None;
            }
        }
        for key in &restart_needed {
            tracing::warn!(key, "changed, but counts only after a restart");
        }
        let report = Report { result, generation, restart_needed, message };
        self.last_report = Some((clock::wall(), report.clone()));
        report
    }

    fn note(&mut self, result: Verdict) {
        self.gauges.note(result, self.number, &self.in_use.sha256);
    }

    /// Has sources and probes run from now on, on this runtime. Gives what they tell.
    pub fn run(&mut self) -> Told {
        self.followed.run(&self.metrics);
        self.pools.run(fastrand::Rng::new(), &self.metrics)
    }

    /// Told when something happens to a backend.
    #[must_use]
    pub fn changed(&self) -> Arc<Notify> {
        self.kept.changed()
    }

    /// What the start waits for.
    #[must_use]
    pub fn starting(&self) -> Arc<Starting> {
        Arc::clone(&self.pools.starting)
    }

    /// Takes in what a source found.
    pub fn found(&mut self, pushed: Pushed) {
        let mut means = Means { metrics: &self.metrics, kept: &mut self.kept, now: clock::now() };
        self.pools.found(pushed, &mut means);
    }

    /// Opens the files of logs anew.
    pub fn reopen_logs(&self) {
        self.access_log.reopen();
        self.waf_log.reopen();
    }

    /// Takes in what probes found.
    pub fn checked(&mut self, findings: impl Iterator<Item = Finding>) {
        let now = Moment::of(clock::now());
        for finding in findings {
            self.pools.checked(&finding, now);
        }
    }

    /// What outlives the steering: it is of use until the last request has ended.
    #[must_use]
    pub fn into_kept(self) -> Kept {
        self.kept
    }

    /// What has to be done now and then: certificates are looked at, old records forgotten.
    pub fn tend(&mut self) {
        let now = clock::now();
        self.listeners.refresh(&self.metrics, now, clock::wall());
        self.access.look();
        self.blocks.look();
        self.kept.limits.adapt(now);
        self.kept.forget(now);
    }
}

/// Keys that differ from what the process was started with, and are only read then.
fn restart_needed(started: &Config, new: &Config) -> Vec<&'static str> {
    let idle = |config: &Config| config.process.idle_upstream_connections;
    let rows = [
        ("admin.address", started.admin.address == new.admin.address),
        ("admin.socket", started.admin.socket == new.admin.socket),
        ("probe.address", started.probe.address == new.probe.address),
        ("process.idle_upstream_connections", idle(started) == idle(new)),
        ("process.watch_config", started.process.watch_config == new.process.watch_config),
        ("process.workers", started.process.workers == new.process.workers),
    ];
    rows.into_iter().filter(|(_, is_same)| !is_same).map(|(key, _)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reloader(path: &Path) -> Reloader {
        let loaded = config::load(path, &ProcessEnvironment).unwrap();
        let metrics = Arc::new(Metrics::new(1).unwrap());
        Reloader::start(loaded, Some(path.to_owned()), &metrics, Box::new(|_| ())).unwrap()
    }

    /// A config without sockets of its own is none; this one's port is taken by the system.
    fn write(path: &Path, more: &str) {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let text = format!("listener.http.address = \"127.0.0.1:{port}\"\n{more}\n");
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn what_was_read_counts_and_not_what_is_there_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vanne.toml");
        write(&path, "");
        let mut reloader = reloader(&path);
        assert!(reloader.reload_if_changed().is_none());
        // A change between the look and the reading is seen at the next look.
        let before = reloader.content;
        write(&path, "log.level = \"warn\"");
        let report = reloader.reload_if_changed().unwrap();
        assert_eq!((report.result, report.generation), (Verdict::Applied, 2));
        assert_ne!(reloader.content, before);
        assert!(reloader.reload_if_changed().is_none());
    }

    #[test]
    fn a_refused_config_is_told_once_and_used_when_it_can_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vanne.toml");
        write(&path, "");
        let mut reloader = reloader(&path);
        write(&path, "probe.metrics_token_file = \"token\"");
        assert_eq!(reloader.reload("").result, Verdict::Refused);
        assert!(reloader.retry().is_none());
        std::fs::write(folder.path().join("token"), "s3cret").unwrap();
        assert_eq!(reloader.retry().unwrap().result, Verdict::Applied);
        assert_eq!(reloader.metrics_token.load().as_deref().map(Secret::expose), Some("s3cret"));
        assert!(reloader.retry().is_none());
    }

    #[test]
    fn what_needs_a_restart_is_named_until_it_is_as_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vanne.toml");
        write(&path, "");
        let mut reloader = reloader(&path);
        for more in ["process.workers = 7", "process.workers = 7\nlog.level = \"warn\""] {
            write(&path, more);
            assert_eq!(reloader.reload("").restart_needed, ["process.workers"]);
        }
        write(&path, "");
        assert!(reloader.reload("").restart_needed.is_empty());
    }
}
