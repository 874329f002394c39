//! Leases: what one of several replicas may take of buckets that all of them share.
//!
//! A shared bucket is kept elsewhere. A replica decides at once all the same: from tokens that it
//! has leased (paid for there), or else from a bucket of its own with its share of the limit; what
//! it takes from that one it owes, and tells soon. Once it hears that the shared bucket is empty,
//! it refuses until there is something again. While the store is away it goes by its share alone.
//!
//! So over any time *t* all *n* replicas together pass at most `burst` + `rate` × *t*, and on top
//! of that once what each took before it heard of the others (*n* shares: ⌈`burst` ÷ *n*⌉ each)
//! and what each had leased ([`lease`]).
//!
//! Pure: what is to be told is returned as an [`Ask`], and what is heard given to
//! [`Leases::hear`]. Bounded: keys of the last second or two, and no more than it is made for.

use super::gcra::{Pass, Quota, Refused, Tick};
use super::table::{Key, Table, Take};
use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Duration;

/// Parts that are locked apart.
const SHARDS: usize = 64;
/// How long tokens are kept that nobody asks for.
const IDLE: Duration = Duration::from_secs(1);
/// An answer that has not come by then does not come.
const LOST: Duration = Duration::from_secs(10);

/// How many tokens a replica leases at once, at most: a quarter of its share of the burst.
#[must_use]
pub fn lease(quota: &Quota, replicas: u32, cost: u32) -> u32 {
    quota.burst().div_ceil(replicas.max(1).saturating_mul(4)).max(cost)
}

/// How things are with those who share.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How many share, this one included.
    pub replicas: u32,
    /// Whether the shared buckets can be reached.
    pub is_up: bool,
}

/// What is to be told and asked about a shared bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Whose bucket.
    pub key: Key,
    /// Taken from it already.
    pub owed: u32,
    /// Leased and not used: it may have them back.
    pub back: u32,
    /// How many tokens to lease; zero: none, only what is left is of interest.
    pub want: u32,
    /// The least that helps.
    pub least: u32,
}

/// What was heard of a shared bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Tokens leased.
    pub granted: u32,
    /// In what time there is as much as the least; zero: there is.
    pub empty_for: Duration,
}

/// What a replica knows of one shared bucket.
#[derive(Clone, Copy, Debug, Default)]
struct Lease {
    /// Until then there is nothing in it.
    empty_until: Tick,
    /// When it was asked about; `None`: no answer is awaited.
    asked: Option<Tick>,
    /// When somebody wanted something last.
    used: Tick,
    /// Tokens at hand.
    credit: u32,
    /// Taken and not told yet.
    owed: u32,
    /// Taken since it was asked about last.
    taken: u32,
}

/// Keys are hashes already.
#[derive(Clone, Copy, Debug, Default)]
struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |sum, byte| (sum << 8) | u64::from(*byte));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

type Known = HashMap<u64, Lease, BuildHasherDefault<Same>>;

/// What is locked together.
struct Shard {
    known: Known,
    /// At which rate it was last asked for.
    quota: Quota,
}

/// What a replica knows of the buckets of one shared limit.
pub struct Leases {
    shards: Box<[Mutex<Shard>]>,
    /// Keys of a shard, at most.
    keys_max: usize,
}

