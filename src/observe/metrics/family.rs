//! Families: the series of one metric, by the values of their labels.
//!
//! A series is there while somebody holds a handle of it: what leaves, a backend or a route,
//! takes its series along.

use super::cells::{BUCKETS_MICROS, Histogram, Line, Place};
use super::{Kind, Metric, MetricError};
use parking_lot::Mutex;
use prometheus::core::Desc;
use prometheus::proto;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

/// Series of one metric, at most: more are counted but not shown.
const SERIES_MAX: usize = 100_000;

/// Values of a series' labels, in the order of its row.
type Labels = Arc<[Box<str>]>;

/// Reads a number that somebody else counts; `None`: there is none just now.
pub(super) type Read = dyn Fn() -> Option<f64> + Send + Sync;

/// Where a series' numbers are.
enum Source {
    Cells(Weak<Shown>, Weak<Line>, usize),
    Read(Weak<Read>),
}

/// The same, held while it is read.
enum Held {
    Cells(Arc<Line>, usize),
    Read(Arc<Read>),
}

impl Source {
    fn hold(&self) -> Option<Held> {
        match self {
            Self::Cells(_, line, at) => Some(Held::Cells(line.upgrade()?, *at)),
            Self::Read(read) => Some(Held::Read(read.upgrade()?)),
        }
    }

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
    pub(super) desc: Desc,
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
    ///
    /// # Errors
    /// When its name or a label is none.
    pub(super) fn new(row: Metric) -> Result<Self, MetricError> {
        let labels = row.labels.iter().map(|&label| label.to_owned()).collect();
        let desc = Desc::new(row.name.to_owned(), row.help.to_owned(), labels, HashMap::new())?;
        Ok(Self { row, desc, series: Mutex::default() })
    }

    /// Where the series with these labels counts, if it is there.
    pub(super) fn find(&self, labels: &[&str]) -> Option<Place> {
        match self.series.lock().get(&labels_of(labels))? {
            Source::Cells(shown, line, at) => {
                Some(Place { shown: Some(shown.upgrade()?), line: line.upgrade()?, at: *at })
            }
            Source::Read(_) => None,
        }
    }

    /// Shows what is counted at `place` as the series with these labels.
    pub(super) fn show(self: &Arc<Self>, labels: &[&str], place: &mut Place) {
        let shown = Arc::new(Shown { family: Arc::clone(self), labels: labels_of(labels) });
        let line = Arc::downgrade(&place.line);
        self.add(&shown, Source::Cells(Arc::downgrade(&shown), line, place.at));
        place.shown = Some(shown);
    }

    /// Shows what `read` gives as the series with these labels.
    pub(super) fn watch(self: &Arc<Self>, labels: &[&str], read: &Arc<Read>) -> Shown {
        let shown = Shown { family: Arc::clone(self), labels: labels_of(labels) };
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
        // Held until the lock is gone, as below.
        let held: Vec<Held> = self.series.lock().values().filter_map(Source::hold).collect();
        let sum = |held: &Held| if let Held::Cells(line, at) = held { line.sum(*at) } else { 0 };
        held.iter().map(sum).sum()
    }

    /// How many series there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.series.lock().len()
    }

    /// All series, as they are now.
    pub(super) fn collect(&self) -> proto::MetricFamily {
        // Held until the lock is gone: who drops the last handle needs it.
        let held: Vec<(Labels, Held)> = {
            let series = self.series.lock();
            let held = |(labels, source): (&Labels, &Source)| {
                source.hold().map(|held| (Arc::clone(labels), held))
            };
            series.iter().filter_map(held).collect()
        };
        let mut family = proto::MetricFamily::default();
        family.set_name(self.row.name.to_owned());
        family.set_help(self.row.help.to_owned());
        family.set_field_type(match self.row.kind {
            Kind::Counter => proto::MetricType::COUNTER,
            Kind::Gauge => proto::MetricType::GAUGE,
            Kind::Histogram => proto::MetricType::HISTOGRAM,
        });
        let series = held.iter().filter_map(|(labels, held)| self.series(labels, held));
        family.set_metric(series.collect());
        family
    }

    fn series(&self, labels: &Labels, held: &Held) -> Option<proto::Metric> {
        let pair = |(name, value): (&&str, &str)| {
            let mut pair = proto::LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value(value.to_owned());
            pair
        };
        let mut pairs: Vec<_> =
            self.row.labels.iter().zip(labels.iter().map(|label| &**label)).map(pair).collect();
        pairs.sort_by(|a, b| a.name().cmp(b.name()));
        let mut metric = proto::Metric::from_label(pairs);
        match (self.row.kind, held) {
            (Kind::Counter, Held::Cells(line, at)) => {
                let mut counter = proto::Counter::default();
                counter.set_value(as_float(line.sum(*at)));
                metric.set_counter(counter);
            }
            (Kind::Histogram, Held::Cells(line, _)) => metric.set_histogram(histogram(line)),
            (_, Held::Cells(line, at)) => metric.set_gauge(gauge(as_signed(line.sum(*at)))),
            (_, Held::Read(read)) => metric.set_gauge(gauge(read()?)),
        }
        Some(metric)
    }
}

fn labels_of(labels: &[&str]) -> Labels {
    labels.iter().map(|&label| label.into()).collect()
}

fn gauge(value: f64) -> proto::Gauge {
    let mut gauge = proto::Gauge::default();
    gauge.set_value(value);
    gauge
}

/// A histogram as Prometheus has it: each bucket counts those before it too.
fn histogram(line: &Line) -> proto::Histogram {
    let mut count = 0;
    let bucket = |(at, micros): (usize, &u32)| {
        count += line.sum(at);
        let mut bucket = proto::Bucket::default();
        bucket.set_cumulative_count(count);
        bucket.set_upper_bound(f64::from(*micros) / 1e6);
        bucket
    };
    let buckets = BUCKETS_MICROS.iter().enumerate().map(bucket).collect();
    let mut histogram = proto::Histogram::default();
    histogram.set_bucket(buckets);
    histogram.set_sample_count(count + line.sum(BUCKETS_MICROS.len()));
    histogram.set_sample_sum(as_float(line.sum(Histogram::SUM)) / 1e9);
    histogram
}

#[expect(clippy::cast_precision_loss, reason = "exact to 2^53, and Prometheus knows no more")]
fn as_float(value: u64) -> f64 {
    value as f64
}

#[expect(clippy::cast_precision_loss, reason = "exact to 2^53, and Prometheus knows no more")]
fn as_signed(value: u64) -> f64 {
    value.cast_signed() as f64
}
