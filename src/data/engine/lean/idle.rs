//! Connections to backends that wait for another request: a worker's own, without a lock.
//!
//! The last one that was put back is taken first, so that those too many grow old. Whether
//! one still stands is looked at when it is taken; a sweep drops those that have waited for
//! too long, or that their backend closed.

use super::link::Link;
use crate::data::upstream::Attempt;
use crate::types::clock;
use rustc_hash::FxHashMap;
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// A worker looks at least so often for connections that their backend has closed.
const SWEEP: Duration = Duration::from_secs(1);

thread_local! {
    static IDLE: RefCell<Idle> = RefCell::default();
}

/// What makes connections equal: where they lead, and all settings of how they are spoken to.
pub(super) type Key = (SocketAddr, u64);

#[derive(Default)]
struct Idle {
    waiting: FxHashMap<Key, Vec<Waiting>>,
    count: usize,
    most: usize,
    /// When the next sweep is, and who is woken if it has to be earlier.
    due: Option<(Instant, Waker)>,
}

struct Waiting {
    link: Link,
    until: Instant,
}

pub(super) fn key(attempt: &Attempt) -> Key {
    (attempt.backend.address, attempt.wire.group)
}

/// This worker keeps up to `most` connections.
pub(super) fn keep_most(most: usize) {
    IDLE.with_borrow_mut(|idle| idle.most = most);
}

/// A connection for `attempt` that still stands, if there is one.
/// Cost: a look at one map and one socket; no system call unless something came.
pub(super) fn take(attempt: &Attempt, now: Instant, cx: &mut Context<'_>) -> Option<Link> {
    IDLE.with_borrow_mut(|idle| {
        let waiting = idle.waiting.get_mut(&key(attempt))?;
        while let Some(mut last) = waiting.pop() {
            idle.count -= 1;
            if last.until > now && last.link.is_quiet(cx) {
                return Some(last.link);
            }
        }
        None
    })
}

/// Keeps `link`, which served `attempt`, for its next request, unless there are too many.
pub(super) fn put(attempt: &Attempt, link: Link, now: Instant) {
    IDLE.with_borrow_mut(|idle| {
        if idle.count < idle.most {
            idle.count += 1;
            let until = now + attempt.idle_timeout;
            if let Some((_, waker)) = idle.due.take_if(|(due, _)| *due > until) {
                waker.wake();
            }
            idle.waiting.entry(key(attempt)).or_default().push(Waiting { link, until });
        }
    });
}

/// Sweeps whenever that is due, for as long as it is polled.
pub(super) async fn sweep() {
    loop {
        let due = sweep_at(clock::now());
        let mut sleep = pin!(tokio::time::sleep_until(due.into()));
        poll_fn(|cx| {
            // Without an entry somebody wants it earlier.
            let is_first =
                IDLE.with_borrow_mut(|idle| idle.due.replace((due, cx.waker().clone())).is_none());
            match sleep.as_mut().poll(cx) {
                Poll::Pending if !is_first => Poll::Pending,
                _ => Poll::Ready(()),
            }
        })
        .await;
    }
}

/// Drops connections that have waited for too long, and those that their backend closed. When
/// that is due again.
fn sweep_at(now: Instant) -> Instant {
    let mut cx = Context::from_waker(Waker::noop());
    IDLE.with_borrow_mut(|idle| {
        let mut due = now + SWEEP;
        idle.waiting.retain(|_, list| {
            list.retain_mut(|one| one.until > now && one.link.is_quiet(&mut cx));
            list.iter().for_each(|one| due = due.min(one.until));
            !list.is_empty()
        });
        idle.count = idle.waiting.values().map(Vec::len).sum();
        idle.due = Some((due, Waker::noop().clone()));
        due
    })
}

/// Drops all of them.
pub(super) fn clear() {
    IDLE.with_borrow_mut(|idle| {
        idle.waiting.clear();
        idle.count = 0;
    });
}
