//! Paths in a config count from its file's folder, wherever the process was started.

use super::{Config, FilePath};
use std::path::Path;

/// Makes every path of `config` count from `folder`.
pub(super) fn resolve(config: &mut Config, folder: &Path) {
    for tls in config.pool.values_mut().filter_map(|pool| pool.tls.as_mut()) {
        let files = [&mut tls.ca_file, &mut tls.certificate_file, &mut tls.key_file];
        for FilePath(path) in files.into_iter().flatten() {
            *path = folder.join(&path);
        }
    }
}
