//! Presets: sets of security headers to begin from, and what each field is in them.
//!
//! To add a field: a key in [`SecurityHeaders`], a name in [`Field`], and a row in [`FIELDS`].

use super::{Field, SecurityHeaders};
use http::{HeaderName, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A set to begin from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// For answers that programs read: a browser that shows one loads nothing by it.
    Api,
    /// What harms no page that shows itself only in windows of its own: for applications that
    /// nobody here knows.
    #[default]
    Basic,
    /// Nothing is added or removed.
    Off,
    /// For pages that load everything from their own origin, scripts and styles in files.
    Strict,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Api, Self::Basic, Self::Off, Self::Strict];

    /// The name in the config.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Basic => "basic",
            Self::Off => "off",
            Self::Strict => "strict",
        }
    }

    /// The preset of this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.as_str() == name)
    }

    /// Names of fields that its answers lose.
    #[must_use]
    pub fn removed(self) -> &'static [&'static str] {
        match self {
            Self::Off => &[],
            Self::Api | Self::Basic | Self::Strict => &["server", "x-powered-by"],
        }
    }
}

/// What there is to know of a field.
pub struct FieldRow {
    /// Which one.
    pub field: Field,
    /// Its name in answers.
    pub name: HeaderName,
    /// Its key in the config.
    pub key: fn(&mut SecurityHeaders) -> &mut Option<String>,
    strict: &'static str,
    api: &'static str,
    basic: &'static str,
}

impl FieldRow {
    /// The value that it has in `preset`; empty: it is not sent.
    #[must_use]
    pub fn value(&self, preset: Preset) -> &'static str {
        match preset {
            Preset::Api => self.api,
            Preset::Basic => self.basic,
            Preset::Off => "",
            Preset::Strict => self.strict,
        }
    }
}

/// All fields, in the order in which answers have them.
pub static FIELDS: [FieldRow; 9] = [
    FieldRow {
        field: Field::StrictTransportSecurity,
        name: header::STRICT_TRANSPORT_SECURITY,
        key: |set| &mut set.strict_transport_security,
        strict: "max-age=31536000; includeSubDomains",
        api: "max-age=31536000",
        basic: "max-age=31536000",
    },
    FieldRow {
        field: Field::ContentSecurityPolicy,
        name: header::CONTENT_SECURITY_POLICY,
        key: |set| &mut set.content_security_policy,
        strict: "default-src 'self'; base-uri 'self'; form-action 'self'; \
                 frame-ancestors 'none'; object-src 'none'",
        api: "default-src 'none'; frame-ancestors 'none'",
        basic: "",
    },
    FieldRow {
        field: Field::XFrameOptions,
        name: header::X_FRAME_OPTIONS,
        key: |set| &mut set.frame_options,
        strict: "DENY",
        api: "DENY",
        basic: "DENY",
    },
    FieldRow {
        field: Field::XContentTypeOptions,
        name: header::X_CONTENT_TYPE_OPTIONS,
        key: |set| &mut set.content_type_options,
        strict: "nosniff",
        api: "nosniff",
        basic: "nosniff",
    },
    FieldRow {
        field: Field::ReferrerPolicy,
        name: header::REFERRER_POLICY,
        key: |set| &mut set.referrer_policy,
        // Not `no-referrer`: then browsers say `Origin: null` when a form is sent, even to the
        // page's own origin.
        strict: "same-origin",
        api: "no-referrer",
        basic: "strict-origin-when-cross-origin",
    },
    FieldRow {
        field: Field::PermissionsPolicy,
        name: HeaderName::from_static("permissions-policy"),
        key: |set| &mut set.permissions_policy,
        strict: "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
        api: "",
        basic: "",
    },
    FieldRow {
        field: Field::CrossOriginOpenerPolicy,
        name: HeaderName::from_static("cross-origin-opener-policy"),
        key: |set| &mut set.cross_origin_opener_policy,
        strict: "same-origin",
        api: "",
        basic: "",
    },
    FieldRow {
        field: Field::CrossOriginEmbedderPolicy,
        name: HeaderName::from_static("cross-origin-embedder-policy"),
        key: |set| &mut set.cross_origin_embedder_policy,
        strict: "require-corp",
        api: "",
        basic: "",
    },
    FieldRow {
        field: Field::CrossOriginResourcePolicy,
        name: HeaderName::from_static("cross-origin-resource-policy"),
        key: |set| &mut set.cross_origin_resource_policy,
        strict: "same-origin",
        api: "same-origin",
        basic: "",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_presets_are_those_of_the_config() {
        for preset in Preset::ALL {
            assert_eq!(Preset::by_name(preset.as_str()), Some(preset));
        }
        assert_eq!(Preset::by_name("strictest"), None);
    }

    #[test]
    fn off_is_nothing_and_the_others_have_what_no_answer_does_without() {
        for row in &FIELDS {
            assert_eq!(row.value(Preset::Off), "");
            let is_for_all = matches!(
                row.field,
                Field::StrictTransportSecurity
                    | Field::XFrameOptions
                    | Field::XContentTypeOptions
                    | Field::ReferrerPolicy
            );
            for preset in [Preset::Api, Preset::Basic] {
                assert!(!is_for_all || !row.value(preset).is_empty(), "{} {preset:?}", row.name);
            }
            assert_ne!(row.value(Preset::Strict), "", "{}", row.name);
        }
    }
}
