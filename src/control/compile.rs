//! Compile: a config that is known to be right → what the data plane reads.
//!
//! Everything a request could need to look up by name is resolved here once: pools,
//! filters, metrics. Compiling has no effect; publishing is the caller's.

mod edits;
mod fallback;
mod files;
mod filters;
mod forward;
mod identities;
mod log;
mod matching;
pub(super) mod overload;
pub(super) mod pages;
mod rate_limits;
pub(super) mod routes;
pub(super) mod waf;

use super::certs::Keeper;
use super::identity::Issuer;
use super::kept::Kept;
use super::pools;
use crate::config::{self, Config, ListenerProtocol, TlsVersion};
use crate::data::generation::Generation;
use crate::data::listener::path_policy::{DotSegments, PathPolicy, RepeatedSlashes};
use crate::data::listener::tls::{Terminator, Terms};
use crate::data::listener::{self, ConnectionRate, Listener, Protocols};
use crate::data::pool::Pool;
use crate::data::route::Rank;
use crate::data::snapshot::Snapshot;
use crate::observe::metrics::Metrics;
use crate::types::ids::{ListenerId, PageId, PoolId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// Where a route with this match stands among others.
pub(super) fn rank(matches: &config::RouteMatch) -> Rank {
    matching::compile(matches).rank()
}

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
    /// A file that the config names.
    #[error("{path}: {why}")]
    File {
        /// The key that names it.
        key: String,
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// What the config says cannot be used here.
    #[error("{why}")]
    Unusable {
        /// The key that says it.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// No random bytes.
    #[error("the system gives no random bytes")]
    Random,
    /// TLS of a listener.
    #[error("TLS of a listener")]
    Tls(#[from] rustls::Error),
}

impl CompileError {
    /// The key that names a file which cannot be used.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::File { key, .. } | Self::Unusable { key, .. } => Some(key),
            _ => None,
        }
    }
}

/// The pools of a config, compiled.
type Pools = BTreeMap<PoolId, Arc<Pool>>;

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
    /// Whose keys are to be fetched.
    pub issuers: Vec<Issuer>,
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
    kubernetes(config)?;
    means.kept.begin();
    let pools::Compiled { pools, plans } = pools::compile(config, means)?;
    let (snapshot, issuers) = routes::compile(config, &pools, generation, means)?;
    Ok(Compiled { snapshot, pools: plans, issuers })
}

/// Looks whether there is a way to the API server of Kubernetes, if some pool needs one.
///
/// # Errors
/// When there is none; nobody has asked it yet.
#[cfg(feature = "kubernetes")]
pub(super) fn kubernetes(config: &Config) -> Result<(), CompileError> {
    if config.pool.values().all(|pool| pool.kubernetes.is_none()) {
        return Ok(());
    }
    let wrong = |(key, why): (&str, _)| CompileError::Unusable { key: key.to_owned(), why };
    super::discovery::kubernetes::usable(&config.kubernetes).map_err(wrong)
}

/// Nothing to look at: a checked config names no Service.
#[cfg(not(feature = "kubernetes"))]
pub(super) fn kubernetes(_: &Config) -> Result<(), CompileError> {
    Ok(())
}

/// Compiles a listener, which may show some of `pages`; `keeper` has its certificates, if it speaks TLS.
///
/// # Errors
/// When TLS cannot be set up, or a file that it names cannot be used.
pub fn listener(
    id: &ListenerId,
    config: &config::Listener,
    pages: &BTreeMap<PageId, config::Page>,
    keeper: Option<&Keeper>,
    means: &mut Means<'_>,
) -> Result<Listener, CompileError> {
    let error_pages =
        pages::errors(&config.error_pages, pages, &format!("listener.{id}.error_pages"))?;
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
                clients: keeper.clients.clone(),
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
        connection_rate: match &config.connection_rate {
            None => None,
            Some(rate) => Some(ConnectionRate {
                quota: rate.quota().ok_or_else(|| dangling("connection_rate of listener", id))?,
                ipv6_prefix: rate.ipv6_prefix,
                table: means.kept.limits.connections(id),
            }),
        },
        timeouts: listener::Timeouts {
            head: timeouts.head.as_duration(),
            idle: timeouts.idle.as_duration(),
            between_bytes: timeouts.between_bytes.as_duration(),
        },
        protocols,
        tls,
        redirect_to: config.redirect_to_https.then_some(config.https_port),
        paths: paths(config.paths),
        trusted_proxies: config.trusted_proxies.iter().map(|network| network.0).collect(),
        error_pages,
        explain_to: config.explain_to.iter().map(|network| network.0).collect(),
        http2_streams_max: config.http2.max_streams,
        counts: means.kept.counts(id, means.metrics),
    })
}

fn paths(config: config::ListenerPaths) -> PathPolicy {
    PathPolicy {
        dot_segments: match config.dot_segments {
            config::DotSegments::Pass => DotSegments::Pass,
            config::DotSegments::Normalise => DotSegments::Normalise,
            config::DotSegments::Reject => DotSegments::Reject,
        },
        repeated_slashes: match config.repeated_slashes {
            config::RepeatedSlashes::Pass => RepeatedSlashes::Pass,
            config::RepeatedSlashes::Merge => RepeatedSlashes::Merge,
            config::RepeatedSlashes::Reject => RepeatedSlashes::Reject,
        },
        refuses_encoded_slashes: config.encoded_slashes == config::EncodedSlashes::Reject,
        encodes_unsafe: config.unsafe_characters == config::UnsafeCharacters::Encode,
    }
}

pub(super) fn dangling(what: &'static str, name: &impl ToString) -> CompileError {
    CompileError::Dangling { what, name: name.to_string() }
}
