//! Rate limits: how much of what may come in how much time.
//!
//! A limit is a rate and a burst for every key: an address, a user, a route, or everything.
//! The arithmetic of one bucket is `gcra`, the buckets of all keys are `table`. A request that
//! several limits count passes all of them or pays none.

mod gcra;
mod table;

pub use gcra::{FILL_MAX, Pass, Quota, Refused, Tick};
pub use table::{Key, Table};

/// One limit that counts a request.
pub struct Level<'a> {
    /// The limit's buckets.
    pub table: &'a Table,
    /// How much it allows.
    pub quota: &'a Quota,
    /// Whose bucket.
    pub key: Key,
    /// What the request costs there.
    pub cost: u32,
}

impl Level<'_> {
    fn look(&self, now: Tick) -> Result<Pass, Refused> {
        self.table.look(self.key, self.quota, now, self.cost)
    }

    fn take(&self, now: Tick) -> Result<Pass, Refused> {
        self.table.take(self.key, self.quota, now, self.cost)
    }
}

/// Takes what a request costs out of every level, or out of none. Gives what is left in the
/// level that has the least left.
///
/// # Errors
/// The place of the first level that refuses it, and what it says.
pub fn take_all(levels: &[Level<'_>], now: Tick) -> Result<Option<Pass>, (usize, Refused)> {
    // Alone, what is looked at cannot change until it is taken.
    if levels.len() > 1 {
        for (at, level) in levels.iter().enumerate() {
            level.look(now).map_err(|refused| (at, refused))?;
        }
    }
    let mut least: Option<Pass> = None;
    for (at, level) in levels.iter().enumerate() {
        match level.take(now) {
            Ok(pass) if least.is_none_or(|least| pass.left < least.left) => least = Some(pass),
            Ok(_) => {}
            // Somebody else came between.
            Err(refused) => {
                for paid in levels.iter().take(at) {
                    paid.table.give_back(paid.key, paid.quota, now, paid.cost);
                }
                return Err((at, refused));
            }
        }
    }
    Ok(least)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_request_passes_all_levels_or_pays_none() {
        let all = (Table::new(1), Quota::new(1, Duration::from_secs(1), 5).unwrap());
        let each = (Table::new(10), Quota::new(1, Duration::from_secs(1), 2).unwrap());
        let now = Tick::after(Duration::from_secs(9));
        let take = |who: &str| {
            let levels = [
                Level { table: &all.0, quota: &all.1, key: all.0.key(b""), cost: 1 },
                Level { table: &each.0, quota: &each.1, key: each.0.key(who.as_bytes()), cost: 1 },
            ];
            take_all(&levels, now).map(|pass| pass.map(|pass| pass.left)).map_err(|(at, _)| at)
        };
        assert_eq!([take("a"), take("a")], [Ok(Some(1)), Ok(Some(0))]);
        assert_eq!([take("a"), take("a")], [Err(1), Err(1)]);
        assert_eq!(
            [take("b"), take("b"), take("c"), take("c")],
            [Ok(Some(1)), Ok(Some(0)), Ok(Some(0)), Err(0)]
        );
        assert_eq!(each.0.len(now), 3);
    }

    #[test]
    fn threads_never_pay_for_what_they_are_refused() {
        let all = (Table::new(1), Quota::new(1, Duration::from_secs(1), 500).unwrap());
        let each = (Table::new(10), Quota::new(1, Duration::from_secs(1), 200).unwrap());
        let now = Tick::after(Duration::from_secs(9));
        let passed = |who: u8| {
            let levels = || {
                [
                    Level { table: &each.0, quota: &each.1, key: each.0.key(&[who]), cost: 1 },
                    Level { table: &all.0, quota: &all.1, key: all.0.key(b""), cost: 1 },
                ]
            };
            (0..1000).filter(|_| take_all(&levels(), now).is_ok()).count()
        };
        let passed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|who| scope.spawn(move || passed(who))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(passed, 500);
        let left: u32 = (0..4_u8)
            .map(|who| {
                let said = each.0.look(each.0.key(&[who]), &each.1, now, 0);
                said.map_or(0, |pass| pass.left)
            })
            .sum();
        assert_eq!(left, 4 * 200 - 500);
    }
}
