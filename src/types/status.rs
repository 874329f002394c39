//! Statuses of answers, in words.

/// The reason phrase of a status we answer with.
#[must_use]
pub fn phrase(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("Error")
}
