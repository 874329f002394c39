//! Metrics: one table says which there are; handles are resolved from it.
//!
//! A metric is a row of [`METRICS`]: name, kind, labels, help. Label values are bounded:
//! names from the config, addresses of backends, status classes, reasons; never a path, an
//! address of a client or a user. Handles are resolved when a snapshot is compiled, so a
//! request only adds to them, each worker in memory of its own (`cells`). A series is there
//! while somebody holds its handle (`family`). To add a metric: its row in `table`, and the
//! code that moves it.

mod cells;
mod counters;
mod family;
mod process;
mod table;
mod text;

pub use cells::{Counter, Gauge, Histogram, count_as_worker, own_worker};
pub use counters::Counters;
pub use table::*;

use super::sessions::Sessions;
use cells::{LINE_CELLS, Line, Place};
use family::{Family, Read, Shown};
use parking_lot::Mutex;
use prometheus::{Registry, TextEncoder};
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

/// What a metric measures, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations in seconds, in buckets.
    Histogram,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Name in the exposition, with unit.
    pub name: &'static str,
    /// What it says, for the operator.
    pub help: &'static str,
    /// How it moves.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [&'static str],
}

/// A row whose series have handles of type `H` and `N` labels.
pub struct Row<H, const N: usize> {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str; N],
    handle: PhantomData<fn() -> H>,
}

impl<H: Handle, const N: usize> Row<H, N> {
    /// The row as one of [`METRICS`].
    #[must_use]
    pub const fn metric(&self) -> Metric {
        Metric { name: self.name, help: self.help, kind: H::KIND, labels: self.labels }
    }
}

/// A handle of a series.
pub trait Handle: sealed::At {
    /// What it counts.
    const KIND: Kind;
}

mod sealed {
    /// Is made for a place among the cells.
    pub trait At: Sized {
        /// Numbers that it needs.
        const CELLS: usize;
        /// The handle of what is counted there.
        fn at(place: super::cells::Place) -> Self;
    }
}

macro_rules! handles {
    ($($handle:ident: $cells:expr;)*) => {$(
        impl Handle for $handle {
            const KIND: Kind = Kind::$handle;
        }
        impl sealed::At for $handle {
            const CELLS: usize = $cells;
            fn at(place: Place) -> Self {
                Self(place)
            }
        }
    )*};
}

handles! {
    Counter: 1;
    Gauge: 1;
    Histogram: LINE_CELLS;
}

/// Why metrics could not be set up, or not be shown.
#[derive(Debug, thiserror::Error)]
pub enum MetricError {
    /// The registry refused what the system tells, or it could not be written.
    #[error("metric refused")]
    Prometheus(#[from] prometheus::Error),
}

/// All families of [`METRICS`], by name.
type Families = BTreeMap<&'static str, Arc<Family>>;

/// All metrics of the process.
pub struct Metrics {
    /// Sessions that were active of late.
    pub sessions: Sessions,
    /// What the system tells of the process.
    process: Registry,
    families: Families,
    workers: usize,
    /// Held while a series is looked for or made.
    making: Mutex<()>,
}

/// A series that shows what somebody else counts, as long as this is held.
pub struct Watched {
    _read: Arc<Read>,
    // Dropped last: it looks whether the other is gone.
    _shown: Shown,
}

impl Metrics {
    /// A family for every row of [`METRICS`], to be counted by so many workers.
    ///
    /// # Errors
    /// When the system tells nothing of the process.
    pub fn new(workers: usize) -> Result<Self, MetricError> {
        let families = METRICS.iter().map(|row| (row.name, Arc::new(Family::new(*row)))).collect();
        let process = Registry::new();
        process::register(&process)?;
        let (sessions, making) = (Sessions::default(), Mutex::default());
        Ok(Self { sessions, process, families, workers, making })
    }

    /// The handle of one series; as many as belong together are better a [`Group`].
    pub fn handle<H: Handle, const N: usize>(&self, row: &Row<H, N>, labels: [&str; N]) -> H {
        self.group().handle(row, labels)
    }

    /// Handles of one owner: they lie beside each other.
    #[must_use]
    pub fn group(&self) -> Group<'_> {
        Group { metrics: self, line: None, used: 0, workers: self.workers }
    }

