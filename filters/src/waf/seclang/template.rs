//! Texts with macros: `%{tx.score}`, `%{MATCHED_VAR}`. Parsed once, expanded per match.
//!
//! Source: ModSecurity reference manual, "Macro expansion". A macro of an unknown variable is
//! refused; one whose variable has no value expands to nothing, as in ModSecurity 3.

use super::variables::{Shape, Variable};

/// A text with holes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Template {
    /// Its pieces in order; neighbouring literals are joined.
    pub pieces: Vec<Piece>,
}

/// A piece of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Piece {
    /// Text as it is.
    Text(String),
    /// The (first) value of a variable.
    Value(Variable, Option<String>),
}

impl Template {
    /// Parses `text`.
    ///
    /// # Errors
    /// The offset and name of a macro that names no known variable.
    pub fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut pieces = Vec::new();
        let mut rest = text;
        let mut offset = 0;
        while let Some(open) = rest.find("%{") {
            let inner_at = open + 2;
            let Some(length) = rest.get(inner_at..).and_then(|inner| inner.find('}')) else {
                break;
            };
            let name = rest.get(inner_at..inner_at + length).unwrap_or_default();
            push_text(&mut pieces, rest.get(..open).unwrap_or_default());
            let piece = value(name).ok_or_else(|| (offset + inner_at, name.to_owned()))?;
            pieces.push(piece);
            offset += inner_at + length + 1;
            rest = rest.get(inner_at + length + 1..).unwrap_or_default();
        }
        push_text(&mut pieces, rest);
        Ok(Self { pieces })
    }

    /// Where the first macro stands in `text`: `%{` and a name, as a pattern seldom has it.
    #[must_use]
    pub(crate) fn find_macro(text: &str) -> Option<std::ops::Range<usize>> {
        let is_part =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b':' | b'-');
        text.match_indices("%{").find_map(|(start, _)| {
            let inner = text.get(start + 2..)?;
            let length = inner.bytes().take_while(|byte| is_part(*byte)).count();
            let is_name = inner.starts_with(|first: char| first.is_ascii_alphabetic());
            let is_closed = inner.get(length..)?.starts_with('}');
            (is_name && is_closed).then_some(start..start + length + 3)
        })
    }

    /// A template without macros.
    #[must_use]
    pub fn literal(text: &str) -> Self {
        let mut pieces = Vec::new();
        push_text(&mut pieces, text);
        Self { pieces }
    }

    /// The text, when it has no macro.
    #[must_use]
    pub fn as_literal(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
}

fn value(name: &str) -> Option<Piece> {
    let (variable, key) = match name.split_once(['.', ':']) {
        Some((variable, key)) => (variable, Some(key)),
        None => (name, None),
    };
    let variable = match Variable::parse(variable.trim())? {
        Variable::RequestBody => Variable::WholeRequestBody,
        variable => variable,
    };
    let key = match (variable.shape(), key) {
        (Shape::Scalar, _) | (_, None) => None,
        (Shape::Keyed, Some(key)) => Some(key.trim().to_ascii_lowercase()),
    };
    Some(Piece::Value(variable, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macros_are_found_between_text() {
        let parsed = Template::parse("a %{tx.X} b%{MATCHED_VAR}").unwrap();
        assert_eq!(
            parsed.pieces,
            [
                Piece::Text("a ".into()),
                Piece::Value(Variable::Tx, Some("x".into())),
                Piece::Text(" b".into()),
                Piece::Value(Variable::MatchedVar, None),
            ]
        );
        assert_eq!(Template::parse("50% {x").unwrap().as_literal(), Some("50% {x"));
        assert_eq!(Template::parse("ab%{nope.x}"), Err((4, "nope.x".into())));
    }
}
