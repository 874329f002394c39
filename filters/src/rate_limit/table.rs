//! Table: the buckets of one limit, by key, in bounded memory.
//!
//! Sixteen bytes a bucket: the hash of its key, and what `gcra` keeps of it. One that is full
//! again says nothing and makes room for the next; so one-off keys, however many, take no
//! more room than those of them whose buckets are not full yet. Where there is no room, the
//! one that is full soonest goes: never the busiest. The table begins small and doubles, a
//! shard at a time. A shard knows at which rate its buckets are counted: who brings another, finds
//! them counted anew.
//!
//! Keys are known by 64 bits of a hash with a secret: two of a million share a bucket once in
//! thirty million tables. Replicas that share a limit have the secret in common; where a key lies
//! depends on one of the table's own, so that nobody can choose keys that fall together.

use super::gcra::{Pass, Quota, Refused, Tick};
use parking_lot::{Mutex, MutexGuard};
use siphasher::sip::SipHasher13;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// Parts that are locked apart.
const SHARDS: usize = 64;
/// Places where a key may be: two cache lines.
const WAYS: usize = 8;
/// Places for each key that there is room for: less would fill some ways by chance.
const SLACK: usize = 2;

/// The key of a bucket: a hash of what the limit counts by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(pub(super) u64);

impl Key {
    /// The one of a limit that counts all by the same.
    pub const ALL: Self = Self(1);

    /// The same in all tables with the same secret.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// What hashes of keys begin with.
pub type Secret = [u64; 2];

/// What is taken out of a bucket.
#[derive(Clone, Copy, Debug)]
pub struct Take<'a> {
    /// What the bucket is like.
    pub quota: &'a Quota,
    /// How much.
    pub cost: u32,
    /// How long who takes it waits for it.
    pub patience: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    key: u64,
    bucket: Tick,
}

/// Where a key may be.
type Row = [Slot; WAYS];

/// What is locked together.
struct Shard {
    /// A power of two.
    rows: Vec<Row>,
    /// At which rate its buckets are counted.
    quota: Quota,
    /// When something was last wanted of it.
    touched: Tick,
}

/// The buckets of one limit.
pub struct Table {
    secret: Secret,
    /// What says where a key lies.
    salt: u64,
    shards: Box<[Mutex<Shard>]>,
    keys_max: usize,
    /// Rows of a shard, at most.
    rows_max: usize,
}

impl Table {
    /// Room for so many keys at least whose buckets are not full.
    /// Cost: 16 KiB, and up to 32 bytes a key as they come.
    #[must_use]
    pub fn new(keys_max: usize) -> Self {
        let random = RandomState::new();
        Self::with_secret(keys_max, [random.hash_one(0), random.hash_one(1)])
    }

    /// The same, with keys that are those of other tables with this secret.
    #[must_use]
    pub fn with_secret(keys_max: usize, secret: Secret) -> Self {
        let salt = RandomState::new().hash_one(2);
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        let rows_max = (keys_max * SLACK).div_ceil(SHARDS * WAYS).next_power_of_two();
        Self { secret, salt, shards, keys_max, rows_max }
    }

    /// Room for how many keys there is at least.
    #[must_use]
    pub fn keys_max(&self) -> usize {
        self.keys_max
    }

    /// The key of what a limit counts by, which `write` puts into the hash.
    /// Cost: no allocation.
    pub fn key_of(&self, write: impl FnOnce(&mut SipHasher13)) -> Key {
        let mut hasher = SipHasher13::new_with_keys(self.secret[0], self.secret[1]);
        write(&mut hasher);
        // Zero is no key.
        Key(hasher.finish() | 1)
    }

    /// The same of one piece.
    #[must_use]
    pub fn key(&self, of: &[u8]) -> Key {
        self.key_of(|hasher| hasher.write(of))
    }

    /// Takes out of the bucket of `key`, if it holds so much.
    /// Cost: a lock that few share, held for a look at two cache lines; where the rate is another
    /// than before, once for a look at all of them.
    ///
    /// # Errors
    /// When it holds less: nothing is taken.
    pub fn take(&self, key: Key, now: Tick, what: Take<'_>) -> Result<Pass, Refused> {
        let take = |bucket: &mut Tick| what.quota.take(bucket, now, what.cost, what.patience);
        self.with(key, what.quota, now, take)
    }

    /// Puts `cost` back that was taken.
    pub fn give_back(&self, key: Key, quota: &Quota, now: Tick, cost: u32) {
        self.with(key, quota, now, |bucket| quota.give_back(bucket, cost));
    }

    /// Takes `cost`, whatever the bucket holds.
    pub fn charge(&self, key: Key, quota: &Quota, now: Tick, cost: u32) {
        self.with(key, quota, now, |bucket| quota.charge(bucket, now, cost));
    }

