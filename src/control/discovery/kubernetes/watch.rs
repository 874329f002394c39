//! Watch: keeps what is known of the slices of a namespace as the API server has it.
//!
//! A round lists all and then watches what changes. It ends, and the next begins at once, when
//! it is time to list anew, or when the server has forgotten where the watch stands (410); it
//! ends with a wait when something failed. What a list says replaces what was known in one
//! step, when all of it is there; nothing else takes anything away but an event that says so.
//!
//! A connection that ended before its time is not simply taken up again: the server may have
//! come back with an older state, where a watch from the version that is known here waits for
//! ever. So that is followed by a list, too. A peer that is silent for longer than it may be is
//! given up.

use super::slices::{SERVICE_LABEL, Slice};
use super::store::Store;
use super::{client, fault};
use crate::config;
use crate::types::clock;
use futures::{Stream, StreamExt};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use std::time::{Duration, Instant};
use tokio::sync::watch::Sender;
use tokio::time::{sleep, timeout, timeout_at};

/// Slices in one answer to a list.
const PAGE: u32 = 500;

/// What is watched: equal ones share a watch.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scope {
    /// How the API server is reached.
    pub(super) api: config::Kubernetes,
    /// The namespace; `None`: that of the credentials.
    pub(super) namespace: Option<config::ObjectName>,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// To get a connection.
    pub(super) connect: Duration,
    /// For an answer's head, or a page of a list.
    pub(super) answer: Duration,
    /// How long a watch is asked for, in seconds: between these two.
    pub(super) watch_seconds: (u32, u32),
    /// How much longer it may be silent.
    pub(super) grace: Duration,
    /// The first wait after a failure, and the longest.
    pub(super) wait: (Duration, Duration),
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(10),
            watch_seconds: (30, 60),
            grace: Duration::from_secs(5),
            wait: (Duration::from_millis(100), Duration::from_secs(2)),
        }
    }
}

/// What is known of a namespace.
pub(super) struct View {
    /// Its slices.
    pub(super) store: Store,
    /// Its name, once it is known.
    pub(super) namespace: String,
    /// Whether they were ever listed.
    pub(super) is_listed: bool,
    /// Why that may not be how things are now, if it may not.
    pub(super) fault: Option<String>,
    /// When the API server last said how things are; before that, when it was first asked.
    pub(super) synced: Instant,
}

impl View {
    /// Nothing yet.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            store: Store::default(),
            namespace: String::new(),
            is_listed: false,
            fault: None,
            synced: now,
        }
    }
}

/// How a round ended.
enum End {
    /// It is time to list anew.
    Due,
    /// The server does not know any more what came after what is known here.
    Gone,
    /// The connection ended before its time.
    Cut,
    /// It could not be done, for this reason.
    Failed(String),
}

/// Keeps `view` as the API server has it, for as long as it is polled.
pub(super) async fn keep(scope: Scope, pace: Pace, view: Sender<View>) {
    let mut keeper = Keeper { scope, pace, view, rng: fastrand::Rng::new(), watched: Ok(()) };
    let mut waited = Duration::ZERO;
    loop {
        let mut progress = Progress::default();
        let end = keeper.round(&mut progress).await;
        if progress.is_watched {
            waited = Duration::ZERO;
        }
        match end {
            End::Due => continue,
            End::Gone if progress.is_watched => continue,
            End::Gone | End::Cut => {}
            End::Failed(why) => keeper.blame(why),
        }
        waited = (waited * 2).clamp(pace.wait.0, pace.wait.1);
        sleep(waited.mul_f64(0.5 + keeper.rng.f64() / 2.0)).await;
    }
}

/// How far a round has come.
#[derive(Default)]
struct Progress {
    /// A watch told something, or ended when it should.
    is_watched: bool,
}

struct Keeper {
    scope: Scope,
    pace: Pace,
    view: Sender<View>,
    rng: fastrand::Rng,
    /// Why the last watch was refused, if it was: a list alone does not make up for that.
    watched: Result<(), String>,
}

impl Keeper {
    async fn round(&mut self, progress: &mut Progress) -> End {
        let client = match client::connect(&self.scope.api, self.pace.connect).await {
            Ok(client) => client,
            Err(why) => return End::Failed(why),
        };
        let named = self.scope.namespace.as_ref().map(config::ObjectName::as_str);
        let namespace = named.unwrap_or(client.default_namespace()).to_owned();
        let api: Api<EndpointSlice> = Api::namespaced(client, &namespace);
        let (slices, mut version) = match self.list(&api, &namespace).await {
            Ok(listed) => listed,
            Err(end) => return end,
        };
        let fault = self.watched.clone().err();
        self.view.send_modify(|view| {
            view.store.replace(slices);
            view.namespace.clone_from(&namespace);
            (view.is_listed, view.fault, view.synced) = (true, fault, clock::now());
        });
        let share = 0.9 + self.rng.f64() / 5.0;
        let due = clock::now() + self.scope.api.resync.as_duration().mul_f64(share);
        loop {
            if let Err(end) = self.watch(&api, &namespace, &mut version, due, progress).await {
                return end;
            }
        }
    }

