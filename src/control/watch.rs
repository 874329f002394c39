//! Watch: tells when files may have changed, however they are replaced.
//!
//! Folders are watched, not files: a file that is renamed over, or reached through a link that
//! is swapped (as Kubernetes does), is another file. What happened is not looked at: whoever
//! waits reads the files and compares. Events are gathered until it is quiet.

use crate::types::clock;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::sleep_until;

/// How long it has to be quiet before it is said that something has changed.
const QUIET: Duration = Duration::from_millis(200);
/// The longest that this is waited for.
const RESTLESS: Duration = Duration::from_secs(1);

/// Watches the folders of some files.
pub struct Watch {
    watcher: Option<RecommendedWatcher>,
    /// Each with what it was when its watch began.
    folders: BTreeMap<PathBuf, Option<Identity>>,
    stirred: Arc<Notify>,
    /// Since when something is known to have changed that was not told yet, and since when it is
    /// quiet. Kept here, so that who waits may stop waiting and come back.
    restless: Option<(Instant, Instant)>,
}

/// Device and number: a folder that is made anew is another one.
type Identity = (u64, u64);

impl Watch {
    /// A watch over nothing yet. Where the system has none, it only sees folders change places.
    #[must_use]
    pub fn new() -> Self {
        let stirred = Arc::new(Notify::new());
        let told = Arc::clone(&stirred);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is no change of it. An error may hide one.
            if event.map_or(true, |event| !event.kind.is_access()) {
                told.notify_one();
            }
        });
        let watcher =
            watcher.inspect_err(|error| tracing::warn!(%error, "files are not watched")).ok();
        Self { watcher, folders: BTreeMap::new(), stirred, restless: None }
    }

    /// Watches the folders of `files`, and of what they are links to; no others. To be called now
    /// and then: a folder that is another one than before is itself a change.
    pub fn over(&mut self, files: &[PathBuf]) {
        let folders = files.iter().flat_map(|file| folders_of(file));
        let wanted: BTreeMap<_, _> =
            folders.map(|folder| (folder.clone(), identity(&folder))).collect();
        if wanted == self.folders {
            return;
        }
        let watched = std::mem::replace(&mut self.folders, wanted);
        self.move_from(&watched);
        // What happened before the watch began was not seen.
        self.stirred.notify_one();
    }

    /// Watches what is there now instead of what was `watched`.
    fn move_from(&mut self, watched: &BTreeMap<PathBuf, Option<Identity>>) {
        let Some(watcher) = &mut self.watcher else { return };
        for (folder, identity) in watched {
            if self.folders.get(folder) != Some(identity) {
                // It may be gone itself.
                drop(watcher.unwatch(folder));
            }
        }
        for (folder, identity) in &self.folders {
            if watched.get(folder) == Some(identity) {
                continue;
            }
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                tracing::warn!(%error, folder = %folder.display(), "not watched");
            }
        }
    }

    /// Waits until something has changed and it is quiet again. Who stops waiting misses nothing.
    pub async fn changed(&mut self) {
        loop {
            let Some((since, quiet_since)) = self.restless else {
                self.stirred.notified().await;
                let now = clock::now();
                self.restless = Some((now, now));
                continue;
            };
            // Where it is never quiet, look all the same.
            let due = (quiet_since + QUIET).min(since + RESTLESS);
            tokio::select! {
                biased;
                () = sleep_until(due.into()) => {
                    self.restless = None;
                    return;
                }
                () = self.stirred.notified() => self.restless = Some((since, clock::now())),
            }
        }
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

fn identity(folder: &Path) -> Option<Identity> {
    let found = std::fs::metadata(folder).ok()?;
    Some((found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    const PATIENCE: Duration = Duration::from_secs(5);

    async fn tells(watch: &mut Watch) -> bool {
        timeout(PATIENCE, watch.changed()).await.is_ok()
    }

    #[tokio::test]
    async fn a_change_is_told_to_who_stops_waiting_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        let mut watch = Watch::new();
        watch.over(std::slice::from_ref(&file));
        assert!(tells(&mut watch).await, "the beginning is a change");
        std::fs::write(&file, "1").unwrap();
        let mut is_told = false;
        for _ in 0..20 {
            // Shorter than it has to be quiet.
            is_told |= timeout(QUIET / 4, watch.changed()).await.is_ok();
        }
        assert!(is_told);
    }

    #[tokio::test]
    async fn a_folder_that_is_made_anew_is_watched_again() {
        let folder = tempfile::tempdir().unwrap();
        let (old, file) = (folder.path().join("conf"), folder.path().join("conf/a"));
        std::fs::create_dir(&old).unwrap();
        let files = [file.clone()];
        let mut watch = Watch::new();
        watch.over(&files);
        assert!(tells(&mut watch).await);
        std::fs::rename(&old, folder.path().join("gone")).unwrap();
        std::fs::create_dir(&old).unwrap();
        watch.over(&files);
        assert!(tells(&mut watch).await, "another folder is a change");
        std::fs::write(&file, "1").unwrap();
        assert!(tells(&mut watch).await, "the new folder is not watched");
    }
}