    /// Counts all buckets at the rate of `quota` from now on, as whoever takes something does.
    /// Cost: where the rate is another, looks at the whole table, a shard at a time.
    pub fn turn(&self, quota: &Quota, now: Tick) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.turn(quota, now);
            shard.touched = shard.touched.max(now);
        }
    }

    /// Keys whose buckets are not full.
    /// Cost: looks at the whole table.
    #[must_use]
    pub fn len(&self, now: Tick) -> usize {
        let count = |shard: &Mutex<Shard>| {
            let shard = shard.lock();
            let full = shard.quota.full(now);
            shard.rows.iter().flatten().filter(|slot| slot.bucket > full).count()
        };
        self.shards.iter().map(count).sum()
    }

    /// What it occupies, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let rows = self.shards.iter().map(|shard| shard.lock().rows.capacity()).sum::<usize>();
        rows * size_of::<Row>()
    }

    /// Changes the bucket of `key`.
    fn with<T>(
        &self,
        key: Key,
        quota: &Quota,
        now: Tick,
        change: impl FnOnce(&mut Tick) -> T,
    ) -> T {
        let (key, full) = (self.placed(key), quota.full(now));
        let mut shard = self.shard(key, quota, now);
        if let Some(slot) = place(&mut shard.rows, key, full).filter(|slot| slot.key == key.0) {
            return change(&mut slot.bucket);
        }
        let mut bucket = full;
        let said = change(&mut bucket);
        if bucket > full {
            self.put(&mut shard.rows, Slot { key: key.0, bucket }, full);
        }
        said
    }

    /// Puts a bucket in that is not there. Those at `full` and before are full.
    fn put(&self, rows: &mut Vec<Row>, new: Slot, full: Tick) {
        while rows.len() < self.rows_max && place(rows, Key(new.key), full).is_none() {
            grow(rows, full);
        }
        let at = row_index(rows.len(), new.key);
        let row = rows.get_mut(at).into_iter().flatten();
        if let Some(soonest) = row.min_by_key(|slot| slot.bucket) {
            *soonest = new;
        }
    }

    /// The key as it stands here: another number, and as good.
    fn placed(&self, key: Key) -> Key {
        let number = (key.0 ^ self.salt).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let number = (number ^ (number >> 31)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Key((number ^ (number >> 29)) | 1)
    }

    /// Where the key is, counted at the rate of `quota`.
    fn shard(&self, key: Key, quota: &Quota, now: Tick) -> MutexGuard<'_, Shard> {
        // Always there: the remainder is smaller than the length.
        #[expect(clippy::indexing_slicing, reason = "a remainder is smaller than its divisor")]
        let mut shard = self.shards[(key.0 >> 58) as usize % SHARDS].lock();
        if !quota.has_rate_of(&shard.quota) {
            shard.turn(quota, now);
        }
        shard.touched = shard.touched.max(now);
        shard
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self { rows: vec![[Slot::default(); WAYS]], quota: Quota::NONE, touched: Tick::default() }
    }
}

impl Shard {
    /// Counts all buckets at the rate of `quota`.
    #[cold]
    fn turn(&mut self, quota: &Quota, now: Tick) {
        let before = std::mem::replace(&mut self.quota, *quota);
        let Some(change) = quota.change_from(&before, self.touched, now) else { return };
        let used = self.rows.iter_mut().flatten().filter(|slot| slot.key != 0);
        used.for_each(|slot| slot.bucket = change.of(slot.bucket));
    }
}

fn row_index(rows: usize, key: u64) -> usize {
    // `rows` is a power of two.
    (key >> 8) as usize & (rows - 1)
}

/// Where the key is, or where it may be put without harm.
fn place(rows: &mut [Row], key: Key, full: Tick) -> Option<&mut Slot> {
    let at = row_index(rows.len(), key.0);
    let row = rows.get_mut(at)?;
    let mut free = None;
    for (way, slot) in row.iter().enumerate() {
        if slot.key == key.0 {
            return row.get_mut(way);
        }
        if slot.bucket <= full {
            free = Some(way);
        }
    }
    row.get_mut(free?)
}

