//! What a transaction holds while it waits: for its answer, for the end, or for logs.
//!
//! While rules run, memory saves time: each form of each string is kept with all that was found out
//! about it. A request then waits for its backend, which may take minutes. What rules of later
//! phases and logs can still ask for ([`Asked`](crate::waf::program::Asked)) is little; it moves to
//! new strings, and the rest goes. Rules say the same as if it had not waited. What was found out is
//! found out again where it is asked for again.

use super::columns::Columns;
use super::hidden::has;
use super::state::State;
use super::strings::Id;
use crate::waf::program::{LOGS, Program};
use crate::waf::seclang::variables::Variable;

/// What may still come of a transaction that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Still {
    /// Its answer: phases 3 to 5, and logs.
    Answer,
    /// Its end: phase 5, and logs.
    End,
    /// Logs alone.
    Logs,
}

impl Still {
    /// The first phase that may come.
    fn phase(self) -> u8 {
        match self {
            Self::Answer => 3,
            Self::End => 5,
            Self::Logs => LOGS,
        }
    }
}

impl State {
    /// Keeps what may `still` be asked for, and of arguments at least those in `arguments`.
    pub(crate) fn rest(&mut self, program: &Program, still: Still, arguments: &[Vec<u8>]) {
        let from = still.phase();
        self.forget_values(program, from, arguments);
        let asks = |variable: Variable| program.asked.asks(variable as usize, from);
        if ![Variable::MatchedVar, Variable::MatchedVarName].into_iter().any(asks) {
            self.last = None;
        }
        self.tx.keep(|slot| program.asked.asks_slot(slot, from), program.asked.asks_tx(from));
        self.move_strings();
    }

    fn forget_values(&mut self, program: &Program, from: u8, arguments: &[Vec<u8>]) {
        let Self { values, strings, .. } = self;
        values.keep(|variable, field| {
            program.asked.asks(variable, from)
                || (variable == Variable::Args as usize && has(arguments, strings.get(field.key)))
        });
    }

    /// Moves all strings that are left. Here all is listed that may hold the number of one.
    fn move_strings(&mut self) {
        let Self {
            strings,
            values,
            tx,
            columns,
            matched,
            last,
            records,
            seen,
            briefs,
            interruption: _,
            would_interrupt: _,
            engine: _,
            audit: _,
            allowed: _,
            reads_request_body: _,
            reads_response_body: _,
            forces_request_body: _,
            removed: _,
            untargeted: _,
            severity: _,
            stop: _,
            rule: _,
            pending,
            out,
            text,
        } = self;
        // Made again when a rule asks, or only of use while one runs.
        *columns = Columns::default();
        (*matched, *pending) = (Vec::new(), Vec::new());
        (*out, *text) = (Vec::new(), Vec::new());
        let old = strings.replace();
        let mut moved = |id: &mut Id| *id = strings.intern(old.get(*id));
        values.each_id(&mut moved);
        tx.each_id(&mut moved);
        for one in last.iter_mut().chain(&mut *seen) {
            moved(&mut one.key);
            moved(&mut one.value);
        }
        for record in &mut *records {
            moved(&mut record.message);
            moved(&mut record.data);
        }
        tx.number(strings);
        strings.fit();
        seen.shrink_to_fit();
        briefs.shrink_to_fit();
        records.shrink_to_fit();
    }
}