impl Leases {
    /// Room for so many keys. Others go by their share alone.
    /// Cost: up to 64 bytes a key that was used in the last second.
    #[must_use]
    pub fn new(keys_max: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, keys_max: keys_max.div_ceil(SHARDS).max(4) }
    }

    /// Takes out of the shared bucket of `key`, as far as this replica may; `own` are buckets of
    /// its own. What is to be told of it comes with the verdict.
    /// Cost: a lock that few share; no allocation once the map has grown.
    ///
    /// # Errors
    /// When there is not enough: nothing is taken.
    pub fn take(
        &self,
        own: &Table,
        key: Key,
        now: Tick,
        what: Take<'_>,
        terms: Terms,
    ) -> (Result<Pass, Refused>, Option<Ask>) {
        let share = what.quota.share(terms.replicas, what.cost);
        let from_own = || own.take(key, now, Take { quota: &share, ..what });
        if !terms.is_up {
            return (from_own(), None);
        }
        let mut shard = self.shard_at(key, what.quota, now);
        let Some(lease) = entry(&mut shard, key, self.keys_max) else {
            return (from_own(), None);
        };
        lease.used = now;
        match lease.verdict(now, what) {
            Some(Ok(pass)) => {
                lease.credit = pass.left;
                lease.taken = lease.taken.saturating_add(what.cost);
                let is_low = pass.left < self::lease(what.quota, terms.replicas, what.cost) / 2;
                let ask = is_low.then(|| lease.ask(key, now, what, terms)).flatten();
                return (Ok(pass), ask);
            }
            Some(Err(refused)) => return (Err(refused), None),
            None => {}
        }
        let said = from_own();
        if said.is_ok() {
            lease.owed = lease.owed.saturating_add(what.cost);
            lease.taken = lease.taken.saturating_add(what.cost);
        }
        (said, lease.ask(key, now, what, terms))
    }

    /// Puts `what` back that was taken.
    pub fn give_back(&self, own: &Table, key: Key, now: Tick, what: Take<'_>, terms: Terms) {
        let mut shard = self.shard(key);
        match entry(&mut shard, key, self.keys_max).filter(|_| terms.is_up) {
            Some(lease) => {
                lease.used = now;
                lease.credit = lease.credit.saturating_add(what.cost);
            }
            None => {
                let share = what.quota.share(terms.replicas, what.cost);
                own.give_back(key, &share, now, what.cost);
            }
        }
    }

    /// Takes `what`, whatever the bucket holds. What is to be told of it.
    pub fn charge(
        &self,
        own: &Table,
        key: Key,
        now: Tick,
        what: Take<'_>,
        terms: Terms,
    ) -> Option<Ask> {
        let mut shard = self.shard(key);
        match entry(&mut shard, key, self.keys_max).filter(|_| terms.is_up) {
            Some(lease) => {
                lease.used = now;
                let from_credit = lease.credit.min(what.cost);
                lease.credit -= from_credit;
                lease.owed = lease.owed.saturating_add(what.cost - from_credit);
                lease.ask(key, now, Take { cost: 1, ..what }, terms)
            }
            None => {
                let share = what.quota.share(terms.replicas, 1);
                own.charge(key, &share, now, what.cost);
                None
            }
        }
    }

    /// What was heard of the bucket of `key`; `None`: no answer came, and whether it was told what
    /// is owed nobody knows. What is to be told next, if something was taken meanwhile.
    pub fn hear(&self, key: Key, now: Tick, heard: Option<Heard>) -> Option<Ask> {
        let mut shard = self.shard(key);
        let lease = shard.known.get_mut(&key.0)?;
        lease.asked = None;
        let heard = heard?;
        lease.credit = lease.credit.saturating_add(heard.granted);
        // Who has read the clock before this is not to find it empty for that long.
        let is_empty = !heard.empty_for.is_zero();
        lease.empty_until = if is_empty { now.later(heard.empty_for) } else { Tick::default() };
        if lease.owed == 0 {
            return None;
        }
        lease.asked = Some(now);
        let owed = std::mem::take(&mut lease.owed);
        Some(Ask { key, owed, back: 0, want: 0, least: 1 })
    }

    /// `ask` did not get away: it is for another time.
    pub fn untold(&self, ask: Ask) {
        let mut shard = self.shard(ask.key);
        let Some(lease) = shard.known.get_mut(&ask.key.0) else { return };
        lease.asked = None;
        lease.owed = lease.owed.saturating_add(ask.owed);
        lease.credit = lease.credit.saturating_add(ask.back);
    }

    /// Forgets what nobody has used for a second, a part of the whole at a time (`round`: any
    /// number that goes up). `tell` gets what is to be told: tokens that are not needed.
    /// Cost: looks at a 64th of all keys.
    pub fn sweep(&self, round: usize, now: Tick, mut tell: impl FnMut(Ask)) {
        let Some(shard) = self.shards.get(round % SHARDS) else { return };
        shard.lock().known.retain(|key, lease| {
            if lease.asked.is_some_and(|asked| asked.later(LOST) < now) {
                lease.asked = None;
            }
            if lease.used.later(IDLE) > now || lease.asked.is_some() {
                return true;
            }
            lease.settle(*key).into_iter().for_each(&mut tell);
            // What is known to be empty stays so.
            lease.empty_until > now
        });
    }

    /// Forgets everything: the replica ends. `tell` gets what is to be told.
    pub fn end(&self, mut tell: impl FnMut(Ask)) {
        for shard in &self.shards {
            let all = std::mem::take(&mut shard.lock().known);
            all.into_iter().filter_map(|(key, mut lease)| lease.settle(key)).for_each(&mut tell);
        }
    }

    /// Counts what was heard at the rate of `quota` from now on, as whoever takes something does.
    pub fn turn(&self, quota: &Quota, now: Tick) {
        self.shards.iter().for_each(|shard| shard.lock().turn(quota, now));
    }

    /// Keys that something is known of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().known.len()).sum()
    }

    /// Whether nothing is known of any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where `key` is, with what was heard counted at the rate of `quota`.
    fn shard_at(&self, key: Key, quota: &Quota, now: Tick) -> MutexGuard<'_, Shard> {
        let mut shard = self.shard(key);
        if !quota.has_rate_of(&shard.quota) {
            shard.turn(quota, now);
        }
        shard
    }

    fn shard(&self, key: Key) -> MutexGuard<'_, Shard> {
        // Always there: the remainder is smaller than the length.
        #[expect(clippy::indexing_slicing, reason = "a remainder is smaller than its divisor")]
        self.shards[(key.0 >> 8) as usize % SHARDS].lock()
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self { known: Known::default(), quota: Quota::NONE }
    }
}

