//! Certificates: read from files, checked, and put where handshakes look.
//!
//! One [`Keeper`] per listener remembers what it read. It looks again whenever it is told to,
//! reads what changed, and replaces the listener's certificates as a whole. What cannot be
//! used (half written, expired, not the key of its certificate) is said once, and what was
//! there before stays. A certificate goes when its file does, unless it is the last one.

mod read;
mod status;

pub use status::CertificateStatus;

use crate::config::{ClientCertificates, FilePath, ListenerTls};
use crate::control::wire;
use crate::data::listener::tls::certificates::{CertificateStore, Resolver};
use crate::data::listener::tls::clients::ClientAuthorities;
use crate::data::listener::tls::tickets::{KEY_BYTES, TicketKeys};
use crate::observe::metrics::{CERTIFICATE_ERRORS, CERTIFICATE_NOT_AFTER, Counter, Gauge, Metrics};
use read::{Certificate, Fault};
use rustls::RootCertStore;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Older keys that still decrypt tickets.
const OLD_KEYS: usize = 2;
/// The longest that a ticket may be good (RFC 8446 §4.6.1).
const TICKET_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

// The keys of the config that name files.
const CERTIFICATES: &str = "certificates";
const DEFAULT_CERTIFICATE: &str = "default_certificate";
const TICKET_KEYS: &str = "ticket_keys_file";
const CLIENT_CA: &str = "client_ca";

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

impl CertificateProblem {
    /// Whether a listener cannot begin without what is wrong.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self.key, TICKET_KEYS | CLIENT_CA)
    }
}

/// Keeps the certificates, ticket keys and authorities of clients of one listener as its files say.
pub struct Keeper {
    listener: String,
    config: ListenerTls,
    /// What was read from each file, and is in use.
    certificates: BTreeMap<PathBuf, Certificate>,
    /// What was said about each file last.
    said: BTreeMap<PathBuf, String>,
    signs: Vec<Sign>,
    /// When a certificate that came too early becomes valid.
    retry: Option<SystemTime>,
    rotated: Option<Instant>,
    /// Problems that no metric shows yet.
    uncounted: u64,
    /// The series of this listener's certificates.
    shown: BTreeMap<PathBuf, Gauge>,
    /// That of its errors.
    errors: Option<Counter>,
    /// Which certificate a client gets.
    pub resolver: Arc<Resolver>,
    /// The keys of tickets.
    pub tickets: Arc<TicketKeys>,
    /// Whose certificates clients may show, if they are asked for one.
    pub clients: Option<Arc<ClientAuthorities>>,
}

/// What tells cheaply whether a file has changed: device, inode, size, and the time of its last
/// change, which unlike that of its content nobody can set back.
type Sign = (PathBuf, Option<(u64, u64, u64, i64, i64)>);

impl Keeper {
    /// A keeper for the listener called `listener`, which has read everything once. What
    /// `previous` kept by another config stays where this one names it too: certificates whose
    /// files are broken just now, and the keys of tickets.
    ///
    /// # Errors
    /// All that is wrong, if there is no certificate to begin with, no key for tickets or no authority
    /// of clients, or if the default certificate can never be one.
    pub fn start(
        listener: &str,
        config: &ListenerTls,
        previous: Option<&Self>,
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
            retry: None,
            rotated: None,
            uncounted: 0,
            shown: BTreeMap::new(),
            errors: None,
            resolver: Arc::new(Resolver::new(CertificateStore::default(), config.strict_sni)),
            tickets: Arc::new(TicketKeys::new(u32::try_from(lifetime.as_secs()).unwrap_or(1))),
            clients: None,
        };
        if let Some(problem) = unnamed_default(config) {
            return Err(vec![problem]);
        }
        keeper.signs = keeper.look();
        if let Some(previous) = previous {
            keeper.inherit(previous);
        }
        let problems = keeper.read(wall);
        keeper.rotate(now);
        if keeper.certificates.is_empty() || problems.iter().any(CertificateProblem::is_fatal) {
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
        match Self::start("-", config, None, now, wall) {
            Err(problems) => problems,
            Ok(mut keeper) => {
                keeper.said.clear();
                keeper.read(wall)
            }
        }
    }

    /// Takes over from a keeper by another config.
    fn inherit(&mut self, previous: &Self) {
        let files = self.files();
        let named = previous.certificates.iter().filter(|(path, _)| files.contains(path));
        self.certificates = named.map(|(path, one)| (path.clone(), one.clone())).collect();
        if self.config.ticket_keys_file.is_none() && previous.config.ticket_keys_file.is_none() {
            self.tickets.inherit(&previous.tickets);
            self.rotated = previous.rotated;
        }
    }

    /// Looks whether files have changed, and uses what they say now. Whether they had.
    pub fn refresh(&mut self, metrics: &Metrics, now: Instant, wall: SystemTime) -> bool {
        self.rotate(now);
        let signs = self.look();
        if signs == self.signs && self.retry.is_none_or(|valid| wall < valid) {
            return false;
        }
        self.signs = signs;
        for problem in self.read(wall) {
            tracing::error!(%problem, listener = self.listener, "what was there stays in use");
        }
        self.show(metrics);
        true
    }

