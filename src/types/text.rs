//! Text values: types that are written as one string in config.
//!
//! Each parses from text and says what it accepts; serde and the JSON Schema follow from
//! that, so that the config check, the reference and the type cannot disagree. To add
//! one: `FromStr`, `Display`, [`TextValue`], `text_value!`, and a row in
//! `config::formats::FORMATS`.

use std::fmt::Display;
use std::str::FromStr;

/// The longest text of somebody's that is shown to others.
pub const SHOWN_BYTES_MAX: usize = 256;

/// Whether a text that somebody left with a change can be shown to others.
#[must_use]
pub fn can_be_shown(text: &str) -> bool {
    text.len() <= SHOWN_BYTES_MAX && !text.contains(char::is_control)
}

/// A value that is written as one string.
pub trait TextValue: FromStr<Err: Display> + Display {
    /// Name of its format in the JSON Schema.
    const FORMAT: &'static str;
    /// What is accepted, for error messages: completes "expected …".
    const ACCEPTED: &'static str;
}

/// Gives a [`TextValue`] its serde and JSON Schema.
macro_rules! text_value {
    ($name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = String::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "format": <Self as $crate::types::text::TextValue>::FORMAT,
                })
            }
        }
    };
}
pub(crate) use text_value;
