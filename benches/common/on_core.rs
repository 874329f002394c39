//! The time that a thread has a core: what others take of the machine does not count.

use std::time::Duration;

/// How long this thread has a core for `work`.
pub(crate) fn timed(work: impl FnOnce()) -> Duration {
    let began = on_core();
    work();
    on_core().saturating_sub(began)
}

/// How long this thread has had a core.
fn on_core() -> Duration {
    let Ok(text) = std::fs::read_to_string("/proc/thread-self/schedstat") else {
        panic!("the kernel keeps /proc/thread-self/schedstat")
    };
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}
