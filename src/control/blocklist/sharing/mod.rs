//! Sharing: blocks that reach all replicas through Redis, and those of the others that come here.
//!
//! Each change has a number in the store. A replica tells its own changes, and asks for those after
//! the last that it knows, four times a second and whenever it has something to tell. What it was
//! told it does not tell again. While Redis is away its own changes wait, and are told when it is
//! back. A store that has lost what it had is told everything anew, by whoever knows it.
//!
//! Who was away for longer than the store remembers lifted blocks reads all, and forgets what is
//! not there any more. The store holds twice `max_blocks` at most, lifted ones included.
//!
//! Here is what is told and how far that is; `hearing` takes in answers, `store` is the way there.

mod hearing;
mod store;

use super::entry::Entry;
use super::state::Line;
use super::{Blocks, Change};
use crate::config::{Blocklist, Network};
use crate::control::redis::{Fault, Link};
use crate::observe::metrics::{
    BLOCKLIST_SHARED_AGE, BLOCKLIST_SHARED_FAILURES, BLOCKLIST_SHARED_UNTOLD, Counter, Gauge,
    Metrics, Watched,
};
use crate::types::clock;
use crate::types::moment::Moment;
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use store::{Answer, Question, Read, Said, Text};
use tokio::sync::mpsc;

/// How often the store is asked.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// Changes that are told in one journey, at most.
const WORDS_MAX: usize = 250;
/// After which time something is told again for which there was no room, and all is read again
/// because there was no room here.
const FULL_PAUSE: Duration = Duration::from_secs(30);
/// What was read and is not in force yet, at most: many blocks at once cost less than one by one.
const GATHERED_MAX: usize = 20_000;

/// What came of asking the store.
pub struct Heard {
    /// Counts how often sharing began before that.
    round: u64,
    answer: Result<Answer, Fault>,
}

/// A change that waits to be told.
#[derive(Clone, Copy, Debug)]
struct Untold {
    /// Which change of the network it is.
    number: u64,
    /// It was told before, to a store that has lost it.
    is_kept: bool,
    /// Not before this.
    due: Moment,
}

/// What is shared with other replicas, and how far that is.
pub(super) struct Sharing {
    link: Option<Arc<Link>>,
    heard: mpsc::Sender<Heard>,
    hears: Option<mpsc::Receiver<Heard>>,
    shown: Option<Shown>,
    /// Counts how often sharing began.
    round: u64,
    is_asking: bool,
    next: Moment,
    /// Networks of which the others are to be told what holds now.
    untold: BTreeMap<IpNet, Untold>,
    /// Counts changes.
    number: u64,
    /// What is on its way: networks and their changes.
    sent: Vec<(IpNet, u64)>,
    /// The store that is known, as the state file has it.
    kept_id: String,
    known: Known,
    /// What was read and is not in force yet.
    gathered: Vec<Read>,
    /// That asking failed was told.
    is_told: bool,
    /// All is to be read anew then: some found no room here.
    read_anew: Option<Moment>,
}

/// How much of the store is known.
#[derive(Debug, Default)]
struct Known {
    /// Which store it is; empty: none.
    id: String,
    /// The number of the last change before which all are known.
    base: u64,
    /// The number of the last change that was read.
    from: u64,
    /// All is being read: which of ours were found so far.
    found: Option<BTreeSet<IpNet>>,
}

/// What is shown while blocks are shared.
struct Shown {
    /// `vanne_blocklist_shared_failures_total`, in the order of [`Trouble::ALL`].
    failures: [Counter; Trouble::ALL.len()],
    untold: Gauge,
    /// When everything was known and told last, as a [`Moment`].
    in_step_at: Arc<AtomicU64>,
    _age: Option<Watched>,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    /// No answer, or one that is none.
    Asking,
    /// Something in the store that is no block.
    Entry,
    /// No room for a block, in the store or here.
    Full,
}

impl Trouble {
    const ALL: [Self; 3] = [Self::Asking, Self::Entry, Self::Full];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Asking => "asking",
            Self::Entry => "entry",
            Self::Full => "full",
        }
    }
}

