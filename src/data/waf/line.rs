//! A line of the firewalls' log: one rule that matched, on what, and what became of the request.
//!
//! Values of cookies, of header fields and arguments that carry secrets are shown as `***`, and so
//! is what a rule says of them. All that a client sent is cut and escaped.

use super::secrets::Secrets;
use super::{Verdict, Waf};
use crate::data::exchange::Exchange;
use crate::data::log_line::HIDDEN;
use crate::data::log_line::{escape_json, rfc3339};
use std::io::Write;
use vanne_filters::waf::transaction::{Found, Match, Shown};

/// The longest text of a request in a line.
const TEXT_BYTES_MAX: usize = 256;
/// Tags in a line.
pub(super) const TAGS_MAX: usize = 32;
/// Severities, by number.
const SEVERITIES: [&str; 8] =
    ["emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"];

/// What lines show of matches.
pub(super) fn shown(is_secret: &dyn Fn(&Found<'_>) -> bool) -> Shown<'_> {
    Shown::first(super::LINES_MAX, TEXT_BYTES_MAX, is_secret)
}

/// Appends the line for `found`.
pub(super) fn write(
    exchange: &Exchange,
    waf: &Waf,
    verdict: Verdict,
    found: &Match<'_>,
    secrets: &Secrets<'_>,
    out: &mut Vec<u8>,
) {
    let route = exchange.route().map_or("-", |route| route.id.as_str());
    out.extend_from_slice(b"{\"time\":\"");
    rfc3339(exchange.started_wall, out);
    // Names are plain, and writing into memory does not fail.
    drop(write!(
        out,
        "\",\"request_id\":\"{}\",\"waf\":\"{}\",\"route\":\"{route}\",\"client\":\"{}\",\
         \"verdict\":\"{}\",\"rule\":{},\"phase\":{}",
        exchange.id,
        waf.id,
        exchange.sender(),
        verdict.as_str(),
        found.about.id,
        found.about.phase,
    ));
    if let Some(word) = found.about.severity.and_then(|at| SEVERITIES.get(usize::from(at))) {
        drop(write!(out, ",\"severity\":\"{word}\""));
    }
    let is_secret = secrets.hides(found);
    let shown = |text| if is_secret { HIDDEN } else { text };
    text(out, "message", secrets.shown(found.message));
    text(out, "data", shown(found.data));
    tags(out, found);
    if let Some(first) = found.found().next() {
        variable(out, &first);
        text(out, "value", shown(first.value));
    }
    let (inbound, outbound) = (found.inbound_score, found.outbound_score);
    drop(write!(out, ",\"score\":{inbound},\"outbound_score\":{outbound}}}"));
}

fn text(out: &mut Vec<u8>, name: &str, text: &[u8]) {
    drop(write!(out, ",\"{name}\":\""));
    escape_json(cut(text, TEXT_BYTES_MAX), out);
    out.push(b'"');
}

/// The beginning of `text`.
pub(super) fn cut(text: &[u8], bytes_max: usize) -> &[u8] {
    text.get(..bytes_max).unwrap_or(text)
}

fn tags(out: &mut Vec<u8>, found: &Match<'_>) {
    out.extend_from_slice(b",\"tags\":[");
    for (at, tag) in found.about.tags.iter().take(TAGS_MAX).enumerate() {
        out.extend_from_slice(if at == 0 { b"\"" } else { b",\"" });
        escape_json(cut(tag.as_bytes(), TEXT_BYTES_MAX), out);
        out.push(b'"');
    }
    out.push(b']');
}

/// `ARGS:q`, or `REQUEST_URI`.
fn variable(out: &mut Vec<u8>, found: &Found<'_>) {
    drop(write!(out, ",\"variable\":\"{}", found.variable));
    if !found.name.is_empty() {
        out.push(b':');
        escape_json(cut(found.name, TEXT_BYTES_MAX), out);
    }
    out.push(b'"');
}
