//! Security headers: the fields that make browsers careful, on every answer.
//!
//! They are set on a backend's answers and on our own refusals alike. A field that
//! the backend sends itself is kept: an application that sets its own content
//! security policy knows better. Values are checked when the config is read.

use crate::{Asked, Filter, FilterConfig, HeadEdits, ResponseHead};
use http::{HeaderName, HeaderValue, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Name of this kind of filter.
pub const KIND: &str = "security_headers";

/// Security headers. Each key holds the value of one field; `""` leaves the field out.
/// A field that the backend sent itself is kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SecurityHeaders {
    /// `Strict-Transport-Security` (RFC 6797). Sent only in answer to what came by HTTPS: over
    /// the listener's `tls`, or as one of its `trusted_proxies` says.
    #[schemars(extend("format" = "header-value"))]
    pub strict_transport_security: String,
    /// `Content-Security-Policy`.
    #[schemars(extend("format" = "header-value"))]
    pub content_security_policy: String,
    /// `X-Frame-Options` (RFC 7034).
    #[schemars(extend("format" = "header-value"))]
    pub frame_options: String,
    /// `X-Content-Type-Options`.
    #[schemars(extend("format" = "header-value"))]
    pub content_type_options: String,
    /// `Referrer-Policy`.
    #[schemars(extend("format" = "header-value"))]
    pub referrer_policy: String,
    /// `Permissions-Policy`.
    #[schemars(extend("format" = "header-value"))]
    pub permissions_policy: String,
}

impl Default for SecurityHeaders {
    fn default() -> Self {
        Self {
            strict_transport_security: String::new(),
            content_security_policy: String::new(),
            frame_options: "DENY".into(),
            content_type_options: "nosniff".into(),
            referrer_policy: "strict-origin-when-cross-origin".into(),
            permissions_policy: String::new(),
        }
    }
}

/// Builds the filter from its config.
pub(crate) fn build(config: &FilterConfig) -> Option<Arc<dyn Filter>> {
    let FilterConfig::SecurityHeaders(config) = config;
    Some(Arc::new(SecurityHeadersFilter::new(config)))
}

/// The filter: its fields, ready to be set.
pub struct SecurityHeadersFilter {
    fields: Vec<(HeaderName, HeaderValue)>,
}

impl SecurityHeadersFilter {
    /// The filter for `config`. A value that is no header value (config refuses those)
    /// is left out.
    #[must_use]
    pub fn new(config: &SecurityHeaders) -> Self {
        let rows = [
            (header::STRICT_TRANSPORT_SECURITY, &config.strict_transport_security),
            (header::CONTENT_SECURITY_POLICY, &config.content_security_policy),
            (header::X_FRAME_OPTIONS, &config.frame_options),
            (header::X_CONTENT_TYPE_OPTIONS, &config.content_type_options),
            (header::REFERRER_POLICY, &config.referrer_policy),
            (HeaderName::from_static("permissions-policy"), &config.permissions_policy),
        ];
        let fields = rows
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .filter_map(|(name, value)| Some((name, HeaderValue::from_str(value).ok()?)))
            .collect();
        Self { fields }
    }
}

impl Filter for SecurityHeadersFilter {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn on_response(&self, asked: Asked, head: &ResponseHead<'_>, edits: &mut HeadEdits) {
        // Informational answers carry no policy: the final one does.
        if (100..200).contains(&head.status) && head.status != 101 {
            return;
        }
        for (name, value) in &self.fields {
            // RFC 6797 §7.2: never over plain text, where anybody could have written it.
            if *name == header::STRICT_TRANSPORT_SECURITY && !asked.is_https {
                continue;
            }
            edits.set_if_absent(name.clone(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::NoFields;

    fn edits_for(config: &SecurityHeaders, status: u16) -> HeadEdits {
        let mut edits = HeadEdits::new();
        let head = ResponseHead { status, fields: &NoFields };
        SecurityHeadersFilter::new(config).on_response(Asked::default(), &head, &mut edits);
        edits
    }

    #[test]
    fn strict_transport_security_is_only_for_https() {
        let value = "max-age=1".to_owned();
        let config = SecurityHeaders { strict_transport_security: value, ..Default::default() };
        let filter = SecurityHeadersFilter::new(&config);
        let head = ResponseHead { status: 200, fields: &NoFields };
        for (is_https, count) in [(false, 3), (true, 4)] {
            let mut edits = HeadEdits::new();
            filter.on_response(Asked { is_https }, &head, &mut edits);
            assert_eq!(edits.iter().count(), count);
        }
    }

    #[test]
    fn the_preset_sets_what_is_safe_everywhere() {
        let edits = edits_for(&SecurityHeaders::default(), 404);
        assert_eq!(edits.iter().count(), 3);
    }

    #[test]
    fn an_empty_value_leaves_the_field_out() {
        let config = SecurityHeaders { frame_options: String::new(), ..Default::default() };
        assert_eq!(edits_for(&config, 200).iter().count(), 2);
    }

    #[test]
    fn informational_answers_are_left_alone_but_not_upgrades() {
        assert!(edits_for(&SecurityHeaders::default(), 103).is_empty());
        assert!(!edits_for(&SecurityHeaders::default(), 101).is_empty());
    }
}
