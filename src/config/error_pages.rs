//! `error_pages`: pages instead of Vanne's own one-line answers, by reason or by status.

use super::page::PageSource;
use crate::types::text::{TextValue, text_value};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Pages by what they are shown for.
pub type ErrorPages = BTreeMap<ErrorKey, PageSource>;

/// What a page is shown for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorKey {
    /// Answers of Vanne's own for this reason.
    Reason(&'static str),
    /// Answers of Vanne's own with this status.
    Status(u16),
}

/// Why a text is nothing that a page could be shown for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing that Vanne answers for: expected {}", ErrorKey::ACCEPTED)]
pub struct InvalidErrorKey;

impl FromStr for ErrorKey {
    type Err = InvalidErrorKey;

    fn from_str(text: &str) -> Result<Self, InvalidErrorKey> {
        if let Some(reason) = REASONS.iter().find(|reason| **reason == text) {
            return Ok(Self::Reason(reason));
        }
        let is_number = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        let status = text.parse().ok().filter(|status| is_number && (400..=599).contains(status));
        status.map(Self::Status).ok_or(InvalidErrorKey)
    }
}

impl fmt::Display for ErrorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reason(reason) => f.write_str(reason),
            Self::Status(status) => status.fmt(f),
        }
    }
}

impl TextValue for ErrorKey {
    const FORMAT: &'static str = "error";
    const ACCEPTED: &'static str = "a status from 400 to 599, like \"503\", or a reason, like \
         \"no_route\": the `end` of the access log";
}

text_value!(ErrorKey);

/// Every reason for which Vanne answers itself in words, in alphabetical order: those of
/// `data::refusal`, which has the test, but for what is never answered so.
pub const REASONS: &[&str] = &[
    "api_key_expired",
    "api_key_unknown",
    "backend_closed",
    "backend_malformed",
    "backend_refused",
    "backend_stalled",
    "backends_full",
    "bare_line_end",
    "blank_before_colon",
    "blocked",
    "certificate_expired",
    "certificate_missing",
    "certificate_nameless",
    "circuit_open",
    "client_stalled",
    "coding_in_http10",
    "connect_failed",
    "connect_refused",
    "connect_timeout",
    "control_in_field",
    "dot_segment",
    "drain_deadline",
    "encoded_slash",
    "first_byte_timeout",
    "folded_line",
    "forward_busy",
    "forward_unavailable",
    "framing_trailer",
    "head_timeout",
    "head_too_large",
    "host_mismatch",
    "internal",
    "length_and_coding",
    "malformed_body",
    "malformed_chunk_end",
    "malformed_chunk_extension",
    "malformed_chunk_size",
    "malformed_field",
    "malformed_head",
    "malformed_host",
    "malformed_length",
    "malformed_method",
    "malformed_target",
    "malformed_trailer",
    "method_refused",
    "missing_host",
    "no_backend",
    "no_healthy_backend",
    "no_route",
    "no_weight",
    "overloaded",
    "panic",
    "password_wrong",
    "passwords_busy",
    "protocol_refused",
    "queue_full",
    "queue_timeout",
    "queue_too_long",
    "rate_limited",
    "repeated_slash",
    "scope_missing",
    "several_codings",
    "several_hosts",
    "several_lengths",
    "tls_failed",
    "token_algorithm",
    "token_audience",
    "token_claims",
    "token_expired",
    "token_head",
    "token_issuer",
    "token_key_unknown",
    "token_keys_unavailable",
    "token_malformed",
    "token_missing",
    "token_not_yet",
    "token_repeated",
    "token_signature",
    "token_too_long",
    "too_many_at_once",
    "too_many_connections",
    "too_many_fields",
    "total_timeout",
    "unknown_coding",
    "unknown_version",
    "waf_answer_refused",
    "waf_answer_too_large",
    "waf_body_too_large",
    "waf_over_budget",
    "waf_refused",
    "websocket_unsupported",
    "withdrawn",
];
