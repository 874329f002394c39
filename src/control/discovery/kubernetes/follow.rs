//! Follow: a pool's part of what a watch knows.
//!
//! The first change is told at once; those that come within the next ten milliseconds are told
//! together. So a rolling update is a few lists a second for those who read them, however many
//! events it is.

use super::Watching;
use super::kept::{self, Kept};
use super::slices::{SERVICE_LABEL, Wanted, merge};
use super::watch::View;
use crate::config::{PoolProtocol, ZoneRule};
use crate::control::discovery::{Following, Found, Last, Outlet, Update};
use crate::types::clock;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long is waited for the API server's first word before it is told that there is none.
const FIRST: Duration = Duration::from_secs(1);
/// How long changes are gathered after one was told.
const GATHER: Duration = Duration::from_millis(10);

/// Tells of the backends of a Service whenever they change, until nobody listens.
pub(super) async fn follow(following: Following, watching: Arc<Watching>, to: Outlet) {
    let mut view = watching.view.clone();
    let mut follower = Follower {
        keeping: following.kept_at.clone().map(|path| kept::Keeping::new(path, &following)),
        following,
        last: Last::default(),
        kept: None,
        seen: None,
    };
    // In time or not, something is told now.
    let told = view.wait_for(|view| view.is_listed || view.fault.is_some());
    drop(timeout(FIRST, told).await.map(drop));
    loop {
        let update = follower.look(&view.borrow_and_update());
        if let Some(update) = update {
            if !to.push(update).await {
                return;
            }
            sleep(GATHER).await;
        }
        tokio::select! {
            changed = view.changed() => if changed.is_err() { return },
            () = kept::write_when_due(follower.keeping.as_mut()) => {}
        }
    }
}

struct Follower {
    following: Following,
    last: Last,
    keeping: Option<kept::Keeping>,
    /// What was kept on disk, once somebody wanted to know.
    kept: Option<Option<Kept>>,
    /// What was looked at last: the number of the Service, and the fault.
    seen: Option<(bool, u64, Option<String>)>,
}

/// What is to be told: a list, why it may be old, and a note.
type Told = (Vec<Found>, Option<String>, Option<String>);

impl Follower {
    /// What is to be told now, if it is new.
    fn look(&mut self, view: &View) -> Option<Update> {
        let service = self.following.service.service.as_str();
        let seen = (view.is_listed, view.store.version(service), view.fault.clone());
        if self.seen.as_ref() == Some(&seen) {
            return None;
        }
        self.seen = Some(seen);
        let (backends, fault, note) = match view.is_listed {
            true => self.listed(view),
            false => self.unlisted(view),
        };
        if let (None, Some(keeping)) = (&fault, &mut self.keeping) {
            keeping.keep(&backends);
        }
        self.last.noted(backends, fault, note, clock::now())
    }

    /// What is to be told once slices were listed.
    fn listed(&mut self, view: &View) -> Told {
        let service = &self.following.service;
        let name = service.service.as_str();
        let zone = self.following.api.zone.as_deref().filter(|zone| !zone.is_empty());
        let zone = zone.filter(|_| service.zone == ZoneRule::Prefer);
        if view.store.version(name) == 0 {
            let note = format!(
                "no EndpointSlice in namespace {} has the label {SERVICE_LABEL}={name}: are there \
                 such a Service and namespace?",
                view.namespace
            );
            return (Vec::new(), view.fault.clone(), Some(note));
        }
        let merged = merge(view.store.slices(name), Wanted { port: &service.port, zone });
        match merged {
            Ok(mut merged) => {
                merged.notes.extend(self.unfit(merged.protocol.as_deref()));
                let note = merged.notes.join("; ");
                (merged.backends, view.fault.clone(), Some(note).filter(|note| !note.is_empty()))
            }
            Err(why) => {
                let why = format!("Service {name}: {why}");
                let whole = view.fault.as_ref().map(|fault| format!("{fault}; {why}"));
                (self.last_or_kept(), Some(whole.unwrap_or(why)), None)
            }
        }
    }

    /// What is to be told while nothing was listed: what is on disk, if there is something.
    fn unlisted(&mut self, view: &View) -> Told {
        let fault = view.fault.clone();
        let fault = fault.unwrap_or_else(|| "the API server has not answered yet".to_owned());
        let backends = self.last_or_kept();
        let since = self.kept.as_ref().and_then(Option::as_ref).map(|kept| kept.saved.clone());
        let note = since.map(|since| format!("the backends are those of {since}, from state_dir"));
        (backends, Some(fault), note)
    }

    /// The list that was told last, else the one on disk.
    fn last_or_kept(&mut self) -> Vec<Found> {
        let last = self.last.backends();
        if !last.is_empty() || self.last.said.is_some() {
            return last;
        }
        let keeping = self.keeping.as_ref();
        let kept = self.kept.get_or_insert_with(|| keeping.and_then(kept::Keeping::read));
        kept.as_ref().map(|kept| kept.backends.clone()).unwrap_or_default()
    }

    /// What the Service says is spoken on the port, if the pool speaks something else.
    fn unfit(&self, protocol: Option<&str>) -> Option<String> {
        let Following { protocol: spoken, is_tls, .. } = self.following;
        let expected = match protocol? {
            "kubernetes.io/h2c" if spoken != PoolProtocol::Http2 || is_tls => {
                "`protocol = \"h2\"` without `tls`"
            }
            "https" if !is_tls => "`tls` in the pool",
            _ => return None,
        };
        Some(format!("the port speaks {}: expected {expected}", protocol?))
    }
}
