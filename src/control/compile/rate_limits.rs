//! Rate limits, from the config; their buckets outlive reloads.

use super::{CompileError, Means, dangling};
use crate::config::{self, Config, LimitAction, LimitPart, LimitSharing, LimitTell};
use crate::data::rate_limit::adapting::Adapting;
use crate::data::rate_limit::at_once::AtOnceLimit;
use crate::data::rate_limit::part::Part;
use crate::data::rate_limit::shared::{Shared, Sharing, Told};
use crate::data::rate_limit::{Action, Counting, RateLimit, RouteLimits, Said, Store, Tell};
use crate::observe::metrics::{RATE_LIMIT, RATE_LIMIT_SHARED};
use crate::types::hash::stable;
use crate::types::ids::LimitId;
use crate::types::units::{Percent, Period};
use arc_swap::ArcSwap;
use http::HeaderValue;
use std::collections::BTreeMap;
use std::sync::Arc;
use vanne_filters::rate_limit::{Quota, Strain};

/// The limits of a config, compiled.
pub(super) type Limits = BTreeMap<LimitId, Arc<RateLimit>>;

/// Compiles all limits of `config`.
///
/// # Errors
/// When the config was not checked.
pub(super) fn compile(config: &Config, means: &mut Means<'_>) -> Result<Limits, CompileError> {
    let compile = |(id, limit): (&LimitId, &config::RateLimit)| {
        let quota = limit.quota().ok_or_else(|| dangling("a quota of rate_limit", id))?;
        let redis = config.redis.as_ref();
        Ok((id.clone(), Arc::new(one(id, (limit, redis), quota, means)?)))
    };
    let limits: Limits =
        config.rate_limit.iter().map(compile).collect::<Result<_, CompileError>>()?;
    means.kept.limits.compiled(limits.values().cloned());
    Ok(limits)
}

/// Those that `route` names, in its order: and those of them which want to know who sends a
/// request, where the route finds that out.
///
/// # Errors
/// When there is none of a name.
pub(super) fn of_route(
    route: &config::Route,
    limits: &Limits,
    means: &mut Means<'_>,
) -> Result<[RouteLimits; 2], CompileError> {
    let named = |one: &config::RouteLimit| {
        let limit = limits.get(one.name()).ok_or_else(|| dangling("rate_limit", one.name()))?;
        Ok(Counting { limit: Arc::clone(limit), cost: one.cost() })
    };
    let all = route.rate_limits.iter().map(named).collect::<Result<Vec<_>, CompileError>>()?;
    let waits = |parts: &[Part]| {
        route.identity.is_some() && parts.iter().any(|part| matches!(part, Part::User(_)))
    };
    let (later, first): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| waits(&one.limit.parts));
    let at_once = at_once(route, means);
    let (at_once_later, at_once) = match at_once {
        Some(limit) if waits(&limit.parts) => (Some(limit), None),
        limit => (None, limit),
    };
    let first = RouteLimits { rates: first.into(), at_once };
    Ok([first, RouteLimits { rates: later.into(), at_once: at_once_later }])
}

fn one(
    id: &LimitId,
    (config, redis): (&config::RateLimit, Option<&config::Redis>),
    quota: Quota,
    means: &mut Means<'_>,
) -> Result<RateLimit, CompileError> {
    let parts: Box<[Part]> =
        config.key.0.iter().map(|part| compile_part(part, config.ipv6_prefix)).collect();
    let store = store(id, (config, redis), (&parts, quota), means);
    let mut group = means.metrics.group();
    let counts = Said::ALL.map(|said| group.handle(&RATE_LIMIT, [id.as_str(), said.as_str()]));
    // `w` is the time in which a bucket fills, as the draft has it for such limits.
    let window = super::overload::whole_seconds(quota.fill_time());
    let policy = format!("\"{id}\";q={};w={window}", quota.burst());
    Ok(RateLimit {
        id: id.clone(),
        parts,
        quota,
        cost: config.cost,
        method_costs: {
            let costs = config.method_cost.iter();
            costs.map(|(method, cost)| (method.as_str().into(), *cost)).collect()
        },
        cost_header: config.cost_header.as_ref().map(|name| name.as_str().into()),
        adapting: adapting(id, config, means),
        action: match config.action {
            LimitAction::Reject => Action::Reject,
            LimitAction::Shadow => Action::Shadow,
            LimitAction::Delay => {
                Action::Delay(config.max_delay.map(|time| time.as_duration()).unwrap_or_default())
            }
        },
        tell: match config.tell {
            LimitTell::Always => Tell::Always,
            LimitTell::Never => Tell::Never,
            LimitTell::Refused => Tell::Refused,
        },
        policy: HeaderValue::from_str(&policy)
            .map_err(|_never| dangling("a policy of rate_limit", id))?,
        store,
        counts,
    })
}

