//! The state file: blocks that are to outlive the process.
//!
//! A journal: a line of JSON for each change, on disk before anybody is told that it is done. A
//! line that was being written when the process was killed has no end, and was told to nobody.
//! Now and then, and at each start, the file is replaced as a whole by what holds.

use super::entry::Record;
use crate::config::Network;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The form of the file.
const VERSION: u32 = 1;
/// Lines beyond twice those that hold, from which on the file is replaced.
const SPARE_LINES: usize = 1000;

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    /// The first one: the form of the file.
    Version(u32),
    /// Somebody was blocked.
    Block(Record),
    /// Somebody is blocked no longer.
    Unblock(Network),
    /// Other replicas are to be told what was said of this network last.
    Untold(Network),
    /// They are told.
    Told(Network),
    /// Where replicas share blocks, and know of all that are not untold; empty: nowhere.
    Store(String),
}

impl Line {
    /// Whether it is to be on disk at once. What others were told is told again if that is lost.
    fn must_last(&self) -> bool {
        !matches!(self, Self::Told(_) | Self::Store(_))
    }
}

/// The state file, open.
pub(super) struct State {
    path: PathBuf,
    file: Option<File>,
    lines: usize,
}

/// What was found in the file.
#[derive(Default)]
pub(super) struct Found {
    /// What it says that holds.
    pub(super) records: Vec<Record>,
    /// Networks of which other replicas are to be told.
    pub(super) untold: BTreeSet<IpNet>,
    /// Where they share blocks; empty: nowhere.
    pub(super) store: String,
    /// What is wrong with it, if something is.
    pub(super) damage: Option<String>,
}

impl State {
    /// The file at `path`; not read or written yet.
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path, file: None, lines: 0 }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads what is there. Of a file that is damaged a copy is kept beside it.
    pub(super) fn read(&self) -> Found {
        let bytes = match std::fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::default(),
            Err(error) => {
                return Found { damage: Some(error.to_string()), ..Found::default() };
            }
        };
        let mut found = read(&bytes);
        if let Some(damage) = &mut found.damage {
            let aside = self.path.with_extension("damaged");
            let kept = std::fs::write(&aside, &bytes);
            let kept = kept.map(|()| format!("a copy is at {}", aside.display()));
            *damage = format!("{damage}; {}", kept.unwrap_or_else(|error| error.to_string()));
        }
        found
    }

    /// Writes `lines` behind those that are there; what is to last is on disk when this returns.
    /// `holding` gives all that holds, for when the file is replaced instead.
    ///
    /// # Errors
    /// When they are not: the next time, the file is replaced.
    pub(super) fn write(
        &mut self,
        lines: &[Line],
        holding: impl Fn() -> Vec<Line>,
        count: usize,
    ) -> io::Result<()> {
        let is_long = self.lines + lines.len() > count * 2 + SPARE_LINES;
        // What is written into a file that was deleted, nobody finds.
        let is_there = |file: &&mut File| file.metadata().is_ok_and(|about| about.nlink() > 0);
        let Some(file) = self.file.as_mut().filter(is_there).filter(|_| !is_long) else {
            return self.replace(holding());
        };
        let written = text_of(lines).and_then(|text| file.write_all(&text));
        let must_last = lines.iter().any(Line::must_last);
        match written.and_then(|()| if must_last { file.sync_data() } else { Ok(()) }) {
            Ok(()) => self.lines += lines.len(),
            Err(error) => {
                self.file = None;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Replaces the file by what holds.
    fn replace(&mut self, holding: Vec<Line>) -> io::Result<()> {
        self.file = None;
        let new = self.path.with_extension("new");
        let lines: Vec<Line> = std::iter::once(Line::Version(VERSION)).chain(holding).collect();
        let mut out = File::create(&new)?;
        out.write_all(&text_of(&lines)?)?;
        out.sync_all()?;
        std::fs::rename(&new, &self.path)?;
        if let Some(folder) = self.path.parent() {
            File::open(folder)?.sync_all()?;
        }
        self.file = Some(OpenOptions::new().append(true).open(&self.path)?);
        self.lines = lines.len();
        Ok(())
    }
}

fn text_of(lines: &[Line]) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut text, line)?;
        text.push(b'\n');
    }
    Ok(text)
}

/// What holds after all lines of `bytes`.
fn read(bytes: &[u8]) -> Found {
    let (mut holding, mut untold) = (BTreeMap::new(), BTreeSet::new());
    let (mut store, mut damage) = (String::new(), None);
    for (number, line) in (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
        // What has no end was told to nobody.
        let Some(line) = line.strip_suffix(b"\n") else { break };
        match serde_json::from_slice(line) {
            Ok(Line::Version(VERSION)) if number == 1 => {}
            Ok(Line::Block(record)) if number > 1 => {
                holding.insert(record.cidr.0, record);
            }
            Ok(Line::Unblock(cidr)) if number > 1 => {
                holding.remove(&cidr.0);
            }
            Ok(Line::Untold(cidr)) if number > 1 => drop(untold.insert(cidr.0)),
            Ok(Line::Told(cidr)) if number > 1 => drop(untold.remove(&cidr.0)),
            Ok(Line::Store(id)) if number > 1 => {
                // What waits belongs to a store.
                if id.is_empty() {
                    untold.clear();
                }
                store = id;
            }
            Ok(Line::Version(version)) if number == 1 => {
                let damage = Some(format!("version {version}: expected {VERSION}"));
                return Found { damage, ..Found::default() };
            }
            other => {
                let why = other.map_or_else(|error| error.to_string(), |_| "not here".to_owned());
                damage.get_or_insert_with(|| format!("line {number}: {why}"));
            }
        }
    }
    Found { records: holding.into_values().collect(), untold, store, damage }
}

