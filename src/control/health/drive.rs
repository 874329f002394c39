//! A connection that is driven by whoever waits for something on it.
//!
//! The library's connections are futures that must be polled for anything to happen. Elsewhere
//! a task does that; here the check itself does, so that nothing is left behind when it is over
//! or dropped.

use std::future::Future;
use std::pin::{Pin, pin};

/// A connection.
pub(super) struct Driven<C> {
    connection: Pin<Box<C>>,
    is_over: bool,
}

impl<C: Future> Driven<C> {
    pub(super) fn new(connection: C) -> Self {
        Self { connection: Box::pin(connection), is_over: false }
    }

    /// Waits for `work`, which happens on the connection.
    pub(super) async fn until<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        if !self.is_over {
            tokio::select! {
                biased;
                done = &mut work => return done,
                _ = &mut self.connection => self.is_over = true,
            }
        }
        // What the connection had to say, `work` has heard.
        work.await
    }

    /// Waits until the connection is closed.
    pub(super) async fn close(mut self) {
        if !self.is_over {
            drop(self.connection.as_mut().await);
        }
    }
}
