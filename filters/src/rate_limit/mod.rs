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

    /// What [`take`](Self::take) would say now.
    ///
    /// # Errors
    /// As there.
    pub fn look(self, key: Key, now: Tick, what: Take<'_>) -> Result<Pass, Refused> {
        match self {
            Self::Own(table) => table.look(key, now, what),
            Self::Shared { own, leases, terms } => leases.look(own, key, now, what, terms),
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

/// One limit that counts a request.
#[derive(Clone, Copy)]
pub struct Level<'a> {
    /// The limit's buckets.
    pub buckets: Buckets<'a>,
    /// Whose bucket.
    pub key: Key,
    /// What the request takes out of it.
    pub take: Take<'a>,
}

/// Takes what a request costs out of every level, or out of none. What each says goes to `passed`,
/// in their order; what is to be told of shared buckets goes to `tell`, with the place of the level.
///
/// # Errors
/// The place of the first level that refuses it, and what it says.
pub fn take_all<'a>(
    levels: impl ExactSizeIterator<Item = Level<'a>> + Clone,
    now: Tick,
    mut passed: impl FnMut(Pass),
    mut tell: impl FnMut(usize, Ask),
) -> Result<(), (usize, Refused)> {
    // Alone, nobody has to be paid back.
    if levels.len() > 1 {
        for (at, level) in levels.clone().enumerate() {
            level.buckets.look(level.key, now, level.take).map_err(|refused| (at, refused))?;
        }
    }
    for (at, level) in levels.clone().enumerate() {
        match level.buckets.take(level.key, now, level.take, |ask| tell(at, ask)) {
            Ok(pass) => passed(pass),
            // Somebody else came between.
            Err(refused) => {
                for paid in levels.take(at) {
                    paid.buckets.give_back(paid.key, now, paid.take);
                }
                return Err((at, refused));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn level<'a>(limit: &'a (Table, Quota), of: &[u8]) -> Level<'a> {
        let take = Take { quota: &limit.1, cost: 1, patience: Duration::ZERO };
        Level { buckets: Buckets::Own(&limit.0), key: limit.0.key(of), take }
    }

    fn limit(keys: usize, burst: u32) -> (Table, Quota) {
        (Table::new(keys), Quota::new(1, Duration::from_secs(1), burst).unwrap())
    }

    #[test]
    fn a_request_passes_all_levels_or_pays_none() {
        let (all, each) = (limit(1, 5), limit(10, 2));
        let now = Tick::after(Duration::from_secs(9));
        let take = |who: &str| {
            let (levels, mut left) = ([level(&all, b""), level(&each, who.as_bytes())], Vec::new());
            let said = take_all(levels.into_iter(), now, |pass| left.push(pass.left), |_, _| ());
            said.map(|()| left).map_err(|(at, _)| at)
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
            let levels = || [level(&each, &[who]), level(&all, b"")].into_iter();
            (0..1000).filter(|_| take_all(levels(), now, |_| (), |_, _| ()).is_ok()).count()
        };
        let passed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|who| scope.spawn(move || passed(who))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(passed, 500);
        let left = |who: u8| {
            let one = level(&each, &[who]);
            let said = one.buckets.look(one.key, now, Take { cost: 0, ..one.take });
            said.map_or(0, |pass| pass.left)
        };
        assert_eq!((0..4).map(left).sum::<u32>(), 4 * 200 - 500);
    }
}
