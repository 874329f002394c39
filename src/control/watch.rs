//! Watch: tells when files may have changed, however they are replaced.
//!
//! Folders are watched, not files: a file that is renamed over, or reached through a link that
//! is swapped (as Kubernetes does), is another file. What happened is not looked at: whoever
//! waits reads the files and compares. Events are gathered until it is quiet.

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// How long it has to be quiet before it is said that something has changed.
const QUIET: Duration = Duration::from_millis(200);
/// The longest that this is waited for.
const RESTLESS: Duration = Duration::from_secs(1);

/// Watches the folders of some files.
pub struct Watch {
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
    stirred: Arc<Notify>,
}

impl Watch {
    /// A watch over nothing yet. Where the system has none, it stays silent.
    #[must_use]
    pub fn new() -> Self {
        let stirred = Arc::new(Notify::new());
        let told = Arc::clone(&stirred);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is no change of it.
            if event.is_ok_and(|event| !event.kind.is_access()) {
                told.notify_one();
            }
        });
        let watcher =
            watcher.inspect_err(|error| tracing::warn!(%error, "files are not watched")).ok();
        Self { watcher, folders: BTreeSet::new(), stirred }
    }

    /// Watches the folders of `files`, and of what they are links to; no others.
    pub fn over(&mut self, files: &[PathBuf]) {
        let Some(watcher) = &mut self.watcher else { return };
        let wanted: BTreeSet<PathBuf> = files.iter().flat_map(|file| folders_of(file)).collect();
        for gone in self.folders.difference(&wanted) {
            // It may be gone itself.
            drop(watcher.unwatch(gone));
        }
        for new in wanted.difference(&self.folders) {
            if let Err(error) = watcher.watch(new, RecursiveMode::NonRecursive) {
                tracing::warn!(%error, folder = %new.display(), "not watched");
            }
        }
        self.folders = wanted;
    }

    /// Waits until something has changed and it is quiet again.
    pub async fn changed(&self) {
        self.stirred.notified().await;
        let quiet = async {
            loop {
                tokio::select! {
                    () = sleep(QUIET) => return,
                    () = self.stirred.notified() => {}
                }
            }
        };
        // Where it is never quiet, look all the same.
        drop(timeout(RESTLESS, quiet).await);
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}

fn folders_of(file: &Path) -> Vec<PathBuf> {
    let parent = |path: &Path| match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let target = std::fs::canonicalize(file).ok();
    [Some(parent(file)), target.as_deref().map(parent)].into_iter().flatten().collect()
}
