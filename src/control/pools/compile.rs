//! A pool's rules and members, from its config.

use super::behind::behind;
use super::circuits::Circuits;
use super::gauges::PoolGauges;
use super::members::{Listed, Plan};
use crate::config::{
    self, FilePath, HashSource, RetryOn, SameSiteName, WhenDraining, WhenFull, WhenOpen,
};
use crate::control::compile::{CompileError, Means, dangling, overload};
use crate::control::discovery::{Following, Found, Origin};
use crate::control::health::Check;
use crate::control::wire;
use crate::data::balance;
use crate::data::pool::sticky::{Carrier, Key, SameSite};
use crate::data::pool::{HashOn, Pool, PoolMetrics, QueueRules, Sticky, Timeouts};
use crate::data::upstream::{On, Retries};
use crate::types::ids::PoolId;
use http::HeaderName;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Characters of a key that signs tokens, at least.
const KEY_BYTES_MIN: usize = 32;

/// All pools of `config`, and what their members are compiled from.
///
/// # Errors
/// When a file that one names cannot be used, or the config was not checked.
pub fn compile(config: &config::Config, means: &mut Means<'_>) -> Result<Compiled, CompileError> {
    let mut done = Compiled::default();
    let behind = behind(config);
    for (id, own) in &config.pool {
        let has_fallback = behind.get(id).is_some_and(|has_more| *has_more);
        done.pool(id, own, (config, has_fallback), means)?;
    }
    Ok(done)
}

/// All pools of a config.
#[derive(Default)]
pub struct Compiled {
    /// The pools, for routes to refer to.
    pub pools: BTreeMap<PoolId, Arc<Pool>>,
    /// What their members are compiled from.
    pub plans: Vec<Plan>,
}

impl Compiled {
    /// Adds the pool `id`.
    fn pool(
        &mut self,
        id: &PoolId,
        own: &config::Pool,
        (config, has_fallback): (&config::Config, bool),
        means: &mut Means<'_>,
    ) -> Result<(), CompileError> {
        let plan = plan(id, own, (config, has_fallback), means)?;
        let pool = Arc::new(Pool {
            id: id.clone(),
            live: Arc::clone(&plan.live),
            algorithm: plan.algorithm.name,
            hash_on: hash_on(&own.hash.on),
            retries: retries(&own.retries),
            queue: queue(&own.queue),
            overload: own.overload.as_ref().map(|config| {
                overload::limit(config, id.as_str(), Arc::clone(&plan.live.limited), means.metrics)
            }),
            sticky: sticky(id, own.sticky.as_ref(), means)?,
            timeouts: Timeouts {
                connect: own.timeouts.connect.as_duration(),
                first_byte: own.timeouts.first_byte.as_duration(),
                between_bytes: own.timeouts.between_bytes.as_duration(),
                idle: own.timeouts.idle.as_duration(),
            },
            wire: Arc::new(wire::compile(id, own)?),
            metrics: PoolMetrics::new(means.metrics, id.as_str()),
        });
        self.plans.push(plan);
        self.pools.insert(id.clone(), pool);
        Ok(())
    }
}

fn plan(
    id: &PoolId,
    config: &config::Pool,
    (whole, has_fallback): (&config::Config, bool),
    means: &mut Means<'_>,
) -> Result<Plan, CompileError> {
    let name = config.algorithm.as_str();
    let limit = config.max_requests.unwrap_or(u32::MAX);
    let check = config.health.as_ref().map(|health| Check::compile(id, health, config));
    // Before the pool is there: who is in it from the start does not start slowly.
    let fixed: Vec<Found> = config.backends.iter().cloned().map(Found::from).collect();
    let listed = listed(id, &fixed, limit, means);
    let live = means.kept.live(id);
    Ok(Plan {
        id: id.clone(),
        listed,
        fixed,
        limit,
        origin: Origin {
            backends_file: config.backends_file.as_ref().map(|FilePath(path)| path.clone()),
            dns: config.dns.clone(),
            kubernetes: following(id, config, whole),
        },
        is_required: config.required,
        check: check.transpose()?.map(Arc::new),
        algorithm: balance::by_name(name).ok_or_else(|| dangling("algorithm", &name))?,
        load_max: config.hash.load_max.map(|factor| factor.0),
        slow_start: config.slow_start.map(|period| period.as_duration()),
        panic_below: config.panic_threshold.as_basis_points(),
        gauges: PoolGauges::new(means.metrics, id, &live),
        circuits: Circuits::compile(config, has_fallback),
        outliers: config.outliers.clone(),
        live,
    })
}