impl Shown {
    fn new(metrics: &Metrics, now: Moment) -> Self {
        let mut group = metrics.control_group();
        let failures =
            Trouble::ALL.map(|one| group.handle(&BLOCKLIST_SHARED_FAILURES, [one.as_str()]));
        let untold = group.handle(&BLOCKLIST_SHARED_UNTOLD, []);
        let in_step_at = Arc::new(AtomicU64::new(now.as_micros()));
        let read = Arc::clone(&in_step_at);
        let age = move || {
            let since = Moment::from_micros(read.load(Ordering::Relaxed));
            Some(Moment::of(clock::now()).since(since).as_secs_f64())
        };
        Self { failures, untold, in_step_at, _age: metrics.watch(&BLOCKLIST_SHARED_AGE, [], age) }
    }
}

impl Default for Sharing {
    fn default() -> Self {
        // One question is on its way at a time.
        let (heard, hears) = mpsc::channel(1);
        Self {
            link: None,
            heard,
            hears: Some(hears),
            shown: None,
            round: 0,
            is_asking: false,
            next: Moment::default(),
            untold: BTreeMap::new(),
            number: 0,
            sent: Vec::new(),
            kept_id: String::new(),
            known: Known::default(),
            gathered: Vec::new(),
            is_told: false,
            read_anew: None,
        }
    }
}

impl Sharing {
    /// Whether blocks are shared now.
    pub(super) fn is_on(&self) -> bool {
        self.shown.is_some()
    }

    /// How many changes wait to be told.
    pub(super) fn untold(&self) -> usize {
        self.untold.len()
    }

    /// When the store is to be asked next, if something is shared.
    pub(super) fn due(&self) -> Option<Moment> {
        (self.is_on() && !self.is_asking).then_some(self.next)
    }

    /// What the state file is to hold of this.
    pub(super) fn lines(&self) -> impl Iterator<Item = Line> {
        let changes = self.untold.iter().filter(|(_, untold)| !untold.is_kept);
        let id = (!self.kept_id.is_empty()).then(|| Line::Store(self.kept_id.clone()));
        changes.map(|(network, _)| Line::Untold(Network(*network))).chain(id)
    }

    /// Whether it is known where blocks are shared.
    pub(super) fn has_begun(&self) -> bool {
        !self.known.id.is_empty()
    }

    /// Takes in what the state file holds of this, unless more is known already. Gives whether what
    /// it holds was told to the store, but for `untold`.
    pub(super) fn recall(&mut self, id: String, untold: &BTreeSet<IpNet>) -> bool {
        if self.has_begun() {
            return false;
        }
        self.kept_id.clone_from(&id);
        if !self.is_on() {
            return false;
        }
        untold.iter().for_each(|network| self.note(*network));
        self.known.id = id;
        self.has_begun()
    }

    /// The others are to be told what holds of `network` from now on. Gives the line that says so.
    pub(super) fn tell(&mut self, network: IpNet) -> Option<Line> {
        self.is_on().then(|| {
            self.note(network);
            Line::Untold(Network(network))
        })
    }

    /// `network` is blocked no longer. The others are told, unless none of them knows that it was.
    /// Gives the line that says so.
    pub(super) fn tell_lifted(&mut self, network: IpNet, is_stored: bool) -> Option<Line> {
        if is_stored {
            return self.tell(network);
        }
        self.forget(&network);
        self.is_on().then_some(Line::Told(Network(network)))
    }

    /// Nothing is to be told of `network`.
    pub(super) fn forget(&mut self, network: &IpNet) {
        self.untold.remove(network);
    }

    /// Whether the others are to be told of `network` what they do not know.
    fn has_to_say(&self, network: &IpNet) -> bool {
        self.untold.get(network).is_some_and(|untold| !untold.is_kept)
    }

    fn note(&mut self, network: IpNet) {
        self.number += 1;
        let untold = Untold { number: self.number, is_kept: false, due: Moment::default() };
        self.untold.insert(network, untold);
        // At once.
        self.next = Moment::default();
    }

    fn count(&self, trouble: Trouble, count: usize) {
        let counter = self.shown.as_ref().and_then(|shown| shown.failures.get(trouble as usize));
        if let Some(counter) = counter {
            counter.inc_by(count as u64);
        }
    }

    /// Notes how far this is, now that there `is_more` to be read, or not. Gives the line that says
    /// which store knows all.
    fn step(&mut self, is_more: bool, now: Moment) -> Option<Line> {
        if is_more || self.untold.values().any(|untold| untold.is_kept) {
            return None;
        }
        if let Some(shown) = self.shown.as_ref().filter(|_| self.untold.is_empty()) {
            shown.in_step_at.store(now.as_micros(), Ordering::Relaxed);
        }
        (self.kept_id != self.known.id).then(|| {
            self.kept_id.clone_from(&self.known.id);
            Line::Store(self.kept_id.clone())
        })
    }

