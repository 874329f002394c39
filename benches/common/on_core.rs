//! The time that threads have a core: what others take of the machine does not count.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Nanoseconds of a core that a call takes when so many threads make `count` calls in all at
/// once: the median of a few rounds. `work` makes the calls of a thread: which, and how many.
pub(crate) fn nanoseconds(threads: u64, count: u64, work: impl Fn(u64, u64) + Sync) -> f64 {
    const ROUNDS: usize = 7;
    let (work, each) = (&work, count / threads);
    let round = |_| {
        std::thread::scope(|scope| {
            let start = |thread| scope.spawn(move || timed(|| work(thread, each)));
            let threads: Vec<_> = (0..threads).map(start).collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).sum::<Duration>()
        })
    };
    let mut rounds: Vec<_> = (0..ROUNDS).map(round).collect();
    rounds.sort_unstable();
    let middle = rounds.get(ROUNDS / 2).copied().unwrap_or_default();
    #[allow(clippy::cast_precision_loss, reason = "a rough figure")]
    let figure = middle.as_nanos() as f64 / (each * threads) as f64;
    figure
}

/// How long this thread has a core for `work`.
fn timed(work: impl FnOnce()) -> Duration {
    let began = on_core();
    work();
    on_core().saturating_sub(began)
}

/// How long this thread has had a core.
fn on_core() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}
