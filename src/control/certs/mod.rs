//! Certificates: read from files, checked, and put where handshakes look.
//!
//! One [`Keeper`] per listener remembers what it read. It looks again whenever it is told to,
//! reads what changed, and replaces the listener's certificates as a whole. What cannot be
//! used (half written, expired, not the key of its certificate) is said once, and what was
//! there before stays. A certificate goes when its file does, unless it is the last one.

mod read;

use crate::config::{FilePath, ListenerTls};
use crate::data::listener::tls::certificates::{CertificateStore, Resolver};
use crate::data::listener::tls::tickets::{KEY_BYTES, TicketKeys};
use crate::observe::metrics::{CERTIFICATE_ERRORS, CERTIFICATE_NOT_AFTER, MetricError, Metrics};
use read::{Certificate, Fault};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Older keys that still decrypt tickets.
const OLD_KEYS: usize = 2;
/// The longest that a ticket may be good (RFC 8446 §4.6.1).
const TICKET_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// What is wrong with what a listener's TLS names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct CertificateProblem {
    /// The key of the config that names the file, below `listener.NAME.tls`.
    pub key: &'static str,
    /// The file, or the pattern that finds none.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

/// Keeps the certificates and ticket keys of one listener as its files say.
pub struct Keeper {
    listener: String,
    config: ListenerTls,
    /// What was read from each file, and is in use.
    certificates: BTreeMap<PathBuf, Certificate>,
    /// What was said about each file last.
    said: BTreeMap<PathBuf, String>,
    signs: Vec<Sign>,
    rotated: Option<Instant>,
    /// Which certificate a client gets.
    pub resolver: Arc<Resolver>,
    /// The keys of tickets.
    pub tickets: Arc<TicketKeys>,
}

/// What tells cheaply whether a file has changed: device, inode, size, time of change.
type Sign = (PathBuf, Option<(u64, u64, u64, i64, i64)>);

impl Keeper {
    /// A keeper for the listener called `listener`, which has read everything once.
    ///
    /// # Errors
    /// All that is wrong, if there is no certificate to begin with or no key for tickets.
    pub fn start(
        listener: &str,
        config: &ListenerTls,
        now: Instant,
        wall: SystemTime,
    ) -> Result<Self, Vec<CertificateProblem>> {
        let lifetime = (config.ticket_rotation.as_duration() * 2).min(TICKET_MAX);
        let mut keeper = Self {
            listener: listener.to_owned(),
            config: config.clone(),
            certificates: BTreeMap::new(),
            said: BTreeMap::new(),
            signs: Vec::new(),
            rotated: None,
            resolver: Arc::new(Resolver::new(CertificateStore::default(), config.strict_sni)),
            tickets: Arc::new(TicketKeys::new(u32::try_from(lifetime.as_secs()).unwrap_or(1))),
        };
        keeper.signs = keeper.look();
        let mut problems = keeper.read(wall);
        problems.extend(keeper.read_ticket_keys().err());
        keeper.rotate(now);
        let is_keyless = problems.iter().any(|problem| problem.key == "ticket_keys_file");
        if keeper.certificates.is_empty() || is_keyless {
            return Err(problems);
        }
        for problem in &problems {
            tracing::error!(%problem, listener, "certificate not used");
        }
        Ok(keeper)
    }

    /// All that is wrong with what `config` names.
    #[must_use]
    pub fn problems(
        config: &ListenerTls,
        now: Instant,
        wall: SystemTime,
    ) -> Vec<CertificateProblem> {
        match Self::start("-", config, now, wall) {
            Err(problems) => problems,
            Ok(mut keeper) => {
                keeper.said.clear();
                keeper.read(wall)
            }
        }
    }

    /// Looks whether files have changed, and uses what they say now. Whether they had.
    ///
    /// # Errors
    /// When a metric cannot be made.
    pub fn refresh(
        &mut self,
        metrics: &Metrics,
        now: Instant,
        wall: SystemTime,
    ) -> Result<bool, MetricError> {
        self.rotate(now);
        let signs = self.look();
        if signs == self.signs {
            return Ok(false);
        }
        self.signs = signs;
        let before: Vec<PathBuf> = self.certificates.keys().cloned().collect();
        let mut problems = self.read(wall);
        problems.extend(self.read_ticket_keys().err());
        for problem in problems {
            tracing::error!(%problem, listener = self.listener, "what was there stays in use");
            metrics.counter(&CERTIFICATE_ERRORS, &[&self.listener])?.inc();
        }
        for gone in before.iter().filter(|path| !self.certificates.contains_key(*path)) {
            let labels = [self.listener.as_str(), &gone.to_string_lossy()];
            metrics.remove(CERTIFICATE_NOT_AFTER.name, &labels);
        }
        self.show(metrics)?;
        Ok(true)
    }

