//! `/v1/reload`.

use super::call::{Call, Changed, Reply};
use super::problem::Problem;
use crate::control::report::Verdict;
use crate::control::steer::Wish;
use axum::http::StatusCode;
use serde_json::json;

pub(super) async fn reload(call: Call) -> Result<Reply, Problem> {
    let why = format!("asked to by {}", call.actor.name);
    let before = call.look(|reloader, _| reloader.generation()).await?;
    let report = call.ask(|answer| Wish::Reload(why, answer)).await?;
    let change = Changed {
        before: Some(json!({ "generation": before })),
        after: Some(json!({ "generation": report.generation, "result": report.result })),
        reason: None,
    };
    match report.result {
        Verdict::Applied | Verdict::Unchanged => Ok(Reply::json(report).await?.changed(change)),
        Verdict::Refused => {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            let problem = Problem::new(status, "config_refused", report.message.clone());
            Err(Problem { more: serde_json::to_value(&report).ok().map(Box::new), ..problem })
        }
    }
}
