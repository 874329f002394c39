//! Lookout: files that are read again, all of them, when one has changed.
//!
//! They are looked at twice a second by what the file system says of them, as certificates are.
//! What changes is read when it has been the same for a look, on a thread of its own: a million
//! lines take a while.

use crate::control::compile::CompileError;
use futures::FutureExt;
use std::path::{Path, PathBuf};
use tokio::task::JoinHandle;

/// What the file system says of a file: with another content it is another.
pub(super) type Sign = (PathBuf, Option<(u64, u64, u64, i64, i64)>);

/// Looks after files; `T` is what is read.
pub(super) struct Lookout<T> {
    /// As they were when they were read last, or are being read now.
    read: Vec<Sign>,
    /// As they were at the last look.
    seen: Vec<Sign>,
    reading: Option<JoinHandle<Result<T, CompileError>>>,
}

impl<T> Default for Lookout<T> {
    fn default() -> Self {
        Self { read: Vec::new(), seen: Vec::new(), reading: None }
    }
}

impl<T: Send + 'static> Lookout<T> {
    /// From now on looks after files that have just been read and looked like `signs` before.
    pub(super) fn follow(&mut self, signs: Vec<Sign>) {
        *self = Self { seen: signs.clone(), read: signs, reading: None };
    }

    /// Looks whether files have changed, which look like `signs` now. Gives what came of `read`ing
    /// them, once that is done.
    pub(super) fn look(
        &mut self,
        signs: Vec<Sign>,
        read: impl FnOnce() -> Result<T, CompileError> + Send + 'static,
    ) -> Option<Result<T, CompileError>> {
        if let Some(reading) = &mut self.reading {
            let done = reading.now_or_never()?;
            self.reading = None;
            return done.ok();
        }
        if signs == self.seen && signs != self.read {
            self.read.clone_from(&signs);
            self.reading = Some(tokio::task::spawn_blocking(read));
        }
        self.seen = signs;
        None
    }
}

/// What the file at `path` looks like from outside.
pub(super) fn sign(path: &Path) -> Sign {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::metadata(path).ok();
    let told = found.map(|m| (m.dev(), m.ino(), m.size(), m.ctime(), m.ctime_nsec()));
    (path.to_owned(), told)
}
