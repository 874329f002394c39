//! Backends that are the pods of a Service of Kubernetes.
//!
//! One watch for each namespace (`watch`) keeps all its EndpointSlices (`store`), whatever
//! number of pools follow Services in it; each of those puts the slices of its own together
//! (`slices`) when they change (`follow`). The last list is kept on disk (`kept`), for a start
//! while the API server is away. `client` is how it is reached, `fault` what is said when it
//! cannot be.

mod client;
mod fault;
mod follow;
mod kept;
mod slices;
mod store;
mod watch;

pub use client::usable;

use super::{Origin, Outlet, Shared};
use crate::config;
use crate::control::task::Task;
use crate::observe::metrics::{KUBERNETES_SYNC_AGE, Metrics, Watched};
use crate::types::clock;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use watch::{Pace, Scope, View};

pub(super) fn run(origin: &Origin, to: Outlet, shared: &Shared) -> Option<BoxFuture<'static, ()>> {
    let following = origin.kubernetes.clone()?;
    let watch = shared.kubernetes.watch(&following.api, following.service.namespace.as_ref());
    Some(Box::pin(follow::follow(following, watch, to)))
}

/// The watches that run: one for each namespace, as long as a pool follows a Service in it.
#[derive(Default)]
pub struct Hub {
    running: Mutex<Vec<(Scope, Weak<Watching>)>>,
    metrics: Option<Arc<Metrics>>,
    pace: Pace,
}

/// A watch that runs. Dropped, it ends.
struct Watching {
    view: tokio::sync::watch::Receiver<View>,
    _age: Option<Watched>,
    _task: Task,
}

impl Hub {
    /// No watch yet.
    #[must_use]
    pub fn new(metrics: &Arc<Metrics>) -> Self {
        Self { metrics: Some(Arc::clone(metrics)), ..Self::default() }
    }

    /// The watch of `namespace`, started if it does not run.
    fn watch(
        &self,
        api: &config::Kubernetes,
        namespace: Option<&config::ObjectName>,
    ) -> Arc<Watching> {
        let scope = Scope { api: api.clone(), namespace: namespace.cloned() };
        let mut running = self.running.lock();
        running.retain(|(_, watching)| watching.strong_count() > 0);
        let found = running.iter().find(|(of, _)| *of == scope);
        if let Some(watching) = found.and_then(|(_, watching)| watching.upgrade()) {
            return watching;
        }
        let (to, view) = tokio::sync::watch::channel(View::new(clock::now()));
        let watching = Arc::new(Watching {
            _age: self.metrics.as_ref().and_then(|metrics| age(metrics, &scope, view.clone())),
            _task: Task::spawn(watch::keep(scope.clone(), self.pace, to)),
            view,
        });
        running.push((scope, Arc::downgrade(&watching)));
        watching
    }
}

/// How long ago the API server last said how things are.
fn age(
    metrics: &Metrics,
    scope: &Scope,
    view: tokio::sync::watch::Receiver<View>,
) -> Option<Watched> {
    let namespace = scope.namespace.as_ref().map_or("", config::ObjectName::as_str);
    metrics.watch(&KUBERNETES_SYNC_AGE, [namespace], move || {
        Some(clock::now().duration_since(view.borrow().synced).as_secs_f64())
    })
}

#[cfg(test)]
mod tests;
