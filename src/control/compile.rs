//! Compile: a config that is known to be right → what the data plane reads.
//!
//! Everything a request could need to look up by name is resolved here once: pools,
//! filters, metrics. Compiling has no effect; publishing is the caller's.

use super::certs::Keeper;
use super::kept::Kept;
use super::pools;
use crate::config::{self, Config, ListenerProtocol, TlsVersion};
use crate::data::chain::Chain;
use crate::data::generation::Generation;
use crate::data::listener::tls::{Terminator, Terms, TermsError};
use crate::data::listener::{self, Listener, Protocols};
use crate::data::route::RouteTable;
use crate::data::snapshot::{Route, RouteMetrics, Snapshot};
use crate::observe::metrics::{MetricError, Metrics, REQUEST_DURATION, REQUESTS};
use crate::types::ids::{FilterId, ListenerId};
use std::sync::Arc;
use std::time::Instant;
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
    #[error("{path}: {why}")]
    File {
        /// The key that names it.
        key: String,
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// TLS of a listener.
    #[error("TLS of a listener")]
    Tls(#[from] TermsError),
    /// A metric.
    #[error("metric of the config")]
    Metric(#[from] MetricError),
}

impl CompileError {
    /// The key that names a file which cannot be used.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        if let Self::File { key, .. } = self { Some(key) } else { None }
    }
}

/// What compiling needs besides the config.
pub struct Means<'a> {
    /// Where handles are resolved.
    pub metrics: &'a Arc<Metrics>,
    /// What outlives a reload.
    pub kept: &'a mut Kept,
    /// When it is.
    pub now: Instant,
}

/// What a config was compiled to.
pub struct Compiled {
    /// What the data plane reads.
    pub snapshot: Snapshot,
    /// What the members of its pools are compiled from.
    pub pools: Vec<pools::Plan>,
}

/// Compiles routes and pools into a snapshot, and what their members come from.
///
/// # Errors
/// When a file that the config names cannot be used, or the config was not checked.
pub fn snapshot(
    config: &Config,
    generation: &Arc<Generation>,
    means: &mut Means<'_>,
) -> Result<Compiled, CompileError> {
    let pools::Compiled { pools, plans } = pools::compile(config, means)?;
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
            metrics: route_metrics(route, means.metrics)?,
            generation: Arc::clone(generation),
        };
        let host = route.matches.host.as_ref().map(config::Host::as_str);
        routes.add(host, route.matches.path.as_str(), Arc::new(compiled));
    }
    let snapshot = Snapshot { routes, default_chain, generation: Arc::clone(generation) };
    Ok(Compiled { snapshot, pools: plans })
}

/// Compiles a listener; `keeper` has its certificates, if it speaks TLS.
///
/// # Errors
/// When TLS cannot be set up, or a metric cannot be made.
pub fn listener(
    id: &ListenerId,
    config: &config::Listener,
    keeper: Option<&Keeper>,
    means: &mut Means<'_>,
) -> Result<Listener, CompileError> {
    let timeouts = &config.timeouts;
    let protocols = Protocols {
        http1: config.speaks(ListenerProtocol::Http1),
        http2: config.speaks(ListenerProtocol::Http2),
    };
    let tls = match (&config.tls, keeper) {
        (Some(tls), Some(keeper)) => {
            let terms = Terms {
                allows_tls12: tls.min_version == TlsVersion::Tls12,
                protocols,
                resolver: Arc::clone(&keeper.resolver),
                tickets: Arc::clone(&keeper.tickets),
                deadline: timeouts.handshake.as_duration(),
            };
            Some(Terminator::new(terms, id.as_str(), means.metrics)?)
        }
        _ => None,
    };
    Ok(Listener {
        id: id.clone(),
        address: config.address.0,
        max_connections: config.max_connections,
        timeouts: listener::Timeouts {
            head: timeouts.head.as_duration(),
            idle: timeouts.idle.as_duration(),
            between_bytes: timeouts.between_bytes.as_duration(),
        },
        protocols,
        tls,
        redirect_to: config.redirect_to_https.then_some(config.https_port),
        trusted_proxies: config.trusted_proxies.iter().map(|network| network.0).collect(),
        http2_streams_max: config.http2.max_streams,
        counts: means.kept.counts(id, means.metrics)?,
    })
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

pub(super) fn dangling(what: &'static str, name: &impl ToString) -> CompileError {
    CompileError::Dangling { what, name: name.to_string() }
}