impl Shard {
    /// What was heard to be empty is so for as much as was missing, which comes at another rate now.
    #[cold]
    fn turn(&mut self, quota: &Quota, now: Tick) {
        let before = std::mem::replace(&mut self.quota, *quota);
        for lease in self.known.values_mut() {
            if let Some(change) = quota.change_from(&before, lease.used, now) {
                lease.empty_until = change.of(lease.empty_until);
            }
        }
    }
}

impl Lease {
    /// Lets go of all that it has: what is to be told of it, if anything.
    fn settle(&mut self, key: u64) -> Option<Ask> {
        let (owed, back) = (std::mem::take(&mut self.owed), std::mem::take(&mut self.credit));
        let is_any = owed > 0 || back > 0;
        is_any.then_some(Ask { key: Key(key), owed, back, want: 0, least: 1 })
    }

    /// What is known of `what` without the replica's own bucket: there is enough at hand, or the
    /// shared bucket is empty. `None`: neither.
    fn verdict(&self, now: Tick, what: Take<'_>) -> Option<Result<Pass, Refused>> {
        if let Some(left) = self.credit.checked_sub(what.cost) {
            return Some(Ok(Pass { left, wait: Duration::ZERO }));
        }
        let retry_after = self.empty_until.since(now).filter(|_| what.patience.is_zero())?;
        Some(Err(Refused { retry_after, left: self.credit }))
    }

    /// What to tell and to ask, unless an answer is awaited. Who came once leases nothing.
    fn ask(&mut self, key: Key, now: Tick, what: Take<'_>, terms: Terms) -> Option<Ask> {
        if self.asked.is_some() {
            return None;
        }
        self.asked = Some(now);
        let is_warm = self.taken > what.cost || self.credit > 0 || self.owed == 0;
        let want = if is_warm { lease(what.quota, terms.replicas, what.cost) } else { 0 };
        // The next request within a second is one of several.
        self.taken = what.cost;
        let owed = std::mem::take(&mut self.owed);
        Some(Ask { key, owed, back: 0, want, least: what.cost })
    }
}

