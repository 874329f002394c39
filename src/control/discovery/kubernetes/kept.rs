//! The last list of a pool, on disk: for a start while the API server is away.
//!
//! One file of JSON for each pool, replaced as a whole. One that cannot be read, or is of
//! another Service, counts as none.

use crate::control::discovery::{Following, Found, in_order};
use crate::data::pool::Pod;
use crate::types::clock;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// The form of the file.
const VERSION: u32 = 1;
/// A list is written when it was the same for so long, or has waited for [`LATEST`].
const QUIET: Duration = Duration::from_millis(500);
/// The longest that a list waits to be written.
const LATEST: Duration = Duration::from_secs(5);
/// The largest file that is read.
const BYTES_MAX: u64 = 16 << 20;

/// A list that was kept.
pub(super) struct Kept {
    /// When it was written: RFC 3339.
    pub(super) saved: String,
    /// The backends, by address.
    pub(super) backends: Vec<Found>,
}

/// Keeps the lists of one pool.
pub(super) struct Keeping {
    path: PathBuf,
    /// The Service, as the file names it.
    of: String,
    waiting: Option<Waiting>,
    /// A list that is being written: the next waits for it.
    writing: Option<JoinHandle<std::io::Result<()>>>,
    is_failing: bool,
}

struct Waiting {
    backends: Vec<Found>,
    due: Instant,
    latest: Instant,
}

#[derive(Deserialize, Serialize)]
struct File {
    version: u32,
    of: String,
    saved: String,
    backends: Vec<Row>,
}

#[derive(Deserialize, Serialize)]
struct Row {
    address: SocketAddr,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_backup: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identity: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pod: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    zone: Option<Box<str>>,
}

impl Keeping {
    /// In the file at `path`, what `following` follows.
    pub(super) fn new(path: PathBuf, following: &Following) -> Self {
        let service = &following.service;
        let namespace = service.namespace.as_ref().map(ToString::to_string).unwrap_or_default();
        let of = format!("{namespace}/{}:{}", service.service, service.port);
        Self { path, of, waiting: None, writing: None, is_failing: false }
    }

    /// Has `backends` written soon.
    pub(super) fn keep(&mut self, backends: &[Found]) {
        let now = clock::now();
        let latest = self.waiting.as_ref().map_or(now + LATEST, |waiting| waiting.latest);
        // What leaves will not be there any more.
        let staying = backends.iter().filter(|found| !found.is_leaving).cloned().collect();
        let due = (now + QUIET).min(latest);
        self.waiting = Some(Waiting { backends: staying, due, latest });
    }

    /// The list that was kept, if there is one and it is of this Service.
    pub(super) fn read(&self) -> Option<Kept> {
        match read(&self.path, &self.of) {
            Ok(kept) => kept,
            Err(why) => {
                tracing::warn!(file = %self.path.display(), %why, "kept backends not used");
                None
            }
        }
    }

    /// Begins to write.
    fn write(&mut self, backends: &[Found]) {
        let file = File {
            version: VERSION,
            of: self.of.clone(),
            saved: Timestamp::try_from(clock::wall()).unwrap_or_default().to_string(),
            backends: backends.iter().map(Row::of).collect(),
        };
        let path = self.path.clone();
        self.writing = Some(tokio::task::spawn_blocking(move || write(&path, &file)));
    }

    /// Waits until what is being written is, if something is.
    async fn written(&mut self) {
        let Some(writing) = &mut self.writing else { return };
        let result = writing.await.unwrap_or_else(|gone| Err(std::io::Error::other(gone)));
        self.writing = None;
        if let Err(error) = &result
            && !self.is_failing
        {
            tracing::warn!(file = %self.path.display(), %error, "backends not kept");
        }
        self.is_failing = result.is_err();
    }
}

/// Writes what waits when it is due; never ends while nothing waits. May be given up at any time.
pub(super) async fn write_when_due(keeping: Option<&mut Keeping>) {
    let Some(keeping) = keeping else { return std::future::pending().await };
    keeping.written().await;
    let Some(waiting) = &keeping.waiting else { return std::future::pending().await };
    tokio::time::sleep_until(waiting.due.into()).await;
    if let Some(waiting) = keeping.waiting.take() {
        keeping.write(&waiting.backends);
    }
}

fn read(path: &Path, of: &str) -> Result<Option<Kept>, String> {
    let about = match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        about => about.map_err(|error| error.to_string())?,
    };
    if !about.is_file() || about.len() > BYTES_MAX {
        return Err(format!("expected a file of at most {BYTES_MAX} bytes"));
    }
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    let file: File = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    if file.version != VERSION {
        return Err(format!("version {}: expected {VERSION}", file.version));
    }
    if file.of != of {
        return Err(format!("it is of {}: expected {of}", file.of));
    }
    let backends = in_order(file.backends.into_iter().map(Row::found).collect());
    Ok(Some(Kept { saved: file.saved, backends }))
}

/// Replaces the file at `path` as a whole.
fn write(path: &Path, file: &File) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut out = std::fs::File::create(&new)?;
    out.write_all(&serde_json::to_vec(file)?)?;
    out.sync_all()?;
    std::fs::rename(new, path)
}

impl Row {
    fn of(found: &Found) -> Self {
        let pod = found.pod.as_deref().cloned().unwrap_or_default();
        Self {
            address: found.address,
            is_backup: found.is_backup,
            identity: found.identity.as_deref().map(Into::into),
            pod: pod.name,
            node: pod.node,
            zone: pod.zone,
        }
    }

    fn found(self) -> Found {
        let pod = Pod { name: self.pod, node: self.node, zone: self.zone };
        Found {
            is_backup: self.is_backup,
            identity: self.identity.map(Into::into),
            pod: (pod != Pod::default()).then(|| Arc::new(pod)),
            ..Found::at(self.address)
        }
    }
}
