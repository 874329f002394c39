//! Store: good answers of before, for `cached` to give.
//!
//! One for the process, bounded in bytes; what was not used for the longest goes first. It
//! outlives reloads. An answer belongs to a route, scheme, host and target; a few of one target
//! may differ by what their `Vary` names.

use super::freshness::{self, Lifetime, SELECTING};
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use vanne_filters::RequestHead;

/// Answers to one target that differ by fields of the request. More: the oldest goes.
const VARIANTS_MAX: usize = 4;
/// Answers that are being recorded at once, over all workers: so many of the largest size is what
/// they may hold in memory besides the store. Others are not recorded.
const RECORDINGS_MAX: usize = 64;
/// An answer is not recorded again before this.
const REFRESH: Duration = Duration::from_secs(1);
/// What an answer costs besides its bytes.
const OVERHEAD_BYTES: usize = 256;
/// What the store is laid out for; it takes answers of any size.
const TYPICAL_BYTES: u64 = 16 * 1024;

type Variants = Arc<[Arc<Stored>]>;

/// A good answer.
#[derive(Debug)]
pub struct Stored {
    /// Its fields, but for those of its connection.
    pub fields: Vec<(HeaderName, HeaderValue)>,
    /// Its body.
    pub body: Bytes,
    /// Which of [`SELECTING`] it was chosen by, and by which values.
    pub selected_by: Vec<(usize, Box<[u8]>)>,
    /// When it came.
    pub came: Instant,
    /// How old it was then.
    pub age_then: Duration,
    /// Until which age it is fresh.
    pub fresh: Duration,
    /// Until which age it may be given.
    pub usable: Duration,
}

impl Stored {
    /// How old it is at `now`.
    #[must_use]
    pub fn age(&self, now: Instant) -> Duration {
        self.age_then.saturating_add(now.saturating_duration_since(self.came))
    }

    fn answers(&self, asked: &Asked) -> bool {
        self.selected_by.iter().all(|(at, value)| asked.selecting.get(*at) == Some(value))
    }

    fn bytes(&self) -> usize {
        let of_fields = self.fields.iter().map(|(name, value)| name.as_str().len() + value.len());
        let of_values = self.selected_by.iter().map(|(_, value)| value.len());
        self.body.len() + of_fields.chain(of_values).sum::<usize>() + OVERHEAD_BYTES
    }
}

/// What a request asks for, as far as answers of before can be it.
#[derive(Debug)]
pub struct Asked {
    key: Box<[u8]>,
    /// The values of [`SELECTING`]; empty where there are none.
    selecting: [Box<[u8]>; SELECTING.len()],
    /// Its answer may be kept.
    pub may_keep: bool,
    /// It had a cookie.
    pub has_cookie: bool,
}

impl Asked {
    /// What the request with this `head` asks `route` for; `None`: for nothing that others could
    /// have got.
    #[must_use]
    pub fn of(head: &RequestHead<'_>, has_body: bool, route: &str, is_https: bool) -> Option<Self> {
        let is_read = matches!(head.method, "GET" | "HEAD") && !has_body;
        if !is_read || head.fields.first("authorization").is_some() {
            return None;
        }
        let authority = head.authority.unwrap_or_default().to_ascii_lowercase();
        let scheme: &[u8] = if is_https { b"s" } else { b"-" };
        let parts = [route.as_bytes(), scheme, &authority, head.origin_target()];
        Some(Self {
            // None of the first three holds a blank.
            key: parts.join(&b' ').into(),
            selecting: SELECTING.map(|name| values(head, name)),
            may_keep: head.method == "GET" && freshness::lets_keep(head.fields),
            has_cookie: head.fields.first("cookie").is_some(),
        })
    }

    /// The values that an answer was chosen by which differs by these of [`SELECTING`].
    pub(super) fn values_of(&self, selected_by: &[usize]) -> Vec<(usize, Box<[u8]>)> {
        let value = |at: &usize| Some((*at, self.selecting.get(*at)?.clone()));
        selected_by.iter().filter_map(value).collect()
    }
}

/// The values of all fields called `name`, with commas between them.
fn values(head: &RequestHead<'_>, name: &str) -> Box<[u8]> {
    let mut all = Vec::new();
    head.fields.each(&mut |field, value| {
        if field.eq_ignore_ascii_case(name.as_bytes()) {
            if !all.is_empty() {
                all.push(b',');
            }
            all.extend_from_slice(value);
        }
    });
    all.into()
}

