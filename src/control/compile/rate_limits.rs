//! Rate limits, from the config; their buckets outlive reloads.

use super::{CompileError, Means, dangling};
use crate::config::{self, Config, LimitAction, LimitPart, LimitTell};
use crate::data::rate_limit::{Action, Part, RateLimit, Said, Tell};
use crate::observe::metrics::RATE_LIMIT;
use crate::types::ids::LimitId;
use http::HeaderValue;
use std::collections::BTreeMap;
use std::sync::Arc;
use vanne_filters::rate_limit::Quota;

/// Limits of a route.
pub(super) type OfRoute = Box<[Arc<RateLimit>]>;

/// The limits of a config, compiled.
pub(super) type Limits = BTreeMap<LimitId, Arc<RateLimit>>;

/// Compiles all limits of `config`.
///
/// # Errors
/// When the config was not checked.
pub(super) fn compile(config: &Config, means: &mut Means<'_>) -> Result<Limits, CompileError> {
    let compile = |(id, limit): (&LimitId, &config::RateLimit)| {
        let quota = limit.quota().ok_or_else(|| dangling("a quota of rate_limit", id))?;
        Ok((id.clone(), Arc::new(one(id, limit, quota, means)?)))
    };
    config.rate_limit.iter().map(compile).collect()
}

/// Those that `route` names, in its order: and those of them which want to know who sends a
/// request, where the route finds that out.
///
/// # Errors
/// When there is none of a name.
pub(super) fn of_route(
    route: &config::Route,
    limits: &Limits,
) -> Result<(OfRoute, OfRoute), CompileError> {
    let named = |id| limits.get(id).cloned().ok_or_else(|| dangling("rate_limit", id));
    let all = route.rate_limits.iter().map(named).collect::<Result<Vec<_>, _>>()?;
    let waits =
        |limit: &Arc<RateLimit>| route.identity.is_some() && limit.parts.contains(&Part::User);
    let (later, first): (Vec<_>, Vec<_>) = all.into_iter().partition(waits);
    Ok((first.into(), later.into()))
}

fn one(
    id: &LimitId,
    config: &config::RateLimit,
    quota: Quota,
    means: &mut Means<'_>,
) -> Result<RateLimit, CompileError> {
    let parts: Box<[Part]> =
        config.key.0.iter().map(|part| compile_part(part, config.ipv6_prefix)).collect();
    let table = means.kept.buckets(id, &parts, config.max_keys);
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
        table,
        counts,
    })
}

fn compile_part(part: &LimitPart, ipv6_prefix: u8) -> Part {
    match part {
        LimitPart::Ip => Part::Address(ipv6_prefix),
        LimitPart::Route => Part::Route,
        LimitPart::User => Part::User,
        LimitPart::Cookie(name) => Part::Cookie(name.as_str().into()),
        LimitPart::Header(name) => Part::Header(name.as_str().into()),
    }
}