    /// Shows in metrics until when each certificate is valid.
    ///
    /// # Errors
    /// When a metric cannot be made.
    pub fn show(&self, metrics: &Metrics) -> Result<(), MetricError> {
        for (path, certificate) in &self.certificates {
            let labels = [self.listener.as_str(), &path.to_string_lossy()];
            metrics.gauge(&CERTIFICATE_NOT_AFTER, &labels)?.set(certificate.not_after);
        }
        Ok(())
    }

    /// The files that the patterns find now, in order.
    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = self
            .config
            .certificates
            .iter()
            .filter_map(|pattern| glob::glob(&pattern.0.to_string_lossy()).ok())
            .flat_map(|found| found.filter_map(Result::ok))
            .filter(|path| !path.is_dir())
            .collect();
        files.sort();
        files.dedup();
        files
    }

    fn look(&self) -> Vec<Sign> {
        use std::os::unix::fs::MetadataExt;
        let sign = |path: PathBuf| {
            let found = std::fs::metadata(&path).ok();
            let told = found.map(|m| (m.dev(), m.ino(), m.size(), m.mtime(), m.mtime_nsec()));
            (path, told)
        };
        let files = self.files();
        let keys = files.iter().flat_map(|path| read::key_files(path)).collect::<Vec<_>>();
        let tickets = self.config.ticket_keys_file.iter().map(|file| file.0.clone());
        files.into_iter().chain(keys).chain(tickets).map(sign).collect()
    }

    /// Reads all files again. What is wrong and was not said before.
    fn read(&mut self, wall: SystemTime) -> Vec<CertificateProblem> {
        let files = self.files();
        let mut problems = Vec::new();
        for path in &files {
            match read::certificate(path, wall) {
                Ok(certificate) => {
                    self.said.remove(path);
                    self.certificates.insert(path.clone(), certificate);
                }
                Err(Fault::NoCertificate { has_key: true }) => {}
                Err(fault) => self.say(path, fault.to_string(), &mut problems),
            }
        }
        for FilePath(pattern) in self.config.certificates.clone() {
            let is_empty = glob::glob(&pattern.to_string_lossy())
                .map_or(true, |mut found| found.next().is_none());
            match is_empty {
                true => self.say(&pattern, "no such file".to_owned(), &mut problems),
                false if files.contains(&pattern) => {}
                false => drop(self.said.remove(&pattern)),
            }
        }
        if files.iter().any(|path| self.certificates.contains_key(path)) {
            self.certificates.retain(|path, _| files.contains(path));
        }
        self.resolver.replace(self.store());
        problems
    }

    fn say(&mut self, path: &Path, why: String, problems: &mut Vec<CertificateProblem>) {
        if self.said.get(path) != Some(&why) {
            self.said.insert(path.to_owned(), why.clone());
            problems.push(CertificateProblem { key: "certificates", path: path.to_owned(), why });
        }
    }

    fn store(&self) -> CertificateStore {
        let mut store = CertificateStore::default();
        let named = self.config.default_certificate.as_ref().map(|file| &file.0);
        let first = self.certificates.keys().next();
        let default = named.filter(|path| self.certificates.contains_key(*path)).or(first);
        let names = default.and_then(|path| self.certificates.get(path)).map(|found| &found.names);
        for certificate in self.certificates.values() {
            store.add(&certificate.key, certificate.names.iter().map(String::as_str));
            // The same names with another kind of key serve the same clients.
            if names == Some(&certificate.names) {
                store.add_default(&certificate.key);
            }
        }
        store
    }

    fn read_ticket_keys(&mut self) -> Result<(), CertificateProblem> {
        let Some(file) = &self.config.ticket_keys_file else { return Ok(()) };
        let path = file.0.clone();
        match read::ticket_keys(&path) {
            Ok(keys) => {
                self.tickets.replace(&keys);
                Ok(())
            }
            Err(why) => Err(CertificateProblem { key: "ticket_keys_file", path, why }),
        }
    }

    /// Makes a new key for tickets when it is time, unless they come from a file.
    fn rotate(&mut self, now: Instant) {
        let period = self.config.ticket_rotation.as_duration();
        let is_due = self.rotated.is_none_or(|last| now.duration_since(last) >= period);
        if self.config.ticket_keys_file.is_some() || !is_due {
            return;
        }
        let mut key = [0; KEY_BYTES];
        if aws_lc_rs::rand::fill(&mut key).is_ok() {
            self.tickets.rotate(&key, OLD_KEYS);
            self.rotated = Some(now);
        }
    }
}
