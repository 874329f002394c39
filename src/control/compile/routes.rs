//! Routes: the config's list of routes → the table that requests look theirs up in.

use super::{
    CompileError, Means, Pools, dangling, edits, fallback, files, filters, identities, log,
    matching, overload, rate_limits, waf,
};
use crate::config::{self, Config, GeoIp, Scheme, SplitBy};
use crate::control::identity::Issuer;
use crate::data::generation::Generation;
use crate::data::mirror::{Mirror, Mirrored};
use crate::data::pool::HashOn;
use crate::data::route::RouteMetrics;
use crate::data::route::RouteTable;
use crate::data::snapshot::{Route, Snapshot};
use crate::data::split::{By, Split, SplitLive};
use crate::data::target::{FixedAnswer, Redirect, RedirectParts, RedirectTo, Target};
use crate::observe::metrics::{MIRRORED, Metrics, SPLIT_SHARE, Watched};
use crate::types::hash::stable;
use crate::types::ids::PoolId;
use http::{HeaderValue, header};
use std::sync::Arc;

/// Compiles the routes of `config`, whose pools are `pools`; and says whose keys they want.
///
/// # Errors
/// When a file that the config names cannot be used, or the config was not checked.
pub(super) fn compile(
    config: &Config,
    pools: &Pools,
    generation: &Arc<Generation>,
    means: &mut Means<'_>,
) -> Result<(Snapshot, Vec<Issuer>), CompileError> {
    let default_chain = filters::chain(None, config)?;
    let is_placed = config.geoip != GeoIp::default();
    let places = is_placed.then(|| Arc::clone(means.kept.blocklist().places()));
    let log = Arc::new(log::compile(&config.access_log, places));
    let overload = config.process.overload.as_ref().map(|overload| {
        Arc::new(overload::limit(overload, "-", means.kept.in_flight(), means.metrics))
    });
    let all_limits = rate_limits::compile(config, means)?;
    let known = identities::compile(config, means)?;
    let own_fields = identities::own_fields(config);
    let issuers = identities::issuers(config, &known)?;
    let mut wafs = waf::Wafs::default();
    let mut routes = RouteTable::default();
    for (index, route) in config.route.iter().enumerate() {
        let target = target(route, index, pools, means)?;
        let [limits, user_limits] = rate_limits::of_route(route, &all_limits, means)?;
        let fallbacks = fallback::compile((index, route), &target, config, pools, means)?;
        let waf = wafs.of_route(route, config, means)?;
        let compiled = Route {
            id: route.name.clone(),
            metrics: RouteMetrics::new(
                means.metrics,
                route.name.as_str(),
                (&target, &fallbacks),
                !route.rate_limits.is_empty() || route.identity.is_some() || waf.is_some(),
            ),
            target,
            fallbacks,
            priority: overload::priority(route.priority),
            overload: overload.clone(),
            limits,
            user_limits,
            gate: identities::gate(route, &known)?,
            own_fields: Arc::clone(&own_fields),
            chain: filters::chain(Some(route), config)?,
            waf,
            edits: edits::compile(route),
            mirror: mirror(route, pools, means.metrics)?,
            total: route.timeouts.total.as_duration(),
            tunnel_idle: route.timeouts.tunnel_idle.as_duration(),
            log: Arc::clone(&log),
            generation: Arc::clone(generation),
        };
        routes.add(matching::compile(&route.matches), Arc::new(compiled));
    }
    let (blocklist, generation) = (means.kept.blocklist(), Arc::clone(generation));
    Ok((Snapshot { routes, default_chain, blocklist, log, generation }, issuers))
}

/// Where the requests of `route`, which is at `index`, go.
fn target(
    route: &config::Route,
    index: usize,
    pools: &Pools,
    means: &mut Means<'_>,
) -> Result<Target, CompileError> {
    if let Some(config) = &route.split {
        return split(route, config, pools, means).map(Target::Split);
    }
    match (&route.pool, &route.redirect, &route.answer) {
        (Some(id), ..) => {
            let pool = pools.get(id).ok_or_else(|| dangling("pool", id))?;
            Ok(Target::Pool(Arc::clone(pool)))
        }
        (None, Some(to), _) => Ok(Target::Redirect(redirect(to))),
        (None, None, Some(answer)) => fixed(answer, index).map(Target::Answer),
        (None, None, None) => Err(dangling("the target of route", &route.name)),
    }
}

