//! Families: the series of one metric, by the values of their labels.
//!
//! A series is there while somebody holds a handle of it: what leaves, a backend or a route,
//! takes its series along.

use super::cells::{Line, Place};
use super::{Kind, Metric, text};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

/// Series of one metric, at most: more are counted but not shown.
const SERIES_MAX: usize = 100_000;

/// A series' labels, as they are written.
type Labels = Arc<str>;

/// Reads a number that somebody else counts; `None`: there is none just now.
pub(super) type Read = dyn Fn() -> Option<f64> + Send + Sync;

/// Where a series' numbers are.
enum Source {
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

/// The series of one metric.
pub(super) struct Family {
    row: Metric,
    series: Mutex<BTreeMap<Labels, Source>>,
}

/// A series that is shown, until this is dropped.
pub(super) struct Shown {
    family: Arc<Family>,
    labels: Labels,
}

impl Drop for Shown {
    fn drop(&mut self) {
        let mut series = self.family.series.lock();
        // Somebody may have taken these labels up again meanwhile.
        if series.get(&self.labels).is_some_and(Source::is_gone) {
            series.remove(&self.labels);
        }
    }
}

impl Family {
    /// The family of `row`, without series.
    pub(super) fn new(row: Metric) -> Self {
        Self { row, series: Mutex::default() }
    }

    /// Where the series with these labels counts, if it is there.
    pub(super) fn find(&self, labels: &[&str]) -> Option<Place> {
        match self.series.lock().get(&*self.labels(labels))? {
            Source::Cells(shown, line, at) => {
                Some(Place { shown: Some(shown.upgrade()?), line: Arc::clone(line), at: *at })
            }
            Source::Read(_) => None,
        }
    }

    /// Shows what is counted at `place` as the series with these labels.
    pub(super) fn show(self: &Arc<Self>, labels: &[&str], place: &mut Place) {
        let shown = Arc::new(Shown { family: Arc::clone(self), labels: self.labels(labels) });
        let line = Arc::clone(&place.line);
        self.add(&shown, Source::Cells(Arc::downgrade(&shown), line, place.at));
        place.shown = Some(shown);
    }

    /// Shows what `read` gives as the series with these labels.
    pub(super) fn watch(self: &Arc<Self>, labels: &[&str], read: &Arc<Read>) -> Shown {
        let shown = Shown { family: Arc::clone(self), labels: self.labels(labels) };
        self.add(&shown, Source::Read(Arc::downgrade(read)));
        shown
    }

    fn add(&self, shown: &Shown, source: Source) {
        let mut series = self.series.lock();
        if series.len() < SERIES_MAX {
            series.insert(Arc::clone(&shown.labels), source);
        }
    }

    /// The sum of what all series count.
    pub(super) fn total(&self) -> u64 {
        let sum = |source: &Source| match source {
            Source::Cells(_, line, at) => line.sum(*at),
            Source::Read(_) => 0,
        };
        self.series.lock().values().map(sum).sum()
    }

    /// How many series there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.series.lock().len()
    }

    /// Writes all series, as they are now.
    pub(super) fn write(&self, out: &mut String) {
        let before = out.len();
        text::head(out, &self.row);
        let first = out.len();
        // Read without the lock: who drops the last handle needs it.
        let mut reads: Vec<(Labels, Arc<Read>)> = Vec::new();
        for (labels, source) in &*self.series.lock() {
            match source {
                Source::Cells(_, line, at) => self.write_cells(out, labels, line, *at),
                Source::Read(read) => {
                    reads.extend(read.upgrade().map(|read| (Arc::clone(labels), read)));
                }
            }
        }
        for (labels, read) in reads {
            if let Some(value) = read() {
                text::number(out, self.row.name, &labels, value);
            }
        }
        if out.len() == first {
            out.truncate(before);
        }
    }

    fn write_cells(&self, out: &mut String, labels: &str, line: &Line, at: usize) {
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
