//! A task that lives no longer than whoever started it.

use std::future::Future;
use tokio::task::AbortHandle;

/// Ends its task when it is dropped.
pub(super) struct Task(AbortHandle);

impl Task {
    /// Runs `work` on the runtime that this is called in.
    pub(super) fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(work).abort_handle())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
