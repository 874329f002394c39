//! Transactions: one request and its answer, looked at by a program.
//!
//! The caller owns the bytes and the clock: it gives the head of the request, its body, the head of
//! the answer and its body, each when it is there, and after each asks for the interruption. A
//! [`Transaction`] keeps its memory for the next one ([`Transaction::begin`] empties it), and the
//! [`Caches`] of the scan belong to the thread, not to the transaction.

mod answer;
mod body;
mod columns;
mod effects;
mod evaluate;
mod expand;
mod fluid;
mod hidden;
mod request;
mod rest;
mod shorten;
mod state;
mod strings;
mod tx;
mod values;
mod verdict;
mod views;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::program::{Program, ScanCaches};
use super::seclang::settings::{AuditMode, EngineMode};
use super::seclang::variables::Variable;

pub use answer::AnswerHead;
pub(crate) use evaluate::compares;
pub use hidden::Hidden;
pub use request::{Endpoint, Request};
pub use rest::Still;
pub use shorten::Shown;
use state::State;
pub use verdict::{Action, Found, Interruption, Match};

/// What a thread needs to scan strings. A few MiB at most; for one program.
#[derive(Debug)]
pub struct Caches {
    serial: u64,
    scan: ScanCaches,
}

impl Caches {
    /// Empty caches for `program`.
    #[must_use]
    pub fn new(program: &Program) -> Self {
        Self { serial: program.serial, scan: program.patterns.caches() }
    }

    /// The caches, emptied when they were another program's.
    fn of(&mut self, program: &Program) -> &mut ScanCaches {
        if self.serial != program.serial {
            *self = Self::new(program);
        }
        &mut self.scan
    }
}

/// One request and its answer under a program.
#[derive(Debug)]
pub struct Transaction {
    program: Arc<Program>,
    state: State,
}

impl Transaction {
    /// A transaction with nothing in it yet.
    #[must_use]
    pub fn new(program: Arc<Program>) -> Self {
        let state = State::new(&program);
        Self { program, state }
    }

    /// The program it runs.
    #[must_use]
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// Forgets all and begins again with `program`, in the memory of the last transaction when the
    /// program is the same.
    pub fn begin(&mut self, program: &Arc<Program>) {
        if self.program.serial == program.serial {
            self.state.clear(&self.program);
        } else {
            *self = Self::new(Arc::clone(program));
        }
    }

    /// Phase 1: the head of the request.
    pub fn request_head(
        &mut self,
        request: &Request<'_>,
        caches: &mut Caches,
    ) -> Option<&Interruption> {
        self.state.load_request(&self.program, request);
        self.state.phase(&self.program, caches.of(&self.program), 1);
        self.state.interruption.as_ref()
    }

    /// From now on it ends between two rules when `stop` is set by another thread. What has come of
    /// it until then says nothing.
    pub fn stop_when(&mut self, stop: Option<Arc<AtomicBool>>) {
        self.state.stop = stop;
    }

    /// How long it has taken since the request began: DURATION, in the phases that follow.
    pub fn has_taken(&mut self, time: Duration) {
        let milliseconds = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        self.state.set_number(&self.program, Variable::Duration, milliseconds);
    }

    /// Whether phase 2 looks at the body of the request.
    #[must_use]
    pub fn wants_request_body(&self) -> bool {
        self.state.engine != EngineMode::Off && self.state.reads_request_body
    }

    /// Whether phase 2 makes something of a body: whether something reads one of its type, or a rule
    /// looks at bodies of any.
    #[must_use]
    pub fn reads_request_body(&self) -> bool {
        self.wants_request_body()
            && (self.state.has_processor() || State::reads_every_body(&self.program))
    }

    /// Phase 2: the body of the request, whole; empty when there is none or it is not wanted.
    pub fn request_body(&mut self, body: &[u8], caches: &mut Caches) -> Option<&Interruption> {
        self.state.load_body(&self.program, body);
        self.state.phase(&self.program, caches.of(&self.program), 2);
        self.state.interruption.as_ref()
    }

    /// Phase 3: the head of the answer.
    pub fn answer_head(
        &mut self,
        head: &AnswerHead<'_>,
        caches: &mut Caches,
    ) -> Option<&Interruption> {
        self.state.load_answer(&self.program, head);
        self.state.phase(&self.program, caches.of(&self.program), 3);
        self.state.interruption.as_ref()
    }

    /// Whether phase 4 looks at the body of the answer: by its type, after phase 3.
    #[must_use]
    pub fn wants_answer_body(&self) -> bool {
        self.state.engine != EngineMode::Off && self.state.reads_answer_body(&self.program)
    }

    /// Phase 4: the body of the answer, whole; empty when there is none or it is not wanted.
    pub fn answer_body(&mut self, body: &[u8], caches: &mut Caches) -> Option<&Interruption> {
        self.state.load_answer_body(&self.program, body);
        self.state.phase(&self.program, caches.of(&self.program), 4);
        self.state.interruption.as_ref()
    }

    /// Phase 5: what rules say at the end. Nothing is interrupted any more.
    pub fn finish(&mut self, caches: &mut Caches) {
        self.state.phase(&self.program, caches.of(&self.program), 5);
    }

    /// What refuses the request, when rules act.
    #[must_use]
    pub fn interruption(&self) -> Option<&Interruption> {
        self.state.interruption.as_ref()
    }

    /// What would have refused the request first, when rules only detect.
    #[must_use]
    pub fn would_interrupt(&self) -> Option<&Interruption> {
        self.state.would_interrupt.as_ref()
    }

    /// Whether rules act now.
    #[must_use]
    pub fn engine(&self) -> EngineMode {
        self.state.engine
    }

    /// Which transactions the audit log wants now.
    #[must_use]
    pub fn audit(&self) -> AuditMode {
        self.state.audit
    }

    /// All matches so far, in order, also those that are not logged.
    pub fn matches(&self) -> impl Iterator<Item = Match<'_>> {
        self.state.matches(&self.program)
    }

    /// What rules that matched do not want in logs (`sanitiseArg` …).
    #[must_use]
    pub fn hidden(&self) -> Hidden {
        Hidden::of(self)
    }

    /// The fields of the request's head, in order: names and values as they came.
    pub fn request_fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.state.fields(Variable::RequestHeaders)
    }

    /// Those of the answer's, if it was looked at.
    pub fn answer_fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.state.fields(Variable::ResponseHeaders)
    }

    /// A variable of TX, by its name in lower case, as text.
    #[must_use]
    pub fn variable(&self, name: &[u8]) -> Option<Vec<u8>> {
        self.state.variable(&self.program, name)
    }

    /// Lets go of what nobody asks for any more while it waits for what may `still` come. Rules find
    /// all that they look at as it was. Of what each rule matched, logs find the value that is
    /// `shown`, and whether one of all is secret; all of it where rules sanitise.
    /// Cost: a new place for each string that is left, and one question for each value that matched.
    pub fn rest(&mut self, still: Still, shown: Shown<'_>) {
        let arguments = Hidden::arguments_asked(self);
        if self.program.settings.sanitised.is_empty() {
            self.state.shorten(&self.program, shown);
        }
        self.state.rest(&self.program, still, &arguments);
    }

    /// Bytes of memory held beside the program and the caches.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.state.memory_bytes()
    }
}
