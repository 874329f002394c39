//! `/v1/certificates`.

use super::call::{Call, Reply};
use super::problem::Problem;
use crate::types::clock;

pub(super) async fn list(call: Call) -> Result<Reply, Problem> {
    let wall = clock::wall();
    let list = call.look(move |reloader, _| reloader.listeners.certificates(wall)).await?;
    Reply::json(list).await
}
