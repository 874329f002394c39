//! Mirror: a copy of a share of a route's requests goes to another pool as well.
//!
//! Which requests, and how many copies at once, is decided here; engines make the copies and
//! send them, beside the request and never in its way. What comes of a copy is counted and
//! has no other effect.

use super::pool::Pool;
use crate::observe::metrics::Counter;
use crate::types::hash::mix;
use http::HeaderName;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The field that says of a request that it is a copy: its value is the route's name.
pub const MARK: HeaderName = HeaderName::from_static("x-vanne-mirror");

/// Longest body of a request that is copied.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// Copies of one route that are under way at once, over all workers.
const UNDER_WAY_MAX: usize = 256;

/// Makes the choice independent of others that go by the request's id.
const SALT: u64 = 0x6d69_7272_6f72;

/// The mirror of a route.
pub struct Mirror {
    /// Where the copies go.
    pub pool: Arc<Pool>,
    /// The share of requests that are copied, in ten-thousandths.
    pub share_basis_points: u16,
    /// `vanne_mirrored_total`, in the order of [`Mirrored::ALL`].
    pub outcomes: [Counter; Mirrored::ALL.len()],
    /// Copies under way.
    pub under_way: Arc<AtomicUsize>,
}

/// What came of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mirrored {
    /// It was answered, whatever the answer was.
    Answered,
    /// It could not be sent, or was not answered in time.
    Failed,
    /// The pool had no backend for it.
    NoBackend,
    /// Not made: the body was too large.
    TooLarge,
    /// Not made: too many were under way.
    TooMany,
}

impl Mirrored {
    /// All there are.
    pub const ALL: [Self; 5] =
        [Self::Answered, Self::Failed, Self::NoBackend, Self::TooLarge, Self::TooMany];

    /// The label in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::NoBackend => "no_backend",
            Self::TooLarge => "too_large",
            Self::TooMany => "too_many",
        }
    }
}

/// A copy that is under way: gives its place back when it is dropped.
pub struct UnderWay(Arc<AtomicUsize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Mirror {
    /// Whether the request whose id is `random` is copied.
    #[must_use]
    pub fn takes(&self, random: u64) -> bool {
        mix(random ^ SALT) % 10_000 < u64::from(self.share_basis_points)
    }

    /// A place for one more copy; `None` if too many are under way.
    /// `races`: relaxed; two at once may both be refused at the limit, never both let in.
    #[must_use]
    pub fn begin(&self) -> Option<UnderWay> {
        let place = UnderWay(Arc::clone(&self.under_way));
        let before = self.under_way.fetch_add(1, Ordering::Relaxed);
        (before < UNDER_WAY_MAX).then_some(place)
    }

    /// Counts what came of a copy.
    pub fn count(&self, outcome: Mirrored) {
        let index = Mirrored::ALL.iter().position(|&one| one == outcome);
        if let Some(counter) = index.and_then(|index| self.outcomes.get(index)) {
            counter.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::snapshot::tests::pool_of;

    fn mirror(share_basis_points: u16) -> Mirror {
        Mirror {
            pool: Arc::new(pool_of(0)),
            share_basis_points,
            outcomes: Default::default(),
            under_way: Arc::default(),
        }
    }

    #[test]
    fn the_share_is_as_it_says() {
        for (share, range) in [(0, 0..=0), (1000, 850..=1150), (10_000, 10_000..=10_000)] {
            let mirror = mirror(share);
            let taken = (0..10_000_u64).filter(|id| mirror.takes(mix(*id))).count();
            assert!(range.contains(&taken), "{share}: {taken}");
        }
    }

    #[test]
    fn no_more_than_so_many_are_under_way_and_places_are_given_back() {
        let mirror = mirror(0);
        let places: Vec<_> = (0..UNDER_WAY_MAX).map(|_| mirror.begin().unwrap()).collect();
        assert!(mirror.begin().is_none() && mirror.begin().is_none());
        drop(places);
        assert_eq!(mirror.under_way.load(Ordering::Relaxed), 0);
        assert!(mirror.begin().is_some());
    }
}
