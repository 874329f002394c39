//! Fallbacks: chains of steps from the config → what stands behind the pools of a route.

use super::{CompileError, Means, Pools, dangling, pages};
use crate::config::{self, Config, FallbackStep, FilePath, PageSource};
use crate::data::fallback::store::RouteCache;
use crate::data::fallback::{self, Chain, Fallbacks, Step, What};
use crate::data::pool::Pool;
use crate::data::target::Target;
use crate::observe::metrics::FALLBACKS_TAKEN;
use std::sync::Arc;

/// What stands behind the pools of the route, which is at this place and leads to `target`.
///
/// # Errors
/// When a file that it names cannot be used, or the config was not checked.
pub(super) fn compile(
    (index, route): (usize, &config::Route),
    target: &Target,
    config: &Config,
    pools: &Pools,
    means: &mut Means<'_>,
) -> Result<Fallbacks, CompileError> {
    let key = format!("route[{index}]");
    let own: Vec<&Arc<Pool>> = match target {
        Target::Pool(pool) => vec![pool],
        Target::Split(split) => split.pools.iter().map(|(pool, _)| pool).collect(),
        Target::Redirect(_) | Target::Answer(_) => Vec::new(),
    };
    let mut chains = Vec::new();
    for pool in own {
        let of_pool = config.pool.get(&pool.id).map(|pool| &pool.fallback);
        let (steps, key) = match (&route.fallback, of_pool) {
            (Some(steps), _) => (steps, format!("{key}.fallback")),
            (None, Some(steps)) => (steps, format!("pool.{}.fallback", pool.id)),
            (None, None) => continue,
        };
        // The pool that could not serve is not asked again, by whatever chain.
        let others = |step: &FallbackStep| *step != FallbackStep::Pool(pool.id.clone());
        let mut chain = Chain::with_capacity(steps.len());
        for (at, step) in steps.iter().enumerate().filter(|(_, step)| others(step)) {
            let key = format!("{key}[{at}]");
            chain.push(compile_step(step, &key, route, config, pools, means)?);
        }
        if !chain.is_empty() {
            chains.push((pool.id.clone(), Arc::new(chain)));
        }
    }
    let pages = pages::errors(&route.error_pages, &config.page, &format!("{key}.error_pages"))?;
    let has = |is: fn(&What) -> bool| {
        chains.iter().any(|(_, chain)| chain.iter().any(|step| is(&step.what)))
    };
    let cache = has(|what| matches!(what, What::Cached)).then(|| cache(config, means));
    Ok(Fallbacks { cache, pages, chains })
}

fn compile_step(
    step: &FallbackStep,
    key: &str,
    route: &config::Route,
    config: &Config,
    pools: &Pools,
    means: &Means<'_>,
) -> Result<Step, CompileError> {
    let what = match step {
        FallbackStep::Cached => What::Cached,
        FallbackStep::Pool(id) => {
            What::Pool(Arc::clone(pools.get(id).ok_or_else(|| dangling("pool", id))?))
        }
        FallbackStep::Static(source) => What::Page(pages::page(source, &config.page, key)?),
    };
    let name = name(step);
    let kind = name.split(':').next().unwrap_or_default();
    let kind = fallback::by_name(kind).ok_or_else(|| dangling("fallback", &name))?;
    let labels = [route.name.as_str(), name.as_str()];
    let taken = means.metrics.group().handle(&FALLBACKS_TAKEN, labels);
    Ok(Step { kind, what, taken, name: name.into() })
}

/// How `step` is called in log, metric and answer: a file by its name, wherever it is.
fn name(step: &FallbackStep) -> String {
    match step {
        FallbackStep::Static(PageSource::File(FilePath(path))) => {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            format!("static:{file}")
        }
        step => step.to_string(),
    }
}

/// Where good answers are kept.
fn cache(config: &Config, means: &mut Means<'_>) -> RouteCache {
    let cache = &config.fallback_cache;
    RouteCache {
        store: means.kept.fallback_store(cache.size.as_bytes()),
        entry_bytes_max: usize::try_from(cache.entry_size.as_bytes()).unwrap_or(usize::MAX),
        stale_for: cache.stale_for.as_duration(),
    }
}