    /// Shows in metrics until when each certificate is valid, and how many could not be used.
    pub fn show(&mut self, metrics: &Metrics) {
        let labels = [self.listener.as_str()];
        let errors = self.errors.get_or_insert_with(|| metrics.handle(&CERTIFICATE_ERRORS, labels));
        errors.inc_by(std::mem::take(&mut self.uncounted));
        self.shown.retain(|path, _| self.certificates.contains_key(path));
        for (path, certificate) in &self.certificates {
            let file = path.to_string_lossy();
            let gauge = || metrics.handle(&CERTIFICATE_NOT_AFTER, [&self.listener, &*file]);
            let gauge = self.shown.entry(path.clone()).or_insert_with(gauge);
            gauge.set(certificate.not_after);
        }
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
            let told = found.map(|m| (m.dev(), m.ino(), m.size(), m.ctime(), m.ctime_nsec()));
            (path, told)
        };
        let files = self.files();
        let keys = files.iter().flat_map(|path| read::key_files(path)).collect::<Vec<_>>();
        let others = self.config.ticket_keys_file.iter().chain(&self.config.client_ca);
        let others = others.map(|file| file.0.clone());
        files.into_iter().chain(keys).chain(others).map(sign).collect()
    }

    /// Reads all files again. What is wrong and was not said before.
    fn read(&mut self, wall: SystemTime) -> Vec<CertificateProblem> {
        let files = self.files();
        let mut faults = BTreeMap::new();
        self.retry = None;
        for path in &files {
            match read::certificate(path, wall) {
                Ok(certificate) => {
                    self.certificates.insert(path.clone(), certificate);
                }
                Err(Fault::NoCertificate { has_key: true }) => {}
                Err(fault) => {
                    self.retry = self.retry.into_iter().chain(fault.valid_from()).min();
                    faults.insert(path.clone(), (CERTIFICATES, fault.to_string()));
                }
            }
        }
        for FilePath(pattern) in &self.config.certificates {
            let found = glob::glob(&pattern.to_string_lossy()).map(|mut found| found.next());
            let why = match found {
                Err(error) => format!("is no pattern: {error}"),
                Ok(None) => "no such file".to_owned(),
                Ok(Some(_)) => continue,
            };
            faults.insert(pattern.clone(), (CERTIFICATES, why));
        }
        if let Some(FilePath(default)) = &self.config.default_certificate
            && !files.contains(default)
        {
            let why = "no such file: the first certificate by name stands in".to_owned();
            faults.insert(default.clone(), (DEFAULT_CERTIFICATE, why));
        }
        if let Err((path, why)) = self.read_ticket_keys() {
            faults.insert(path, (TICKET_KEYS, why));
        }
        if let Err((path, why)) = self.read_client_ca() {
            faults.insert(path, (CLIENT_CA, why));
        }
        if files.iter().any(|path| self.certificates.contains_key(path)) {
            self.certificates.retain(|path, _| files.contains(path));
        }
        self.resolver.replace(self.store());
        self.say(faults)
    }

    /// What of all that is wrong now was not said before.
    fn say(
        &mut self,
        faults: BTreeMap<PathBuf, (&'static str, String)>,
    ) -> Vec<CertificateProblem> {
        let said = std::mem::take(&mut self.said);
        let mut problems = Vec::new();
        for (path, (key, why)) in faults {
            if said.get(&path) != Some(&why) {
                problems.push(CertificateProblem { key, path: path.clone(), why: why.clone() });
            }
            self.said.insert(path, why);
        }
        self.uncounted += problems.len() as u64;
        problems
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

    fn read_ticket_keys(&self) -> Result<(), (PathBuf, String)> {
        let Some(FilePath(path)) = &self.config.ticket_keys_file else { return Ok(()) };
        let keys = read::ticket_keys(path).map_err(|why| (path.clone(), why))?;
        self.tickets.replace(&keys);
        Ok(())
    }

    fn read_client_ca(&mut self) -> Result<(), (PathBuf, String)> {
        let Some(FilePath(path)) = &self.config.client_ca else { return Ok(()) };
        let wrong = |why| (path.clone(), why);
        let mut roots = RootCertStore::empty();
        for authority in wire::certificates(path).map_err(wrong)? {
            let unfit = |error| wrong(format!("holds a certificate of no authority: {error}"));
            roots.add(authority).map_err(unfit)?;
        }
        let replaced = match &self.clients {
            Some(clients) => clients.replace(roots),
            None => {
                let is_optional =
                    self.config.client_certificates == Some(ClientCertificates::Optional);
                let made = ClientAuthorities::new(roots, !is_optional);
                made.map(|made| self.clients = Some(Arc::new(made)))
            }
        };
        replaced.map_err(|error| wrong(format!("cannot be used: {error}")))
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

/// What is wrong with a default certificate that no pattern can find.
fn unnamed_default(config: &ListenerTls) -> Option<CertificateProblem> {
    let FilePath(default) = config.default_certificate.as_ref()?;
    // Without `.` in the middle: patterns are compared as texts.
    let plain = |path: &PathBuf| path.components().collect::<PathBuf>();
    let names = |FilePath(pattern): &FilePath| {
        let pattern = glob::Pattern::new(&plain(pattern).to_string_lossy());
        pattern.is_ok_and(|pattern| pattern.matches_path(&plain(default)))
    };
    let why = "is none of `certificates`: expected a file that they name".to_owned();
    (!config.certificates.iter().any(names)).then(|| CertificateProblem {
        key: DEFAULT_CERTIFICATE,
        path: default.clone(),
        why,
    })
}
