//! The blocklist: who may not come in, from config, files and operators, published for the data
//! plane to read.
//!
//! What config and files say is `lists`, and `places` where addresses are; blocks that are made at
//! run time are here, kept in `state` and told to other replicas by `sharing`. Whatever changes a
//! block goes through `Blocks::change`: it is in force, and on disk, when that returns, and open
//! connections of who is blocked end soon after. Owned by one task.

mod automatic;
mod entry;
mod files;
mod lists;
mod lookout;
mod making;
mod places;
mod sharing;
mod state;
mod status;

pub use entry::{Maker, Record};
pub use making::{BlockError, Wanted};
pub use sharing::Heard;
pub use status::{BlockPage, BlockStatus, Checked, FileStatus, ListedIn};

use crate::config::{self, Blocklist as Config, FilePath, Network};
use crate::control::compile::CompileError;
use crate::data::engine::worker::Workers;
use crate::data::listener::blocklist::{Block, Blocklist};
use crate::observe::metrics::{BLOCKLIST_ENTRIES, Gauge, Metrics};
use crate::types::clock;
use crate::types::moment::Moment;
use automatic::Automatic;
use entry::Entry;
use ipnet::IpNet;
use lists::ReadLists;
use lookout::{Lookout, Sign};
use places::PlaceFiles;
use sharing::Sharing;
use state::{Line, State};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The state file, in `process.state_dir`.
const STATE_FILE: &str = "blocklist.state";
/// Open connections are looked through at most so often.
const SWEEP: Duration = Duration::from_millis(100);

/// What is wrong with the files that `config` names, if something is: the keys, and why.
pub fn problems(config: &config::Config) -> impl Iterator<Item = (String, String)> {
    let errors = [lists::read(&config.blocklist).err(), places::read(&config.geoip).err()];
    let told =
        |error: CompileError| (error.key().unwrap_or("blocklist").to_owned(), error.to_string());
    errors.into_iter().flatten().map(told)
}

/// What in the files that `config` names may not be meant, if something is: the keys, and why.
pub fn doubts(config: &config::Config) -> impl Iterator<Item = (String, String)> {
    let told = |pattern: &PathBuf| ("blocklist.files".to_owned(), nothing_found(pattern));
    lists::unfound(&config.blocklist).map(told)
}

fn nothing_found(pattern: &Path) -> String {
    format!("{}: finds no file, and blocks nobody", pattern.display())
}

/// A change of blocks.
#[derive(Default)]
struct Change {
    /// These hold no longer.
    lifted: Vec<IpNet>,
    /// These hold; what was said of the same networks before does not.
    blocked: Vec<Entry>,
    /// It was made here: other replicas are to be told.
    is_own: bool,
    /// What else is to be kept.
    lines: Vec<Line>,
}

impl Change {
    /// Blocks that are made here.
    fn block(records: Vec<Record>, now: Moment, wall: SystemTime) -> Self {
        let blocked = records.into_iter().map(|record| Entry::of(record, now, wall)).collect();
        Self { blocked, is_own: true, ..Self::default() }
    }

    fn is_empty(&self) -> bool {
        self.lifted.is_empty() && self.blocked.is_empty() && self.lines.is_empty()
    }
}

/// Lists and files that are ready to be used.
pub struct Prepared {
    lists: Option<(ReadLists, Vec<Sign>)>,
    places: Option<places::Ready>,
}

/// All blocks, and how they are published and kept.
pub struct Blocks {
    shared: Arc<Blocklist>,
    workers: Option<Arc<Workers>>,
    config: Config,
    lookout: Lookout<ReadLists>,
    places: PlaceFiles,
    /// Files in use, with the networks of each.
    files: Vec<(PathBuf, usize)>,
    /// Networks that the config itself denies.
    own: usize,
    /// Patterns that found no file.
    unfound: Vec<PathBuf>,
    /// Why the files are not in use as they are now, if they are not; or which are not there.
    fault: Option<String>,
    entries: BTreeMap<IpNet, Entry>,
    /// When those end that do, in order.
    ends: BTreeSet<(Moment, IpNet)>,
    state: Option<State>,
    gauges: Gauges,
    automatic: Automatic,
    sharing: Sharing,
    /// Somebody was blocked since open connections were looked through.
    is_unswept: bool,
    next_sweep: Moment,
}

/// `vanne_blocklist_entries`, by source.
struct Gauges {
    allow: Gauge,
    config: Gauge,
    file: Gauge,
    made: [Gauge; Maker::ALL.len()],
}

