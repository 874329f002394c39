//! Asks by HTTP: the status decides, and what the body holds if that is asked.

use super::check::{Check, Request};
use super::connect::{Failure, Stage, Stream};
use super::{AGENT, Asked, BODY_MAX, Passed, http1, http2};
use futures::future::BoxFuture;
use http::header::{CONNECTION, HOST, USER_AGENT};
use http_body_util::Empty;

pub(super) fn ask<'a>(
    check: &'a Check,
    asked: Asked<'a>,
) -> BoxFuture<'a, Result<Passed, Failure>> {
    Box::pin(async move {
        asked.stage.enter("no answer's head");
        let authority = authority(&check.request, &asked);
        match check.is_http2() {
            true => by_http2(check, &authority, asked.stream, asked.stage).await,
            false => by_http1(check, &authority, asked.stream, asked.stage).await,
        }
    })
}

/// The host that is asked for.
pub(super) fn authority(request: &Request, asked: &Asked<'_>) -> String {
    request.host.clone().unwrap_or_else(|| asked.address.to_string())
}

async fn by_http1(
    check: &Check,
    authority: &str,
    stream: Stream,
    stage: &Stage,
) -> Result<Passed, Failure> {
    let request = head(check)
        .uri(&check.request.path)
        .header(HOST, authority)
        .header(CONNECTION, "close")
        .body(Empty::new())
        .map_err(unsendable)?;
    let mut answer = http1::ask(stream, request).await?;
    judge_status(&check.request, answer.status)?;
    if check.request.looks_at_body() {
        stage.enter("in the answer's body");
        let (body, is_whole) = answer.read().await?;
        judge_body(&check.request, &body, is_whole)?;
    }
    Ok(Passed { reason: format!("status {}", answer.status), closing: answer.close() })
}

async fn by_http2(
    check: &Check,
    authority: &str,
    stream: Stream,
    stage: &Stage,
) -> Result<Passed, Failure> {
    let scheme = if check.tls.is_some() { "https" } else { "http" };
    let request = head(check)
        .version(http::Version::HTTP_2)
        .uri(format!("{scheme}://{authority}{}", check.request.path))
        .body(())
        .map_err(unsendable)?;
    let mut answer = http2::ask(stream, request, None).await?;
    judge_status(&check.request, answer.status)?;
    if check.request.looks_at_body() {
        stage.enter("in the answer's body");
        let (body, is_whole) = answer.read().await?;
        judge_body(&check.request, &body, is_whole)?;
    }
    Ok(Passed { reason: format!("status {}", answer.status), closing: answer.close() })
}

/// What both protocols have in common.
fn head(check: &Check) -> http::request::Builder {
    let mut builder = http::Request::builder().method(check.request.method.clone());
    if let Some(headers) = builder.headers_mut() {
        headers.insert(USER_AGENT, AGENT);
        headers.extend(check.request.headers.iter().cloned());
    }
    builder
}

/// The config allows nothing that cannot be sent.
pub(super) fn unsendable(error: http::Error) -> Failure {
    Failure::Own(format!("not checked: no request can be made: {error}"))
}

impl Request {
    fn looks_at_body(&self) -> bool {
        self.body.is_some() || self.body_regex.is_some()
    }
}

fn judge_status(request: &Request, status: u16) -> Result<(), String> {
    match request.status.contains(status) {
        true => Ok(()),
        false => Err(format!("status {status}, expected {}", request.status)),
    }
}

fn judge_body(request: &Request, body: &[u8], is_whole: bool) -> Result<(), String> {
    let part = match is_whole {
        true => "body".to_owned(),
        false => format!("body's first {} KiB", BODY_MAX / 1024),
    };
    if let Some(text) = &request.body
        && memchr::memmem::find(body, text.as_bytes()).is_none()
    {
        return Err(format!("{part} lacks {text:?}"));
    }
    match &request.body_regex {
        Some(regex) if !regex.is_match(body) => Err(format!("{part} does not match {regex}")),
        _ => Ok(()),
    }
}
