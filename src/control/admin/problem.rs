//! Problems: why something was not done, as `application/problem+json` (RFC 9457).

use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// Why something was not done.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Problem {
    /// The status of the answer.
    pub status: u16,
    /// What the status means.
    pub title: &'static str,
    /// What is wrong, for programs: one of a few words.
    pub reason: &'static str,
    /// What is wrong and what would be accepted, for people.
    pub detail: Box<str>,
    /// After how many seconds it may be tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// The methods that there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Box<str>>,
    /// What else there is to tell: of a reload that was refused, its report.
    #[serde(flatten)]
    pub more: Option<Box<Value>>,
}

impl Problem {
    /// A problem of this status, for this reason.
    #[must_use]
    pub fn new(status: StatusCode, reason: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status: status.as_u16(),
            title: status.canonical_reason().unwrap_or("Refused"),
            reason,
            detail: detail.into().into(),
            retry_after: None,
            allow: None,
            more: None,
        }
    }

    /// What was sent is not what is asked for.
    #[must_use]
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail)
    }

    /// What is asked for is not there.
    #[must_use]
    pub fn not_found(reason: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, reason, detail)
    }

    /// A fault of our own.
    #[must_use]
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }
}
