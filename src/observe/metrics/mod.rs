//! Metrics: one table says which there are; handles are resolved from it.
//!
//! A metric is a row of [`METRICS`]: name, help, kind, labels. Label values are
//! bounded: names from the config, status classes, reasons; never a path, an address
//! of a client or a user. Handles are resolved when a snapshot is compiled, so a
//! request only increments. To add one: a constant, its row, and the code that sets it.

mod table;

pub use table::*;

use super::sessions::Sessions;
use parking_lot::Mutex;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

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

/// Upper bounds of the duration buckets, in seconds: 1 ms to one minute.
const DURATION_BUCKETS_SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

enum Family {
    Counter(IntCounterVec),
    Gauge(IntGaugeVec),
    Histogram(HistogramVec),
}

/// Why a metric could not be used: a name or label that the table does not have.
#[derive(Debug, thiserror::Error)]
pub enum MetricError {
    /// The registry or the labels refused it.
    #[error("metric refused")]
    Prometheus(#[from] prometheus::Error),
    /// It is of another kind, or has no row.
    #[error("{0} has no row of that kind in METRICS")]
    Kind(&'static str),
}

/// All families of [`METRICS`], registered.
pub struct Metrics {
    /// Sessions that were active of late.
    pub sessions: Sessions,
    registry: Registry,
    families: BTreeMap<&'static str, Family>,
    /// Series that go when nobody holds them any more.
    held: Mutex<HashMap<SeriesKey, Weak<Series>>>,
}

/// A metric's name and the values of its labels.
type SeriesKey = (&'static str, Vec<String>);

/// A series of a metric that is removed when the last that holds it is dropped.
pub struct Series {
    metrics: Arc<Metrics>,
    key: SeriesKey,
}

impl std::fmt::Debug for Series {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Series({:?})", self.key)
    }
}

impl Drop for Series {
    fn drop(&mut self) {
        let mut held = self.metrics.held.lock();
        // Somebody may have taken it up again meanwhile.
        if held.get(&self.key).is_some_and(|series| series.strong_count() == 0) {
            held.remove(&self.key);
            let labels: Vec<&str> = self.key.1.iter().map(String::as_str).collect();
            self.metrics.remove(self.key.0, &labels);
        }
    }
}

impl Metrics {
    /// Registers every row of [`METRICS`].
    ///
    /// # Errors
    /// When two rows share a name or a name is not valid.
    pub fn new() -> Result<Self, MetricError> {
        let registry = Registry::new();
        let mut families = BTreeMap::new();
        for row in METRICS {
            families.insert(row.name, register(&registry, row)?);
        }
        Ok(Self { sessions: Sessions::default(), registry, families, held: Mutex::default() })
    }

    /// The counter of `row` with these label values.
    ///
    /// # Errors
    /// When the row is of another kind or takes other labels.
    pub fn counter(&self, row: &Metric, labels: &[&str]) -> Result<IntCounter, MetricError> {
        match self.families.get(row.name) {
            Some(Family::Counter(vec)) => Ok(vec.get_metric_with_label_values(labels)?),
            _ => Err(MetricError::Kind(row.name)),
        }
    }

    /// The gauge of `row` with these label values.
    ///
    /// # Errors
    /// When the row is of another kind or takes other labels.
    pub fn gauge(&self, row: &Metric, labels: &[&str]) -> Result<IntGauge, MetricError> {
        match self.families.get(row.name) {
            Some(Family::Gauge(vec)) => Ok(vec.get_metric_with_label_values(labels)?),
            _ => Err(MetricError::Kind(row.name)),
        }
    }

    /// The histogram of `row` with these label values.
    ///
    /// # Errors
    /// When the row is of another kind or takes other labels.
    pub fn histogram(&self, row: &Metric, labels: &[&str]) -> Result<Histogram, MetricError> {
        match self.families.get(row.name) {
            Some(Family::Histogram(vec)) => Ok(vec.get_metric_with_label_values(labels)?),
            _ => Err(MetricError::Kind(row.name)),
        }
    }

    /// Holds the series of `row` with these label values: it stays as long as what is
    /// returned.
    pub fn hold(self: &Arc<Self>, row: &Metric, labels: &[&str]) -> Arc<Series> {
        let key = (row.name, labels.iter().map(|&label| label.to_owned()).collect::<Vec<_>>());
        let mut held = self.held.lock();
        if let Some(series) = held.get(&key).and_then(Weak::upgrade) {
            return series;
        }
        let series = Arc::new(Series { metrics: Arc::clone(self), key: key.clone() });
        held.insert(key, Arc::downgrade(&series));
        series
    }

    /// Removes the series of `name` with these label values; whoever still has its handle
    /// counts into nothing.
    pub fn remove(&self, name: &str, labels: &[&str]) {
        // Not there is what was wanted.
        match self.families.get(name) {
            Some(Family::Counter(vec)) => drop(vec.remove_label_values(labels)),
            Some(Family::Gauge(vec)) => drop(vec.remove_label_values(labels)),
            Some(Family::Histogram(vec)) => drop(vec.remove_label_values(labels)),
            None => {}
        }
    }

    /// All metrics in Prometheus' text format.
    ///
    /// # Errors
    /// When a family cannot be encoded.
    pub fn render(&self) -> Result<Vec<u8>, MetricError> {
        let mut out = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut out)?;
        Ok(out)
    }
}

fn register(registry: &Registry, row: &Metric) -> Result<Family, MetricError> {
    let family = match row.kind {
        Kind::Counter => {
            Family::Counter(IntCounterVec::new(Opts::new(row.name, row.help), row.labels)?)
        }
        Kind::Gauge => Family::Gauge(IntGaugeVec::new(Opts::new(row.name, row.help), row.labels)?),
        Kind::Histogram => {
            let options =
                HistogramOpts::new(row.name, row.help).buckets(DURATION_BUCKETS_SECONDS.to_vec());
            Family::Histogram(HistogramVec::new(options, row.labels)?)
        }
    };
    match &family {
        Family::Counter(vec) => registry.register(Box::new(vec.clone()))?,
        Family::Gauge(vec) => registry.register(Box::new(vec.clone()))?,
        Family::Histogram(vec) => registry.register(Box::new(vec.clone()))?,
    }
    Ok(family)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_registered_and_named_by_convention() {
        let metrics = Metrics::new().unwrap();
        assert_eq!(metrics.families.len(), METRICS.len());
        for row in METRICS {
            assert!(row.name.starts_with("vanne_"), "{}", row.name);
            assert_eq!(row.name.ends_with("_total"), row.kind == Kind::Counter, "{}", row.name);
        }
    }

    #[test]
    fn a_handle_of_the_wrong_kind_is_refused() {
        let metrics = Metrics::new().unwrap();
        assert!(metrics.gauge(&PANICS, &[]).is_err());
        assert!(metrics.counter(&REFUSALS, &[]).is_err());
    }
}