/// Where its buckets are.
fn store(
    id: &LimitId,
    (config, redis): (&config::RateLimit, Option<&config::Redis>),
    (parts, quota): (&[Part], Quota),
    means: &mut Means<'_>,
) -> Store {
    let sharing = match (redis, config.shared.unwrap_or(LimitSharing::Leased)) {
        (None, _) | (_, LimitSharing::No) => {
            return Store::Own(means.kept.limits.buckets(id, parts, config.max_keys));
        }
        (Some(redis), LimitSharing::Exact) => (redis, Sharing::Exact),
        (Some(redis), LimitSharing::Leased) => (redis, Sharing::Leased),
    };
    let (redis, sharing) = sharing;
    let mut group = means.metrics.group();
    let counts =
        Told::ALL.map(|told| group.handle(&RATE_LIMIT_SHARED, [id.as_str(), told.as_str()]));
    let new = |own, leases, bridge| Shared {
        id: id.clone(),
        quota: ArcSwap::from_pointee(quota),
        own,
        leases,
        bridge,
        counts,
    };
    // The same in all replicas, so that they mean the same by a key.
    let text = format!("{}\0{id}", redis.prefix);
    let secret = [stable(text.as_bytes()), stable(format!("{text}\0").as_bytes())];
    let kept = &mut *means.kept;
    let shared = kept.limits.shared(id, parts, (config.max_keys, secret), &kept.redis, new);
    Store::Shared(shared, sharing)
}

/// What a limit that adapts goes by.
fn adapting(
    id: &LimitId,
    config: &config::RateLimit,
    means: &mut Means<'_>,
) -> Option<Arc<Adapting>> {
    let adaptive = config.adaptive.as_ref()?;
    let permille = |share: Percent| u32::from(share.as_basis_points()) / 10;
    let micros = |time: Period| u64::try_from(time.as_duration().as_micros()).unwrap_or(u64::MAX);
    let strain = Strain {
        latency_us: adaptive.latency.map(micros),
        errors_permille: adaptive.errors.map(permille),
        floor_permille: permille(adaptive.floor).max(1),
    };
    Some(means.kept.limits.adapting(id, strain, means.metrics))
}

/// The limit of requests under way that `route` has.
pub(super) fn at_once(route: &config::Route, means: &mut Means<'_>) -> Option<AtOnceLimit> {
    let config = route.at_once.as_ref()?;
    let parts: Box<[Part]> =
        config.key.0.iter().map(|part| compile_part(part, config.ipv6_prefix)).collect();
    let under_way = means.kept.limits.at_once(&route.name, &parts);
    Some(AtOnceLimit { parts, most: config.max, under_way })
}

fn compile_part(part: &LimitPart, ipv6_prefix: u8) -> Part {
    match part {
        LimitPart::Ip => Part::Address(ipv6_prefix),
        LimitPart::Route => Part::Route,
        LimitPart::User => Part::User(ipv6_prefix),
        LimitPart::Cookie(name) => Part::Cookie(name.as_str().into(), ipv6_prefix),
        LimitPart::Header(name) => Part::Header(name.as_str().into(), ipv6_prefix),
    }
}
