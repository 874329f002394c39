//! Active health: backends are asked whether they are well.
//!
//! A [`Prober`] runs one probe for each address and check, however many pools use it, on the
//! runtime that it is called in. What turns is pushed as a [`Finding`]; what is known now can be
//! read as a [`Report`]. It does not know pools and takes no backend out: who reads the
//! findings does.
//!
//! Checks of one target never overlap. At most [`AT_ONCE`] are under way at once; more wait
//! their turn, which makes them late but loses none. A check that we could not make (no file
//! left, no port left) says nothing about the backend and counts neither way.
//!
//! To add a kind: a file, its `mod` line, its row in `PROBES`, its word in
//! `config::health::HealthKind`.

mod cadence;
mod check;
mod connect;
mod drive;
mod grpc;
mod http;
mod http1;
mod http2;
mod run;
mod tally;
mod tcp;
mod tls;

pub use check::{Check, CheckId};
pub use tally::Tally;

use super::task::Task;
use crate::observe::metrics::{CHECKS, Metrics};
use ::http::HeaderValue;
use arc_swap::ArcSwap;
use connect::{Failure, Stage, Stream};
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc};

/// Checks that are under way at once, each with a connection of its own.
pub const AT_ONCE: usize = 1024;
/// How much of an answer's body is looked at.
const BODY_MAX: usize = 64 * 1024;
/// Who asks.
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("vanne-health/", env!("CARGO_PKG_VERSION")));

/// One kind of probe.
struct ProbeRow {
    /// Its `type` in config.
    name: &'static str,
    /// Asks on a connection that is open.
    ask: for<'a> fn(&'a Check, Asked<'a>) -> BoxFuture<'a, Result<Passed, Failure>>,
}

/// All kinds of probes, in alphabetical order. HTTPS and HTTP/2 are settings of `http`.
const PROBES: &[ProbeRow] = &[
    ProbeRow { name: "grpc", ask: grpc::ask },
    ProbeRow { name: "http", ask: http::ask },
    ProbeRow { name: "tcp", ask: tcp::ask },
];

/// What a probe asks on.
struct Asked<'a> {
    stream: Stream,
    /// Who is at the other end.
    address: SocketAddr,
    stage: &'a Stage,
}

/// A check that passed.
struct Passed {
    /// What the backend said.
    reason: String,
    /// Closes the connection in order.
    closing: Closing,
}

/// The end of a connection, which no verdict waits for.
type Closing = BoxFuture<'static, ()>;

/// A backend, and how it is checked.
#[derive(Clone)]
pub struct Target {
    /// The backend's address.
    pub address: SocketAddr,
    /// How it is checked.
    pub check: Arc<Check>,
}

/// What the results of a check come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It is well.
    Up,
    /// It is not.
    Down,
}

/// A verdict that has turned, or is the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The backend's address.
    pub address: SocketAddr,
    /// By which check.
    pub check: CheckId,
    /// What it is now.
    pub verdict: Verdict,
    /// The last result: in words for an operator.
    pub reason: String,
    /// When.
    pub at: Instant,
}

/// What is known about a target now.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The verdict, and results in a row.
    pub tally: Tally,
    /// The last result, if there was one.
    pub last: Option<Seen>,
}

/// One result.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Whether it passed; `None` if the check could not be made.
    pub is_pass: Option<bool>,
    /// What the backend said, or what went wrong.
    pub reason: String,
    /// From the first step to the answer.
    pub latency: Duration,
    /// When the answer was there.
    pub at: Instant,
}

/// Runs the probes that are asked for.
pub struct Prober {
    running: BTreeMap<(SocketAddr, CheckId), Running>,
    findings: mpsc::Sender<Finding>,
    turns: Arc<Semaphore>,
    rng: fastrand::Rng,
    metrics: Arc<Metrics>,
}

struct Running {
    report: Arc<ArcSwap<Report>>,
    #[expect(dead_code, reason = "held for what its drop does")]
    task: Task,
}

impl Prober {
    /// A prober without targets. `rng` spreads the checks.
    #[must_use]
    pub fn new(
        findings: mpsc::Sender<Finding>,
        rng: fastrand::Rng,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        Self { running: BTreeMap::new(), findings, turns, rng, metrics: Arc::clone(metrics) }
    }

    /// Makes the set of running probes equal to `targets`. One that runs already runs on, with
    /// all that it knows; one that is no longer asked for ends, and a check that is under way
    /// with it. Findings that were pushed before may still come. Cost: O(n log n), a task for
    /// each new one.
    pub fn set(&mut self, targets: impl IntoIterator<Item = Target>) {
        let mut wanted: BTreeMap<_, _> = targets
            .into_iter()
            .map(|target| ((target.address, target.check.id), target.check))
            .collect();
        self.running.retain(|key, _| wanted.remove(key).is_some());
        let count = wanted.len();
        for (key, check) in wanted {
            let first = cadence::first(count, check.interval, &mut self.rng);
            let report = Arc::new(ArcSwap::default());
            let (name, mut group) = (key.0.to_string(), self.metrics.group());
            let probe = run::Probe {
                backend: key.0,
                check,
                report: Arc::clone(&report),
                findings: self.findings.clone(),
                turns: Arc::clone(&self.turns),
                rng: self.rng.fork(),
                results: ["passed", "failed"].map(|one| group.handle(&CHECKS, [&name, one])),
            };
            let task = Task::spawn(probe.run(first));
            self.running.insert(key, Running { report, task });
        }
    }

    /// What is known about a target, if it is one.
    #[must_use]
    pub fn report(&self, address: SocketAddr, check: CheckId) -> Option<Arc<Report>> {
        self.running.get(&(address, check)).map(|running| running.report.load_full())
    }

    /// What is known about all targets.
    pub fn reports(&self) -> impl Iterator<Item = (SocketAddr, CheckId, Arc<Report>)> {
        let report = |running: &Running| running.report.load_full();
        self.running.iter().map(move |((address, id), running)| (*address, *id, report(running)))
    }
}

#[cfg(test)]
mod tests;
