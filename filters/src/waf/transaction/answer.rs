//! The answer: its head, and its body when its type is one that rules look into.

use super::state::State;
use super::verdict::{Action, Interruption};
use crate::waf::program::Program;
use crate::waf::seclang::settings::{EngineMode, LimitAction};
use crate::waf::seclang::variables::Variable;

/// The status that replaces an answer above its limit.
const TOO_LARGE: u16 = 500;

/// The head of an answer.
#[derive(Clone, Copy, Debug)]
pub struct AnswerHead<'a> {
    /// 100..=599
    pub status: u16,
    /// `HTTP/1.1`
    pub protocol: &'a [u8],
    /// Names and values in order.
    pub fields: &'a [(&'a [u8], &'a [u8])],
}

impl State {
    /// Fills the variables of phase 3.
    pub(crate) fn load_answer(&mut self, program: &Program, head: &AnswerHead<'_>) {
        if self.engine == EngineMode::Off {
            return;
        }
        self.set_number(program, Variable::ResponseStatus, i64::from(head.status));
        self.set(program, Variable::ResponseProtocol, head.protocol);
        if program.uses(Variable::StatusLine) {
            let line = [head.protocol, b" ", head.status.to_string().as_bytes()].concat();
            self.set(program, Variable::StatusLine, &line);
        }
        for (name, value) in head.fields {
            let key = self.strings.intern(name);
            let id = self.strings.intern(value);
            self.values.push(Variable::ResponseHeaders, key, id);
            self.values.push(Variable::ResponseHeadersNames, key, key);
            if name.eq_ignore_ascii_case(b"content-type") {
                let kind = value.split(|byte| *byte == b';').next().unwrap_or_default();
                let kind = self.strings.intern(kind.trim_ascii());
                self.values.set(Variable::ResponseContentType, kind);
            }
        }
    }

    pub(crate) fn reads_answer_body(&self, program: &Program) -> bool {
        let kind = self.values.of(Variable::ResponseContentType).first();
        let kind = kind.map_or(&[][..], |field| self.strings.get(field.value));
        self.reads_response_body
            && program
                .settings
                .response_types
                .iter()
                .any(|known| known.as_bytes().eq_ignore_ascii_case(kind))
    }

    /// Fills the variables of phase 4.
    pub(crate) fn load_answer_body(&mut self, program: &Program, body: &[u8]) {
        if self.engine == EngineMode::Off {
            return;
        }
        if !self.reads_answer_body(program) {
            // To rules, a body that is not looked at is an empty one.
            return self.set(program, Variable::ResponseBody, b"");
        }
        let settings = &program.settings;
        let part = body.get(..settings.response_body_bytes_max).unwrap_or(body);
        if part.len() < body.len() {
            self.set(program, Variable::OutboundDataError, b"1");
            if settings.response_body_limit == LimitAction::Reject {
                return self.refuse_answer();
            }
        }
        let body = part;
        self.set(program, Variable::ResponseBody, body);
        self.set_number(program, Variable::ResponseContentLength, body.len() as i64);
    }

    fn refuse_answer(&mut self) {
        let refusal = Interruption { rule: 0, status: TOO_LARGE, action: Action::Deny };
        match self.engine {
            EngineMode::On => self.interruption = self.interruption.take().or(Some(refusal)),
            _ => self.would_interrupt = self.would_interrupt.take().or(Some(refusal)),
        }
    }
}