/// What is known of `key`, if there is room.
fn entry(shard: &mut Shard, key: Key, keys_max: usize) -> Option<&mut Lease> {
    let known = &mut shard.known;
    if known.len() >= keys_max && !known.contains_key(&key.0) {
        return None;
    }
    Some(known.entry(key.0).or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Duration = Duration::ZERO;
    const UP: Terms = Terms { replicas: 3, is_up: true };

    /// A shared bucket, and replicas that hear of it some steps later.
    struct Lab {
        quota: Quota,
        bucket: Tick,
        replicas: Vec<(Table, Leases)>,
        /// What is on its way to it, and when it arrives.
        asks: Vec<(u64, usize, Ask)>,
        delay: u64,
    }

    fn at(millis: u64) -> Tick {
        Tick::after(Duration::from_millis(millis))
    }

    impl Lab {
        fn new(rate: u32, burst: u32, delay: u64) -> Self {
            let quota = Quota::new(rate, Duration::from_secs(1), burst).unwrap();
            let replica = || (Table::with_secret(100, [1, 2]), Leases::new(100));
            let replicas = (0..3).map(|_| replica()).collect();
            Self { quota, bucket: quota.full(at(0)), replicas, asks: Vec::new(), delay }
        }

        /// Whether a request of `who` passes at this replica; answers that are due come first.
        fn ask(&mut self, replica: usize, who: &[u8], millis: u64, terms: Terms) -> bool {
            self.answer(millis);
            let (own, leases) = &self.replicas[replica];
            let take = Take { quota: &self.quota, cost: 1, patience: Duration::ZERO };
            let key = own.key(who);
            let (said, ask) = leases.take(own, key, at(millis), take, terms);
            self.asks.extend(ask.map(|ask| (millis + self.delay, replica, ask)));
            said.is_ok()
        }

        fn answer(&mut self, millis: u64) {
            while let Some(index) = self.asks.iter().position(|(due, ..)| *due <= millis) {
                let (due, replica, ask) = self.asks.remove(index);
                let now = at(due);
                self.quota.give_back(&mut self.bucket, ask.back);
                self.quota.charge(&mut self.bucket, now, ask.owed);
                let heard = self.lease(ask, now);
                let more = self.replicas[replica].1.hear(ask.key, now, Some(heard));
                self.asks.extend(more.map(|ask| (due + self.delay, replica, ask)));
            }
        }
    }

    impl Lab {
        /// Leases the first amount that the shared bucket holds.
        fn lease(&mut self, ask: Ask, now: Tick) -> Heard {
            let quota = self.quota;
            let mut take = |amount| quota.take(&mut self.bucket, now, amount, NONE);
            let amounts = [ask.want, ask.want / 4, ask.least].into_iter();
            let mut asked = amounts.filter(|amount| *amount > 0 && ask.want > 0);
            if let Some(granted) = asked.find(|amount| take(*amount).is_ok()) {
                return Heard { granted, empty_for: NONE };
            }
            let mut bucket = self.bucket;
            let empty_for = quota.take(&mut bucket, now, ask.least, NONE).err();
            let empty_for = empty_for.map(|no| no.retry_after).unwrap_or_default();
            Heard { granted: 0, empty_for }
        }
    }

    #[test]
    fn replicas_together_pass_what_the_limit_says_and_a_bounded_part_more() {
        for (rate, burst, delay) in [(100, 200, 1), (100, 200, 20), (1000, 50, 5), (1, 30, 3)] {
            let mut lab = Lab::new(rate, burst, delay);
            let (mut passed, mut seed) = (0_u64, 7_u64);
            let mut by_time = Vec::new();
            for step in 0..40_000_u64 {
                let millis = step / 4;
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                passed += u64::from(lab.ask((seed >> 60) as usize % 3, b"a", millis, UP));
                by_time.push((millis, passed));
            }
            let more = 3 * (burst.div_ceil(3) + lease(&lab.quota, 3, 1));
            for (millis, passed) in &by_time {
                let most = u64::from(burst + more) + u64::from(rate) * (millis + 2 * delay) / 1000;
                assert!(*passed <= most, "{rate} {burst} {delay}: {passed} > {most} at {millis}");
            }
            let least = u64::from(rate) * 10;
            assert!(passed >= least, "{rate} {burst} {delay}: {passed} < {least}");
        }
    }

    #[test]
    fn who_stays_below_the_rate_is_not_refused_at_whichever_replica() {
        let mut lab = Lab::new(100, 20, 2);
        for step in 0..2000_u64 {
            assert!(lab.ask(0, b"a", step * 11, UP), "{step}");
        }
        for step in 0..2000_u64 {
            assert!(lab.ask(step as usize % 3, b"a", 30_000 + step * 11, UP), "{step}");
        }
    }

    #[test]
    fn while_the_store_is_away_each_has_its_share() {
        let mut lab = Lab::new(30, 30, 1);
        let away = Terms { is_up: false, ..UP };
        let mut passed = [0; 3];
        for step in 0..30_000_u64 {
            for (replica, passed) in passed.iter_mut().enumerate() {
                *passed += u32::from(lab.ask(replica, b"a", step / 3, away));
            }
        }
        assert_eq!(passed, [passed[0]; 3]);
        assert!((100..=110).contains(&passed[0]), "{passed:?}");
        assert!(lab.asks.is_empty() && lab.replicas[0].1.is_empty());
    }

    #[test]
    fn tokens_that_nobody_uses_go_back_and_keys_are_forgotten() {
        let mut lab = Lab::new(1, 60, 1);
        for step in 0..5_u64 {
            assert!(lab.ask(0, b"a", step * 5, UP));
        }
        lab.answer(100);
        let (own, leases) = &lab.replicas[0];
        let (mut told, key) = (Vec::new(), own.key(b"a"));
        (0..SHARDS).for_each(|round| leases.sweep(round, at(900), |ask| told.push(ask)));
        assert_eq!((told.len(), leases.len()), (0, 1));
        (0..SHARDS).for_each(|round| leases.sweep(round, at(1100), |ask| told.push(ask)));
        assert_eq!((told.len(), leases.len()), (1, 0));
        assert!(told[0].key == key && told[0].back > 0, "{told:?}");
    }

    #[test]
    fn keys_without_room_go_by_their_share() {
        let (own, leases) = (Table::new(1000), Leases::new(1));
        let quota = Quota::new(1, Duration::from_secs(1), 3).unwrap();
        let take = Take { quota: &quota, cost: 1, patience: Duration::ZERO };
        for number in 0..1000_u64 {
            let key = own.key(&number.to_le_bytes());
            let (said, _) = leases.take(&own, key, at(1), take, UP);
            assert!(said.is_ok());
        }
        assert!(leases.len() <= 4 * SHARDS);
    }

    #[test]
    fn an_empty_bucket_is_not_empty_for_longer_at_a_faster_rate() {
        let mut lab = Lab::new(1, 3000, 1);
        lab.quota = Quota::new(1, Duration::from_secs(3600), 3).unwrap();
        lab.bucket = lab.quota.full(at(0));
        for step in 0..20 {
            lab.ask(0, b"a", step * 5, UP);
        }
        assert!(!lab.ask(0, b"a", 500, UP));
        let fast = Quota::new(1000, Duration::from_secs(1), 3).unwrap();
        lab.bucket = fast.change_from(&lab.quota, at(500), at(500)).unwrap().of(lab.bucket);
        lab.quota = fast;
        let passed = (0..20).filter(|step| lab.ask(0, b"a", 510 + step * 5, UP)).count();
        assert!(passed > 15, "{passed}");
    }

    #[test]
    fn what_is_charged_or_given_back_is_told() {
        let mut lab = Lab::new(1, 10, 1);
        assert!(lab.ask(0, b"a", 1, UP));
        lab.answer(5);
        let (own, leases) = &lab.replicas[0];
        let quota = lab.quota;
        let (key, take) = (own.key(b"a"), Take { quota: &quota, cost: 9, patience: NONE });
        let ask = leases.charge(own, key, at(6), take, UP).unwrap();
        assert_eq!((ask.owed, ask.back), (9, 0));
        lab.asks.push((7, 0, ask));
        lab.answer(8);
        assert!(!lab.ask(0, b"a", 9, UP));
        let (own, leases) = &lab.replicas[0];
        leases.give_back(own, key, at(10), Take { cost: 2, ..take }, UP);
        assert!(lab.ask(0, b"a", 11, UP) && lab.ask(0, b"a", 11, UP));
        assert!(!lab.ask(0, b"a", 12, UP));
    }
}
