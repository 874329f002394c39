//! A request's line in the access log: whether it is written, and how it looks.
//!
//! A [`LogPlan`] is compiled from the config and belongs to the snapshot. What can stand in a
//! line is the table `types::log_field::FIELDS`; `value` says what each field is for a
//! request, and a format (`json`, `text`, `httplog`) how values look. Writing a line
//! allocates nothing: it goes into a buffer that the worker keeps.
//!
//! To add a format: a variant of `types::log_format::LogFormat` and of [`Style`], and its file.

mod capture;
mod dates;
mod escape;
mod httplog;
mod json;
mod redact;
mod sample;
mod text;
mod value;

pub use capture::{Capture, Captured, Captures};
pub use httplog::termination;
pub use json::Names;
pub use redact::{HIDDEN, Redact};
pub use sample::{Rule, Sampling};
pub use text::Piece;

use super::exchange::Exchange;
use super::finish::Traffic;
use super::listener::places::Places;
use crate::observe::access_log::LogRing;
use std::sync::Arc;
use std::time::Instant;
use value::View;

pub(in crate::data) use dates::{asctime, rfc3339};
pub(in crate::data) use escape::json as escape_json;

/// How lines look.
#[derive(Debug)]
pub enum Style {
    /// One JSON object, with these names.
    Json(Names),
    /// As HAProxy writes them.
    HttpLog,
    /// A text with fields in it.
    Text(Vec<Piece>),
}

/// What is written about requests, compiled from the config.
#[derive(Debug, Default)]
pub struct LogPlan {
    /// How lines look; `None`: there are none.
    pub style: Option<Style>,
    /// Header fields that are captured.
    pub capture: Capture,
    /// What is shown as `***`.
    pub redact: Redact,
    /// Which requests have a line.
    pub sampling: Sampling,
    /// Where addresses are, if anything says so.
    pub places: Option<Arc<Places>>,
}

/// Writes the line of `exchange`, which ended at `now`, unless it is to have none.
/// Cost: no allocation; nothing at all for a line that is left out.
pub fn write(exchange: &Exchange, traffic: Traffic, ring: &LogRing, now: Instant) {
    let Some(plan) = exchange.log_plan() else { return };
    let Some(style) = &plan.style else { return };
    let Some(share) = plan.sampling.choose(exchange) else { return };
    let view = View { exchange, plan, traffic, now, share };
    ring.write(|line| match style {
        Style::Json(names) => names.write(&view, line),
        Style::HttpLog => httplog::write(&view, line),
        Style::Text(pieces) => text::write(pieces, &view, line),
    });
}

#[cfg(test)]
mod tests;
