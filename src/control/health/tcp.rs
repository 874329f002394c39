//! Asks for a connection: that it opens, with TLS if the check has it, is the pass.

use super::check::Check;
use super::connect::Failure;
use super::{Asked, Passed};
use futures::future::BoxFuture;
use tokio::io::AsyncWriteExt;

pub(super) fn ask<'a>(
    check: &'a Check,
    mut asked: Asked<'a>,
) -> BoxFuture<'a, Result<Passed, Failure>> {
    let reason = match &check.tls {
        Some(_) => "connected, TLS agreed",
        None => "connected",
    };
    let closing = Box::pin(async move { drop(asked.stream.shutdown().await) });
    Box::pin(async move { Ok(Passed { reason: reason.to_owned(), closing }) })
}
