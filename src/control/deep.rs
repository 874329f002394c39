//! Deep check: what is wrong with the files that a config names, without starting anything.

use super::admin::tokens::TokensFile;
use super::blocklist;
use super::certs::Keeper;
use super::compile::{self, pages, routes, waf};
use super::discovery;
use super::wire;
use crate::config::{Config, FilePath};
use crate::types::clock;

/// What has no effect, or may not be meant, which only the files show: the key, and what there is
/// to say.
#[must_use]
pub fn warnings(config: &Config) -> Vec<(String, String)> {
    waf::warnings(config).into_iter().chain(blocklist::doubts(config)).collect()
}

/// All that is wrong: the key that names the file, and what is wrong with it.
#[must_use]
pub fn problems(config: &Config) -> Vec<(String, String)> {
    let (now, wall) = (clock::now(), clock::wall());
    let listeners = config.listener.iter().filter_map(|(id, l)| Some((id, l.tls.as_ref()?)));
    let of_listeners = listeners.flat_map(|(id, tls)| {
        Keeper::problems(tls, now, wall)
            .into_iter()
            .map(move |problem| (format!("listener.{id}.tls.{}", problem.key), problem.to_string()))
    });
    let of_pools = config.pool.iter().filter_map(|(id, pool)| match wire::compile(id, pool) {
        Ok(_) => None,
        Err(error) => Some((error.key().unwrap_or("pool").to_owned(), error.to_string())),
    });
    let files =
        config.pool.iter().filter_map(|(id, pool)| Some((id, pool.backends_file.as_ref()?)));
    let of_files = files.filter_map(|(id, FilePath(path))| {
        Some((format!("pool.{id}.backends_file"), discovery::file::read(path).err()?))
    });
    let of_kubernetes = compile::kubernetes(config).err().into_iter();
    let of_kubernetes = of_kubernetes
        .map(|error| (error.key().unwrap_or("kubernetes").to_owned(), error.to_string()));
    let answers = config.route.iter().enumerate();
    let of_answers = answers.filter_map(|(index, route)| {
        let error = routes::fixed(route.answer.as_ref()?, index).err()?;
        Some((error.key().unwrap_or("route").to_owned(), error.to_string()))
    });
    let of_pages = pages::problems(config)
        .into_iter()
        .map(|error| (error.key().unwrap_or("page").to_owned(), error.to_string()));
    let of_wafs = waf::problems(config)
        .into_iter()
        .map(|error| (error.key().unwrap_or("waf").to_owned(), error.to_string()));
    let tokens = config.admin.tokens_file.as_ref();
    let of_tokens = tokens.and_then(|FilePath(path)| {
        Some(("admin.tokens_file".to_owned(), TokensFile::open(path).err()?))
    });
    let of_blocklist = blocklist::problems(config);
    of_listeners
        .chain(of_tokens)
        .chain(of_blocklist)
        .chain(of_pools)
        .chain(of_files)
        .chain(of_kubernetes)
        .chain(of_answers)
        .chain(of_pages)
        .chain(of_wafs)
        .collect()
}
