//! `/v1/routes`: what the routes say, in the order in which they are matched; secrets as ***.

use super::call::{Call, Reply};
use super::problem::Problem;
use crate::config::{self, Config, FilePath, RouteMatch};
use crate::control::compile;
use crate::types::ids::{FilterId, PoolId};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// A route.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct RouteStatus {
    /// Its name.
    route: String,
    /// Its place in the config, from 0.
    index: usize,
    /// Which requests it takes.
    #[serde(rename = "match")]
    matches: RouteMatch,
    /// What becomes of them.
    target: TargetStatus,
    /// What is changed in heads.
    #[serde(skip_serializing_if = "is_default")]
    headers: config::RouteHeaders,
    /// What the backend is asked for instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    rewrite: Option<config::Rewrite>,
    /// Who gets copies.
    #[serde(skip_serializing_if = "Option::is_none")]
    mirror: Option<config::RouteMirror>,
    /// The set of security headers, if it is not the default one.
    #[serde(skip_serializing_if = "Option::is_none")]
    security_headers: Option<config::RouteSecurityHeaders>,
    /// The set of rules about pages of other origins.
    #[serde(skip_serializing_if = "Option::is_none")]
    cors: Option<FilterId>,
    /// What cookies of its backends get.
    #[serde(skip_serializing_if = "Option::is_none")]
    cookies: Option<config::Cookies>,
    /// Time limits.
    timeouts: config::RouteTimeouts,
}

/// What becomes of requests.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum TargetStatus {
    /// They go to this pool.
    Pool(PoolId),
    /// They go to several pools.
    Split(SplitStatus),
    /// They are sent elsewhere.
    Redirect(config::Redirect),
    /// They are answered.
    Answer(AnswerStatus),
}

/// The pools that share a route's requests.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct SplitStatus {
    /// What is shared.
    by: config::SplitBy,
    /// The pools.
    pools: BTreeMap<PoolId, Share>,
}

/// What a pool gets.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct Share {
    /// Its weight.
    weight: u16,
    /// The share of the requests, in per cent.
    percent: f64,
}

/// A fixed answer.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct AnswerStatus {
    /// Its status.
    status: u16,
    /// The size of its body, if it stands in the config.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_bytes: Option<usize>,
    /// The file of its body, if it stands there.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_file: Option<String>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

pub(super) async fn list(call: Call) -> Result<Reply, Problem> {
    let routes = call.look(|reloader, _| all(&reloader.config)).await?;
    let shown = serde_json::to_value(routes);
    let mut shown = shown.map_err(|error| Problem::internal(error.to_string()))?;
    config::hide(&mut shown);
    Reply::json(shown).await
}

/// All routes of `config`, in the order in which they are matched.
fn all(config: &Config) -> Vec<RouteStatus> {
    let mut routes: Vec<_> = config
        .route
        .iter()
        .enumerate()
        .map(|(index, route)| (compile::rank(&route.matches), status(index, route)))
        .collect();
    // Routes of one rank stay in the order of the config.
    routes.sort_by(|a, b| a.0.cmp(&b.0));
    routes.into_iter().map(|(_, status)| status).collect()
}

fn status(index: usize, route: &config::Route) -> RouteStatus {
    RouteStatus {
        route: route.name.to_string(),
        index,
        matches: route.matches.clone(),
        target: target(route),
        headers: route.headers.clone(),
        rewrite: route.rewrite.clone(),
        mirror: route.mirror.clone(),
        security_headers: route.security_headers.clone(),
        cors: route.cors.clone(),
        cookies: route.cookies.clone(),
        timeouts: route.timeouts.clone(),
    }
}

fn target(route: &config::Route) -> TargetStatus {
    if let Some(pool) = &route.pool {
        return TargetStatus::Pool(pool.clone());
    }
    if let Some(split) = &route.split {
        return TargetStatus::Split(shares(split));
    }
    if let Some(redirect) = &route.redirect {
        return TargetStatus::Redirect(redirect.clone());
    }
    let answer = route.answer.as_ref();
    let file = answer.and_then(|answer| answer.body_file.as_ref());
    TargetStatus::Answer(AnswerStatus {
        status: answer.map_or(0, |answer| answer.status),
        body_bytes: answer.and_then(|answer| Some(answer.body.as_ref()?.len())),
        body_file: file.map(|FilePath(path)| path.display().to_string()),
    })
}

fn shares(split: &config::Split) -> SplitStatus {
    let sum: u32 = split.pools.values().map(|weight| u32::from(*weight)).sum();
    let share = |(pool, weight): (&PoolId, &u16)| {
        let percent = f64::from(*weight) * 100.0 / f64::from(sum.max(1));
        (pool.clone(), Share { weight: *weight, percent: (percent * 100.0).round() / 100.0 })
    };
    SplitStatus { by: split.by.clone(), pools: split.pools.iter().map(share).collect() }
}