/// How the pool `id` follows a Service, if it does.
fn following(id: &PoolId, config: &config::Pool, whole: &config::Config) -> Option<Following> {
    let state_dir = whole.process.state_dir.as_ref();
    Some(Following {
        service: config.kubernetes.clone()?,
        api: whole.kubernetes.clone(),
        kept_at: state_dir.map(|FilePath(folder)| folder.join(format!("kubernetes-{id}.json"))),
        protocol: config.protocol,
        is_tls: config.tls.is_some(),
    })
}

/// The backends of `entries` in the pool `id`, as they are known or new; of two with one
/// address the first.
pub(super) fn listed(
    id: &PoolId,
    entries: &[Found],
    limit: u32,
    means: &mut Means<'_>,
) -> Vec<Listed> {
    let mut seen = HashSet::with_capacity(entries.len());
    let mut listed = Vec::with_capacity(entries.len());
    for entry in entries.iter().filter(|entry| seen.insert(entry.address)) {
        let (backend, gauges) = means.kept.backend(id, entry, means.metrics, means.now);
        listed.push(Listed {
            backend,
            gauges,
            weight: entry.weight.unwrap_or(1).into(),
            overridden: None,
            limit: entry.max_requests.unwrap_or(limit),
            is_backup: entry.is_backup,
            is_leaving: entry.is_leaving,
        });
    }
    listed
}

fn hash_on(source: &HashSource) -> HashOn {
    match source {
        HashSource::Ip => HashOn::Address,
        HashSource::Header(name) => HashOn::Header(name.as_str().into()),
        HashSource::Cookie(name) => HashOn::Cookie(name.as_str().into()),
        HashSource::Query(name) => HashOn::Query(name.as_str().into()),
        HashSource::Path => HashOn::Path,
    }
}

fn sticky(
    id: &PoolId,
    config: Option<&config::Sticky>,
    means: &mut Means<'_>,
) -> Result<Option<Sticky>, CompileError> {
    let Some(config) = config else { return Ok(None) };
    let carrier = match (&config.cookie, &config.header) {
        (Some(name), _) => Carrier::Cookie(
            name.as_str().into(),
            match config.same_site {
                SameSiteName::Lax => SameSite::Lax,
                SameSiteName::None => SameSite::None,
                SameSiteName::Strict => SameSite::Strict,
            },
        ),
        (None, Some(name)) => {
            let parsed = HeaderName::from_bytes(name.as_str().as_bytes());
            Carrier::Header(parsed.map_err(|_invalid| dangling("header", name))?)
        }
        (None, None) => return Ok(None),
    };
    Ok(Some(Sticky {
        carrier,
        ttl: config.ttl.as_duration(),
        keys: sticky_keys(id, config, means)?,
        keeps_draining: config.when_draining == WhenDraining::Stay,
        refuses_full: config.when_full == WhenFull::Refuse,
        refuses_open: config.when_open == WhenOpen::Refuse,
    }))
}

/// The keys in the file that the pool names, or the process' own.
fn sticky_keys(
    id: &PoolId,
    config: &config::Sticky,
    means: &mut Means<'_>,
) -> Result<Vec<Key>, CompileError> {
    let Some(FilePath(path)) = &config.key_file else {
        let key = means.kept.sticky_key().map_err(|_unspecified| CompileError::Random)?;
        return Ok(vec![Key::new(&key)]);
    };
    let wrong = |why: String| CompileError::File {
        key: format!("pool.{id}.sticky.key_file"),
        path: path.display().to_string(),
        why,
    };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() || lines.iter().any(|line| line.len() < KEY_BYTES_MIN) {
        let why = format!("expected keys of at least {KEY_BYTES_MIN} characters, one a line");
        return Err(wrong(why));
    }
    Ok(lines.into_iter().map(|line| Key::new(line.as_bytes())).collect())
}

fn retries(config: &config::PoolRetries) -> Retries {
    let on = |on: &RetryOn| match on {
        RetryOn::Reset => On::Reset,
        RetryOn::Timeout => On::Timeout,
        RetryOn::Status429 => On::Status(429),
        RetryOn::Status500 => On::Status(500),
        RetryOn::Status502 => On::Status(502),
        RetryOn::Status503 => On::Status(503),
        RetryOn::Status504 => On::Status(504),
    };
    Retries {
        attempts: config.attempts,
        on: config.on.iter().map(on).collect(),
        // The budget counts in thousandths.
        budget: config.budget.as_basis_points() / 10,
        floor: config.budget_floor,
        backoff: config.backoff.as_duration(),
        backoff_max: config.backoff_max.as_duration(),
        body_max: usize::try_from(config.body_max.as_bytes()).unwrap_or(usize::MAX),
    }
}

fn queue(config: &config::PoolQueue) -> Option<QueueRules> {
    let size = usize::try_from(config.size).unwrap_or(usize::MAX);
    (size > 0).then(|| QueueRules { size, timeout: config.timeout.as_duration() })
}
