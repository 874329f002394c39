//! `/v1/waf`.

use super::call::{Call, Reply};
use super::problem::Problem;

pub(super) async fn list(call: Call) -> Result<Reply, Problem> {
    let list = call.look(|reloader, _| reloader.wafs()).await?;
    Reply::json(list).await
}
