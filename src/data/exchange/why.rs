//! Why a request got the answer that it got, for the log and for clients that may know.
//!
//! Clients in the networks of a listener's `explain_to` that send a field `vanne-why` get one
//! with the answer: a dictionary of structured fields (RFC 9651 §3.2).

use super::Exchange;
use crate::data::listener::client::is_trusted;
use crate::data::outcome::Outcome;
use crate::data::refusal::Refusal;
use crate::data::upstream::AttemptRecord;
use http::HeaderName;
use std::sync::Arc;
use std::time::Instant;
use vanne_filters::{HeadEdits, RequestHead};

/// The field that asks, and the one that answers.
const WHY: HeaderName = HeaderName::from_static("vanne-why");

impl Exchange {
    /// Notes whether the client is to be told why it gets its answer. What it asked by is not
    /// passed on.
    pub(super) fn note_curiosity(&mut self, head: &RequestHead<'_>) {
        let networks = &self.listener.explain_to;
        if networks.is_empty() || head.fields.first(WHY.as_str()).is_none() {
            return;
        }
        self.explains = is_trusted(self.sender(), networks);
        if self.explains {
            self.request_edits.remove(WHY);
        }
    }

    /// Tells the client why, if it is to be told.
    pub(super) fn explain(&self, edits: &mut HeadEdits, now: Instant) {
        if !self.explains {
            return;
        }
        edits.set_written(WHY, |value| value.push(self.why(now).as_bytes()));
    }

    /// Backends of the pool that could not take the request when its last attempt began, each
    /// with the reason.
    #[must_use]
    pub fn left_out(&self) -> Option<&Arc<str>> {
        self.left_out.as_ref()
    }

    /// What there is to tell, as a dictionary of structured fields.
    fn why(&self, now: Instant) -> String {
        let mut out = String::with_capacity(256);
        let mut member = |name: &str, value: &str| {
            let comma = if out.is_empty() { "" } else { ", " };
            [comma, name, "=", value].into_iter().for_each(|part| out.push_str(part));
        };
        if let Some(route) = &self.route {
            member("route", &quoted(route.id.as_str()));
            let names = route.chain.names().unwrap_or_default();
            let filters: Vec<_> = names.split_whitespace().map(quoted).collect();
            member("filters", &format!("({})", filters.join(" ")));
        }
        if let Some(pool) = &self.pool {
            member("pool", &quoted(pool.id.as_str()));
        }
        if !self.attempts.is_empty() {
            let attempts: Vec<_> =
                self.attempts.iter().map(|one| self.attempt_in_words(one, now)).collect();
            member("attempts", &format!("({})", attempts.join(" ")));
        }
        if let Some(left_out) = &self.left_out {
            member("left-out", &quoted(left_out));
        }
        if let Some(taken) = self.fallback() {
            member("fallback", &quoted(taken));
        }
        member("end", &quoted(self.refusal.map_or("ok", Refusal::reason)));
        out
    }

    /// An attempt: the backend, with who chose it, how it ended and after how long. The last one
    /// may still be sending its answer's body.
    fn attempt_in_words(&self, record: &AttemptRecord, now: Instant) -> String {
        let outcome = record.outcome.or(self.status.map(Outcome::of_status));
        let outcome = outcome.map_or("unfinished", Outcome::as_str);
        let until = record.first_byte.or(record.ended).unwrap_or(now);
        let millis = until.duration_since(record.began).as_secs_f64() * 1000.0;
        let reason = record.refusal.map(|why| format!(";reason={}", quoted(why.reason())));
        format!(
            "{};by={};outcome={};ms={millis:.3}{}",
            quoted(&record.backend().name),
            quoted(record.by),
            quoted(outcome),
            reason.unwrap_or_default()
        )
    }
}

/// A string of structured fields (RFC 9651 §3.3.3). What has no place in one is left out.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for char in text.chars().filter(|char| matches!(char, ' '..='~')) {
        if matches!(char, '"' | '\\') {
            out.push('\\');
        }
        out.push(char);
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_quoted_as_structured_fields_are() {
        assert_eq!(quoted("a \"b\" \\ c\r\nd é"), r#""a \"b\" \\ cd ""#);
    }
}
