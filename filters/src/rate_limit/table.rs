//! Table: the buckets of one limit, by key, in bounded memory.
//!
//! Sixteen bytes a bucket: the hash of its key, and when it is full again. One that is full
//! again says nothing and makes room for the next; so one-off keys, however many, take no
//! more room than those of them whose buckets are not full yet. Where there is no room, the
//! one that is full soonest goes: never the busiest. The table begins small and doubles, a
//! shard at a time.
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

impl Take<'_> {
    fn out_of(self, full_at: Tick, now: Tick) -> Result<Pass, Refused> {
        self.quota.take(full_at, now, self.cost, self.patience)
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    key: u64,
    full_at: Tick,
}

/// Where a key may be.
type Row = [Slot; WAYS];
/// Rows of a shard: a power of two.
type Rows = Vec<Row>;

/// The buckets of one limit.
pub struct Table {
    secret: Secret,
    /// What says where a key lies.
    salt: u64,
    shards: Box<[Mutex<Rows>]>,
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
        let shards = (0..SHARDS).map(|_| Mutex::new(vec![[Slot::default(); WAYS]])).collect();
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
    pub fn key_of(&self, write: impl FnOnce(&mut dyn Hasher)) -> Key {
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
    /// Cost: a lock that few share, held for a look at two cache lines.
    ///
    /// # Errors
    /// When it holds less: nothing is taken.
    pub fn take(&self, key: Key, now: Tick, what: Take<'_>) -> Result<Pass, Refused> {
        self.with(key, now, |full_at| {
            let said = what.out_of(full_at, now);
            (said.map_or(full_at, |pass| pass.full_at), said)
        })
    }

    /// What [`take`](Self::take) would say now.
    ///
    /// # Errors
    /// As there.
    pub fn look(&self, key: Key, now: Tick, what: Take<'_>) -> Result<Pass, Refused> {
        let key = self.placed(key);
        let shard = self.shard(key);
        let found = row_of(&shard, key).iter().find(|slot| slot.key == key.0);
        what.out_of(found.map_or(now, |slot| slot.full_at), now)
    }

    /// Puts `cost` back that was taken.
    pub fn give_back(&self, key: Key, quota: &Quota, now: Tick, cost: u32) {
        self.with(key, now, |full_at| (quota.give_back(full_at, cost), ()));
    }

    /// Takes `cost`, whatever the bucket holds.
    pub fn charge(&self, key: Key, quota: &Quota, now: Tick, cost: u32) {
        self.with(key, now, |full_at| (quota.charge(full_at, now, cost), ()));
    }

    /// Keys whose buckets are not full.
    /// Cost: looks at the whole table.
    #[must_use]
    pub fn len(&self, now: Tick) -> usize {
        let count = |shard: &Mutex<Rows>| {
            shard.lock().iter().flatten().filter(|slot| slot.full_at > now).count()
        };
        self.shards.iter().map(count).sum()
    }

    /// What it occupies, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let rows = self.shards.iter().map(|shard| shard.lock().capacity()).sum::<usize>();
        rows * size_of::<Row>()
    }

    /// Changes the bucket of `key`.
    fn with<T>(&self, key: Key, now: Tick, change: impl FnOnce(Tick) -> (Tick, T)) -> T {
        let key = self.placed(key);
        let mut shard = self.shard(key);
        let found = place(&mut shard, key, now).filter(|slot| slot.key == key.0);
        if let Some(slot) = found {
            let (next, said) = change(slot.full_at);
            slot.full_at = next;
            return said;
        }
        let (next, said) = change(now);
        if next > now {
            self.put(&mut shard, Slot { key: key.0, full_at: next }, now);
        }
        said
    }

    /// Puts a bucket in that is not there.
    fn put(&self, shard: &mut Rows, new: Slot, now: Tick) {
        while shard.len() < self.rows_max && place(shard, Key(new.key), now).is_none() {
            grow(shard, now);
        }
        let at = row_index(shard.len(), new.key);
        let row = shard.get_mut(at).into_iter().flatten();
        if let Some(soonest) = row.min_by_key(|slot| slot.full_at) {
            *soonest = new;
        }
    }

    /// The key as it stands here: another number, and as good.
    fn placed(&self, key: Key) -> Key {
        let number = (key.0 ^ self.salt).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let number = (number ^ (number >> 31)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Key((number ^ (number >> 29)) | 1)
    }

    fn shard(&self, key: Key) -> MutexGuard<'_, Rows> {
        // Always there: the remainder is smaller than the length.
        #[expect(clippy::indexing_slicing, reason = "a remainder is smaller than its divisor")]
        self.shards[(key.0 >> 58) as usize % SHARDS].lock()
    }
}

fn row_index(rows: usize, key: u64) -> usize {
    // `rows` is a power of two.
    (key >> 8) as usize & (rows - 1)
}

fn row_of(shard: &[Row], key: Key) -> &[Slot] {
    shard.get(row_index(shard.len(), key.0)).map_or(&[], |row| row)
}

/// Where the key is, or where it may be put without harm.
fn place(shard: &mut [Row], key: Key, now: Tick) -> Option<&mut Slot> {
    let at = row_index(shard.len(), key.0);
    let row = shard.get_mut(at)?;
    let mut free = None;
    for (way, slot) in row.iter().enumerate() {
        if slot.key == key.0 {
            return row.get_mut(way);
        }
        if slot.full_at <= now {
            free = Some(way);
        }
    }
    row.get_mut(free?)
}

/// Twice the rows, without the buckets that are full.
fn grow(shard: &mut Rows, now: Tick) {
    let rows = shard.len() * 2;
    let old = std::mem::replace(shard, vec![[Slot::default(); WAYS]; rows]);
    for slot in old.into_iter().flatten().filter(|slot| slot.full_at > now) {
        if let Some(free) = place(shard, Key(slot.key), now) {
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
            let full_at = model.entry(name).or_default();
            let want = quota.take(*full_at, now, 1, Duration::ZERO);
            assert_eq!(table.look(key, now, cost(&quota, 1)), want);
            assert_eq!(table.take(key, now, cost(&quota, 1)), want, "{step}");
            *full_at = want.map_or(*full_at, |pass| pass.full_at);
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
        let are_kept = |key: &&Key| table.look(**key, at(1), cost(&quota, 51)).is_err();
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
