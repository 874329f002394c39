//! Templates: texts with variables that are filled in for each request.
//!
//! To add a variable: a variant of [`Variable`], its name, and its value where it is filled in.

use super::braces::{Part, parts};
use super::text::{TextValue, text_value};
use std::fmt;
use std::str::FromStr;

/// What stands in a template: a word of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// The client's address, as it is believed.
    Client,
    /// The host that was asked for, without port.
    Host,
    /// The request's id.
    RequestId,
}

impl Variable {
    /// All there are, with their names.
    const ALL: [(&'static str, Self); 3] =
        [("client", Self::Client), ("host", Self::Host), ("request_id", Self::RequestId)];
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// This text.
    Text(Box<str>),
    /// What the variable holds.
    Variable(Variable),
}

/// The value of a header field, with variables: `{client}`, `{host}`, `{request_id}`. `{{` is
/// a single brace; one that no name follows stands for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: Box<str>,
    pieces: Vec<Piece>,
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// A variable that does not exist.
    #[error("`{{{0}}}` is no variable")]
    Variable(String),
    /// Something that no header field may hold.
    #[error("not the value of a header field")]
    Value,
}

impl Template {
    /// Its parts, in order.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }
}

impl FromStr for Template {
    type Err = InvalidTemplate;

    fn from_str(text: &str) -> Result<Self, InvalidTemplate> {
        if !text.bytes().all(|byte| byte == b'\t' || byte == b' ' || byte.is_ascii_graphic()) {
            return Err(InvalidTemplate::Value);
        }
        let piece = |part| match part {
            Part::Text(text) => Ok(Piece::Text(text)),
            Part::Name(name) => {
                let known = Variable::ALL.iter().find(|(known, _)| *known == name);
                let unknown = || InvalidTemplate::Variable(name.to_owned());
                known.map(|(_, variable)| Piece::Variable(*variable)).ok_or_else(unknown)
            }
        };
        let pieces = parts(text, is_name).into_iter().map(piece).collect::<Result<_, _>>()?;
        Ok(Self { text: text.into(), pieces })
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TextValue for Template {
    const FORMAT: &'static str = "header-template";
    const ACCEPTED: &'static str = "what a header field may hold, with the variables {client}, {host} \
         and {request_id}; {{ for a single brace";
}

text_value!(Template);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_braces_are_variables_and_other_braces_stand_for_themselves() {
        let text = |text: &str| Piece::Text(text.into());
        let (client, host) = (Piece::Variable(Variable::Client), Piece::Variable(Variable::Host));
        for (template, want) in [
            ("plain", vec![text("plain")]),
            ("", vec![]),
            ("{client}", vec![client.clone()]),
            ("a {client}-{host} b", vec![text("a "), client, text("-"), host, text(" b")]),
            ("{{client}", vec![text("{client}")]),
            ("{\"a\":{\"b\":1}}", vec![text("{\"a\":{\"b\":1}}")]),
            ("{", vec![text("{")]),
            ("{}", vec![text("{}")]),
        ] {
            assert_eq!(template.parse::<Template>().unwrap().pieces(), want, "{template}");
        }
        let wrong = InvalidTemplate::Variable("clinet".into()); // misspelt on purpose
        assert_eq!("{clinet}".parse::<Template>(), Err(wrong)); // misspelt on purpose
        assert_eq!("a\nb".parse::<Template>(), Err(InvalidTemplate::Value));
    }
}
