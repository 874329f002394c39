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

/// What is known of a value that was shortened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Brief {
    /// It, or one that was left out beside it, may be a secret.
    pub is_secret: bool,
    /// Characters that it had more.
    pub characters: usize,
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
    /// The value as the operator saw it; of a transaction that has waited, its beginning.
    pub value: &'a [u8],
    /// Whether it, or one that is left out beside it, may be a secret; `None`: nobody has looked.
    pub is_secret: Option<bool>,
    /// Characters that it had more.
    more: usize,
}

impl Found<'_> {
    /// Characters of the whole value, where each byte that is no visible ASCII is shown as `\xhh`.
    #[must_use]
    pub fn characters(&self) -> usize {
        characters(self.value) + self.more
    }
}

pub(crate) fn characters(value: &[u8]) -> usize {
    value.len() + 3 * value.iter().filter(|byte| !matches!(byte, b' '..=b'~')).count()
}

impl<'a> Match<'a> {
    /// The values it matched, over its chain; when the transaction has waited, the one that is shown.
    pub fn found(&self) -> impl Iterator<Item = Found<'a>> + use<'a> {
        self.state.found(self.from, self.to)
    }
}

impl State {
    /// The values of matches from number `from` up to `to`.
    pub(crate) fn found(&self, from: u32, to: u32) -> impl Iterator<Item = Found<'_>> {
        (from..to).filter_map(|at| {
            let seen = self.seen.get(at as usize)?;
            let brief = self.briefs.get(at as usize);
            Some(Found {
                variable: seen.variable.name(),
                name: self.strings.get(seen.key),
                value: self.strings.get(seen.value),
                is_secret: brief.map(|brief| brief.is_secret),
                more: brief.map_or(0, |brief| brief.characters),
            })
        })
    }

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