/// Twice the rows, without the buckets that are full.
fn grow(rows: &mut Vec<Row>, full: Tick) {
    let more = vec![[Slot::default(); WAYS]; rows.len() * 2];
    let old = std::mem::replace(rows, more);
    for slot in old.into_iter().flatten().filter(|slot| slot.bucket > full) {
        if let Some(free) = place(rows, Key(slot.key), full) {
            *free = slot;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn quota(count: u32, burst: u32) -> Quota {
        Quota::new(count, Duration::from_secs(1), burst).unwrap()
    }

    fn cost(quota: &Quota, cost: u32) -> Take<'_> {
        Take { quota, cost, patience: Duration::ZERO }
    }

    fn at(micros: u64) -> Tick {
        Tick::after(Duration::from_micros(micros))
    }

    fn mix(number: u64) -> u64 {
        let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    }

    #[test]
    fn each_key_has_a_bucket_of_its_own() {
        let (table, quota) = (Table::new(10_000), quota(10, 3));
        let mut model: HashMap<u64, Tick> = HashMap::new();
        for step in 0..200_000_u64 {
            let (name, now) = (mix(step) % 3000, at(step * 20));
            let key = table.key(&name.to_le_bytes());
            let bucket = model.entry(name).or_default();
            let want = quota.take(bucket, now, 1, Duration::ZERO);
            assert_eq!(table.take(key, now, cost(&quota, 1)), want, "{step}");
        }
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let (table, quota) = (Table::new(10), quota(1, 2));
        let key = table.key(b"a");
        assert!(table.take(key, at(1), cost(&quota, 2)).is_ok());
        assert!(table.take(key, at(1), cost(&quota, 1)).is_err());
        table.give_back(key, &quota, at(1), 1);
        assert!(table.take(key, at(1), cost(&quota, 1)).is_ok());
        table.charge(key, &quota, at(1), 1);
        assert!(table.take(key, at(1_000_001), cost(&quota, 1)).is_err());
        assert_eq!((table.len(at(1)), table.len(at(4_000_000))), (1, 0));
    }

    #[test]
    fn buckets_stay_when_the_rate_changes() {
        let hour = Duration::from_secs(3600);
        let (slow, fast) = (Quota::new(1, hour, 2).unwrap(), quota(1000, 2));
        let table = Table::new(100_000);
        let keys: Vec<Key> = (0..900_u64).map(|one| table.key(&one.to_le_bytes())).collect();
        for key in &keys {
            assert!(table.take(*key, at(0), cost(&slow, 2)).is_ok());
        }
        for key in &keys {
            let refused = table.take(*key, at(0), cost(&fast, 1)).unwrap_err();
            assert_eq!(refused.retry_after, Duration::from_millis(1));
            assert!(table.take(*key, at(1000), cost(&fast, 1)).is_ok());
            table.give_back(*key, &fast, at(1000), 1);
        }
        for key in &keys {
            assert!(table.take(*key, at(1000), cost(&slow, 1)).is_ok());
            let refused = table.take(*key, at(1000), cost(&slow, 1)).unwrap_err();
            assert_eq!(refused.retry_after.as_secs().div_ceil(60), 60);
        }
        assert_eq!(table.len(at(1000)), keys.len());
    }

    /// A million addresses in six seconds, each once, and one honest key beside them.
    #[test]
    fn one_off_keys_take_no_room_and_move_no_verdict() {
        const ONE_OFF: u64 = 1_000_000;
        let (table, alone, quota) = (Table::new(100_000), Table::new(10), quota(100, 200));
        let (honest, same) = (table.key(b"honest"), alone.key(b"honest"));
        for number in 0..ONE_OFF {
            let now = at(number * 6);
            let key = table.key(&number.to_le_bytes());
            assert!(table.take(key, now, cost(&quota, 1)).is_ok());
            // 120 a second, where 100 are allowed.
            if number.is_multiple_of(1389) {
                let want = alone.take(same, now, cost(&quota, 1));
                assert_eq!(table.take(honest, now, cost(&quota, 1)), want);
            }
        }
        assert!(table.bytes() < 1 << 20, "{}", table.bytes());
    }

    #[test]
    fn a_million_keys_fit_into_64_mb_and_the_busiest_stay_in_a_full_table() {
        let (table, quota) = (Table::new(1_000_000), quota(1, 100));
        let busy: Vec<Key> = (0..100_u64).map(|one| table.key(&one.to_le_bytes())).collect();
        busy.iter().for_each(|key| assert!(table.take(*key, at(0), cost(&quota, 50)).is_ok()));
        for number in 0..1_000_000_u64 {
            let key = table.key(&(number << 20).to_le_bytes());
            assert!(table.take(key, at(1), cost(&quota, 1)).is_ok());
        }
        assert!(table.bytes() <= 64 << 20, "{}", table.bytes());
        let kept = table.len(at(2));
        assert!(kept > 985_000, "{kept}");
        for number in 0..1_000_000_u64 {
            let key = table.key(&(number << 30).to_le_bytes());
            assert!(table.take(key, at(1), cost(&quota, 1)).is_ok());
        }
        let are_kept = |key: &&Key| table.take(**key, at(1), cost(&quota, 51)).is_err();
        assert_eq!(busy.iter().filter(are_kept).count(), busy.len());
    }

    #[test]
    fn threads_share_a_bucket_exactly() {
        let (table, quota) = (Table::new(10), quota(1, 1000));
        let key = table.key(b"all");
        let take = || (0..1000).filter(|_| table.take(key, at(1), cost(&quota, 1)).is_ok()).count();
        let taken: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(taken, 1000);
    }
}
