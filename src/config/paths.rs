//! Paths in a config count from its file's folder, wherever the process was started.

use super::rule_files;
use super::{Config, ErrorPages, FallbackStep, FilePath, Identity, KeySource, PageSource};
use std::path::{Path, PathBuf};

/// Makes every path of `config` count from `folder`.
pub(super) fn resolve(config: &mut Config, folder: &Path) {
    let admin = &mut config.admin;
    let admin = [&mut admin.socket, &mut admin.tokens_file, &mut admin.audit_file];
    let others = [
        &mut config.probe.metrics_token_file,
        &mut config.process.state_dir,
        &mut config.kubernetes.kubeconfig,
    ];
    let redis = config.redis.iter_mut().flat_map(|redis| {
        redis.address.resolve(folder);
        [&mut redis.ca_file, &mut redis.password_file]
    });
    let places = [&mut config.geoip.country, &mut config.geoip.asn];
    for FilePath(path) in admin.into_iter().chain(others).chain(redis).chain(places).flatten() {
        *path = folder.join(&path);
    }
    for FilePath(path) in &mut config.blocklist.files {
        *path = folder.join(&path);
    }
    for tls in config.listener.values_mut().filter_map(|listener| listener.tls.as_mut()) {
        let files = [&mut tls.default_certificate, &mut tls.client_ca, &mut tls.ticket_keys_file];
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
    for identity in config.identity.values_mut() {
        let Identity { api_keys, basic, client_certificate: _, forward, jwt } = identity;
        let of_jwt = jwt.as_mut().map(|jwt| {
            let jwks = jwt.jwks.as_mut().and_then(KeySource::file_mut);
            [jwks, jwt.secret_file.as_mut(), jwt.ca_file.as_mut()]
        });
        let keys = api_keys.as_mut().map(|keys| &mut keys.file);
        let users = basic.as_mut().map(|basic| &mut basic.file);
        let authorities = forward.as_mut().and_then(|forward| forward.ca_file.as_mut());
        let files = of_jwt.into_iter().flatten().chain([keys, users, authorities]);
        for FilePath(path) in files.flatten() {
            *path = folder.join(&path);
        }
    }
    for FilePath(path) in pages_mut(config) {
        *path = folder.join(&path);
    }
    for waf in config.waf.values_mut() {
        for FilePath(path) in waf.rules.iter_mut().chain(&mut waf.crs) {
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
        .chain(config.redis.iter().flat_map(|redis| [&redis.ca_file, &redis.password_file]))
        .flatten()
        .chain(keys(config))
        .chain(pages(config))
        .map(|FilePath(path)| path.clone())
        .chain(config.waf.values().flat_map(rule_files::all))
        .collect()
}

/// Files that tell who sends a request.
fn keys(config: &Config) -> impl Iterator<Item = &FilePath> {
    config.identity.values().flat_map(|identity| {
        let Identity { api_keys, basic, client_certificate: _, forward, jwt } = identity;
        let keys = api_keys.as_ref().map(|keys| &keys.file);
        let users = basic.as_ref().map(|basic| &basic.file);
        let jwks = jwt.as_ref().and_then(|jwt| jwt.jwks.as_ref());
        let secret = jwt.as_ref().and_then(|jwt| jwt.secret_file.as_ref());
        let authorities = jwt.as_ref().and_then(|jwt| jwt.ca_file.as_ref());
        let of_service = forward.as_ref().and_then(|forward| forward.ca_file.as_ref());
        let all = [keys, users, jwks.and_then(KeySource::file), secret, authorities, of_service];
        all.into_iter().flatten()
    })
}

/// Files of pages, wherever they are named.
fn pages(config: &Config) -> impl Iterator<Item = &FilePath> {
    let of_pages = config.page.values().flat_map(|page| [&page.html_file, &page.json_file]);
    let of_pools = config.pool.values().map(|pool| &pool.fallback);
    let of_routes = config.route.iter().filter_map(|route| route.fallback.as_ref());
    let steps = of_pools.chain(of_routes).flatten();
    let of_listeners = config.listener.values().map(|listener| &listener.error_pages);
    let errors = of_listeners.chain(config.route.iter().map(|route| &route.error_pages));
    let of_steps = steps.filter_map(|step| match step {
        FallbackStep::Static(page) => page.file(),
        FallbackStep::Cached | FallbackStep::Pool(_) => None,
    });
    let of_errors = errors.flat_map(ErrorPages::values).filter_map(PageSource::file);
    of_pages.flatten().chain(of_steps).chain(of_errors)
}

/// The same, to be changed.
fn pages_mut(config: &mut Config) -> Vec<&mut FilePath> {
    let mut files = Vec::new();
    for page in config.page.values_mut() {
        files.extend([&mut page.html_file, &mut page.json_file].into_iter().flatten());
    }
    let mut chains: Vec<&mut Vec<FallbackStep>> = Vec::new();
    chains.extend(config.pool.values_mut().map(|pool| &mut pool.fallback));
    let mut errors: Vec<&mut ErrorPages> = Vec::new();
    errors.extend(config.listener.values_mut().map(|listener| &mut listener.error_pages));
    for route in &mut config.route {
        chains.extend(&mut route.fallback);
        errors.push(&mut route.error_pages);
    }
    files.extend(chains.into_iter().flatten().filter_map(|step| match step {
        FallbackStep::Static(page) => page.file_mut(),
        FallbackStep::Cached | FallbackStep::Pool(_) => None,
    }));
    files.extend(
        errors.into_iter().flat_map(ErrorPages::values_mut).filter_map(PageSource::file_mut),
    );
    files
}
