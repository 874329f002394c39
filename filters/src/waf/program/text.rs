//! Templates compiled: variables of TX are slots, so that expansion looks nothing up by name.

use super::names::Names;
use crate::waf::seclang::template::{Piece, Template};
use crate::waf::seclang::variables::Variable;

/// A text with holes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text {
    pub parts: Box<[Part]>,
}

/// A piece of a [`Text`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Literal(Box<[u8]>),
    /// A slot of TX.
    Tx(u16),
    /// The first value of a variable, by name when it has names.
    Value(Variable, Option<Box<[u8]>>),
}

impl Text {
    pub(crate) fn compile(template: &Template, names: &mut Names) -> Self {
        let parts = template.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => Part::Literal(text.as_bytes().into()),
            Piece::Value(Variable::Tx, Some(name)) => Part::Tx(names.slot(name.as_bytes())),
            Piece::Value(variable, key) => {
                Part::Value(*variable, key.as_ref().map(|key| key.as_bytes().into()))
            }
        });
        Self { parts: parts.collect() }
    }

    /// The text when nothing in it varies.
    pub(crate) fn as_literal(&self) -> Option<&[u8]> {
        match &*self.parts {
            [] => Some(b""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }
}
