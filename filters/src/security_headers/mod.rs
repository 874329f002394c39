//! Security headers: the fields that make browsers careful, on every answer.
//!
//! They are set on a backend's answers and on our own alike. A field that the backend sends
//! itself is kept unless the set says that it is replaced: an application that has its own
//! content security policy knows better. Values are checked when the config is read. What is
//! in which preset: [`preset`].

pub mod preset;

use crate::lines::{Line, Lines};
use crate::{Asked, Filter, FilterConfig, HeadEdits, ResponseHead};
use http::{HeaderName, HeaderValue, header};
use preset::{FIELDS, Preset};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Name of this kind of filter.
pub const KIND: &str = "security_headers";

/// Security headers: a preset, and what is other than there. A key that is left out is as in the
/// preset, `""` leaves its field out of answers. A field that the backend sent itself is kept,
/// unless it stands in `replace`: there is never a second one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SecurityHeaders {
    /// What it begins from. `"basic"` harms no page that is not meant to be framed: for
    /// applications that nobody here knows. `"strict"` is for pages that load everything from
    /// their own origin, scripts and styles in files; `"api"` for answers that no browser shows.
    /// `"off"`: nothing is added or removed. The manual has a table of what is in them.
    pub preset: Preset,
    /// `Strict-Transport-Security` (RFC 6797). Sent only in answer to what came by HTTPS: over
    /// the listener's `tls`, or as one of its `trusted_proxies` says. In other answers a
    /// backend's own is removed too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "header-value"))]
    pub strict_transport_security: Option<String>,
    /// `Content-Security-Policy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "header-value"))]
    pub content_security_policy: Option<String>,
    /// `X-Frame-Options` (RFC 7034).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "header-value"))]
    pub frame_options: Option<String>,
    /// `X-Content-Type-Options`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "header-value"))]
    pub content_type_options: Option<String>,
    /// `Referrer-Policy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "header-value"))]
    pub referrer_policy: Option<String>,
    /// `Permissions-Policy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "header-value"))]
    pub permissions_policy: Option<String>,
    /// `Cross-Origin-Opener-Policy`: which other windows may hold on to a page's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "header-value"))]
    pub cross_origin_opener_policy: Option<String>,
    /// `Cross-Origin-Embedder-Policy`: what of other origins a page may load.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "header-value"))]
    pub cross_origin_embedder_policy: Option<String>,
    /// `Cross-Origin-Resource-Policy`: which other origins' pages may load an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "header-value"))]
    pub cross_origin_resource_policy: Option<String>,
    /// Fields of the set that take the place of what the backend sends, like
    /// `["content-security-policy"]`. Of the others the backend's own is kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replace: Vec<Field>,
    /// Fields that are removed from answers. Without this key: `server` and `x-powered-by`; with
    /// the preset `"off"` none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove: Option<Vec<RemovedField>>,
}

/// A field of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "their names are those of the fields")]
pub enum Field {
    ContentSecurityPolicy,
    CrossOriginEmbedderPolicy,
    CrossOriginOpenerPolicy,
    CrossOriginResourcePolicy,
    PermissionsPolicy,
    ReferrerPolicy,
    StrictTransportSecurity,
    XContentTypeOptions,
    XFrameOptions,
}

/// The name of a field that is removed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline, extend("format" = "field-name"))]
pub struct RemovedField(pub String);

impl SecurityHeaders {
    /// What `preset` is without anything else.
    #[must_use]
    pub fn of(preset: Preset) -> Self {
        Self { preset, ..Self::default() }
    }

    /// The same with every key said: those that are left out as the preset has them.
    #[must_use]
    pub fn resolved(&self) -> Self {
        let mut set = self.clone();
        for row in &FIELDS {
            (row.key)(&mut set).get_or_insert_with(|| row.value(self.preset).to_owned());
        }
        let removed = || self.preset.removed().iter().map(|name| RemovedField((*name).into()));
        set.remove.get_or_insert_with(|| removed().collect());
        set
    }

    /// What answers get of it; `is_https`: to requests by HTTPS. A value that is no header value
    /// (config refuses those) is left out.
    #[must_use]
    pub fn lines(&self, is_https: bool) -> Lines {
        let mut set = self.resolved();
        let mut lines = Vec::with_capacity(FIELDS.len());
        for row in &FIELDS {
            let value = (row.key)(&mut set).take().unwrap_or_default();
            // RFC 6797 §7.2: never over plain text, where anybody could have written it.
            let is_sent = is_https || row.field != Field::StrictTransportSecurity;
            // The preset's own value is in the program: a copy of it costs nothing.
            let preset = row.value(self.preset);
            let made = match value == preset {
                true => Ok(HeaderValue::from_static(preset)),
                false => HeaderValue::from_str(&value),
            };
            if let (true, false, Ok(value)) = (is_sent, value.is_empty(), made) {
                let replaces = set.replace.contains(&row.field);
                lines.push(Line { name: row.name.clone(), value, replaces });
            }
        }
        let removed = set.remove.into_iter().flatten();
        let mut gone: Vec<_> =
            removed.filter_map(|RemovedField(name)| name.parse::<HeaderName>().ok()).collect();
        if !is_https && (self.preset != Preset::Off || !lines.is_empty()) {
            gone.push(header::STRICT_TRANSPORT_SECURITY);
        }
        Lines::new(lines, gone)
    }
}

