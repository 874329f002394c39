//! What a transaction comes to: the interruption, and which rules matched on what.

use super::state::State;
use super::strings::Id;
use crate::waf::program::{About, Program};
use crate::waf::seclang::variables::Variable;

/// A refusal of the request or of its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interruption {
    /// The rule's id; 0 when a limit was reached.
    pub rule: u64,
    /// The status to answer with.
    pub status: u16,
    /// How to refuse.
    pub action: Action,
}

/// How a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// With an answer of the status.
    Deny,
    /// By closing the connection.
    Drop,
    /// With a redirection there.
    Redirect(Vec<u8>),
}

/// A value that matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub variable: Variable,
    pub key: Id,
    /// After transformation.
    pub value: Id,
}

/// A rule that matched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub rule: u32,
    pub message: Id,
    pub data: Id,
    /// Its part of `State::seen`.
    pub from: u32,
    pub to: u32,
    pub scores: [i64; 2],
}

/// A rule that matched, and on what.
#[derive(Clone, Copy, Debug)]
pub struct Match<'a> {
    /// The rule.
    pub about: &'a About,
    /// `msg`, expanded; empty when the rule has none, or is neither logged nor audited.
    pub message: &'a [u8],
    /// `logdata`, expanded.
    pub data: &'a [u8],
    /// The anomaly score of the request after this match: the sum over CRS's paranoia levels.
    pub inbound_score: i64,
    /// The same of the answer.
    pub outbound_score: i64,
    state: &'a State,
    from: u32,
    to: u32,
}

/// A value that a rule matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// The variable's name, such as `ARGS`.
    pub variable: &'static str,
    /// The value's name in it; empty when it has none.
    pub name: &'a [u8],
    /// The value as the operator saw it.
    pub value: &'a [u8],
}

impl<'a> Match<'a> {
    /// The values it matched, over its chain.
    pub fn found(&self) -> impl Iterator<Item = Found<'a>> + use<'a> {
        let state = self.state;
        let seen = state.seen.get(self.from as usize..self.to as usize).unwrap_or_default();
        seen.iter().map(move |seen| Found {
            variable: seen.variable.name(),
            name: state.strings.get(seen.key),
            value: state.strings.get(seen.value),
        })
    }
}

impl State {
    pub(crate) fn matches<'a>(
        &'a self,
        program: &'a Program,
    ) -> impl Iterator<Item = Match<'a>> + use<'a> {
        self.records.iter().filter_map(move |record| {
            Some(Match {
                about: &program.rules.get(record.rule as usize)?.about,
                message: self.strings.get(record.message),
                data: self.strings.get(record.data),
                inbound_score: record.scores[0],
                outbound_score: record.scores[1],
                state: self,
                from: record.from,
                to: record.to,
            })
        })
    }
}