/// The pools that share the requests of `route`.
fn split(
    route: &config::Route,
    config: &config::Split,
    pools: &Pools,
    means: &mut Means<'_>,
) -> Result<Split, CompileError> {
    let mut shares = Vec::with_capacity(config.pools.len());
    for id in config.pools.keys() {
        let pool = pools.get(id).ok_or_else(|| dangling("pool", id))?;
        shares.push((Arc::clone(pool), stable(id.as_str().as_bytes())));
    }
    let weights = config.pools.iter().map(|(id, weight)| (id.clone(), (*weight).into()));
    let live = means.kept.split(&route.name, weights.collect());
    let by = match &config.by {
        SplitBy::Request => By::Request,
        SplitBy::Ip => By::Client(HashOn::Address),
        SplitBy::Cookie(name) => By::Cookie(name.as_str().into()),
        SplitBy::Header(name) => By::Client(HashOn::Header(name.as_str().into())),
    };
    let shown = shares.iter().filter_map(|(pool, _)| share(route, &pool.id, &live, means.metrics));
    Ok(Split { shown: shown.collect(), pools: shares, by, live })
}

/// Shows the share of a pool of the route's split.
fn share(
    route: &config::Route,
    pool: &PoolId,
    live: &Arc<SplitLive>,
    metrics: &Metrics,
) -> Option<Watched> {
    let (labels, live, id) =
        ([route.name.as_str(), pool.as_str()], Arc::downgrade(live), pool.clone());
    metrics.watch(&SPLIT_SHARE, labels, move || live.upgrade()?.share(&id))
}

/// Who gets copies of the requests of `route`.
fn mirror(
    route: &config::Route,
    pools: &Pools,
    metrics: &Metrics,
) -> Result<Option<Arc<Mirror>>, CompileError> {
    let Some(config) = &route.mirror else { return Ok(None) };
    let pool = pools.get(&config.pool).ok_or_else(|| dangling("pool", &config.pool))?;
    let labels = |one: Mirrored| [route.name.as_str(), config.pool.as_str(), one.as_str()];
    let mut group = metrics.group();
    Ok(Some(Arc::new(Mirror {
        pool: Arc::clone(pool),
        share_basis_points: config.share.as_basis_points(),
        outcomes: Mirrored::ALL.map(|one| group.handle(&MIRRORED, labels(one))),
        under_way: Arc::default(),
    })))
}

fn redirect(config: &config::Redirect) -> Redirect {
    let parts = || RedirectParts {
        is_https: config.scheme.map(|scheme| scheme == Scheme::Https),
        host: config.host.as_ref().map(|host| host.as_str().into()),
        port: config.port,
        path: config.path.as_ref().map(|path| path.as_str().into()),
    };
    let whole = config.to.as_ref().map(|to| RedirectTo::Whole(to.as_str().into()));
    Redirect {
        status: config.status.into(),
        to: whole.unwrap_or_else(|| RedirectTo::Parts(parts())),
        keeps_query: config.keep_query,
    }
}

/// The answer of the route at `index`, with its body.
///
/// # Errors
/// When the file of its body cannot be read, or is too large.
pub(in crate::control) fn fixed(
    config: &config::FixedAnswer,
    index: usize,
) -> Result<FixedAnswer, CompileError> {
    let body = match &config.body_file {
        None => config.body.clone().unwrap_or_default().into(),
        Some(file) => files::body(file, &format!("route[{index}].answer.body_file"))?,
    };
    let kind = HeaderValue::from_str(&config.content_type).ok().filter(|_| !body.is_empty());
    let mut fields: Vec<_> = kind.map(|kind| (header::CONTENT_TYPE, kind)).into_iter().collect();
    fields.extend(files::fields(&config.headers));
    Ok(FixedAnswer { status: config.status, fields, body })
}
