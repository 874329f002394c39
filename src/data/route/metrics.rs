//! Handles of a route's metrics.

use crate::data::fallback::Fallbacks;
use crate::data::pool::Pool;
use crate::data::pool::metrics::{CLASSES, class_of};
use crate::data::target::Target;
use crate::observe::metrics::{
    Counter, Histogram, Metrics, RECEIVED_BYTES, REQUEST_DURATION, REQUESTS, SENT_BYTES,
};
use crate::types::ids::PoolId;
use std::sync::Arc;
use std::time::Duration;

/// What stands for a route or a pool where there is none; no name is so.
const NONE: &str = "-";

/// Handles of a route's metrics. By default of none.
#[derive(Default)]
pub struct RouteMetrics {
    /// `vanne_requests_total` by the pool that had the request last, and by status class.
    requests: Vec<(Option<PoolId>, [Counter; CLASSES.len()])>,
    received: Counter,
    sent: Counter,
    duration: Histogram,
}

impl RouteMetrics {
    /// Those of the route called `route`, whose requests go to `target`, or fall back; or end
    /// before that at a rate limit or for who sends them, if it `is_limited`.
    #[must_use]
    pub fn new(
        metrics: &Metrics,
        route: &str,
        (target, fallbacks): (&Target, &Fallbacks),
        is_limited: bool,
    ) -> Self {
        let mut pools = Vec::new();
        match target {
            Target::Pool(pool) => add(&mut pools, pool),
            Target::Split(split) => split.pools.iter().for_each(|(pool, _)| add(&mut pools, pool)),
            Target::Redirect(_) | Target::Answer(_) => {}
        }
        fallbacks.pools().for_each(|pool| add(&mut pools, pool));
        let is_sure = matches!(target, Target::Pool(_)) && !is_limited;
        let none = (!is_sure).then_some(None);
        Self::of(metrics, route, pools.into_iter().map(Some).chain(none))
    }

    /// Those of requests without a route.
    #[must_use]
    pub fn unrouted(metrics: &Metrics) -> Self {
        Self::of(metrics, NONE, std::iter::once(None))
    }

    fn of(metrics: &Metrics, route: &str, pools: impl Iterator<Item = Option<PoolId>>) -> Self {
        let mut group = metrics.group();
        let mut classes = |pool: Option<PoolId>| {
            let name = pool.as_ref().map_or(NONE, PoolId::as_str);
            let handles = CLASSES.map(|class| group.handle(&REQUESTS, [route, name, class]));
            (pool, handles)
        };
        Self {
            requests: pools.map(&mut classes).collect(),
            received: group.handle(&RECEIVED_BYTES, [route]),
            sent: group.handle(&SENT_BYTES, [route]),
            duration: group.handle(&REQUEST_DURATION, [route]),
        }
    }

    /// Counts a request that ended.
    pub fn count(&self, pool: Option<&PoolId>, ended: &Ended) {
        let handles = self.requests.iter().find(|(of, _)| of.as_ref() == pool);
        debug_assert!(handles.is_some() || self.requests.is_empty(), "{pool:?} has no handles");
        if let Some(counter) = handles.and_then(|(_, all)| all.get(class_of(ended.status))) {
            counter.inc();
        }
        self.received.inc_by(ended.received);
        self.sent.inc_by(ended.sent);
        self.duration.observe(ended.time);
    }
}

/// What is counted of a request that ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// The status, as HTTP has it; 500 if there was none.
    pub status: u16,
    /// Bytes from the client.
    pub received: u64,
    /// Bytes to the client.
    pub sent: u64,
    /// From its first byte to the answer's last.
    pub time: Duration,
}

/// Adds a pool.
fn add(pools: &mut Vec<PoolId>, pool: &Arc<Pool>) {
    if !pools.contains(&pool.id) {
        pools.push(pool.id.clone());
    }
}
