//! Texts in a check: each is right once it is read.

use crate::types::text::{TextValue, text_value};
use regex::bytes::{Regex, RegexBuilder};
use std::fmt;
use std::str::FromStr;

/// Gives a text type its accessor, `Display`, error and the rest of a [`TextValue`].
macro_rules! checked_text {
    ($name:ident, $error:ident, $format:literal, $wrong:literal, $accepted:literal, $is_right:expr) => {
        #[doc = concat!("Why a text is none: it is ", $wrong, ".")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
        #[error("{}: expected {}", $wrong, $name::ACCEPTED)]
        pub struct $error;

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = $error;
            fn from_str(text: &str) -> Result<Self, $error> {
                let is_right: fn(&str) -> bool = $is_right;
                if is_right(text) { Ok(Self(text.into())) } else { Err($error) }
            }
        }

        impl TextValue for $name {
            const FORMAT: &'static str = $format;
            const ACCEPTED: &'static str = $accepted;
        }

        text_value!($name);
    };
}

/// The path of a check, with its query.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CheckPath(Box<str>);

impl Default for CheckPath {
    fn default() -> Self {
        Self("/".into())
    }
}

checked_text!(
    CheckPath,
    InvalidCheckPath,
    "check-path",
    "not the path of a request",
    "a path that begins with /, with a query if needed, like \"/health?full=1\"; other characters %-encoded",
    |text| {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        text.starts_with('/') && is_plain && text.parse::<http::uri::PathAndQuery>().is_ok()
    }
);

/// The value of a header field; it may be a secret.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HeaderText(Box<str>);

checked_text!(
    HeaderText,
    InvalidHeaderText,
    "header-value",
    "not the value of a header field",
    "visible characters, spaces and tabs: what a header field may hold",
    |text| http::HeaderValue::from_str(text).is_ok()
);

impl fmt::Display for HeaderText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for HeaderText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A text that a body must hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BodyText(Box<str>);

checked_text!(
    BodyText,
    InvalidBodyText,
    "body-text",
    "not a text to look for",
    "a text of 1 to 1024 bytes",
    |text| (1..=1024).contains(&text.len())
);

/// The name of a gRPC service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServiceName(Box<str>);

checked_text!(
    ServiceName,
    InvalidServiceName,
    "grpc-service",
    "not the name of a gRPC service",
    "a name of 1 to 255 visible characters, like \"shop.v1.Orders\"",
    |text| (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
);

/// Memory of a compiled regular expression.
const REGEX_BYTES_MAX: usize = 256 * 1024;

/// A regular expression that a body must match somewhere. It takes time linear in the body.
#[derive(Clone, Debug)]
pub struct BodyRegex(Regex);

/// Why a text is no regular expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a regular expression, or too large a one: expected {}", BodyRegex::ACCEPTED)]
pub struct InvalidBodyRegex;

impl BodyRegex {
    /// The regular expression.
    #[must_use]
    pub fn regex(&self) -> &Regex {
        &self.0
    }
}

impl PartialEq for BodyRegex {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl FromStr for BodyRegex {
    type Err = InvalidBodyRegex;
    fn from_str(text: &str) -> Result<Self, InvalidBodyRegex> {
        let is_right = (1..=2048).contains(&text.len());
        let regex = RegexBuilder::new(text).unicode(false).size_limit(REGEX_BYTES_MAX).build();
        regex.ok().filter(|_| is_right).map(Self).ok_or(InvalidBodyRegex)
    }
}

impl TextValue for BodyRegex {
    const FORMAT: &'static str = "body-regex";
    const ACCEPTED: &'static str =
        "a regular expression without look-around or back references, like '\"status\": *\"up\"'";
}

text_value!(BodyRegex);

/// Shows each as its text.
macro_rules! shown_as_text {
    ($($name:ident),+) => {
        $(impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0.as_ref())
            }
        })+
    };
}

shown_as_text!(CheckPath, BodyText, ServiceName);

impl fmt::Display for BodyRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_read<T: FromStr>(text: &str) -> bool {
        text.parse::<T>().is_ok()
    }

    #[test]
    fn texts_are_right_once_they_are_read() {
        let long = "a".repeat(1025);
        for (is_right, want, text) in [
            (is_read::<CheckPath> as fn(&str) -> bool, true, "/health?full=1&x=%20"),
            (is_read::<CheckPath>, false, "health"),
            (is_read::<CheckPath>, false, "/a b"),
            (is_read::<CheckPath>, false, "/a#b"),
            (is_read::<CheckPath>, false, ""),
            (is_read::<HeaderText>, true, "Bearer a b"),
            (is_read::<HeaderText>, false, "a\nb"),
            (is_read::<BodyText>, true, "ok"),
            (is_read::<BodyText>, false, ""),
            (is_read::<BodyText>, false, &long),
            (is_read::<ServiceName>, true, "shop.v1.Orders"),
            (is_read::<ServiceName>, false, "a b"),
            (is_read::<BodyRegex>, true, r"^\s*(ok|up)\d?$"),
            (is_read::<BodyRegex>, false, "(ok"),
            (is_read::<BodyRegex>, false, "(a{1000}){1000}"),
            (is_read::<BodyRegex>, false, ""),
        ] {
            assert_eq!(is_right(text), want, "{text}");
        }
    }

    #[test]
    fn the_value_of_a_header_field_is_not_shown() {
        let text: HeaderText = "Bearer secret".parse().unwrap();
        assert_eq!(
            (text.as_str(), format!("{text} {text:?}")),
            ("Bearer secret", "*** ***".into())
        );
    }
}
