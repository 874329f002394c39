//! Pages: from names and files of the config to bodies.

use super::overload::whole_seconds;
use super::{CompileError, dangling, files};
use crate::config::{self, Config, ErrorKey, FallbackStep, FilePath, PageSource};
use crate::data::page::{ErrorPages, Page};
use crate::types::ids::PageId;
use bytes::Bytes;
use http::{HeaderValue, header};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The pages of a config.
type Named = BTreeMap<PageId, config::Page>;

/// What is wrong with the files of pages, wherever they are named: the first in each place.
pub(in crate::control) fn problems(config: &Config) -> Vec<CompileError> {
    let of_pages = config.page.iter().filter_map(|(id, page)| named(id, page).err());
    let of_listeners = config.listener.iter().filter_map(|(id, listener)| {
        errors(&listener.error_pages, &config.page, &format!("listener.{id}.error_pages")).err()
    });
    let of_pools = config.pool.iter().filter_map(|(id, pool)| {
        steps(&pool.fallback, &config.page, &format!("pool.{id}.fallback"))
    });
    let of_routes = config.route.iter().enumerate().flat_map(|(index, route)| {
        let key = format!("route[{index}]");
        let chain = route.fallback.as_ref();
        let of_chain =
            chain.and_then(|chain| steps(chain, &config.page, &format!("{key}.fallback")));
        let of_errors =
            errors(&route.error_pages, &config.page, &format!("{key}.error_pages")).err();
        of_chain.into_iter().chain(of_errors)
    });
    of_pages.chain(of_listeners).chain(of_pools).chain(of_routes).collect()
}

fn steps(chain: &[FallbackStep], pages: &Named, key: &str) -> Option<CompileError> {
    let mut files = chain.iter().enumerate().filter_map(|(index, step)| match step {
        FallbackStep::Static(source @ PageSource::File(_)) => Some((index, source)),
        _ => None,
    });
    files.find_map(|(index, source)| page(source, pages, &format!("{key}[{index}]")).err())
}

/// The page that `key` names by `source`.
///
/// # Errors
/// When a file that it needs cannot be used, or the config was not checked.
pub(super) fn page(
    source: &PageSource,
    pages: &Named,
    key: &str,
) -> Result<Arc<Page>, CompileError> {
    let page = match source {
        PageSource::Named(id) => named(id, pages.get(id).ok_or_else(|| dangling("page", id))?)?,
        PageSource::File(file) => alone(file, files::body(file, key)?),
    };
    Ok(Arc::new(page))
}

/// The pages of `config`, which is at `key`.
///
/// # Errors
/// When a file that one needs cannot be used, or the config was not checked.
pub(super) fn errors(
    config: &config::ErrorPages,
    pages: &Named,
    key: &str,
) -> Result<ErrorPages, CompileError> {
    let mut compiled = ErrorPages::default();
    for (error, source) in config {
        let page = page(source, pages, &format!("{key}.{error}"))?;
        match error {
            ErrorKey::Reason(reason) => compiled.by_reason.push((reason, page)),
            ErrorKey::Status(status) => compiled.by_status.push((*status, page)),
        }
    }
    Ok(compiled)
}

fn named(id: &PageId, config: &config::Page) -> Result<Page, CompileError> {
    let body = |text: &Option<String>, file: &Option<FilePath>, key: &str| match file {
        Some(file) => files::body(file, &format!("page.{id}.{key}")).map(Some),
        None => Ok(text.clone().map(Bytes::from)),
    };
    let mut fields: Vec<_> = files::fields(&config.headers).collect();
    if !fields.iter().any(|(name, _)| *name == header::CACHE_CONTROL) {
        fields.push((header::CACHE_CONTROL, no_store()));
    }
    let after = config.retry_after.map(|period| whole_seconds(period.as_duration()));
    fields.extend(after.map(|seconds| (header::RETRY_AFTER, seconds.into())));
    Ok(Page {
        status: config.status,
        fields,
        html: body(&config.html, &config.html_file, "html_file")?,
        json: body(&config.json, &config.json_file, "json_file")?,
    })
}

/// A page that is one file.
fn alone(FilePath(path): &FilePath, body: Bytes) -> Page {
    let is_json = path.extension().is_some_and(|extension| extension == "json");
    let fields = vec![(header::CACHE_CONTROL, no_store())];
    match is_json {
        true => Page { fields, json: Some(body), ..Page::default() },
        false => Page { fields, html: Some(body), ..Page::default() },
    }
}

fn no_store() -> HeaderValue {
    HeaderValue::from_static("no-store")
}
