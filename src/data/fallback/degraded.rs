//! `pool:NAME`: another pool serves the request, by its own rules.

use super::{Need, Taken, What};
use std::sync::Arc;

/// The pool, if the request may be sent there.
pub(super) fn take(what: &What, need: &Need<'_>) -> Option<Taken> {
    match what {
        What::Pool(pool) if need.may_try => Some(Taken::Pool(Arc::clone(pool))),
        _ => None,
    }
}
