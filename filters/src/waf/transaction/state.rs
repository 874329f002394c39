//! All that a transaction remembers.

use super::columns::Columns;
use super::strings::{Id, Strings};
use super::tx::{Tx, Value, write_decimal};
use super::values::Values;
use super::verdict::{Brief, Interruption, Record, Seen};
use crate::waf::program::Program;
use crate::waf::program::tables::Selector;
use crate::waf::seclang::settings::{AuditMode, EngineMode};
use crate::waf::seclang::variables::Variable;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How far `allow` reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Allowed {
    #[default]
    Nothing,
    Phase,
    Request,
    All,
}

/// A transaction's memory.
#[derive(Debug)]
pub(crate) struct State {
    pub strings: Strings,
    pub values: Values,
    pub tx: Tx,
    pub columns: Columns,
    /// MATCHED_VARS of the rule that runs, over its chain.
    pub matched: Vec<Seen>,
    /// The last of all matches: MATCHED_VAR.
    pub last: Option<Seen>,
    /// Matches of rules, in order.
    pub records: Vec<Record>,
    /// Values of these matches.
    pub seen: Vec<Seen>,
    /// Of the first of these values, which were shortened.
    pub briefs: Vec<Brief>,
    pub interruption: Option<Interruption>,
    pub would_interrupt: Option<Interruption>,
    pub engine: EngineMode,
    pub audit: AuditMode,
    pub allowed: Allowed,
    pub reads_request_body: bool,
    pub reads_response_body: bool,
    pub forces_request_body: bool,
    /// Bits of rules that `ctl` has removed; empty when none is.
    pub removed: Vec<u64>,
    /// Targets that `ctl` has removed: rule, link and effect that say so.
    pub untargeted: Vec<(u32, u32, u32)>,
    pub severity: u8,
    /// Set by another thread: nobody waits for what comes of it any more.
    pub stop: Option<Arc<AtomicBool>>,
    /// The rule that runs, for `%{RULE.id}`.
    pub rule: u32,
    /// Values of a fluid target, reused.
    pub pending: Vec<Seen>,
    /// Scratch for transformations and macros, reused.
    pub out: Vec<u8>,
    pub text: Vec<u8>,
}

/// The value of HIGHEST_SEVERITY when no rule with a severity has matched.
const SEVERITY_NONE: u8 = 255;

impl State {
    pub(crate) fn new(program: &Program) -> Self {
        Self {
            strings: Strings::new(program.questions.len()),
            values: Values::new(),
            tx: Tx::new(program.names.all.len()),
            columns: Columns::new(program),
            matched: Vec::new(),
            last: None,
            records: Vec::new(),
            seen: Vec::new(),
            briefs: Vec::new(),
            interruption: None,
            would_interrupt: None,
            engine: program.settings.engine,
            audit: program.settings.audit,
            allowed: Allowed::Nothing,
            reads_request_body: program.settings.reads_request_body,
            reads_response_body: program.settings.reads_response_body,
            forces_request_body: false,
            removed: Vec::new(),
            untargeted: Vec::new(),
            severity: SEVERITY_NONE,
            stop: None,
            rule: 0,
            pending: Vec::new(),
            out: Vec::new(),
            text: Vec::new(),
        }
    }

    /// Empties all for the next transaction of the same program.
    pub(crate) fn clear(&mut self, program: &Program) {
        self.strings.clear();
        self.values.clear();
        self.tx.clear();
        self.columns.clear();
        self.matched.clear();
        self.last = None;
        self.records.clear();
        self.seen.clear();
        self.seen.shrink_to(256);
        self.briefs.clear();
        self.interruption = None;
        self.would_interrupt = None;
        self.engine = program.settings.engine;
        self.audit = program.settings.audit;
        self.allowed = Allowed::Nothing;
        self.reads_request_body = program.settings.reads_request_body;
        self.reads_response_body = program.settings.reads_response_body;
        self.forces_request_body = false;
        self.removed.clear();
        self.untargeted.clear();
        self.severity = SEVERITY_NONE;
        self.stop = None;
    }

    /// Whether it is to end here.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    /// Interns `value` and makes it the one value of `variable`, if any rule looks at it.
    pub(crate) fn set(&mut self, program: &Program, variable: Variable, value: &[u8]) {
        if program.uses(variable) {
            let id = self.strings.intern(value);
            self.values.set(variable, id);
        }
    }

    pub(crate) fn set_number(&mut self, program: &Program, variable: Variable, number: i64) {
        self.set(program, variable, write_decimal(number, &mut [0; 20]));
    }

    pub(crate) fn fields(&self, variable: Variable) -> impl Iterator<Item = (&[u8], &[u8])> {
        let fields = self.values.of(variable).iter();
        fields.map(|field| (self.strings.get(field.key), self.strings.get(field.value)))
    }

    pub(crate) fn variable(&self, program: &Program, name: &[u8]) -> Option<Vec<u8>> {
        let value = match program.names.find(name) {
            Some(slot) => self.tx.slot(slot),
            None => {
                let extra =
                    self.tx.extras().iter().find(|(known, _)| self.strings.get(*known) == name);
                extra.map(|(_, value)| *value)?
            }
        };
        match value {
            Value::Unset => None,
            Value::Number(number) => Some(number.to_string().into_bytes()),
            Value::Text(id) => Some(self.strings.get(id).to_vec()),
        }
    }

    /// Whether a selector means the value called `key`; names in any case, as exclusions ignore it.
    pub(crate) fn selects(&self, program: &Program, selector: &Selector, key: Id) -> bool {
        match selector {
            Selector::All => true,
            Selector::Name(name) => self.strings.get(key).eq_ignore_ascii_case(name),
            Selector::Pattern(pattern) => {
                let single = program.patterns.singles.get(*pattern as usize);
                single.is_some_and(|single| single.is_match(self.strings.get(key)))
            }
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + self.strings.memory_bytes()
            + self.tx.memory_bytes()
            + self.values.memory_bytes()
            + self.columns.memory_bytes()
            + (self.matched.capacity() + self.seen.capacity() + self.pending.capacity())
                * size_of::<Seen>()
            + self.records.capacity() * size_of::<Record>()
            + self.briefs.capacity() * size_of::<Brief>()
            + self.removed.capacity() * size_of::<u64>()
            + self.untargeted.capacity() * size_of::<(u32, u32, u32)>()
            + self.out.capacity()
            + self.text.capacity()
    }
}
