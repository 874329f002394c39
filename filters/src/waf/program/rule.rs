//! Rules as they are run: indexes into tables instead of names.

use std::sync::Arc;

use super::patterns::Side;
use super::tables::Selector;
use super::text::Text;
use crate::waf::operator::{Addresses, ByteRange, Phrases};
use crate::waf::seclang::ast::{Comparison, TextTest};
use crate::waf::seclang::settings::{AuditMode, EngineMode, Processor};
use crate::waf::seclang::variables::Variable;

/// A rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub about: About,
    pub disruption: Disruption,
    pub status: u16,
    pub flow: Flow,
    pub links: Box<[Link]>,
}

/// What a log says of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct About {
    /// Its id.
    pub id: u64,
    /// 1..=5
    pub phase: u8,
    /// Its tags.
    pub tags: Box<[Box<str>]>,
    /// `ver`
    pub version: Box<str>,
    /// `rev`
    pub revision: Box<str>,
    /// `maturity`
    pub maturity: u8,
    /// `accuracy`
    pub accuracy: u8,
    /// The operator of its last link, as ModSecurity names it, such as `Rx`; empty: it has none.
    pub operator: Box<str>,
    /// The operator's parameter as it is written, its first 200 characters.
    pub parameter: Box<str>,
    /// 0 (emergency) ..= 7 (debug)
    pub severity: Option<u8>,
    /// Whether its matches are logged.
    pub is_logged: bool,
    /// Whether its matches are audited.
    pub is_audited: bool,
    /// The file it is in.
    pub file: Arc<str>,
    /// The line where it begins.
    pub line: u32,
}

/// What a match does to the transaction.
#[derive(Clone, Debug)]
pub(crate) enum Disruption {
    Pass,
    Deny,
    Drop,
    Redirect(Text),
    Allow,
    AllowPhase,
    AllowRequest,
}

/// Where the phase goes on after a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Next,
    /// Index into the operations of the phase.
    Jump(u32),
}

/// A rule in its phase, with the question that most often ends it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    pub rule: u32,
    pub gate: Gate,
}

/// Part of `Program::gate_views`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Views {
    pub from: u32,
    pub count: u32,
}

/// A cheap test: when it fails, the first link of the rule matches nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Gate {
    Open,
    /// Any string of the views matches this pattern of its side's automaton.
    Pattern {
        views: Views,
        side: Side,
        cell: u8,
        mask: u64,
    },
    /// The answer is yes for any string of the views.
    Question {
        views: Views,
        question: u32,
    },
}

/// One condition.
#[derive(Debug)]
pub(crate) struct Link {
    pub test: Test,
    pub is_negated: bool,
    /// Columns of values that do not change while a phase runs; for `multiMatch` one for each
    /// prefix of the pipeline, target by target.
    pub columns: Box<[u32]>,
    /// The same as views, one for each pipeline.
    pub views: Box<[u32]>,
    /// Targets whose values may change with every rule.
    pub fluid: Box<[Fluid]>,
    /// What happens to the values of fluid targets; for `multiMatch` each prefix in turn.
    pub pipelines: Box<[u32]>,
    pub is_capturing: bool,
    pub effects: Box<[Effect]>,
    pub message: Option<Text>,
    pub log_data: Option<Text>,
}

/// A target that is looked up each time.
#[derive(Clone, Debug)]
pub(crate) struct Fluid {
    pub variable: Variable,
    pub is_count: bool,
    pub choice: Choice,
    pub exclusions: Box<[Selector]>,
}

/// Which values of a fluid target.
#[derive(Clone, Debug)]
pub(crate) enum Choice {
    All,
    /// A slot of TX.
    Slot(u16),
    Name(Box<[u8]>),
    /// A pattern, and the slots of TX whose names it matches.
    Pattern(u32, Box<[u16]>),
}

/// What an operator tests.
#[derive(Debug)]
pub(crate) enum Test {
    /// No operator: `SecAction`.
    Action,
    /// Index of a pattern.
    Pattern(u32),
    /// Index of a question of which the answer is kept per string.
    Question(u32),
    Compare(Comparison, Operand),
    Text(TextTest, Text),
    Addresses(Arc<Addresses>),
    Always,
    Never,
}

/// A question about a string alone, answered once per distinct string.
#[derive(Debug)]
pub(crate) enum Question {
    Phrases(Phrases),
    ByteRange(Arc<ByteRange>),
    Sqli,
    Xss,
    UrlEncoding,
    Utf8Encoding,
}

/// The right side of a comparison.
#[derive(Debug)]
pub(crate) enum Operand {
    Number(i64),
    Text(Text),
}

/// What a match changes.
#[derive(Debug)]
pub(crate) enum Effect {
    SetTx {
        name: Name,
        change: Change,
    },
    Engine(EngineMode),
    Audit(AuditMode),
    RequestBodyAccess(bool),
    RequestBodyProcessor(Processor),
    ForceRequestBody(bool),
    ResponseBodyAccess(bool),
    /// Bits of rules.
    Remove(Box<[u64]>),
    /// Bits of rules, and what they no longer look at.
    RemoveTarget(Box<[u64]>, Variable, Selector),
}

/// A name in TX.
#[derive(Debug)]
pub(crate) enum Name {
    Slot(u16),
    Text(Text),
}

/// How a variable of TX changes.
#[derive(Debug)]
pub(crate) enum Change {
    Set(Text),
    Add(Operand),
    Subtract(Operand),
    Remove,
}
