//! Compile: a config that is known to be right → what the data plane reads.
//!
//! Everything a request could need to look up by name is resolved here once: pools,
//! filters, metrics. Compiling has no effect; publishing is the caller's.

use super::wire;
use crate::config::{self, Config, ListenerProtocol};
use crate::data::balance;
use crate::data::chain::Chain;
use crate::data::listener::{self, Listener, Protocols};
use crate::data::outcome::Outcome;
use crate::data::pool::{Backend, BackendState, Pool, Timeouts};
use crate::data::route::RouteTable;
use crate::data::snapshot::{Route, RouteMetrics, Snapshot};
use crate::observe::metrics::{
    ATTEMPTS, BACKEND_IN_FLIGHT, CONNECTIONS_ACCEPTED, CONNECTIONS_OPEN, MetricError, Metrics,
    REQUEST_DURATION, REQUESTS,
};
use crate::types::ids::{FilterId, ListenerId, PoolId};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use vanne_filters::{Filter, FilterConfig, SecurityHeaders};

/// Why a config could not be compiled. A checked config gives none of these.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// A name that the config does not define.
    #[error("{what} `{name}` is not defined")]
    Dangling {
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A file that a pool's TLS names.
    #[error("{key}: {path}: {why}")]
    File {
        /// The key that names it.
        key: String,
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// A metric.
    #[error("metric of the config")]
    Metric(#[from] MetricError),
}

/// Compiles routes and pools into the snapshot of `generation`.
///
/// # Errors
/// When the config was not checked.
pub fn snapshot(
    config: &Config,
    metrics: &Metrics,
    generation: u64,
) -> Result<Snapshot, CompileError> {
    let mut pools = BTreeMap::new();
    for (id, pool) in &config.pool {
        pools.insert(id, Arc::new(compile_pool(id, pool, metrics)?));
    }
    let default_chain = chain(None, config)?;
    let mut routes = RouteTable::default();
    for route in &config.route {
        let pool = pools.get(&route.pool).ok_or_else(|| dangling("pool", &route.pool))?;
        let compiled = Route {
            id: route.name.clone(),
            pool: Arc::clone(pool),
            chain: match &route.security_headers {
                None => default_chain.clone(),
                named => chain(named.as_ref(), config)?,
            },
            total: route.timeouts.total.as_duration(),
            tunnel_idle: route.timeouts.tunnel_idle.as_duration(),
            metrics: route_metrics(route, metrics)?,
        };
        let host = route.matches.host.as_ref().map(config::Host::as_str);
        routes.add(host, route.matches.path.as_str(), Arc::new(compiled));
    }
    Ok(Snapshot { routes, default_chain, generation })
}

/// Compiles the listeners.
///
/// # Errors
/// When a metric cannot be made.
pub fn listeners(config: &Config, metrics: &Metrics) -> Result<Vec<Arc<Listener>>, CompileError> {
    config.listener.iter().map(|(id, listener)| compile_listener(id, listener, metrics)).collect()
}

fn compile_listener(
    id: &ListenerId,
    config: &config::Listener,
    metrics: &Metrics,
) -> Result<Arc<Listener>, CompileError> {
    let timeouts = &config.timeouts;
    Ok(Arc::new(Listener {
        id: id.clone(),
        address: config.address.0,
        max_connections: config.max_connections,
        timeouts: listener::Timeouts {
            head: timeouts.head.as_duration(),
            idle: timeouts.idle.as_duration(),
            between_bytes: timeouts.between_bytes.as_duration(),
        },
        protocols: Protocols {
            http1: config.protocols.contains(&ListenerProtocol::Http1),
            http2: config.protocols.contains(&ListenerProtocol::Http2),
        },
        http2_streams_max: config.http2.max_streams,
        open: AtomicUsize::new(0),
        open_gauge: metrics.gauge(&CONNECTIONS_OPEN, &[id.as_str()])?,
        accepted: metrics.counter(&CONNECTIONS_ACCEPTED, &[id.as_str()])?,
    }))
}

fn compile_pool(
    id: &PoolId,
    config: &config::Pool,
    metrics: &Metrics,
) -> Result<Pool, CompileError> {
    let name = config.algorithm.as_str();
    let attempts = |outcome: Outcome| metrics.counter(&ATTEMPTS, &[id.as_str(), outcome.as_str()]);
    let [a, b, c, d, e, f, g, h] = Outcome::ALL.map(attempts);
    Ok(Pool {
        id: id.clone(),
        backends: config
            .backends
            .iter()
            .map(|address| compile_backend(id, address.0, metrics))
            .collect::<Result<_, _>>()?,
        algorithm: balance::by_name(name).ok_or_else(|| dangling("algorithm", &name))?,
        connect_retries: config.connect_retries,
        timeouts: Timeouts {
            connect: config.timeouts.connect.as_duration(),
            first_byte: config.timeouts.first_byte.as_duration(),
            between_bytes: config.timeouts.between_bytes.as_duration(),
            idle: config.timeouts.idle.as_duration(),
        },
        wire: Arc::new(wire::compile(id, config)?),
        turn: Default::default(),
        attempts: [a?, b?, c?, d?, e?, f?, g?, h?],
    })
}

fn compile_backend(
    pool: &PoolId,
    address: SocketAddr,
    metrics: &Metrics,
) -> Result<Arc<Backend>, CompileError> {
    let name = address.to_string();
    let gauge = metrics.gauge(&BACKEND_IN_FLIGHT, &[pool.as_str(), &name])?;
    Ok(Arc::new(Backend { address, name: name.into(), state: Arc::new(BackendState::new(gauge)) }))
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

fn route_metrics(route: &config::Route, metrics: &Metrics) -> Result<RouteMetrics, CompileError> {
    let class =
        |class| metrics.counter(&REQUESTS, &[route.name.as_str(), route.pool.as_str(), class]);
    Ok(RouteMetrics {
        requests: [class("1xx")?, class("2xx")?, class("3xx")?, class("4xx")?, class("5xx")?],
        duration: metrics.histogram(&REQUEST_DURATION, &[route.name.as_str()])?,
    })
}

fn dangling(what: &'static str, name: &impl ToString) -> CompileError {
    CompileError::Dangling { what, name: name.to_string() }
}