    /// Goes on by the answer's store: which it is, what of it was read.
    fn follow(&mut self, answer: &Answer) {
        if answer.from == 0 || answer.id != self.known.id {
            let (id, base) = (answer.id.clone(), answer.number);
            self.known = Known { id, base, from: 0, found: Some(BTreeSet::new()) };
            self.gathered.clear();
        }
        self.known.from = answer.to;
        if self.known.found.is_none() {
            self.known.base = answer.to;
        }
    }
}

impl Blocks {
    /// Shares blocks through `link` once the config says so.
    #[must_use]
    pub fn with_link(mut self, link: Arc<Link>) -> Self {
        self.sharing.link = Some(link);
        self
    }

    /// What comes of asking the store. For one listener: a second gets nothing.
    #[must_use]
    pub fn heard(&mut self) -> mpsc::Receiver<Heard> {
        self.sharing.hears.take().unwrap_or_else(|| mpsc::channel(1).1)
    }

    /// Begins to share, or ends that, as `config` says; there is a Redis if `has_store`.
    pub(super) fn set_sharing(
        &mut self,
        config: &Blocklist,
        has_store: bool,
        metrics: &Metrics,
        now: Moment,
    ) {
        let is_wanted = config.shared && has_store;
        if self.config.max_blocks != config.max_blocks {
            self.sharing.read_anew = Some(now);
        }
        if is_wanted == self.sharing.is_on() {
            return;
        }
        let old = std::mem::take(&mut self.sharing);
        self.sharing = Sharing {
            link: old.link,
            heard: old.heard,
            hears: old.hears,
            shown: is_wanted.then(|| Shown::new(metrics, now)),
            round: old.round + 1,
            kept_id: old.kept_id,
            ..Sharing::default()
        };
    }

    /// What is not shared now is not to be taken for shared after a restart.
    pub(super) fn disown_store(&mut self, now: Moment, wall: SystemTime) {
        if !self.sharing.is_on() && !self.sharing.kept_id.is_empty() {
            self.sharing.kept_id.clear();
            let lines = vec![Line::Store(String::new())];
            self.take_in(Change { lines, ..Change::default() }, now, wall);
        }
    }

    /// Asks the store, if that is due.
    pub(super) fn ask(&mut self, now: Moment) {
        if let Some(shown) = &self.sharing.shown {
            shown.untold.set(i64::try_from(self.sharing.untold.len()).unwrap_or(i64::MAX));
        }
        if self.sharing.due().is_none_or(|due| due > now) {
            return;
        }
        let Some(link) = self.sharing.link.clone().filter(|link| link.is_up()) else {
            self.sharing.next = now.after(ASK_EVERY);
            return;
        };
        let question = self.question(now);
        self.sharing.is_asking = true;
        let (round, to) = (self.sharing.round, self.sharing.heard.clone());
        tokio::spawn(async move {
            let answer = store::ask(&link, question).await;
            // Nobody hears it when the process ends.
            drop(to.send(Heard { round, answer }).await);
        });
    }

    fn question(&mut self, now: Moment) -> Question {
        let sharing = &mut self.sharing;
        if sharing.read_anew.is_some_and(|at| at <= now) {
            sharing.read_anew = None;
            sharing.known.from = 0;
            sharing.known.found = None;
        }
        let due = sharing.untold.iter().filter(|(_, untold)| untold.due <= now);
        let (mut words, mut sent) = (Vec::new(), Vec::new());
        for (network, untold) in due.take(WORDS_MAX) {
            let entry = self.entries.get_mut(network);
            let Some(said) = said(entry, untold.is_kept, now) else { continue };
            words.push((*network, said));
            sent.push((*network, untold.number));
        }
        sharing.sent = sent;
        let Known { id, base, from, .. } = &sharing.known;
        let (id, base, from, most) = (id.clone(), *base, *from, self.config.max_blocks);
        Question { id, base, from, most, words }
    }
}

/// What is said of a network that has this block now. `None`: that is over in this moment.
fn said(entry: Option<&mut Entry>, is_kept: bool, now: Moment) -> Option<Said> {
    let Some(entry) = entry else { return Some(Said::Lift) };
    let text = Text::of(entry, now)?;
    entry.is_stored = true;
    Some(if is_kept { Said::Keep(text) } else { Said::Block(text) })
}