#[cfg(test)]
mod tests {
    use super::super::entry::Maker;
    use super::*;

    fn record(cidr: &str) -> Record {
        let cidr = cidr.parse().unwrap();
        let (by, owner) = (Maker::Api, "kim".to_owned());
        Record { cidr, by, owner, reason: None, since: 1, seconds: Some(9), until: Some(10) }
    }

    fn networks(found: &Found) -> Vec<String> {
        found.records.iter().map(|record| record.cidr.to_string()).collect()
    }

    /// Writes what becomes of these addresses, one after the other.
    fn written(path: &Path, addresses: &[&str]) -> State {
        let mut state = State::at(path.to_owned());
        for (count, address) in (1..).zip(addresses) {
            let all = || addresses[..count].iter().map(|a| Line::Block(record(a))).collect();
            state.write(&[Line::Block(record(address))], all, count).unwrap();
        }
        state
    }

    #[test]
    fn what_was_written_is_read_whatever_happens_to_the_last_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blocklist.state");
        assert!(State::at(path.clone()).read().records.is_empty(), "nothing is there yet");
        let mut state = written(&path, &["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
        let gone = [Line::Unblock("192.0.2.2".parse().unwrap())];
        state.write(&gone, || unreachable!(), 2).unwrap();
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(whole.iter().filter(|byte| **byte == b'\n').count(), 5);
        let lines: Vec<usize> =
            (0..whole.len()).filter(|at| whole[*at] == b'\n').map(|at| at + 1).collect();
        for end in 0..=whole.len() {
            let found = read(&whole[..end]);
            let count = lines.iter().filter(|line| **line <= end).count();
            assert_eq!(found.damage, None, "{end}");
            let want: &[&str] = match count {
                0 | 1 => &[],
                2 => &["192.0.2.1/32"],
                3 => &["192.0.2.1/32", "192.0.2.2/32"],
                4 => &["192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32"],
                _ => &["192.0.2.1/32", "192.0.2.3/32"],
            };
            assert_eq!(networks(&found), want, "{end}");
        }
    }

    #[test]
    fn of_a_damaged_file_the_rest_is_used_and_a_copy_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blocklist.state");
        drop(written(&path, &["192.0.2.1", "192.0.2.2"]));
        let text = std::fs::read_to_string(&path).unwrap();
        let damaged = text.replacen("192.0.2.1", "192.0.2.x", 1);
        std::fs::write(&path, &damaged).unwrap();
        let found = State::at(path.clone()).read();
        assert_eq!(networks(&found), ["192.0.2.2/32"]);
        let damage = found.damage.unwrap();
        assert!(damage.contains("line 2") && damage.contains("blocklist.damaged"), "{damage}");
        assert_eq!(
            std::fs::read_to_string(folder.path().join("blocklist.damaged")).unwrap(),
            damaged
        );
        std::fs::write(&path, text.replacen("\"version\":1", "\"version\":2", 1)).unwrap();
        let found = State::at(path).read();
        assert!(found.records.is_empty() && found.damage.unwrap().contains("version 2"));
    }

    #[test]
    fn a_file_that_has_grown_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blocklist.state");
        let mut state = State::at(path.clone());
        let lines = [Line::Block(record("192.0.2.1")), Line::Unblock("192.0.2.1".parse().unwrap())];
        for _ in 0..SPARE_LINES {
            state.write(&lines, Vec::new, 0).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.lines().count() <= SPARE_LINES, "{}", text.lines().count());
        assert!(!folder.path().join("blocklist.new").exists());
    }

    #[test]
    fn what_cannot_be_written_is_said_and_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gone").join("blocklist.state");
        let mut state = State::at(path.clone());
        let line = ["192.0.2.1", "192.0.2.2"].map(|address| Line::Block(record(address)));
        let all = || line.to_vec();
        assert!(state.write(&line[..1], all, 2).is_err());
        std::fs::create_dir(folder.path().join("gone")).unwrap();
        state.write(&line[..1], all, 2).unwrap();
        assert_eq!(networks(&State::at(path).read()), ["192.0.2.1/32", "192.0.2.2/32"]);
    }

    #[test]
    fn what_waits_to_be_told_is_known_after_a_restart() {
        let net = |text: &str| text.parse::<Network>().unwrap();
        let line = |line| text_of(&[line]).unwrap();
        let mut bytes = line(Line::Version(VERSION));
        for one in [
            Line::Block(record("192.0.2.1")),
            Line::Untold(net("192.0.2.1")),
            Line::Untold(net("192.0.2.2")),
            Line::Told(net("192.0.2.1")),
            Line::Store("a".to_owned()),
        ] {
            bytes.extend(line(one));
        }
        let found = read(&bytes);
        assert_eq!((found.store.as_str(), found.damage.as_ref()), ("a", None));
        assert_eq!(Vec::from_iter(&found.untold), [&net("192.0.2.2").0]);
        bytes.extend(line(Line::Store(String::new())));
        let found = read(&bytes);
        assert!(found.untold.is_empty() && found.store.is_empty() && found.records.len() == 1);
    }
}
