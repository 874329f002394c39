//! Backends that stand in the config: said once, never changed.

use super::{Origin, Outlet, State, Update, in_order};
use futures::future::BoxFuture;

pub(super) fn run(origin: &Origin, to: Outlet) -> Option<BoxFuture<'static, ()>> {
    if origin.backends.is_empty() {
        return None;
    }
    let backends = in_order(origin.backends.clone());
    Some(Box::pin(async move {
        to.push(Update { backends, state: State::Fresh }).await;
    }))
}