    /// Handles of one owner that workers do not move: a third of the memory or less.
    #[must_use]
    pub fn control_group(&self) -> Group<'_> {
        Group { workers: 0, ..self.group() }
    }

    /// Shows what `read` gives, whenever somebody asks, as long as what is returned is held.
    pub fn watch<const N: usize>(
        &self,
        row: &Row<Gauge, N>,
        labels: [&str; N],
        read: impl Fn() -> Option<f64> + Send + Sync + 'static,
    ) -> Option<Watched> {
        self.watch_as(row, &labels, &[], Arc::new(move |_| read()))
    }

    /// The same for series that differ in the last label only: `read` gets its value's place
    /// among `values`. `labels` are the others.
    pub fn watch_each<const N: usize>(
        &self,
        row: &Row<Gauge, N>,
        labels: &[&str],
        values: &'static [&'static str],
        read: impl Fn(usize) -> Option<f64> + Send + Sync + 'static,
    ) -> Option<Watched> {
        self.watch_as(row, labels, values, Arc::new(read))
    }

    fn watch_as<const N: usize>(
        &self,
        row: &Row<Gauge, N>,
        labels: &[&str],
        values: family::Values,
        read: Arc<Read>,
    ) -> Option<Watched> {
        let shown = self.family(row.name)?.watch(labels, values, &read);
        Some(Watched { _read: read, _shown: shown })
    }

    /// The sum of all series of a row.
    #[must_use]
    pub fn total<const N: usize>(&self, row: &Row<Counter, N>) -> u64 {
        self.family(row.name).map_or(0, |family| family.total())
    }

    fn family(&self, name: &str) -> Option<&Arc<Family>> {
        let family = self.families.get(name);
        debug_assert!(family.is_some(), "{name} is not in METRICS");
        family
    }

    /// All metrics in Prometheus' text format.
    ///
    /// # Errors
    /// When what the system tells cannot be written.
    pub fn render(&self) -> Result<String, MetricError> {
        let mut out = String::new();
        self.families.values().for_each(|family| family.write(&mut out));
        TextEncoder::new().encode_utf8(&self.process.gather(), &mut out)?;
        Ok(out)
    }
}

/// Makes handles that lie beside each other.
pub struct Group<'a> {
    metrics: &'a Metrics,
    line: Option<Arc<Line>>,
    used: usize,
    /// Who has a copy of their own.
    workers: usize,
}

impl Group<'_> {
    /// The handle of a series, as it was if somebody has one still.
    pub fn handle<H: Handle, const N: usize>(&mut self, row: &Row<H, N>, labels: [&str; N]) -> H {
        H::at(self.entry(row.name, &labels, &[], H::CELLS))
    }

    /// The handles of series that differ in the last label only, one for each of its `values`;
    /// `labels` are the others. All are there while somebody holds one. Less memory than as
    /// many handles.
    pub fn handles<H: Handle, const N: usize, const K: usize>(
        &mut self,
        row: &Row<H, N>,
        labels: &[&str],
        values: &'static [&'static str; K],
    ) -> [H; K] {
        const { assert!(H::CELLS == 1 && K <= LINE_CELLS, "they lie on one line") };
        debug_assert_eq!(labels.len() + 1, N, "{}", row.name);
        let first = self.entry(row.name, labels, values, K);
        std::array::from_fn(|index| H::at(Place { at: first.at + index, ..first.clone() }))
    }

    /// Where an entry of so many numbers counts.
    fn entry(&mut self, row: &str, labels: &[&str], values: family::Values, cells: usize) -> Place {
        let Some(family) = self.metrics.family(row) else { return Place::default() };
        // Two that ask at once must not each make one of their own.
        let _making = self.metrics.making.lock();
        if let Some(place) = family.find(labels) {
            return place;
        }
        let mut place = self.place(cells);
        family.show(labels, values, &mut place);
        place
    }

    /// Room for so many numbers.
    fn place(&mut self, cells: usize) -> Place {
        if self.used + cells > LINE_CELLS {
            self.line = None;
        }
        if self.line.is_none() {
            self.used = 0;
        }
        let line = self.line.get_or_insert_with(|| Line::new(self.workers));
        let place = Place { line: Arc::clone(line), at: self.used, shown: None };
        self.used += cells;
        place
    }
}

#[cfg(test)]
mod tests;
