//! One probe: waits, checks, counts, says what has turned; for ever.

use super::check::Check;
use super::connect::{Failure, Stage, connect};
use super::{Asked, Closing, Finding, Passed, Report, Seen, cadence};
use crate::observe::metrics::Counter;
use crate::types::clock;
use arc_swap::ArcSwap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep_until, timeout};

/// How long a backend may take to close its side when all is said.
const CLOSE: Duration = Duration::from_millis(250);

/// A probe of one target.
pub(super) struct Probe {
    pub(super) backend: SocketAddr,
    pub(super) check: Arc<Check>,
    pub(super) report: Arc<ArcSwap<Report>>,
    pub(super) findings: mpsc::Sender<Finding>,
    pub(super) turns: Arc<Semaphore>,
    pub(super) rng: fastrand::Rng,
    /// `vanne_checks_total`: passed and failed.
    pub(super) results: [Counter; 2],
}

impl Probe {
    /// Checks again and again, the first time after `first`, until nobody listens.
    pub(super) async fn run(mut self, first: Duration) {
        let mut due = clock::now() + first;
        loop {
            sleep_until(due.into()).await;
            let Ok(turn) = self.turns.acquire().await else { return };
            let (seen, closing) = Box::pin(check_once(&self.check, self.backend)).await;
            if !self.say(seen).await {
                return;
            }
            if let Some(closing) = closing {
                // Late is as good as never: it is closed all the same.
                drop(timeout(CLOSE, closing).await);
            }
            drop(turn);
            due = cadence::next(due, clock::now(), self.check.interval, &mut self.rng);
        }
    }

    /// Counts what was seen. Whether somebody listens.
    async fn say(&self, seen: Seen) -> bool {
        let before = self.report.load_full();
        let mut tally = before.tally;
        let (rise, fall) = (self.check.rise, self.check.fall);
        let is_new = before.last.as_ref().is_none_or(|last| last.reason != seen.reason);
        if seen.is_pass.is_none() && is_new {
            tracing::warn!(backend = %self.backend, why = seen.reason, "health not checked");
        }
        let [passed, failed] = &self.results;
        if let Some(is_pass) = seen.is_pass {
            if is_pass { passed.inc() } else { failed.inc() }
        }
        let turned = seen.is_pass.and_then(|is_pass| tally.count(is_pass, rise, fall));
        let finding = turned.map(|verdict| Finding {
            address: self.backend,
            check: self.check.id,
            verdict,
            reason: seen.reason.clone(),
            at: seen.at,
        });
        self.report.store(Arc::new(Report { tally, last: Some(seen) }));
        match finding {
            Some(finding) => self.findings.send(finding).await.is_ok(),
            None => !self.findings.is_closed(),
        }
    }
}

/// One check, within its timeout.
pub(super) async fn check_once(check: &Check, backend: SocketAddr) -> (Seen, Option<Closing>) {
    let started = clock::now();
    let stage = Stage::new();
    let address = check.address(backend);
    let work = async {
        let stream = connect(check, address, &stage).await?;
        (check.probe.ask)(check, Asked { stream, address, stage: &stage }).await
    };
    let result = timeout(check.timeout, work).await.unwrap_or_else(|_elapsed| {
        let after = in_words(check.timeout);
        Err(Failure::Backend(format!("timeout after {after} ({})", stage.now())))
    });
    let at = clock::now();
    let (is_pass, reason, closing) = match result {
        Ok(Passed { reason, closing }) => (Some(true), reason, Some(closing)),
        Err(Failure::Backend(why)) => (Some(false), why, None),
        Err(Failure::Own(why)) => (None, why, None),
    };
    (Seen { is_pass, reason, latency: at - started, at }, closing)
}

fn in_words(time: Duration) -> String {
    match time.subsec_millis() {
        0 => format!("{}s", time.as_secs()),
        _ => format!("{}ms", time.as_millis()),
    }
}
