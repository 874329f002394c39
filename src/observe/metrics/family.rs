//! Families: the series of one metric, by the values of their labels.
//!
//! A series is there while somebody holds a handle of it: what leaves, a backend or a route,
//! takes its series along.

use super::cells::{Line, Place};
use super::{Kind, Metric, text};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

/// Entries of one metric, at most: more are counted but not shown.
const ENTRIES_MAX: usize = 100_000;

/// Labels as they are written.
type Labels = Arc<str>;

/// Values of a row's last label, if an entry is of several series: one for each.
pub(super) type Values = &'static [&'static str];

/// Reads the number of a series that somebody else counts, by its place among those of its
/// entry; `None`: there is none just now.
pub(super) type Read = dyn Fn(usize) -> Option<f64> + Send + Sync;

/// Where numbers are.
enum Source {
    /// The first on this line at this place, the others after it.
    Cells(Weak<Shown>, Arc<Line>, usize),
    Read(Weak<Read>),
}

impl Source {
    fn is_gone(&self) -> bool {
        match self {
            Self::Cells(shown, ..) => shown.strong_count() == 0,
            Self::Read(read) => read.strong_count() == 0,
        }
    }
}

/// A series, or those of one owner that differ in the last label only.
struct Entry {
    values: Values,
    source: Source,
}

impl Entry {
    /// How many series it is of.
    fn count(&self) -> usize {
        self.values.len().max(1)
    }
}

/// The series of one metric.
pub(super) struct Family {
    row: Metric,
    entries: Mutex<BTreeMap<Labels, Entry>>,
}

/// An entry that is shown, until this is dropped.
pub(super) struct Shown {
    family: Arc<Family>,
    labels: Labels,
}

impl Drop for Shown {
    fn drop(&mut self) {
        let mut entries = self.family.entries.lock();
        // Somebody may have taken these labels up again meanwhile.
        if entries.get(&self.labels).is_some_and(|entry| entry.source.is_gone()) {
            entries.remove(&self.labels);
        }
    }
}

impl Family {
    /// The family of `row`, without series.
    pub(super) fn new(row: Metric) -> Self {
        Self { row, entries: Mutex::default() }
    }

    /// Where the entry with these labels counts, if it is there.
    pub(super) fn find(&self, labels: &[&str]) -> Option<Place> {
        match &self.entries.lock().get(&*self.labels(labels))?.source {
            Source::Cells(shown, line, at) => {
                Some(Place { shown: Some(shown.upgrade()?), line: Arc::clone(line), at: *at })
            }
            Source::Read(_) => None,
        }
    }

    /// Shows what is counted at `place` with these labels; with `values`, what is counted there
    /// and behind it with each of them as the last label.
    pub(super) fn show(self: &Arc<Self>, labels: &[&str], values: Values, place: &mut Place) {
        let shown = Arc::new(Shown { family: Arc::clone(self), labels: self.labels(labels) });
        let line = Arc::clone(&place.line);
        self.add(&shown, values, Source::Cells(Arc::downgrade(&shown), line, place.at));
        place.shown = Some(shown);
    }

    /// The same of what `read` gives.
    pub(super) fn watch(
        self: &Arc<Self>,
        labels: &[&str],
        values: Values,
        read: &Arc<Read>,
    ) -> Shown {
        let shown = Shown { family: Arc::clone(self), labels: self.labels(labels) };
        self.add(&shown, values, Source::Read(Arc::downgrade(read)));
        shown
    }

    fn add(&self, shown: &Shown, values: Values, source: Source) {
        let mut entries = self.entries.lock();
        if entries.len() < ENTRIES_MAX {
            entries.insert(Arc::clone(&shown.labels), Entry { values, source });
        }
    }

    /// The sum of what all series count.
    pub(super) fn total(&self) -> u64 {
        let sum = |entry: &Entry| match &entry.source {
            Source::Cells(_, line, at) => (*at..at + entry.count()).map(|at| line.sum(at)).sum(),
            Source::Read(_) => 0,
        };
        self.entries.lock().values().map(sum).sum()
    }

    /// How many entries there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.lock().len()
    }

    /// Writes all series, as they are now.
    pub(super) fn write(&self, out: &mut String) {
        let before = out.len();
        text::head(out, &self.row);
        let first = out.len();
        // Read without the lock: who drops the last handle needs it.
        let mut reads: Vec<(Labels, Values, Arc<Read>)> = Vec::new();
        for (labels, entry) in &*self.entries.lock() {
            match &entry.source {
                Source::Cells(_, line, at) => {
                    let write = |index, labels| self.write_cells(out, labels, line, at + index);
                    self.each(labels, entry.values, write);
                }
                Source::Read(read) => {
                    let held = |read| (Arc::clone(labels), entry.values, read);
                    reads.extend(read.upgrade().map(held));
                }
            }
        }
        for (labels, values, read) in reads {
            self.each(&labels, values, |index, labels| self.write_read(out, labels, read(index)));
        }
        if out.len() == first {
            out.truncate(before);
        }
    }

    /// Calls `write` with the place and the labels of each series of an entry.
    fn each<'a>(
        &self,
        labels: &'a str,
        values: Values,
        mut write: impl FnMut(usize, text::Labels<'a>),
    ) {
        let Some(name) = self.row.labels.last().filter(|_| !values.is_empty()) else {
            return write(0, text::Labels { labels, last: None });
        };
        for (index, value) in values.iter().enumerate() {
            write(index, text::Labels { labels, last: Some((*name, *value)) });
        }
    }

    fn write_read(&self, out: &mut String, labels: text::Labels<'_>, value: Option<f64>) {
        if let Some(value) = value {
            text::number(out, self.row.name, labels, value);
        }
    }

    fn write_cells(&self, out: &mut String, labels: text::Labels<'_>, line: &Line, at: usize) {
        let name = self.row.name;
        match self.row.kind {
            Kind::Counter => text::whole(out, name, labels, line.sum(at)),
            Kind::Gauge => text::whole(out, name, labels, line.sum(at).cast_signed()),
            Kind::Histogram => text::histogram(out, name, labels, line),
        }
    }

    fn labels(&self, values: &[&str]) -> Labels {
        text::labels(self.row.labels, values).into()
    }
}
