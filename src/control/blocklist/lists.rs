//! Lists: what the config and its files say of addresses, read whole. If any file is wrong, the
//! lists stay as they were.

use super::files::{self, NETWORKS_MAX};
use super::lookout::{Sign, sign};
use crate::config::{Blocklist, FilePath, Network};
use crate::control::compile::CompileError;
use crate::data::listener::blocklist::{Lists, Origin};
use crate::data::listener::places::PlaceRules;
use ipnet::IpNet;
use std::path::{Path, PathBuf};
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
    /// Patterns that find no file.
    pub(super) unfound: Vec<PathBuf>,
}

/// Whether two configs say other things, or name other files.
pub(super) fn differ(one: &Blocklist, other: &Blocklist) -> bool {
    let of = |config: &Blocklist| {
        let Blocklist { allow, deny, files, deny_countries, only_countries, deny_asns, .. } =
            config;
        let networks = (allow.clone(), deny.clone(), files.clone());
        (networks, deny_countries.clone(), only_countries.clone(), deny_asns.clone())
    };
    of(one) != of(other)
}

/// What the files of `config` look like now.
pub(super) fn signs(config: &Blocklist) -> Vec<Sign> {
    let found = config.files.iter().filter_map(|FilePath(path)| files::found(path).ok());
    found.flatten().map(|path| sign(&path)).collect()
}

/// The patterns of `config` that find no file.
pub(super) fn unfound(config: &Blocklist) -> impl Iterator<Item = &PathBuf> {
    let patterns = config.files.iter().map(|FilePath(pattern)| pattern);
    patterns.filter(|pattern| files::found(pattern).is_ok_and(|found| found.is_empty()))
}

/// The same again, where only the patterns `unfound` found no file before: of one that did, the files
/// have been lost rather than emptied.
///
/// # Errors
/// As [`read`]; or that such a pattern finds none any more.
pub(super) fn read_again(
    config: &Blocklist,
    unfound: &[PathBuf],
) -> Result<ReadLists, CompileError> {
    let read = read(config)?;
    match read.unfound.iter().find(|pattern| !unfound.contains(pattern)) {
        None => Ok(read),
        Some(lost) => {
            let why = "finds no file any more: expected one, if only with a comment";
            Err(wrong(lost, why.to_owned()))
        }
    }
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
    let lists = Lists {
        allow: Prefixes::new(own(&config.allow)),
        deny: Prefixes::new(deny),
        places: PlaceRules {
            deny_countries: in_order(&config.deny_countries),
            only_countries: in_order(&config.only_countries),
            deny_asns: in_order(&config.deny_asns),
        },
    };
    let unfound = unfound(config).cloned().collect();
    Ok(ReadLists { lists, files, own: config.deny.len(), unfound })
}

fn wrong(path: &Path, why: String) -> CompileError {
    CompileError::File { key: KEY.to_owned(), path: path.display().to_string(), why }
}

fn in_order<T: Ord + Copy>(list: &[T]) -> Vec<T> {
    let mut list = list.to_vec();
    list.sort_unstable();
    list
}
