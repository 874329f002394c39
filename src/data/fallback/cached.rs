//! `cached`: the last good answer to the same request.

use super::store::Stored;
use super::{Need, Taken, What};
use crate::data::target::FixedAnswer;
use http::{HeaderName, HeaderValue, header};
use std::time::Instant;

/// RFC 9211.
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// The answer, if there is one that is not too old.
pub(super) fn take(what: &What, need: &Need<'_>) -> Option<Taken> {
    let (What::Cached, Some((cache, asked)), true) = (what, need.cached, need.may_answer) else {
        return None;
    };
    let stored = cache.store.find(asked, need.now)?;
    Some(Taken::Answer(answer(&stored, need.now)))
}

/// `stored` as it is given at `now`: with its age (RFC 9111 §5.1), and by whom.
fn answer(stored: &Stored, now: Instant) -> FixedAnswer {
    let age = stored.age(now).as_secs();
    let mut fields = stored.fields.clone();
    fields.push((header::AGE, age.into()));
    let ttl = i128::from(stored.fresh.as_secs()) - i128::from(age);
    let status = HeaderValue::try_from(format!("Vanne; hit; ttl={ttl}; detail=fallback"));
    fields.extend(status.ok().map(|status| (CACHE_STATUS, status)));
    FixedAnswer { status: 200, fields, body: stored.body.clone() }
}
