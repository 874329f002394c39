//! Following issuers: their sets of keys are fetched by a task for each, before anybody needs them.
//!
//! A set is fetched anew after `refresh`, or as soon as the answer's `Cache-Control` says within
//! bounds; at once when a token names a key that is not there, but not more often than each ten
//! seconds. While the issuer is away, or answers what is no set, the last set stays for `max_age`.
//! Then nobody is let in by it: 503 `token_keys_unavailable`.

use super::fetch::{Fetched, fetch};
use crate::config::HttpUrl;
use crate::control::task::Task;
use crate::data::identity::key::{Algorithm, KeySet};
use crate::data::identity::live_keys::{EARLY, LiveKeys};
use crate::observe::metrics::{
    Counter, IDENTITY_KEYS, IDENTITY_KEYS_AGE, IDENTITY_KEYS_FETCHES, Metrics, Watched,
};
use crate::types::clock;
use crate::types::ids::IdentityId;
use arc_swap::ArcSwapOption;
use rustls::ClientConfig;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// The shortest time between two fetches, whatever the issuer says.
const REFRESH_MIN: Duration = Duration::from_secs(30);
/// Pauses after failures: the first, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Whose keys are fetched, and how.
pub struct Issuer {
    /// The identity.
    pub id: IdentityId,
    /// Where they are.
    pub url: HttpUrl,
    /// Whom to believe that the issuer is who it is, from the next fetch on; nobody: plain text.
    pub tls: ArcSwapOption<ClientConfig>,
    /// What keys are for.
    pub algorithms: Vec<Algorithm>,
    /// How often they are fetched.
    pub refresh: Duration,
    /// How long a set is good that cannot be fetched anew.
    pub max_age: Duration,
    /// Where they go.
    pub keys: Arc<LiveKeys>,
}

/// The issuers that are followed.
#[derive(Default)]
pub struct Followed {
    /// Those of the config in use.
    issuers: HashMap<IdentityId, (Arc<Issuer>, Option<Running>)>,
    /// Whether the process runs.
    metrics: Option<Arc<Metrics>>,
}

/// A task, and what is shown of it.
struct Running {
    _task: Task,
    _shown: [Option<Watched>; 2],
}

impl Followed {
    /// Follows these from now on, and no others. One whose keys go where they went stays, but is
    /// asked at once if it has none: what kept them away may be what was mended.
    pub fn apply(&mut self, issuers: Vec<Issuer>) {
        let mut before = std::mem::take(&mut self.issuers);
        for issuer in issuers {
            let known = before.remove(&issuer.id);
            let kept = known.filter(|(known, _)| {
                Arc::ptr_eq(&known.keys, &issuer.keys) && !known.keys.load().is_empty()
            });
            if let Some((known, _)) = &kept {
                known.tls.store(issuer.tls.load_full());
            }
            let entry = kept.unwrap_or_else(|| {
                let issuer = Arc::new(issuer);
                let running = self.metrics.as_ref().map(|metrics| Running::new(&issuer, metrics));
                (issuer, running)
            });
            self.issuers.insert(entry.0.id.clone(), entry);
        }
    }

    /// Begins to fetch. To be called on the runtime that this is to happen on.
    pub fn run(&mut self, metrics: &Arc<Metrics>) {
        self.metrics = Some(Arc::clone(metrics));
        for (issuer, running) in self.issuers.values_mut() {
            *running = Some(Running::new(issuer, metrics));
        }
    }
}

impl Running {
    fn new(issuer: &Arc<Issuer>, metrics: &Arc<Metrics>) -> Self {
        let name = issuer.id.as_str();
        let of = |weak: &Weak<LiveKeys>| weak.upgrade();
        let keys = Arc::downgrade(&issuer.keys);
        let age = move || {
            let since = of(&keys)?.fetched()?;
            Some(clock::now().saturating_duration_since(since).as_secs_f64())
        };
        let keys = Arc::downgrade(&issuer.keys);
        #[expect(clippy::cast_precision_loss, reason = "at most 64")]
        let count = move || Some(keys.upgrade()?.load().len() as f64);
        let shown = [
            metrics.watch(&IDENTITY_KEYS_AGE, [name], age),
            metrics.watch(&IDENTITY_KEYS, [name], count),
        ];
        let mut group = metrics.group();
        let counts = ["fetched", "failed"]
            .map(|result| group.handle(&IDENTITY_KEYS_FETCHES, [name, result]));
        let task = Task::spawn(follow(Arc::clone(issuer), counts));
        Self { _task: task, _shown: shown }
    }
}

/// Fetches keys again and again.
async fn follow(issuer: Arc<Issuer>, [fetched, failed]: [Counter; 2]) {
    let mut rng = fastrand::Rng::new();
    let mut failures = 0_u32;
    // From when on a token may have them fetched.
    let mut early = clock::now();
    loop {
        let began = clock::now();
        let told = take(&issuer, began).await;
        let pause = match told {
            Ok(max_age) => {
                fetched.inc();
                if failures > 0 {
                    tracing::info!(identity = %issuer.id, "keys of the issuer fetched again");
                }
                failures = 0;
                let wanted = max_age.map_or(issuer.refresh, |age| age.min(issuer.refresh));
                wanted.max(REFRESH_MIN.min(issuer.refresh))
            }
            Err(why) => {
                failed.inc();
                failures = failures.saturating_add(1);
                let until = issuer.keys.fetched().map(|since| since + issuer.max_age);
                let in_use = until.is_some_and(|until| clock::now() < until);
                tracing::warn!(identity = %issuer.id, url = %issuer.url, %why, failures, in_use,
                    "keys of the issuer not fetched, the last ones stay for `max_age`");
                let (first, most) = PAUSE;
                let longest = first.saturating_mul(1 << failures.min(7).saturating_sub(1));
                // Replicas that failed together do not come back together.
                longest.min(most).mul_f64(0.5 + rng.f64() / 2.0)
            }
        };
        issuer.keys.note_end();
        if wait(&issuer, early, pause).await {
            early = clock::now() + EARLY;
        }
    }
}

/// Fetches once, and has what came believed: for how long the issuer says.
async fn take(issuer: &Issuer, began: Instant) -> Result<Option<Duration>, String> {
    let Fetched { text, max_age } = fetch(&issuer.url, issuer.tls.load_full().as_ref()).await?;
    let keys = KeySet::read(&text, &issuer.algorithms).map_err(|why| format!("it {why}"))?;
    issuer.keys.believe(keys, began);
    Ok(max_age)
}

/// Waits until it is time for the next fetch: that after `pause`, or one that a token asks for,
/// but not before `early`. Meanwhile a set that becomes too old goes. Whether a token has asked.
async fn wait(issuer: &Issuer, early: Instant, pause: Duration) -> bool {
    let next = tokio::time::sleep(pause);
    let early = async {
        tokio::time::sleep_until(early.into()).await;
        issuer.keys.wanted().await;
    };
    let end = issuer.keys.fetched().map(|since| since + issuer.max_age);
    let expiry = async {
        match end {
            Some(end) if !issuer.keys.load().is_empty() => {
                tokio::time::sleep_until(end.into()).await;
            }
            _ => std::future::pending().await,
        }
    };
    tokio::pin!(next, early, expiry);
    loop {
        tokio::select! {
            () = &mut next => return false,
            () = &mut early => return true,
            () = &mut expiry, if !issuer.keys.load().is_empty() => {
                tracing::error!(identity = %issuer.id, "keys of the issuer are too old: nobody is let in by them");
                issuer.keys.forget();
            }
        }
    }
}
