//! Format strings of the access log: texts with named fields.
//!
//! The syntax is that of every template in a config: see [`Template`](super::template::Template).

use super::braces::{Part, parts};
use super::log_field::LogField;
use super::text::{TextValue, text_value};
use std::fmt;
use std::str::FromStr;

/// A part of a format string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogPiece {
    /// This text.
    Text(Box<str>),
    /// A field of the table.
    Field(LogField),
    /// A captured field of the request's head, in lower case.
    RequestHeader(Box<str>),
    /// A captured field of the answer's head, in lower case.
    ResponseHeader(Box<str>),
}

/// How a line of the access log looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object, with names of ours.
    #[default]
    Json,
    /// One JSON object, with the names of the Elastic Common Schema.
    Ecs,
    /// HAProxy's `option httplog`.
    HttpLog,
    /// A text with fields in it.
    Text {
        /// As it was written.
        text: Box<str>,
        /// Its parts, in order.
        pieces: Vec<LogPiece>,
    },
}

/// Why a text is no format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLogFormat {
    /// A word that is no format, and a text without any field.
    #[error("no format, and no format string either: nothing in it is a field")]
    NoField,
    /// A field that does not exist.
    #[error("`{{{0}}}` is no field")]
    Field(String),
    /// What would tear the line, or confuse who reads it.
    #[error("a line holds no control characters")]
    Control,
}

/// Formats with a name.
const NAMED: [(&str, LogFormat); 3] =
    [("ecs", LogFormat::Ecs), ("httplog", LogFormat::HttpLog), ("json", LogFormat::Json)];

/// What captured fields of each head are called: with the name of a field behind it.
const REQUEST_HEADER: &str = "request_header:";
const RESPONSE_HEADER: &str = "response_header:";

impl LogFormat {
    /// Its parts; none of a format with a name.
    #[must_use]
    pub fn pieces(&self) -> &[LogPiece] {
        match self {
            Self::Text { pieces, .. } => pieces,
            _ => &[],
        }
    }
}

impl FromStr for LogFormat {
    type Err = InvalidLogFormat;

    fn from_str(text: &str) -> Result<Self, InvalidLogFormat> {
        if let Some((_, format)) = NAMED.iter().find(|(name, _)| *name == text) {
            return Ok(format.clone());
        }
        if text.contains(|c: char| c.is_control() && c != '\t') {
            return Err(InvalidLogFormat::Control);
        }
        let pieces = pieces(text)?;
        match pieces.iter().all(|piece| matches!(piece, LogPiece::Text(_))) {
            true => Err(InvalidLogFormat::NoField),
            false => Ok(Self::Text { text: text.into(), pieces }),
        }
    }
}

fn pieces(text: &str) -> Result<Vec<LogPiece>, InvalidLogFormat> {
    let piece = |part| match part {
        Part::Text(text) => Ok(LogPiece::Text(text)),
        Part::Name(name) => piece(name).ok_or_else(|| InvalidLogFormat::Field(name.to_owned())),
    };
    parts(text, is_name).into_iter().map(piece).collect()
}

fn piece(name: &str) -> Option<LogPiece> {
    let header = |prefix| {
        let header: &str = name.strip_prefix(prefix)?;
        (!header.is_empty()).then(|| header.to_ascii_lowercase().into())
    };
    let captured = header(REQUEST_HEADER).map(LogPiece::RequestHeader);
    captured
        .or_else(|| header(RESPONSE_HEADER).map(LogPiece::ResponseHeader))
        .or_else(|| LogField::named(name).map(LogPiece::Field))
}

/// Whether a pair of braces around this stands for a field: JSON in a format string does not.
fn is_name(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:!#$%&'*+^`|~".contains(&byte);
    text.starts_with(|c: char| c.is_ascii_lowercase()) && text.bytes().all(is_part)
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Text { text, .. } = self {
            return f.write_str(text);
        }
        let name = NAMED.iter().find(|(_, format)| format == self).map(|(name, _)| *name);
        f.write_str(name.unwrap_or_default())
    }
}

impl TextValue for LogFormat {
    const FORMAT: &'static str = "log-format";
    const ACCEPTED: &'static str = "\"json\", \"ecs\", \"httplog\" or a text with fields like \
         \"{client} {method} {target} {status}\"; {{ for a single brace";
}

text_value!(LogFormat);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_in_braces_are_fields_and_other_braces_stand_for_themselves() {
        let text = |text: &str| LogPiece::Text(text.into());
        let status = || LogPiece::Field(LogField::Status);
        for (format, want) in [
            ("{status}", vec![status()]),
            ("a {ms.total} b", vec![text("a "), LogPiece::Field(LogField::Total), text(" b")]),
            ("{\"s\":{status}}", vec![text("{\"s\":"), status(), text("}")]),
            ("{{status} {status}", vec![text("{status} "), status()]),
            ("{request_header:X-A}", vec![LogPiece::RequestHeader("x-a".into())]),
            ("{response_header:x}", vec![LogPiece::ResponseHeader("x".into())]),
        ] {
            assert_eq!(format.parse::<LogFormat>().unwrap().pieces(), want, "{format}");
        }
        for (name, format) in NAMED {
            assert_eq!(name.parse(), Ok(format));
        }
        let field = |name: &str| Err(InvalidLogFormat::Field(name.into()));
        for (format, want) in [
            ("{statsu}", field("statsu")), // misspelt on purpose
            ("{request_header:}", field("request_header:")),
            ("josn", Err(InvalidLogFormat::NoField)), // misspelt on purpose
            ("", Err(InvalidLogFormat::NoField)),
            ("{status}\n", Err(InvalidLogFormat::Control)),
            ("{status}\u{9b}31m", Err(InvalidLogFormat::Control)),
        ] {
            assert_eq!(format.parse::<LogFormat>(), want, "{format}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser_and_what_is_accepted_is_shown_as_it_was(
            text in "([{}:a-z.]|\\PC|\\{status\\}|\\{request_header:[a-z-]{0,3}\\}){0,12}",
        ) {
            if let Ok(format) = text.parse::<LogFormat>() {
                prop_assert_eq!(format.to_string().parse::<LogFormat>().unwrap(), format.clone());
                let plain: usize = format.pieces().iter().map(|piece| match piece {
                    LogPiece::Text(text) => text.len(),
                    _ => 0,
                }).sum();
                prop_assert!(plain < text.len());
            }
        }
    }
}
