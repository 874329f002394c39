//! Rate limits: how much of what may come in how much time.
//!
//! A limit is a rate and a burst for every key: an address, a user, a route, or everything.
//! The arithmetic of one bucket is `gcra`, the buckets of all keys are `table`; `lease` is what one
//! of several replicas may take of buckets that they share, `adaptive` how a limit falls while
//! backends are in trouble. A request that several limits count passes all of them or pays none.

mod adaptive;
mod gcra;
mod lease;
mod table;

pub use adaptive::{Adaptive, Seen, Strain};
pub use gcra::{FILL_MAX, Pass, Quota, Refused, Span, Tick};
pub use lease::{Ask, Heard, Leases, Terms, lease};
pub use table::{Key, Secret, Table, Take};

use arrayvec::ArrayVec;

/// Where the buckets of a limit are.
#[derive(Clone, Copy)]
pub enum Buckets<'a> {
    /// Here.
    Own(&'a Table),
    /// Elsewhere, for several replicas.
    Shared {
        /// What this one has for itself.
        own: &'a Table,
        /// What it knows of the others.
        leases: &'a Leases,
        /// How things are with them.
        terms: Terms,
    },
}

impl Buckets<'_> {
    /// Takes out of the bucket of `key`, if it holds so much; what is to be told of it goes to
    /// `tell`.
    ///
    /// # Errors
    /// When it holds less: nothing is taken.
    pub fn take(
        self,
        key: Key,
        now: Tick,
        what: Take<'_>,
        tell: impl FnMut(Ask),
    ) -> Result<Pass, Refused> {
        match self {
            Self::Own(table) => table.take(key, now, what),
            Self::Shared { own, leases, terms } => {
                let (said, ask) = leases.take(own, key, now, what, terms);
                ask.into_iter().for_each(tell);
                said
            }
        }
    }

    /// Puts `what` back that was taken.
    pub fn give_back(self, key: Key, now: Tick, what: Take<'_>) {
        match self {
            Self::Own(table) => table.give_back(key, what.quota, now, what.cost),
            Self::Shared { own, leases, terms } => leases.give_back(own, key, now, what, terms),
        }
    }

    /// Takes `what`, whatever the bucket holds; what is to be told of it goes to `tell`.
    pub fn charge(self, key: Key, now: Tick, what: Take<'_>, tell: impl FnMut(Ask)) {
        match self {
            Self::Own(table) => table.charge(key, what.quota, now, what.cost),
            Self::Shared { own, leases, terms } => {
                leases.charge(own, key, now, what, terms).into_iter().for_each(tell);
            }
        }
    }
}

/// One limit that counts a request: whose bucket of it, and what the request takes out of it.
pub trait Level {
    /// Takes it, if the bucket holds so much.
    ///
    /// # Errors
    /// When it holds less: nothing is taken.
    fn take(&self, now: Tick) -> Result<Pass, Refused>;

    /// Puts back what was taken.
    fn give_back(&self, now: Tick);
}

/// Takes what a request costs out of every level, or out of none: those that it took from are in
/// `taken` then, with what they said. At most as many are asked as there is room for there.
///
/// It takes as it goes, and gives back where a later level refuses: for that moment others find so
/// much less. To look at all levels before would cost every request what only refused ones need.
///
/// # Errors
/// The first level that refuses it with its place, and what it says.
#[inline]
pub fn take_all<L: Level, const MAX: usize>(
    levels: impl Iterator<Item = L>,
    now: Tick,
    taken: &mut ArrayVec<(L, Pass), MAX>,
) -> Result<(), (usize, L, Refused)> {
    for level in levels.take(taken.remaining_capacity()) {
        match level.take(now) {
            Ok(pass) => taken.push((level, pass)),
            Err(refused) => {
                let at = taken.len();
                taken.drain(..).for_each(|(paid, _)| paid.give_back(now));
                return Err((at, level, refused));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    struct Bucket<'a>(&'a (Table, Quota), Key);

    impl Bucket<'_> {
        fn cost(&self, cost: u32) -> Take<'_> {
            Take { quota: &self.0.1, cost, patience: Duration::ZERO }
        }
    }

    impl Level for Bucket<'_> {
        fn take(&self, now: Tick) -> Result<Pass, Refused> {
            self.0.0.take(self.1, now, self.cost(1))
        }

        fn give_back(&self, now: Tick) {
            self.0.0.give_back(self.1, &self.0.1, now, 1);
        }
    }

    fn level<'a>(limit: &'a (Table, Quota), of: &[u8]) -> Bucket<'a> {
        Bucket(limit, limit.0.key(of))
    }

    fn limit(keys: usize, burst: u32) -> (Table, Quota) {
        (Table::new(keys), Quota::new(1, Duration::from_secs(1), burst).unwrap())
    }

    #[test]
    fn a_request_passes_all_levels_or_pays_none() {
        let (all, each) = (limit(1, 5), limit(10, 2));
        let now = Tick::after(Duration::from_secs(9));
        let take = |who: &str| {
            let levels = [level(&all, b""), level(&each, who.as_bytes())];
            let mut taken = ArrayVec::<_, 2>::new();
            let said = take_all(levels.into_iter(), now, &mut taken);
            let left = || taken.iter().map(|(_, pass)| pass.left).collect::<Vec<_>>();
            said.map(|()| left()).map_err(|(at, ..)| at)
        };
        assert_eq!([take("a"), take("a")], [Ok(vec![4, 1]), Ok(vec![3, 0])]);
        assert_eq!([take("a"), take("a")], [Err(1), Err(1)]);
        assert_eq!([take("b"), take("b")], [Ok(vec![2, 1]), Ok(vec![1, 0])]);
        assert_eq!([take("c"), take("c")], [Ok(vec![0, 1]), Err(0)]);
        assert_eq!(each.0.len(now), 3);
    }

    #[test]
    fn threads_never_pay_for_what_they_are_refused() {
        let (all, each) = (limit(1, 500), limit(10, 200));
        let now = Tick::after(Duration::from_secs(9));
        let passed = |who: u8| {
            let take = || {
                let levels = [level(&each, &[who]), level(&all, b"")];
                take_all(levels.into_iter(), now, &mut ArrayVec::<_, 2>::new()).is_ok()
            };
            (0..1000).filter(|_| take()).count()
        };
        let passed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|who| scope.spawn(move || passed(who))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(passed, 500);
        let left = |who: u8| {
            let one = level(&each, &[who]);
            let said = each.0.take(one.1, now, one.cost(0));
            said.map_or(0, |pass| pass.left)
        };
        assert_eq!((0..4).map(left).sum::<u32>(), 4 * 200 - 500);
    }
}