impl Blocks {
    /// Nobody is blocked yet.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        let shared = Arc::new(Blocklist::new(metrics));
        let mut group = metrics.group();
        let mut gauge = |source| group.handle(&BLOCKLIST_ENTRIES, [source]);
        Self {
            gauges: Gauges {
                allow: gauge("allow"),
                config: gauge("config"),
                file: gauge("file"),
                made: Maker::ALL.map(|maker| gauge(maker.as_str())),
            },
            automatic: Automatic::new(metrics),
            workers: None,
            config: Config::default(),
            lookout: Lookout::default(),
            places: PlaceFiles::new(shared.places()),
            shared,
            files: Vec::new(),
            own: 0,
            unfound: Vec::new(),
            fault: None,
            entries: BTreeMap::new(),
            ends: BTreeSet::new(),
            state: None,
            sharing: Sharing::default(),
            is_unswept: false,
            next_sweep: Moment::default(),
        }
    }

    /// What the data plane reads.
    #[must_use]
    pub fn shared(&self) -> Arc<Blocklist> {
        Arc::clone(&self.shared)
    }

    /// The workers whose connections are ended.
    pub fn work_with(&mut self, workers: &Arc<Workers>) {
        self.workers = Some(Arc::clone(workers));
    }

    /// Reads what `config` says, if that is other than what is in use; nothing changes yet.
    ///
    /// # Errors
    /// When a file that it names cannot be used.
    pub fn prepare(&self, config: &config::Config) -> Result<Prepared, CompileError> {
        let config::Config { blocklist, geoip, .. } = config;
        let mut lists = None;
        if lists::differ(&self.config, blocklist) {
            let signs = lists::signs(blocklist);
            lists = Some((lists::read(blocklist)?, signs));
        }
        Ok(Prepared { lists, places: self.places.prepare(geoip)? })
    }

    /// Uses what was prepared of `config`, and blocks that were kept by a process before.
    pub fn apply(&mut self, prepared: Prepared, config: &config::Config, metrics: &Metrics) {
        let (now, wall) = (Moment::of(clock::now()), clock::wall());
        let config::Config { blocklist, geoip, process, redis, .. } = config;
        if let Some((lists, signs)) = prepared.lists {
            self.lookout.follow(signs);
            self.use_lists(lists);
        }
        if let Some(ready) = prepared.places {
            self.places.apply(ready, geoip, metrics);
        }
        self.set_watchman(blocklist);
        self.set_sharing(blocklist, redis.is_some(), metrics, now);
        self.config = blocklist.clone();
        // Whom listeners trust may have changed.
        self.shared.look_again();
        self.is_unswept = true;
        let path = process.state_dir.as_ref().map(|FilePath(folder)| folder.join(STATE_FILE));
        if self.state.as_ref().map(State::path) != path.as_deref() {
            self.keep_at(path, now, wall);
        }
        self.disown_store(now, wall);
    }

    fn use_lists(&mut self, read: ReadLists) {
        let count = |networks: usize| i64::try_from(networks).unwrap_or(i64::MAX);
        self.gauges.allow.set(count(read.lists.allow.len()));
        self.gauges.config.set(count(read.own));
        self.gauges.file.set(count(read.files.iter().map(|(_, networks)| networks).sum()));
        for pattern in &read.unfound {
            let pattern = pattern.display();
            tracing::warn!(%pattern, "a pattern of blocklist.files finds no file: it blocks nobody");
        }
        self.fault = read.unfound.first().map(|pattern| nothing_found(pattern));
        (self.files, self.own, self.unfound) = (read.files, read.own, read.unfound);
        self.shared.set_lists(read.lists);
        self.is_unswept = true;
    }

    /// Keeps blocks at `path` from now on, and takes in those that are kept there.
    fn keep_at(&mut self, path: Option<PathBuf>, now: Moment, wall: SystemTime) {
        self.state = path.map(State::at);
        let Some(state) = &self.state else { return };
        let found = state.read();
        if let Some(damage) = found.damage {
            tracing::warn!(file = %state.path().display(), damage, "kept blocks are damaged");
        }
        let mut untold = found.untold;
        let is_known = |record: &Record| self.entries.contains_key(&record.cidr.0);
        let mut blocked = Vec::new();
        for record in found.records {
            if record.left(wall) == Some(Duration::ZERO) {
                untold.remove(&record.cidr.0);
            } else if !is_known(&record) {
                blocked.push(Entry::of(record, now, wall));
            }
        }
        // To those who share already, what another file holds is new.
        let is_own = self.sharing.has_begun();
        let is_stored = self.sharing.recall(found.store, &untold);
        blocked.iter_mut().for_each(|entry| entry.is_stored = is_stored);
        let count = blocked.len();
        // Also what was made before is to be there from now on.
        if let Err(error) = self.change(Change { blocked, is_own, ..Change::default() }, now, wall)
        {
            tracing::warn!(%error, "blocks are not kept");
        }
        tracing::info!(count, "blocks of before hold again");
    }

    /// Makes it so, whoever wants it: in force and on disk when this returns.
    ///
    /// # Errors
    /// When it is in force, and could not be written.
    fn change(&mut self, change: Change, now: Moment, wall: SystemTime) -> std::io::Result<()> {
        let Change { lifted, blocked, is_own, mut lines } = change;
        let watchman = self.shared.watchman();
        for network in lifted {
            let is_stored = self.forget(&network).is_some_and(|entry| entry.is_stored);
            lines.push(Line::Unblock(Network(network)));
            if is_own {
                lines.extend(self.sharing.tell_lifted(network, is_stored));
            }
            if let Some(watchman) = &watchman {
                watchman.forgive(network, now.to_instant());
            }
        }
        let mut blocks = Vec::with_capacity(blocked.len());
        for mut entry in blocked {
            let network = entry.record.cidr.0;
            entry.is_stored |= self.forget(&network).is_some_and(|before| before.is_stored);
            lines.push(Line::Block(entry.record.clone()));
            if is_own {
                lines.extend(self.sharing.tell(network));
            }
            blocks.push((network, self.remember(entry)));
        }
        if !blocks.is_empty() {
            self.shared.add(blocks, now);
            self.is_unswept = true;
        }
        self.sweep(now);
        let Some(state) = &mut self.state else { return Ok(()) };
        let kept = |entry: &Entry| Line::Block(entry.kept(now, wall));
        let holding = || self.entries.values().map(kept).chain(self.sharing.lines()).collect();
        state.write(&lines, holding, self.entries.len() + self.sharing.untold())
    }

    fn remember(&mut self, entry: Entry) -> Arc<Block> {
        let network = entry.record.cidr.0;
        let block = Arc::clone(&entry.block);
        self.ends.extend(entry.until.map(|until| (until, network)));
        self.gauge(&entry, Gauge::inc);
        self.entries.insert(network, entry);
        block
    }

    fn forget(&mut self, network: &IpNet) -> Option<Entry> {
        let entry = self.entries.remove(network)?;
        entry.block.lift();
        self.gauge(&entry, Gauge::dec);
        if let Some(until) = entry.until {
            self.ends.remove(&(until, *network));
        }
        Some(entry)
    }

    /// Does what is due: forgets blocks that are over, ends open connections of those that are
    /// blocked, asks what other replicas have blocked. Gives when it is to be called again, unless something happens before.
    pub fn tend(&mut self, now: Moment) -> Option<Moment> {
        let mut over = 0;
        while let Some((until, network)) = self.ends.first().copied()
            && until <= now
        {
            self.forget(&network);
            self.sharing.forget(&network);
            over += 1;
        }
        if over > 0 {
            tracing::info!(over, "blocks are over");
        }
        self.sweep(now);
        self.ask(now);
        let sweep = self.is_unswept.then_some(self.next_sweep);
        let end = self.ends.first().map(|(until, _)| *until);
        [end, sweep, self.sharing.due()].into_iter().flatten().min()
    }

    /// Looks whether files have changed, and uses what they say now.
    pub fn look(&mut self) {
        if self.places.look() {
            self.shared.look_again();
            self.is_unswept = true;
        }
        if self.config.files.is_empty() {
            return;
        }
        let (config, unfound) = (self.config.clone(), self.unfound.clone());
        let read = move || lists::read_again(&config, &unfound);
        match self.lookout.look(lists::signs(&self.config), read) {
            None => {}
            Some(Ok(lists)) => {
                let networks = lists.lists.deny.len();
                tracing::info!(networks, "blocked networks read again");
                self.use_lists(lists);
            }
            Some(Err(error)) => {
                tracing::error!(%error, "blocked networks not read again: what was there stays");
                self.fault = Some(error.to_string());
            }
        }
    }

    /// Has open connections looked through, unless that was just done.
    fn sweep(&mut self, now: Moment) {
        if self.is_unswept && now >= self.next_sweep {
            self.is_unswept = false;
            self.next_sweep = now.after(SWEEP);
            if let Some(workers) = &self.workers {
                workers.bar();
            }
        }
    }

    fn gauge(&self, entry: &Entry, count: fn(&Gauge)) {
        if let Some(gauge) = self.gauges.made.get(entry.record.by as usize) {
            count(gauge);
        }
    }
}
