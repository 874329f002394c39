//! Drain: from the first signal to the exit.
//!
//! The first SIGTERM or SIGINT makes readiness false at once; for `delay` connections are
//! still accepted, so that whoever sends traffic has time to notice, and every answer says
//! that its connection closes. Then no more are accepted, what is in flight is finished,
//! and the process exits as soon as nothing is left: at the latest at `deadline`, when the
//! rest is cut. A second signal cuts at once.

use crate::data::engine::worker::Workers;
use crate::data::lifecycle::Stage;
use crate::types::clock;
use std::io;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep, sleep_until};

/// How often it is looked whether the workers have ended: bounds how late the exit is.
const LOOK: Duration = Duration::from_millis(10);
/// How long cut connections may take to end and be logged.
const CUT_MAX: Duration = Duration::from_secs(2);

/// How long the stages of a drain last, from the signal on.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Connections are still accepted.
    pub delay: Duration,
    /// What is still in flight is cut.
    pub deadline: Duration,
}

/// The signals that end the process.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens for them; from now on they do not kill.
    ///
    /// # Errors
    /// When a signal cannot be listened for.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next of them: its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Drains `workers` until all have ended.
pub async fn drain(workers: &Workers, signals: &mut Signals, times: Times) {
    let begin: Instant = clock::now().into();
    tracing::info!(delay = ?times.delay, deadline = ?times.deadline, "draining");
    if !finish(workers, signals, times, begin + times.deadline).await {
        cut(workers).await;
    }
    tracing::info!(took = ?begin.elapsed(), "drained");
}

/// Accepts for a while, then finishes what is in flight. `false`: some is left.
async fn finish(workers: &Workers, signals: &mut Signals, times: Times, deadline: Instant) -> bool {
    workers.advance(Stage::Draining);
    tokio::select! {
        () = sleep(times.delay) => {}
        _ = signals.next() => return false,
    }
    workers.advance(Stage::Closing);
    tokio::select! {
        () = ended(workers) => true,
        () = sleep_until(deadline) => false,
        _ = signals.next() => false,
    }
}

async fn cut(workers: &Workers) {
    tracing::warn!(connections = workers.connections(), "cutting what is left");
    workers.advance(Stage::Aborting);
    if tokio::time::timeout(CUT_MAX, ended(workers)).await.is_err() {
        tracing::error!(connections = workers.connections(), "workers did not end");
    }
}

async fn ended(workers: &Workers) {
    while !workers.are_ended() {
        sleep(LOOK).await;
    }
}