/// Builds the filter from its config.
pub(crate) fn build(config: &FilterConfig) -> Option<Arc<dyn Filter>> {
    let FilterConfig::SecurityHeaders(config) = config else { return None };
    Some(Arc::new(SecurityHeadersFilter::new(config)))
}

/// The filter: its fields, ready to be added.
pub struct SecurityHeadersFilter {
    by_https: Arc<Lines>,
    in_plain_text: Arc<Lines>,
}

impl SecurityHeadersFilter {
    /// The filter for `config`.
    #[must_use]
    pub fn new(config: &SecurityHeaders) -> Self {
        let lines = |is_https| Arc::new(config.lines(is_https));
        Self { by_https: lines(true), in_plain_text: lines(false) }
    }
}

impl Filter for SecurityHeadersFilter {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn on_response(&self, asked: Asked<'_>, head: &ResponseHead<'_>, edits: &mut HeadEdits) {
        // Informational answers carry no policy: the final one does.
        if (100..200).contains(&head.status) && head.status != 101 {
            return;
        }
        let lines = if asked.is_https { &self.by_https } else { &self.in_plain_text };
        if !lines.is_empty() {
            edits.add_lines(lines, head.fields);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Edit, FieldSlice};

    /// What becomes of an answer with these fields: those that are removed, and those added.
    fn edited(
        config: &SecurityHeaders,
        is_https: bool,
        status: u16,
        came: &[(&str, &str)],
    ) -> (Vec<String>, Vec<String>) {
        let mut edits = HeadEdits::new();
        let head = ResponseHead { status, fields: &FieldSlice(came) };
        let asked = Asked { is_https, ..Asked::default() };
        SecurityHeadersFilter::new(config).on_response(asked, &head, &mut edits);
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        for edit in &edits {
            match edit {
                Edit::Remove(name) => removed.push(name.to_string()),
                Edit::Line(line) => added.push(line.name.to_string()),
                Edit::Add(..) | Edit::Set(..) | Edit::SetIfAbsent(..) => panic!("{edit:?}"),
            }
        }
        (removed, added)
    }

    const BASIC: [&str; 3] = ["x-frame-options", "x-content-type-options", "referrer-policy"];

    #[test]
    fn every_preset_adds_what_is_in_it() {
        for (preset, count) in
            [(Preset::Api, 6), (Preset::Basic, 4), (Preset::Off, 0), (Preset::Strict, 9)]
        {
            let config = SecurityHeaders::of(preset);
            let (_, added) = edited(&config, true, 404, &[]);
            assert_eq!(added.len(), count, "{preset:?}");
            let is_policy = |name: &&String| **name == "strict-transport-security";
            let (_, in_plain_text) = edited(&config, false, 404, &[]);
            assert_eq!(in_plain_text.len(), count.saturating_sub(1));
            assert_eq!(in_plain_text.iter().filter(is_policy).count(), 0);
        }
    }

    #[test]
    fn a_key_goes_before_the_preset_and_an_empty_value_leaves_the_field_out() {
        let config = SecurityHeaders {
            frame_options: Some(String::new()),
            permissions_policy: Some("usb=()".into()),
            ..SecurityHeaders::default()
        };
        let (_, added) = edited(&config, false, 200, &[]);
        assert_eq!(added, [BASIC[1], BASIC[2], "permissions-policy"]);
        let off = SecurityHeaders { preset: Preset::Off, ..config };
        assert_eq!(edited(&off, false, 200, &[]).1, ["permissions-policy"]);
        assert_eq!(off.resolved().referrer_policy.as_deref(), Some(""));
    }

    #[test]
    fn a_backends_own_field_is_kept_unless_it_is_replaced() {
        let came = [("X-Frame-Options", "SAMEORIGIN")];
        let mut config = SecurityHeaders::default();
        assert_eq!(edited(&config, false, 200, &came), (vec![], strings(&BASIC[1..])));
        config.replace = vec![Field::XFrameOptions];
        let removed = strings(&BASIC[..1]);
        assert_eq!(edited(&config, false, 200, &came), (removed, strings(&BASIC)));
    }

    #[test]
    fn what_tells_of_the_backend_is_removed() {
        let came = [("Server", "a"), ("X-Powered-By", "b"), ("X-Version", "c")];
        let mut config = SecurityHeaders::default();
        let removed = |config: &SecurityHeaders| edited(config, false, 200, &came).0;
        assert_eq!(removed(&config), ["server", "x-powered-by"]);
        config.remove = Some(vec![RemovedField("x-version".into())]);
        assert_eq!(removed(&config), ["x-version"]);
        assert_eq!(removed(&SecurityHeaders::of(Preset::Off)), [""; 0]);
    }

    #[test]
    fn a_backends_word_about_https_does_not_go_over_plain_text() {
        let came = [("strict-transport-security", "max-age=1")];
        let config = SecurityHeaders::default();
        assert_eq!(edited(&config, false, 200, &came).0, ["strict-transport-security"]);
        assert_eq!(edited(&config, true, 200, &came), (vec![], strings(&BASIC)));
        assert!(edited(&SecurityHeaders::of(Preset::Off), false, 200, &came).0.is_empty());
    }

    #[test]
    fn informational_answers_are_left_alone_but_not_upgrades() {
        let config = SecurityHeaders::default();
        assert!(edited(&config, false, 103, &[]).1.is_empty());
        assert!(!edited(&config, false, 101, &[]).1.is_empty());
    }

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }
}
