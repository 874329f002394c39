//! Paths in a config count from its file's folder, wherever the process was started.

use super::{Config, FilePath};
use std::path::{Path, PathBuf};

/// Makes every path of `config` count from `folder`.
pub(super) fn resolve(config: &mut Config, folder: &Path) {
    let admin = &mut config.admin;
    let admin = [&mut admin.socket, &mut admin.tokens_file, &mut admin.audit_file];
    for FilePath(path) in admin.into_iter().chain([&mut config.probe.metrics_token_file]).flatten()
    {
        *path = folder.join(&path);
    }
    for tls in config.listener.values_mut().filter_map(|listener| listener.tls.as_mut()) {
        let files = [&mut tls.default_certificate, &mut tls.ticket_keys_file];
        for FilePath(path) in files.into_iter().flatten().chain(&mut tls.certificates) {
            *path = folder.join(&path);
        }
    }
    for FilePath(path) in config.pool.values_mut().filter_map(|pool| pool.backends_file.as_mut()) {
        *path = folder.join(&path);
    }
    for sticky in config.pool.values_mut().filter_map(|pool| pool.sticky.as_mut()) {
        if let Some(FilePath(path)) = &mut sticky.key_file {
            *path = folder.join(&path);
        }
    }
    for tls in config.pool.values_mut().filter_map(|pool| pool.tls.as_mut()) {
        let files = [&mut tls.ca_file, &mut tls.certificate_file, &mut tls.key_file];
        for FilePath(path) in files.into_iter().flatten() {
            *path = folder.join(&path);
        }
    }
    for answer in config.route.iter_mut().filter_map(|route| route.answer.as_mut()) {
        for FilePath(path) in answer.body_file.iter_mut() {
            *path = folder.join(&path);
        }
    }
}

/// The files that are part of `config`. Certificates of listeners are not: they are looked
/// after one by one.
pub(super) fn files(config: &Config) -> Vec<PathBuf> {
    let pools = config.pool.values().filter_map(|pool| pool.tls.as_ref());
    let named = pools.flat_map(|tls| [&tls.ca_file, &tls.certificate_file, &tls.key_file]);
    let sticky = config.pool.values().filter_map(|pool| pool.sticky.as_ref());
    let answers = config.route.iter().filter_map(|route| route.answer.as_ref());
    named
        .chain(sticky.map(|sticky| &sticky.key_file))
        .chain(answers.map(|answer| &answer.body_file))
        .chain([&config.probe.metrics_token_file])
        .flatten()
        .map(|FilePath(path)| path.clone())
        .collect()
}
