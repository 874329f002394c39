//! `/v1/log`: the level of the process log, changed for a while.

use super::call::{Call, Changed, Reply};
use super::pools::check_text;
use super::problem::Problem;
use crate::config::LogLevel;
use crate::control::log_level::LevelOverride;
use crate::control::pools::OverrideStatus;
use crate::control::reload::Reloader;
use crate::types::moment::Moment;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// How long another level holds if nothing is said, in seconds.
const SECONDS: u64 = 600;
/// How long another level holds at most: a day. What is to stay belongs in the config.
const SECONDS_MAX: u64 = 86_400;

/// The level of the process log.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct LogStatus {
    /// The level now.
    level: LogLevel,
    /// What the config says.
    configured: LogLevel,
    /// Who changed it, if it was changed.
    #[serde(rename = "override", skip_serializing_if = "Option::is_none")]
    set: Option<OverrideStatus>,
}

/// A change of the level.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LevelChange {
    /// The level.
    level: LogLevel,
    /// For so many seconds: 1 to 86400; 600 if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    for_seconds: Option<u64>,
    /// Who says so; without it, who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

fn status(reloader: &Reloader, now: Moment) -> LogStatus {
    let log = &reloader.log;
    let set = log.set().map(|set| OverrideStatus {
        owner: set.owner.clone(),
        reason: set.reason.clone(),
        seconds_left: Some(set.until.since(now).as_secs()),
    });
    LogStatus { level: log.level(), configured: log.configured(), set }
}

pub(super) async fn show(call: Call) -> Result<Reply, Problem> {
    Reply::json(call.look(status).await?).await
}

pub(super) async fn set(call: Call) -> Result<Reply, Problem> {
    let change: LevelChange = call.body()?;
    let seconds = change.for_seconds.unwrap_or(SECONDS);
    if !(1..=SECONDS_MAX).contains(&seconds) {
        let detail = format!("for_seconds {seconds} is out of range: expected 1 to {SECONDS_MAX}");
        return Err(Problem::invalid(detail));
    }
    check_text("reason", change.reason.as_deref())?;
    check_text("owner", change.owner.as_deref())?;
    let owner = change.owner.unwrap_or_else(|| call.actor.name.clone());
    let (level, reason) = (change.level, change.reason);
    replace(&call, reason.clone(), move |reloader, now| {
        let until = now.after(Duration::from_secs(seconds));
        reloader.log.change(Some(LevelOverride { level, owner, reason, until }));
    })
    .await
}

pub(super) async fn reset(call: Call) -> Result<Reply, Problem> {
    replace(&call, None, |reloader, _| reloader.log.change(None)).await
}

async fn replace(
    call: &Call,
    reason: Option<String>,
    change: impl FnOnce(&mut Reloader, Moment) + Send + 'static,
) -> Result<Reply, Problem> {
    let changed = call.change(|reloader, now| {
        let before = reloader.log.level();
        change(reloader, now);
        (before, status(reloader, now))
    });
    let (before, after) = changed.await?;
    let of = |level: LogLevel| Some(json!({ "level": level }));
    let change = Changed { before: of(before), after: of(after.level), reason };
    Ok(Reply::json(after).await?.changed(change))
}
