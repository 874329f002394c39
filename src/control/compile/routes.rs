//! Routes: the config's list of routes → the table that requests look theirs up in.

use super::{CompileError, Means, Pools, dangling, matching};
use crate::config::{self, Config};
use crate::data::chain::Chain;
use crate::data::generation::Generation;
use crate::data::route::RouteTable;
use crate::data::snapshot::{Route, RouteMetrics, Snapshot, Target};
use crate::observe::metrics::{Metrics, REQUEST_DURATION, REQUESTS};
use crate::types::ids::FilterId;
use std::sync::Arc;
use vanne_filters::{Filter, FilterConfig, SecurityHeaders};

/// Compiles the routes of `config`, whose pools are `pools`.
///
/// # Errors
/// When the config was not checked.
pub(super) fn compile(
    config: &Config,
    pools: &Pools,
    generation: &Arc<Generation>,
    means: &Means<'_>,
) -> Result<Snapshot, CompileError> {
    let default_chain = chain(None, config)?;
    let mut routes = RouteTable::default();
    for route in &config.route {
        let pool = pools.get(&route.pool).ok_or_else(|| dangling("pool", &route.pool))?;
        let compiled = Route {
            id: route.name.clone(),
            target: Target::Pool(Arc::clone(pool)),
            chain: match &route.security_headers {
                None => default_chain.clone(),
                named => chain(named.as_ref(), config)?,
            },
            total: route.timeouts.total.as_duration(),
            tunnel_idle: route.timeouts.tunnel_idle.as_duration(),
            metrics: route_metrics(route, means.metrics)?,
            generation: Arc::clone(generation),
        };
        routes.add(matching::compile(&route.matches), Arc::new(compiled));
    }
    Ok(Snapshot { routes, default_chain, generation: Arc::clone(generation) })
}

/// The filters of a route that names `security_headers`, or the preset.
fn chain(named: Option<&FilterId>, config: &Config) -> Result<Chain, CompileError> {
    let headers = match named {
        None => SecurityHeaders::default(),
        Some(name) => config
            .security_headers
            .get(name)
            .cloned()
            .ok_or_else(|| dangling("security_headers", name))?,
    };
    let filters: Vec<Arc<dyn Filter>> =
        vanne_filters::build(&FilterConfig::SecurityHeaders(headers)).into_iter().collect();
    Ok(Chain::new(filters))
}

fn route_metrics(
    route: &config::Route,
    metrics: &Arc<Metrics>,
) -> Result<RouteMetrics, CompileError> {
    let labels = |class| [route.name.as_str(), route.pool.as_str(), class];
    let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"];
    let [a, b, c, d, e] = classes.map(|class| metrics.counter(&REQUESTS, &labels(class)));
    let duration = [route.name.as_str()];
    let mut held: Vec<_> =
        classes.iter().map(|&class| metrics.hold(&REQUESTS, &labels(class))).collect();
    held.push(metrics.hold(&REQUEST_DURATION, &duration));
    Ok(RouteMetrics {
        requests: [a?, b?, c?, d?, e?],
        duration: metrics.histogram(&REQUEST_DURATION, &duration)?,
        held,
    })
}
