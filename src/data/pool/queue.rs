//! Queue: requests that wait until a backend of their pool has a place for them.
//!
//! First come, first served, over all workers. Touched only while backends are full: a
//! request that finds a place never looks here beyond one number. Whoever leaves before its
//! turn is taken out at once; whoever leaves with a place in its hand hands it on. Whoever
//! would wait longer than it may is not let in.

use super::QueueRules;
use super::live::{Live, Place};
use super::pace::Pace;
use crate::types::moment::Moment;
use futures::task::AtomicWaker;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

/// Who waits in a pool, in order.
#[derive(Default)]
pub struct Queue {
    /// How many wait; written under the lock.
    length: AtomicUsize,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    turns: BTreeMap<u64, Arc<Turn>>,
    pace: Pace,
}

/// Why a request may not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hopeless {
    /// As many wait as may.
    Full,
    /// It would wait for so long, which is longer than it may.
    Late(Duration),
}

/// What is told to one who waits.
struct Turn {
    key: u64,
    state: Mutex<State>,
    waker: AtomicWaker,
}

enum State {
    Waiting,
    /// It has a place.
    Granted(Place),
    /// There is nothing to wait for any more.
    Dismissed,
}

impl Queue {
    /// How many wait.
    /// `races`: a number of a moment ago; the queue itself is exact.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length.load(Ordering::Acquire)
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Goes to the end of the queue. `key`: what the algorithm chooses by. A place that became
    /// free just before is given to whoever is first.
    ///
    /// # Errors
    /// When `rules` let no more wait, or not for so long.
    pub fn join(
        live: &Arc<Live>,
        key: u64,
        rules: QueueRules,
        now: Moment,
    ) -> Result<Ticket, Hopeless> {
        let ticket = {
            let mut waiting = live.queue.waiting.lock();
            let before = waiting.turns.len();
            if before >= rules.size {
                return Err(Hopeless::Full);
            }
            // Who is first always may: so there is always somebody who tells how fast it goes.
            let wait = waiting.pace.wait(before, now).filter(|_| before > 0);
            if let Some(wait) = wait.filter(|wait| *wait > rules.timeout) {
                return Err(Hopeless::Late(wait));
            }
            let turn = Arc::new(Turn {
                key,
                state: Mutex::new(State::Waiting),
                waker: AtomicWaker::new(),
            });
            let number = waiting.next;
            waiting.next += 1;
            waiting.turns.insert(number, Arc::clone(&turn));
            live.queue.count(&mut waiting);
            Ticket { live: Arc::clone(live), number, turn }
        };
        live.serve_queue(now);
        Ok(ticket)
    }

    /// Gives places to those who wait, in order, as long as `place` finds one at `now`.
    pub(super) fn serve(&self, now: Moment, mut place: impl FnMut(u64) -> Option<Place>) {
        let mut waiting = self.waiting.lock();
        while let Some(first) = waiting.turns.first_entry() {
            let Some(place) = place(first.get().key) else { return };
            first.remove().tell(State::Granted(place));
            waiting.pace.note(now);
            self.count(&mut waiting);
        }
    }

    /// Tells all that there is nothing to wait for.
    pub(super) fn dismiss(&self) {
        let mut waiting = self.waiting.lock();
        let turns = std::mem::take(&mut waiting.turns);
        self.count(&mut waiting);
        drop(waiting);
        for turn in turns.values() {
            turn.tell(State::Dismissed);
        }
    }

    fn count(&self, waiting: &mut Waiting) {
        if waiting.turns.is_empty() {
            waiting.pace.pause();
        }
        self.length.store(waiting.turns.len(), Ordering::Release);
    }
}

impl Turn {
    fn tell(&self, state: State) {
        *self.state.lock() = state;
        self.waker.wake();
    }
}

/// A place in the queue. Leaves it when dropped.
pub struct Ticket {
    live: Arc<Live>,
    number: u64,
    turn: Arc<Turn>,
}

impl Ticket {
    /// Waits until it is this one's turn, or there is nothing to wait for.
    pub async fn called(&self) {
        poll_fn(|cx| {
            self.turn.waker.register(cx.waker());
            match *self.turn.state.lock() {
                State::Waiting => Poll::Pending,
                State::Granted(_) | State::Dismissed => Poll::Ready(()),
            }
        })
        .await;
    }

    /// The same without waiting: `Err` while it is not its turn.
    ///
    /// # Errors
    /// When it is not its turn yet.
    #[expect(clippy::result_unit_err, reason = "there is nothing to tell but that it waits")]
    pub fn take_or_wait(&self) -> Result<Option<Place>, ()> {
        match *self.turn.state.lock() {
            State::Waiting => return Err(()),
            State::Granted(_) | State::Dismissed => {}
        }
        Ok(self.take())
    }

