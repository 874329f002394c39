//! The keys of an issuer as control knows them, and the way to ask for newer ones.

use super::key::KeySet;
use arc_swap::{ArcSwap, Guard};
use futures::FutureExt;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// The shortest time from one fetch to another that a token has asked for.
pub const EARLY: Duration = Duration::from_secs(10);
/// How long a request waits for keys.
const PATIENCE: Duration = Duration::from_secs(1);

/// The keys of an issuer.
pub struct LiveKeys {
    keys: ArcSwap<KeySet>,
    /// When they were fetched, if they come from somewhere.
    fetched: Mutex<Option<Instant>>,
    wanted: Notify,
    /// Fetches that have ended.
    ended: watch::Sender<u64>,
    /// They can be asked for.
    is_followed: bool,
    /// When they were last asked for by a token, and how many fetches had ended then.
    asked: Mutex<Option<(Instant, u64)>>,
}

impl LiveKeys {
    /// None yet. `is_followed`: somebody fetches them.
    #[must_use]
    pub fn new(is_followed: bool) -> Self {
        Self {
            keys: ArcSwap::default(),
            fetched: Mutex::default(),
            wanted: Notify::new(),
            ended: watch::Sender::new(0),
            is_followed,
            asked: Mutex::default(),
        }
    }

    /// The keys.
    #[must_use]
    pub fn load(&self) -> Guard<Arc<KeySet>> {
        self.keys.load()
    }

    /// These are the keys from now on; they were asked for at `now`.
    pub fn believe(&self, keys: KeySet, now: Instant) {
        self.replace(keys);
        *self.fetched.lock() = Some(now);
    }

    /// These are the keys from now on.
    pub fn replace(&self, keys: KeySet) {
        let before = self.keys.load_full();
        self.keys.store(Arc::new(keys.after(&before)));
    }

    /// There are none any more: they are too old.
    pub fn forget(&self) {
        self.replace(KeySet::default());
    }

    /// When they were fetched, if they were.
    #[must_use]
    pub fn fetched(&self) -> Option<Instant> {
        *self.fetched.lock()
    }

    /// A fetch has ended, whatever came of it: who waits goes on.
    pub fn note_end(&self) {
        // Who asked meanwhile has the answer.
        self.wanted.notified().now_or_never().unwrap_or_default();
        self.ended.send_modify(|count| *count += 1);
    }

    /// Until a token asks for keys.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Whether a token of an unknown key may ask for newer ones at `now`: if somebody fetches them,
    /// and nobody has asked a moment ago; or while what was asked for is on its way. Tokens of
    /// nobody's keys cost the issuer no more than that.
    #[must_use]
    pub fn may_ask(&self, now: Instant) -> bool {
        if !self.is_followed {
            return false;
        }
        // The first set is on its way.
        if self.fetched().is_none() {
            return true;
        }
        let mut asked = self.asked.lock();
        let ended = *self.ended.borrow();
        let since = |at: Instant| now.saturating_duration_since(at);
        let is_waiting = asked.is_some_and(|(at, count)| since(at) < PATIENCE && count == ended);
        let is_due = asked.is_none_or(|(at, _)| since(at) >= EARLY);
        if is_due {
            *asked = Some((now, ended));
        }
        is_due || is_waiting
    }

    /// Asks for newer keys, and waits for them a moment.
    pub async fn ask(&self) {
        let mut ended = self.ended.subscribe();
        let asked = self.asked.lock().map(|(_, count)| count);
        // What was asked for has come before anybody waited: there is nothing to wait for.
        if asked.is_some_and(|count| *ended.borrow() > count) {
            return;
        }
        self.wanted.notify_one();
        // Whoever waited in vain is refused as before.
        drop(tokio::time::timeout(PATIENCE, ended.changed()).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::clock;

    fn followed(now: Instant) -> LiveKeys {
        let keys = LiveKeys::new(true);
        keys.believe(KeySet::default(), now);
        keys.note_end();
        keys
    }

    #[test]
    fn a_token_waits_while_what_was_asked_for_is_on_its_way_and_no_longer() {
        let now = clock::now();
        let keys = followed(now);
        assert!(keys.may_ask(now), "the first asks");
        assert!(keys.may_ask(now + PATIENCE / 2), "the second waits with it");
        keys.note_end();
        assert!(!keys.may_ask(now + PATIENCE / 2), "nothing is on its way");
        assert!(!keys.may_ask(now + EARLY - PATIENCE));
        assert!(keys.may_ask(now + EARLY));
        assert!(!LiveKeys::new(false).may_ask(now), "nobody fetches them");
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_after_the_fetch_neither_waits_nor_asks_again() {
        let now = clock::now();
        let keys = followed(now);
        assert!(keys.may_ask(now));
        keys.note_end();
        let began = tokio::time::Instant::now();
        keys.ask().await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert_eq!(keys.wanted().now_or_never(), None, "nobody asks for another fetch");
        assert!(keys.may_ask(now + EARLY));
        keys.ask().await;
        assert_eq!(began.elapsed(), PATIENCE, "nobody fetches");
        assert_eq!(keys.wanted().now_or_never(), Some(()));
    }
}