/// A route's end of the store.
#[derive(Clone)]
pub struct RouteCache {
    /// The store.
    pub store: Arc<Store>,
    /// The longest answer that is kept, in bytes.
    pub entry_bytes_max: usize,
    /// How much longer than it is fresh an answer may be given.
    pub stale_for: Duration,
}

/// The store.
pub struct Store {
    entries: Cache<Box<[u8]>, Variants, Weigh>,
    recordings: AtomicUsize,
}

#[derive(Clone)]
struct Weigh;

impl Weighter<Box<[u8]>, Variants> for Weigh {
    fn weight(&self, key: &Box<[u8]>, variants: &Variants) -> u64 {
        let bytes: usize = variants.iter().map(|stored| stored.bytes()).sum();
        (key.len() + bytes) as u64
    }
}

impl Store {
    /// An empty store of so many bytes.
    #[must_use]
    pub fn new(bytes_max: u64) -> Self {
        let items = usize::try_from(bytes_max / TYPICAL_BYTES).unwrap_or(usize::MAX);
        let mut options = OptionsBuilder::new();
        // One shard: an answer may be as large as the store, and nobody is often here.
        options.shards(1).estimated_items_capacity(items.clamp(16, 65_536));
        options.weight_capacity(bytes_max);
        let (hasher, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        let entries = match options.build() {
            Ok(options) => Cache::with_options(options, Weigh, hasher, lifecycle),
            Err(_) => Cache::with(16, bytes_max, Weigh, hasher, lifecycle),
        };
        Self { entries, recordings: AtomicUsize::new(0) }
    }

    /// Another size from now on; what has no place any more goes.
    pub fn resize(&self, bytes_max: u64) {
        if self.entries.capacity() != bytes_max {
            self.entries.set_capacity(bytes_max);
        }
    }

    /// What there is for `asked`, unless it is too old.
    /// Cost: O(1); a lock, for as long as a look takes.
    #[must_use]
    pub fn find(&self, asked: &Asked, now: Instant) -> Option<Arc<Stored>> {
        let variants = self.entries.get(&asked.key)?;
        let found = variants.iter().find(|stored| stored.answers(asked));
        found.filter(|stored| stored.age(now) <= stored.usable).cloned()
    }

    /// Keeps `stored` as the answer to `asked`.
    pub fn put(&self, asked: Asked, stored: Stored) {
        let old = self.entries.peek(&asked.key).unwrap_or_default();
        let others = old.iter().filter(|old| !old.answers(&asked)).cloned();
        let all = std::iter::once(Arc::new(stored)).chain(others).take(VARIANTS_MAX);
        let all: Variants = all.collect();
        self.entries.insert(asked.key, all);
    }

    /// Whether the answer to `asked` is to be recorded: there is none that came just now, and not
    /// too many are being recorded. The permit is given back when it is dropped.
    pub(super) fn permit(self: &Arc<Self>, asked: &Asked, now: Instant) -> Option<Permit> {
        let is_new = |stored: &Arc<Stored>| {
            stored.answers(asked) && now.saturating_duration_since(stored.came) < REFRESH
        };
        if self.entries.peek(&asked.key).is_some_and(|known| known.iter().any(is_new)) {
            return None;
        }
        let one_more = |count| (count < RECORDINGS_MAX).then_some(count + 1);
        let taken = self.recordings.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        taken.ok().map(|_| Permit(Arc::clone(self)))
    }
}

/// The right to record an answer.
pub(super) struct Permit(Arc<Store>);

impl Permit {
    /// Keeps what was recorded.
    pub(super) fn put(&self, asked: Asked, stored: Stored) {
        self.0.put(asked, stored);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.recordings.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Stored {
    /// What is kept of an answer that came at `came`.
    pub(super) fn new(
        fields: Vec<(HeaderName, HeaderValue)>,
        body: Bytes,
        selected_by: Vec<(usize, Box<[u8]>)>,
        came: Instant,
        lifetime: Lifetime,
    ) -> Self {
        let Lifetime { age, fresh, usable } = lifetime;
        Self { fields, body, selected_by, came, age_then: age, fresh, usable }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vanne_filters::{FieldSlice, Version};

    const S: Duration = Duration::from_secs(1);

    fn asked(target: &str, fields: &[(&str, &str)]) -> Option<Asked> {
        let list = FieldSlice(fields);
        let head = RequestHead::new("GET", target.as_bytes(), Version::Http11, &list);
        Asked::of(&head, false, "r", false)
    }

    fn stored(asked: &Asked, selected_by: &[usize], bytes: usize, came: Instant) -> Stored {
        let lifetime = Lifetime { age: S, fresh: 2 * S, usable: 9 * S };
        let selected_by = asked.values_of(selected_by);
        Stored::new(Vec::new(), vec![b'x'; bytes].into(), selected_by, came, lifetime)
    }

    #[test]
    fn an_answer_is_given_to_the_same_request_until_it_is_too_old() {
        let (store, now) = (Store::new(100_000), crate::types::clock::now());
        let ask = |target| asked(target, &[("host", "A.test")]).unwrap();
        store.put(ask("/a"), stored(&ask("/a"), &[], 5, now));
        assert!(store.find(&ask("/a"), now + 8 * S).is_some());
        assert!(store.find(&ask("/a"), now + 9 * S).is_none());
        assert!(store.find(&ask("/b"), now).is_none());
        assert!(store.find(&asked("/a", &[("host", "b.test")]).unwrap(), now).is_none());
        assert!(store.find(&asked("/a", &[("host", "a.test")]).unwrap(), now).is_some());
    }

    #[test]
    fn credentials_and_bodies_ask_for_nothing_that_others_got() {
        assert!(asked("/", &[("Authorization", "Basic x")]).is_none());
        let head = |method| RequestHead::new(method, b"/", Version::Http11, &FieldSlice(&[]));
        assert!(Asked::of(&head("POST"), false, "r", false).is_none());
        assert!(Asked::of(&head("GET"), true, "r", false).is_none());
        assert!(Asked::of(&head("HEAD"), false, "r", false).is_some_and(|it| !it.may_keep));
        assert!(!asked("/", &[("cache-control", "no-store")]).unwrap().may_keep);
    }

    #[test]
    fn variants_stand_beside_each_other() {
        let (store, now) = (Store::new(100_000), crate::types::clock::now());
        let by = |encoding| asked("/", &[("accept-encoding", encoding)]).unwrap();
        for (encoding, bytes) in [("gzip", 1), ("br", 2), ("gzip", 3)] {
            store.put(by(encoding), stored(&by(encoding), &[1], bytes, now));
        }
        let length = |encoding| store.find(&by(encoding), now).map(|found| found.body.len());
        assert_eq!((length("gzip"), length("br"), length("")), (Some(3), Some(2), None));
        for other in ["a", "b", "c", "d"] {
            store.put(by(other), stored(&by(other), &[1], 1, now));
        }
        assert_eq!((length("gzip"), length("d")), (None, Some(1)));
    }

    #[test]
    fn the_store_holds_no_more_than_its_size() {
        let (store, now) = (Store::new(100_000), crate::types::clock::now());
        for number in 0..200 {
            let asked = asked(&format!("/{number}"), &[]).unwrap();
            let answer = stored(&asked, &[], 10_000, now);
            store.put(asked, answer);
            assert!(store.entries.weight() <= 100_000);
        }
        assert!(store.entries.len() >= 5);
        store.resize(20_000);
        assert!(store.entries.weight() <= 20_000);
    }

    #[test]
    fn an_answer_is_recorded_once_a_second_and_not_too_many_are_at_once() {
        let (store, now) = (Arc::new(Store::new(100_000)), crate::types::clock::now());
        let ask = || asked("/", &[]).unwrap();
        let permit = store.permit(&ask(), now).unwrap();
        permit.put(ask(), stored(&ask(), &[], 1, now));
        assert!(store.permit(&ask(), now + S / 2).is_none());
        drop(permit);
        let many: Vec<_> =
            (0..RECORDINGS_MAX).map(|_| store.permit(&ask(), now + S).unwrap()).collect();
        assert!(store.permit(&ask(), now + S).is_none());
        drop(many);
        assert!(store.permit(&ask(), now + S).is_some());
    }
}
