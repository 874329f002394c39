//! `/v1/pools` and what is below it: pools, their backends, and changes of those.

use super::call::{Call, Changed, Reply};
use super::problem::Problem;
use crate::control::pools::{BackendStatus, Change, ChangeError, PoolStatus};
use crate::control::reload::Reloader;
use crate::types::moment::Moment;
use crate::types::text::{SHOWN_BYTES_MAX, can_be_shown};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Which backends are listed.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct BackendsQuery {
    /// Only those in this state: `up`, `out` (all that are not up), `maint`, `drain`,
    /// `unhealthy`, `circuit_open`, `half_open`, `forced_open` or `leaving`.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<StateFilter>,
    /// No more than these: 1 or more.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum StateFilter {
    Up,
    Out,
    Maint,
    Drain,
    Unhealthy,
    #[serde(rename = "circuit_open")]
    CircuitOpen,
    #[serde(rename = "half_open")]
    HalfOpen,
    #[serde(rename = "forced_open")]
    ForcedOpen,
    Leaving,
}

impl StateFilter {
    fn takes(self, state: &str) -> bool {
        match self {
            Self::Up => state == "up",
            Self::Out => state != "up",
            Self::Maint => state == "maint",
            Self::Drain => state == "drain",
            Self::Unhealthy => state == "unhealthy",
            Self::CircuitOpen => state == "circuit_open",
            Self::HalfOpen => state == "half_open",
            Self::ForcedOpen => state == "forced_open",
            Self::Leaving => state == "leaving",
        }
    }
}

pub(super) async fn list(call: Call) -> Result<Reply, Problem> {
    Reply::json(call.look(|reloader, _| reloader.summaries()).await?).await
}

pub(super) async fn show(call: Call) -> Result<Reply, Problem> {
    Reply::json(pool(&call).await?).await
}

pub(super) async fn backends(call: Call) -> Result<Reply, Problem> {
    let BackendsQuery { state, limit } = call.query()?;
    if limit == Some(0) {
        return Err(Problem::invalid("limit 0 is out of range: expected 1 or more"));
    }
    let mut backends = pool(&call).await?.backends;
    backends.retain(|backend| state.is_none_or(|state| state.takes(backend.state)));
    backends.truncate(limit.unwrap_or(usize::MAX));
    Reply::json(backends).await
}

pub(super) async fn backend(call: Call) -> Result<Reply, Problem> {
    let name = call.param("backend").to_owned();
    let of = call.param("pool").to_owned();
    let found = call.look(move |reloader, now| backend_of(reloader, &of, &name, now)).await?;
    Reply::json(found.map_err(|error| refused(&error))?).await
}

pub(super) async fn change(call: Call) -> Result<Reply, Problem> {
    let mut change: Change = call.body()?;
    check_text("reason", change.reason.as_deref())?;
    check_text("owner", change.owner.as_deref())?;
    change.owner.get_or_insert_with(|| call.actor.name.clone());
    let reason = change.reason.clone();
    let (of, name) = (call.param("pool").to_owned(), call.param("backend").to_owned());
    let changed = call.change(move |reloader, now| {
        let before = backend_of(reloader, &of, &name, now)?;
        reloader.pools.change(&of, &name, &change, now)?;
        Ok((before, backend_of(reloader, &of, &name, now)?))
    });
    let (before, after) = changed.await?.map_err(|error: ChangeError| refused(&error))?;
    let change = Changed { before: Some(said(&before)), after: Some(said(&after)), reason };
    Ok(Reply::json(after).await?.changed(change))
}

/// The pool that the path names.
async fn pool(call: &Call) -> Result<PoolStatus, Problem> {
    let name = call.param("pool").to_owned();
    let found = call.look(move |reloader, now| reloader.pools.status_of(&name, now)).await?;
    found.map_err(|error| refused(&error))
}

fn backend_of(
    reloader: &Reloader,
    pool: &str,
    backend: &str,
    now: Moment,
) -> Result<BackendStatus, ChangeError> {
    reloader.pools.find(pool, backend)?;
    let status = reloader.pools.status_of(pool, now)?;
    let found = status.backends.into_iter().find(|one| one.backend == backend);
    // It was found a moment ago, under the same name.
    found.ok_or_else(|| ChangeError::Backend(pool.to_owned(), backend.to_owned(), String::new()))
}

/// What operators say of a backend.
fn said(backend: &BackendStatus) -> Value {
    json!({ "state": backend.state, "weight": backend.weight, "override": backend.set })
}

pub(super) fn refused(error: &ChangeError) -> Problem {
    match error {
        ChangeError::Pool(..) => Problem::not_found("no_such_pool", error.to_string()),
        ChangeError::Backend(..) => Problem::not_found("no_such_backend", error.to_string()),
        ChangeError::Nothing
        | ChangeError::NoTime
        | ChangeError::Weight(_)
        | ChangeError::Seconds(_) => Problem::invalid(error.to_string()),
    }
}

/// Whether a text that is left with a change, if there is one, can be shown to others.
pub(super) fn check_text(key: &str, text: Option<&str>) -> Result<(), Problem> {
    match text.is_none_or(can_be_shown) {
        true => Ok(()),
        false => Err(Problem::invalid(format!(
            "{key} cannot be shown: expected at most {SHOWN_BYTES_MAX} bytes, and no control characters"
        ))),
    }
}
