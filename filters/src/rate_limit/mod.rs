//! Rate limits: how much of what may come in how much time.
//!
//! A limit is a rate and a burst for every key: an address, a user, a route, or everything.
//! The arithmetic of one bucket is `gcra`, the buckets of all keys are `table`. A request that
//! several limits count passes all of them or pays none.

mod gcra;
mod table;

pub use gcra::{FILL_MAX, Pass, Quota, Refused, Tick};
pub use table::{Key, Table, Take};

use std::time::Duration;

/// One limit that counts a request.
pub struct Level<'a> {
    /// The limit's buckets.
    pub table: &'a Table,
    /// Whose bucket.
    pub key: Key,
    /// What the request takes out of it.
    pub take: Take<'a>,
}

/// What several limits say to a request that they let pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// The place of the tightest level: the one that it waits for longest, or else the one
    /// with the least left.
    pub at: usize,
    /// What is left there.
    pub left: u32,
    /// How long the request has to wait; zero: not at all.
    pub wait: Duration,
}

/// Takes what a request costs out of every level, or out of none.
///
/// # Errors
/// The place of the first level that refuses it, and what it says.
pub fn take_all(levels: &[Level<'_>], now: Tick) -> Result<Passed, (usize, Refused)> {
    // Alone, nobody has to be paid back.
    if levels.len() > 1 {
        for (at, level) in levels.iter().enumerate() {
            level.table.look(level.key, now, level.take).map_err(|refused| (at, refused))?;
        }
    }
    let mut passed = Passed { at: 0, left: u32::MAX, wait: Duration::ZERO };
    for (at, level) in levels.iter().enumerate() {
        match level.table.take(level.key, now, level.take) {
            Ok(Pass { left, wait, .. }) => {
                if wait > passed.wait || (wait == passed.wait && left < passed.left) {
                    passed = Passed { at, left, wait };
                }
            }
            // Somebody else came between.
            Err(refused) => {
                for paid in levels.iter().take(at) {
                    paid.table.give_back(paid.key, paid.take.quota, now, paid.take.cost);
                }
                return Err((at, refused));
            }
        }
    }
    Ok(passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level<'a>(limit: &'a (Table, Quota), of: &[u8]) -> Level<'a> {
        let take = Take { quota: &limit.1, cost: 1, patience: Duration::ZERO };
        Level { table: &limit.0, key: limit.0.key(of), take }
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
            take_all(&levels, now).map(|pass| (pass.at, pass.left)).map_err(|(at, _)| at)
        };
        assert_eq!([take("a"), take("a")], [Ok((1, 1)), Ok((1, 0))]);
        assert_eq!([take("a"), take("a")], [Err(1), Err(1)]);
        assert_eq!([take("b"), take("b")], [Ok((1, 1)), Ok((1, 0))]);
        assert_eq!([take("c"), take("c")], [Ok((0, 0)), Err(0)]);
        assert_eq!(each.0.len(now), 3);
    }

    #[test]
    fn threads_never_pay_for_what_they_are_refused() {
        let (all, each) = (limit(1, 500), limit(10, 200));
        let now = Tick::after(Duration::from_secs(9));
        let passed = |who: u8| {
            let levels = || [level(&each, &[who]), level(&all, b"")];
            (0..1000).filter(|_| take_all(&levels(), now).is_ok()).count()
        };
        let passed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|who| scope.spawn(move || passed(who))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(passed, 500);
        let left = |who: u8| {
            let one = level(&each, &[who]);
            let said = one.table.look(one.key, now, Take { cost: 0, ..one.take });
            said.map_or(0, |pass| pass.left)
        };
        assert_eq!((0..4).map(left).sum::<u32>(), 4 * 200 - 500);
    }
}