    /// The place that it got, if it got one. To be asked once.
    #[must_use]
    pub fn take(&self) -> Option<Place> {
        match std::mem::replace(&mut *self.turn.state.lock(), State::Dismissed) {
            State::Granted(place) => Some(place),
            State::Waiting | State::Dismissed => None,
        }
    }
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ticket({})", self.number)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let queue = &self.live.queue;
        {
            let mut waiting = queue.waiting.lock();
            waiting.turns.remove(&self.number);
            queue.count(&mut waiting);
        }
        // A place that came too late goes to the next, without a lock held.
        drop(self.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::balance::Choice;
    use crate::data::pool::Picked;
    use crate::data::snapshot::tests::limited_pool;

    fn place(live: &Arc<Live>) -> Option<Place> {
        match live.pick(&Choice::default()) {
            Picked::Backend(place) => Some(place),
            _ => None,
        }
    }

    const RULES: QueueRules = QueueRules { size: 100, timeout: Duration::from_secs(1) };

    fn join(live: &Arc<Live>) -> Ticket {
        Queue::join(live, 0, RULES, Moment::default()).unwrap()
    }

    #[test]
    fn who_came_first_is_served_first_and_newcomers_wait() {
        let live = limited_pool(1, 2).live;
        let (first, second) = (place(&live).unwrap(), place(&live).unwrap());
        assert!(matches!(live.pick(&Choice::default()), Picked::Full));
        let tickets: Vec<Ticket> = (0..3).map(|_| join(&live)).collect();
        drop(first);
        assert!(place(&live).is_none(), "a newcomer does not overtake");
        let granted = tickets[0].take().unwrap();
        assert!(tickets[1].take().is_none());
        drop(granted);
        drop(second);
        assert_eq!(live.queue.len(), 0);
        assert_eq!(live.in_flight(), 2, "two wait no longer: they have the places");
        drop(tickets);
        assert_eq!(live.in_flight(), 0);
    }

    #[test]
    fn who_leaves_is_taken_out_and_hands_on_what_came_too_late() {
        let live = limited_pool(1, 1).live;
        let held = place(&live).unwrap();
        let (first, second) = (join(&live), join(&live));
        drop(held);
        drop(first);
        assert!(second.take().is_some());
        let full = Queue::join(&live, 0, QueueRules { size: 0, ..RULES }, Moment::default());
        assert_eq!(full.err(), Some(Hopeless::Full));
    }

    #[test]
    fn a_place_that_became_free_before_joining_is_not_lost() {
        let live = limited_pool(1, 1).live;
        assert!(join(&live).take().is_some());
    }

    #[test]
    fn nobody_waits_for_a_pool_without_members() {
        let live = limited_pool(1, 1).live;
        let held = place(&live).unwrap();
        let waiting = join(&live);
        live.publish(Default::default(), Moment::default());
        assert!(futures::executor::block_on(async {
            waiting.called().await;
            waiting.take().is_none()
        }));
        drop(held);
        assert_eq!(live.in_flight(), 0);
    }

    #[test]
    fn who_would_wait_for_too_long_is_not_let_in() {
        let live = limited_pool(1, 1).live;
        let held = place(&live).unwrap();
        let at = |millis: u64| Moment::from_micros(1_000_000 + millis * 1000);
        let join = || Queue::join(&live, 0, RULES, at(2000));
        // A place each 51 ms, while somebody waited.
        (0..40).for_each(|number| live.queue.waiting.lock().pace.note(at(number * 51)));
        let mut waiting: Vec<_> = std::iter::from_fn(|| join().ok()).take(RULES.size).collect();
        assert_eq!(waiting.len(), 19);
        let Some(Hopeless::Late(wait)) = join().err() else { panic!("it would wait too long") };
        assert_eq!(wait.as_millis(), 1020);
        waiting.truncate(18);
        assert!(join().is_ok(), "one has left");
        drop(held);
    }

    /// A place, or a place in the queue for as long as `looks` looks.
    fn impatient(live: &Arc<Live>, looks: u8) -> Option<Place> {
        place(live).or_else(|| {
            let ticket = Queue::join(live, 0, RULES, Moment::default()).ok()?;
            (0..looks).find_map(|_| ticket.take())
        })
    }

    /// Threads take, wait, give up and release at random: no place is lost, and there are
    /// never more than there are.
    #[test]
    fn no_place_is_lost_however_threads_meet() {
        const LIMIT: u32 = 3;
        let live = limited_pool(2, LIMIT).live;
        let run = |seed| {
            let mut rng = fastrand::Rng::with_seed(seed);
            for _ in 0..20_000 {
                let held = impatient(&live, rng.u8(..50));
                assert!(live.in_flight() <= 2 * LIMIT);
                drop(held);
            }
        };
        std::thread::scope(|scope| {
            for seed in 0..4 {
                scope.spawn(move || run(seed));
            }
        });
        assert_eq!((live.in_flight(), live.queue.len()), (0, 0));
        let places: Vec<_> = (0..2 * LIMIT).map(|_| place(&live).unwrap()).collect();
        assert!(place(&live).is_none());
        drop(places);
    }
}
