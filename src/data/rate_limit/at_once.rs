//! How many requests of one client may be under way at once.
//!
//! A request counts from when its limits are asked until it is over, on whatever path it ends: what
//! counts it is given back when its [`Turn`] is dropped. Only keys with requests under way are
//! remembered, so there are never more than requests; the memory of a burst is given back.

use super::part::{Asker, Part};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

/// Parts that are locked apart.
const SHARDS: usize = 64;
/// Keys that a part has room for when it is empty.
const KEYS_KEPT: usize = 64;

/// Requests under way, by whose they are. Outlives reloads.
pub struct AtOnce {
    secret: RandomState,
    shards: Box<[Mutex<FxHashMap<u64, u32>>]>,
}

impl Default for AtOnce {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { secret: RandomState::new(), shards }
    }
}

impl AtOnce {
    /// Counts one more of `key`, unless there are `most` already.
    /// Cost: a short lock that few share.
    fn enter(self: &Arc<Self>, key: u64, most: u32) -> Option<Turn> {
        let mut shard = self.shard(key)?.lock();
        let count = shard.entry(key).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Turn { of: Arc::clone(self), key })
    }

    fn shard(&self, key: u64) -> Option<&Mutex<FxHashMap<u64, u32>>> {
        self.shards.get((key >> 40) as usize % SHARDS)
    }

    /// Keys with requests under way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A request that counts, until this is dropped.
pub struct Turn {
    of: Arc<AtOnce>,
    key: u64,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(shard) = self.of.shard(self.key) else { return };
        let mut shard = shard.lock();
        let left = shard.get_mut(&self.key).map(|count| {
            *count = count.saturating_sub(1);
            *count
        });
        if left == Some(0) {
            shard.remove(&self.key);
        }
        if shard.is_empty() && shard.capacity() > KEYS_KEPT {
            shard.shrink_to(KEYS_KEPT);
        }
    }
}

/// A limit of requests under way.
pub struct AtOnceLimit {
    /// What tells clients apart.
    pub parts: Box<[Part]>,
    /// How many of one there may be.
    pub most: u32,
    /// Those that count.
    pub under_way: Arc<AtOnce>,
}

impl AtOnceLimit {
    /// A turn for a request; `None`: there are as many as may be.
    #[must_use]
    pub fn enter(&self, asker: Asker<'_>) -> Option<Turn> {
        let mut hasher = self.under_way.secret.build_hasher();
        self.parts.iter().for_each(|part| part.write(asker, &mut hasher));
        self.under_way.enter(std::hash::Hasher::finish(&hasher), self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_so_many_turns_and_none_is_left_behind() {
        let all = Arc::new(AtOnce::default());
        let turns: Vec<_> = (0..5).map(|_| all.enter(7, 3)).collect();
        assert_eq!(turns.iter().flatten().count(), 3);
        assert!(all.enter(8, 3).is_some() && all.enter(7, 3).is_none());
        assert_eq!(all.len(), 1);
        drop(turns);
        assert!(all.is_empty() && all.enter(7, 1).is_some());
    }

    #[test]
    fn however_threads_meet_there_are_never_too_many() {
        let all = Arc::new(AtOnce::default());
        let run = |seed| {
            let mut rng = fastrand::Rng::with_seed(seed);
            for _ in 0..20_000 {
                let turn = all.enter(rng.u64(0..4) << 40, 2);
                drop((rng.bool().then(std::thread::yield_now), turn));
            }
        };
        std::thread::scope(|scope| {
            for seed in 0..4 {
                scope.spawn(move || run(seed));
            }
        });
        assert!(all.is_empty());
    }
}
