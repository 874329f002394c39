//! Rules compiled: flat lists of operations per phase over shared tables.
//!
//! Compiling turns every name into an index (variables, TX, markers, patterns, pipelines), joins
//! what rules share and decides what can be decided before the first request. A program is
//! immutable and shared by all threads; what a transaction needs is in [`super::transaction`].

mod asked;
mod automaton;
mod compile;
mod fold;
mod front;
mod known;
mod links;
mod literals;
mod names;
mod patterns;
pub(crate) mod rule;
pub(crate) mod tables;
pub(crate) mod text;

use std::sync::atomic::{AtomicU64, Ordering};

use super::seclang::settings::Settings;
use super::seclang::variables::Variable;
use super::seclang::{Faults, Note, RuleSet};

pub use rule::About;

pub(crate) use asked::{Asked, LOGS};
pub(crate) use names::Names;
pub(crate) use patterns::{GROUPS, Patterns, ScanCaches, Side};
use rule::{Operation, Question, Rule};
use tables::Tables;

/// How many phases there are; phase 0 is never used.
pub(crate) const PHASES: usize = 6;

/// A compiled rule set.
#[derive(Debug)]
pub struct Program {
    /// Tells programs apart: scratch memory of one does not fit another.
    pub(crate) serial: u64,
    /// Rules of each phase, in order.
    pub(crate) phases: [Vec<Operation>; PHASES],
    pub(crate) gate_views: Vec<u32>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) tables: Tables,
    pub(crate) patterns: Patterns,
    pub(crate) questions: Vec<Question>,
    pub(crate) names: Names,
    pub(crate) settings: Settings,
    /// What rules and logs ask for.
    pub(crate) asked: Asked,
    /// Slots of TX whose sum is the score of the request and of the answer.
    pub(crate) scores: [Vec<u16>; 2],
    notes: Vec<Note>,
    dropped: Vec<u64>,
}

static SERIAL: AtomicU64 = AtomicU64::new(1);

impl Program {
    /// Compiles `rules`.
    ///
    /// # Errors
    /// Patterns that are too large, and jumps to markers that do not follow.
    pub fn compile(rules: &RuleSet) -> Result<Self, Faults> {
        compile::compile(rules, SERIAL.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether any rule looks at `variable`, or names it in a macro.
    pub(crate) fn uses(&self, variable: Variable) -> bool {
        self.asked.asks(variable as usize, 0)
    }

    /// Whether any rule asks for the time.
    pub(crate) fn uses_time(&self) -> bool {
        (Variable::Time as usize..=Variable::TimeYear as usize)
            .any(|index| self.asked.asks(index, 0))
    }

    /// Whether any rule can say something of an answer: in phases 3 and 4.
    #[must_use]
    pub fn has_rules_for_answers(&self) -> bool {
        self.phases.iter().skip(3).take(2).any(|phase| !phase.is_empty())
    }

    /// Whether any rule looks at the bodies of answers.
    #[must_use]
    pub fn reads_answer_bodies(&self) -> bool {
        self.uses(Variable::ResponseBody)
    }

    /// What the rules said that has no effect here.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// What the directives that are no rules say.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Ids of the rules that no transaction can reach with these settings, or that match in none.
    #[must_use]
    pub fn dropped(&self) -> &[u64] {
        &self.dropped
    }

    /// All other rules, in the order of the files.
    pub fn rules(&self) -> impl Iterator<Item = &About> {
        self.rules.iter().map(|rule| &rule.about)
    }
}
