//! Inspections beside the traffic: a large body would keep a worker from its other requests.
//!
//! As many run at once as there are processors, over all workers; others wait for their turn. Time
//! runs from the beginning: who is not done within the budget is not inspected. An inspection that
//! nobody waits for any more ends with the rule that it is at, and its place is the next one's.

use super::Waf;
use crate::types::clock;
use parking_lot::Mutex;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use vanne_filters::waf::transaction::{Still, Transaction};

/// A body from this size on is inspected beside the traffic. Varied text costs up to two milliseconds
/// for each KiB with the whole Core Rule Set, handing it over twenty microseconds.
pub const FROM_BYTES: usize = 4 * 1024;

/// Places for inspections.
static PLACES: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Arc::new(Semaphore::new(processors))
});

/// Whose body it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// The request's.
    Request,
    /// The answer's.
    Answer,
}

/// An inspection of a body beside the traffic.
pub struct Aside {
    waf: Arc<Waf>,
    /// When the request began.
    since: Instant,
    /// Nobody waits for it any more.
    stop: Arc<AtomicBool>,
    job: Mutex<Option<Job>>,
    done: Mutex<Option<Done>>,
}

struct Job {
    transaction: Box<Transaction>,
    body: Vec<u8>,
    of: Of,
}

/// An inspection that is over.
pub struct Done {
    /// What was inspected.
    pub transaction: Box<Transaction>,
    /// The time it took.
    pub spent: Duration,
}

/// Whoever waits leaves, at the end or before.
struct Leave<'a>(&'a AtomicBool);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl fmt::Debug for Aside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aside").field("waf", &self.waf.id).finish_non_exhaustive()
    }
}

impl Aside {
    /// The inspection of `body` by `waf`, of a request that began at `since`.
    #[must_use]
    pub fn new(
        waf: &Arc<Waf>,
        mut transaction: Box<Transaction>,
        body: Vec<u8>,
        of: Of,
        since: Instant,
    ) -> Self {
        let stop = Arc::<AtomicBool>::default();
        transaction.stop_when(Some(Arc::clone(&stop)));
        let job = Mutex::new(Some(Job { transaction, body, of }));
        Self { waf: Arc::clone(waf), since, stop, job, done: Mutex::new(None) }
    }

    /// Waits until it is over, or for no longer than its budget.
    pub async fn run(&self) {
        let _leave = Leave(&self.stop);
        let timed = tokio::time::timeout(self.waf.time_budget, self.inspect()).await;
        if timed.is_err() {
            tracing::debug!(waf = %self.waf.id, "inspection is over its budget");
        }
    }

    async fn inspect(&self) {
        let Ok(place) = Arc::clone(&PLACES).acquire_owned().await else { return };
        let Some(mut job) = self.job.lock().take() else { return };
        let (waf, since) = (Arc::clone(&self.waf), self.since);
        let work = move || {
            let began = clock::now();
            let taken = began.duration_since(since);
            match job.of {
                Of::Request => waf.body(&mut job.transaction, &job.body, taken),
                Of::Answer => waf.answer_body(&mut job.transaction, &job.body, taken),
            }
            // Here, since a body that matched a thousand times takes a while.
            match job.of {
                Of::Request => waf.rest_of_request(&mut job.transaction),
                Of::Answer => waf.rest(&mut job.transaction, Still::End),
            }
            drop(place);
            job.transaction.stop_when(None);
            Done { transaction: job.transaction, spent: clock::now().duration_since(began) }
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(done) => *self.done.lock() = Some(done),
            Err(error) => tracing::error!(%error, waf = %self.waf.id, "inspection ended badly"),
        }
    }

    /// What came of it, if it was over in time.
    #[must_use]
    pub fn take(&self) -> Option<Done> {
        self.done.lock().take()
    }
}