    /// All slices, and the version that they are of.
    async fn list(
        &self,
        api: &Api<EndpointSlice>,
        namespace: &str,
    ) -> Result<(Vec<Slice>, String), End> {
        let mut params = ListParams::default().labels(SERVICE_LABEL).limit(PAGE);
        let mut slices = Vec::new();
        loop {
            let page = match timeout(self.pace.answer, api.list(&params)).await {
                Ok(Ok(page)) => page,
                Ok(Err(error)) if is_gone(&error) => return Err(End::Gone),
                Ok(Err(error)) => return Err(End::Failed(fault::of("list", namespace, &error))),
                Err(_) => return Err(End::Failed(self.silent("list", namespace))),
            };
            slices.extend(page.items.into_iter().filter_map(Slice::of));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => {
                    return Ok((slices, page.metadata.resource_version.unwrap_or_default()));
                }
            }
        }
    }

    /// Takes in what changes after `version`, until the time that was asked for is over.
    async fn watch(
        &mut self,
        api: &Api<EndpointSlice>,
        namespace: &str,
        version: &mut String,
        due: Instant,
        progress: &mut Progress,
    ) -> Result<(), End> {
        let (least, most) = self.pace.watch_seconds;
        let seconds = self.rng.u32(least..=most);
        let params = WatchParams::default().labels(SERVICE_LABEL).timeout(seconds);
        let began = clock::now();
        let events = match timeout(self.pace.answer, api.watch(&params, version)).await {
            Ok(Ok(events)) => events.boxed(),
            Ok(Err(error)) => return Err(self.refused(namespace, &error)),
            Err(_) => return Err(End::Failed(self.silent("watch", namespace))),
        };
        if std::mem::replace(&mut self.watched, Ok(())).is_err() {
            self.view.send_modify(|view| view.fault = None);
        }
        let asked = Duration::from_secs(seconds.into());
        let until = began + asked + self.pace.grace;
        self.take_in(events, namespace, version, until.min(due), progress).await?;
        let now = clock::now();
        match () {
            () if now >= due => Err(End::Due),
            () if now >= until => Err(End::Failed(fault::on(
                "watch",
                namespace,
                "the API server is silent for longer than it may be",
            ))),
            // A server ends a watch at its time, more or less.
            () if now - began + Duration::from_secs(1) < asked => Err(End::Cut),
            () => {
                progress.is_watched = true;
                self.sync();
                Ok(())
            }
        }
    }

    /// Takes in `events` until they end, or it is `until`.
    async fn take_in(
        &mut self,
        mut events: impl Stream<Item = kube::Result<WatchEvent<EndpointSlice>>> + Unpin,
        namespace: &str,
        version: &mut String,
        until: Instant,
        progress: &mut Progress,
    ) -> Result<(), End> {
        while let Ok(Some(event)) = timeout_at(until.into(), events.next()).await {
            let slice = match event {
                Ok(WatchEvent::Added(slice) | WatchEvent::Modified(slice)) => Ok(slice),
                Ok(WatchEvent::Deleted(slice)) => Err(slice),
                Ok(WatchEvent::Bookmark(mark)) => {
                    *version = mark.metadata.resource_version;
                    progress.is_watched = true;
                    self.sync();
                    continue;
                }
                Ok(WatchEvent::Error(status)) => {
                    return Err(self.refused(namespace, &kube::Error::Api(status)));
                }
                // What is broken off in the middle is followed by a list.
                Err(_) => return Err(End::Cut),
            };
            progress.is_watched = true;
            let (Ok(about) | Err(about)) = &slice;
            if let Some(of_it) = &about.metadata.resource_version {
                version.clone_from(of_it);
            }
            self.view.send_modify(|view| {
                take(&mut view.store, slice);
                view.synced = clock::now();
            });
        }
        Ok(())
    }

    /// The server has said that nothing happened.
    fn sync(&self) {
        self.view.send_if_modified(|view| {
            view.synced = clock::now();
            false
        });
    }

    /// The watch was refused, or ended, with `error`.
    fn refused(&mut self, namespace: &str, error: &kube::Error) -> End {
        match error {
            error if is_gone(error) => return End::Gone,
            kube::Error::Api(_) => {}
            // Not an answer; the list that follows tells what is the matter.
            _ => return End::Cut,
        }
        let why = fault::of("watch", namespace, error);
        self.watched = Err(why.clone());
        End::Failed(why)
    }

    fn silent(&self, verb: &str, namespace: &str) -> String {
        fault::on(verb, namespace, &format!("no answer within {:?}", self.pace.answer))
    }

    /// What is known may be old, for this reason.
    fn blame(&self, why: String) {
        self.view.send_if_modified(|view| {
            let is_new = view.fault.as_ref() != Some(&why);
            view.fault = Some(why);
            is_new
        });
    }
}

/// Takes in a slice that is there (`Ok`) or is gone.
fn take(store: &mut Store, slice: Result<EndpointSlice, EndpointSlice>) {
    match slice {
        Ok(slice) => {
            let name = slice.metadata.name.clone();
            match Slice::of(slice) {
                Some(slice) => store.put(slice),
                // It is of no Service any more.
                None => store.remove(name.as_deref().unwrap_or_default()),
            }
        }
        Err(slice) => store.remove(slice.metadata.name.as_deref().unwrap_or_default()),
    }
}

fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 410)
}
