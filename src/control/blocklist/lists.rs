//! Lists: what the config and its files say of addresses, read whole and read again.
//!
//! Files are looked at twice a second by what the file system says of them, as certificates are.
//! One that changes is read when it has been the same for a look, on a thread of its own: a
//! million lines take a while. If any file is wrong, the lists stay as they were.

use super::files::{self, NETWORKS_MAX};
use crate::config::{Blocklist, FilePath, Network};
use crate::control::compile::CompileError;
use crate::data::listener::blocklist::{Lists, Origin};
use futures::FutureExt;
use ipnet::IpNet;
use std::path::PathBuf;
use tokio::task::JoinHandle;
use vanne_filters::address::Prefixes;

/// The key that names files.
const KEY: &str = "blocklist.files";

/// What was read.
pub(super) struct ReadLists {
    /// What is said.
    pub(super) lists: Lists,
    /// The files, in the order in which networks name them, and how many networks each has.
    pub(super) files: Vec<(PathBuf, usize)>,
    /// Networks of the config itself.
    pub(super) own: usize,
}

/// What the files looked like.
type Signs = Vec<(PathBuf, Option<(u64, u64, u64, i64, i64)>)>;

/// Looks after the files.
#[derive(Default)]
pub(super) struct Lookout {
    config: Blocklist,
    /// As they were when they were read last, or are being read now.
    read: Signs,
    /// As they were at the last look.
    seen: Signs,
    reading: Option<JoinHandle<Result<ReadLists, CompileError>>>,
}

impl Lookout {
    /// Whether `config` names other networks or files than the last.
    pub(super) fn is_other(&self, config: &Blocklist) -> bool {
        let of =
            |config: &Blocklist| (config.allow.clone(), config.deny.clone(), config.files.clone());
        of(&self.config) != of(config)
    }

    /// From now on looks after the files of `config`, which have just been read and looked like
    /// `signs` before.
    pub(super) fn follow(&mut self, config: &Blocklist, signs: Signs) {
        *self = Self { config: config.clone(), seen: signs.clone(), read: signs, reading: None };
    }

    /// Looks whether files have changed. Gives what came of reading them, once that is done.
    pub(super) fn look(&mut self) -> Option<Result<ReadLists, CompileError>> {
        if let Some(reading) = &mut self.reading {
            let done = reading.now_or_never()?;
            self.reading = None;
            return done.ok();
        }
        if self.config.files.is_empty() {
            return None;
        }
        let now = signs(&self.config);
        let is_quiet = now == self.seen;
        if is_quiet && now != self.read {
            self.read.clone_from(&now);
            let config = self.config.clone();
            self.reading = Some(tokio::task::spawn_blocking(move || read(&config)));
        }
        self.seen = now;
        None
    }
}

/// What the files of `config` look like now.
pub(super) fn signs(config: &Blocklist) -> Signs {
    let found = config.files.iter().filter_map(|FilePath(path)| files::found(path).ok());
    found.flatten().map(|path| files::sign(&path)).collect()
}

/// Reads all that `config` says and names.
///
/// # Errors
/// When a file cannot be read, or is wrong; or they are too many.
pub(super) fn read(config: &Blocklist) -> Result<ReadLists, CompileError> {
    let own = |networks: &[Network]| -> Vec<(IpNet, Origin)> {
        let lines = (0..).map(|line| Origin { file: 0, line });
        networks.iter().map(|Network(network)| *network).zip(lines).collect()
    };
    let wrong = |path: &PathBuf, why: String| CompileError::File {
        key: KEY.to_owned(),
        path: path.display().to_string(),
        why,
    };
    let mut deny = own(&config.deny);
    let mut files = Vec::new();
    for FilePath(pattern) in &config.files {
        for path in files::found(pattern).map_err(|why| wrong(pattern, why))? {
            let networks = files::read(&path).map_err(|why| wrong(&path, why))?;
            let file = u16::try_from(files.len() + 1).unwrap_or(u16::MAX);
            if file == u16::MAX || deny.len() + networks.len() > NETWORKS_MAX {
                let why = format!("is too much: at most {NETWORKS_MAX} lines in 65534 files");
                return Err(wrong(&path, why));
            }
            files.push((path, networks.len()));
            let named = |(network, line)| (network, Origin { file, line });
            deny.extend(networks.into_iter().map(named));
        }
    }
    let lists = Lists { allow: Prefixes::new(own(&config.allow)), deny: Prefixes::new(deny) };
    Ok(ReadLists { lists, files, own: config.deny.len() })
}
