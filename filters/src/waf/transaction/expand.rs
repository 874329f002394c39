//! Macros expanded, and what is logged of a match.

use super::state::State;
use super::strings::{EMPTY, Id};
use super::tx::{Value, write_decimal};
use super::verdict::Seen;
use crate::waf::operator;
use crate::waf::program::Program;
use crate::waf::program::rule::{Link, Question};
use crate::waf::program::text::{Part, Text};
use crate::waf::seclang::variables::Variable;

/// Bytes of an expanded text, at most: a message does not repeat a whole body.
const EXPANDED_BYTES_MAX: usize = 4096;

/// What a rule says of a match: `msg` and `logdata` expanded, each of the first link that has it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Said {
    pub message: Option<Id>,
    pub data: Option<Id>,
}

impl State {
    /// Appends `text` with its macros expanded to `out`.
    pub(crate) fn expand(&mut self, program: &Program, text: &Text, out: &mut Vec<u8>) {
        for part in &text.parts {
            match part {
                Part::Literal(literal) => out.extend_from_slice(literal),
                Part::Tx(slot) => self.append(self.tx.slot(*slot), out),
                Part::Value(variable, key) => {
                    self.append_variable(program, *variable, key.as_deref(), out);
                }
            }
        }
    }

    fn append(&self, value: Value, out: &mut Vec<u8>) {
        match value {
            Value::Unset => {}
            Value::Number(number) => out.extend_from_slice(write_decimal(number, &mut [0; 20])),
            Value::Text(id) => out.extend_from_slice(self.strings.get(id)),
        }
    }

    fn append_variable(
        &self,
        program: &Program,
        variable: Variable,
        key: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) {
        match variable {
            Variable::MatchedVar => {
                let value = self.last.map_or(EMPTY, |last| last.value);
                out.extend_from_slice(self.strings.get(value));
            }
            Variable::MatchedVarName => {
                if let Some(last) = self.last {
                    self.append_name(last, out);
                }
            }
            Variable::MatchedVars => {
                let first = self.matched.first().map_or(EMPTY, |seen| seen.value);
                out.extend_from_slice(self.strings.get(first));
            }
            Variable::Rule => self.append_rule(program, key.unwrap_or_default(), out),
            _ => {
                let value = self.first(variable, key).unwrap_or(EMPTY);
                out.extend_from_slice(self.strings.get(value));
            }
        }
    }

    /// `ARGS:name`, or the variable's name alone.
    pub(crate) fn append_name(&self, seen: Seen, out: &mut Vec<u8>) {
        out.extend_from_slice(seen.variable.name().as_bytes());
        if seen.key != EMPTY {
            out.push(b':');
            out.extend_from_slice(self.strings.get(seen.key));
        }
    }

    fn append_rule(&self, program: &Program, key: &[u8], out: &mut Vec<u8>) {
        let Some(rule) = program.rules.get(self.rule as usize) else { return };
        match key {
            b"id" => out.extend_from_slice(write_decimal(rule.about.id as i64, &mut [0; 20])),
            b"severity" => {
                let severity = i64::from(rule.about.severity.unwrap_or_default());
                out.extend_from_slice(write_decimal(severity, &mut [0; 20]));
            }
            b"ver" => out.extend_from_slice(rule.about.version.as_bytes()),
            _ => {}
        }
    }

    /// The first value of a variable, or the first that is called `key`.
    fn first(&self, variable: Variable, key: Option<&[u8]>) -> Option<Id> {
        let fields = self.values.of(variable);
        let found = match key {
            None => fields.first(),
            Some(key) => {
                fields.iter().find(|one| self.strings.get(one.key).eq_ignore_ascii_case(key))
            }
        };
        found.map(|field| field.value)
    }

    /// `text` expanded, as a number.
    pub(crate) fn expand_number(&mut self, program: &Program, text: &Text) -> i64 {
        if let [Part::Tx(slot)] = &*text.parts {
            return self.tx.slot(*slot).number(&self.strings);
        }
        let mut out = std::mem::take(&mut self.text);
        out.clear();
        self.expand(program, text, &mut out);
        let number = operator::number(&out);
        self.text = out;
        number
    }

    /// `text` expanded, as a string.
    pub(crate) fn expand_string(&mut self, program: &Program, text: &Text) -> Id {
        let mut out = std::mem::take(&mut self.text);
        out.clear();
        self.expand(program, text, &mut out);
        let id = self.strings.intern(&out);
        self.text = out;
        id
    }

    /// Adds message and data of a link to what is `said`, each unless it is there, when its rule is
    /// logged.
    pub(crate) fn describe(&mut self, program: &Program, rule: u32, link: &Link, said: &mut Said) {
        let texts = [(&link.message, &mut said.message), (&link.log_data, &mut said.data)];
        for (text, place) in texts {
            let Some(text) = text.as_ref().filter(|_| place.is_none()) else { continue };
            let about = program.rules.get(rule as usize).map(|rule| &rule.about);
            if about.is_none_or(|about| !about.is_logged && !about.is_audited) {
                return;
            }
            let mut out = std::mem::take(&mut self.text);
            out.clear();
            self.expand(program, text, &mut out);
            out.truncate(EXPANDED_BYTES_MAX);
            *place = Some(self.strings.intern(&out));
            self.text = out;
        }
    }

    /// TX:0 … after an operator that is no pattern.
    pub(crate) fn capture_answer(&mut self, program: &Program, question: u32, value: Id) {
        let mut parts: [Id; 10] = [EMPTY; 10];
        let mut count = 0;
        match program.questions.get(question as usize) {
            Some(Question::Phrases(phrases)) => {
                let text = self.strings.get(value).to_vec();
                for (part, found) in parts.iter_mut().zip(phrases.find_all(&text)) {
                    *part = self.strings.intern(found);
                    count += 1;
                }
            }
            Some(Question::Sqli) => {
                let mut fingerprint = [0; 8];
                let length = crate::waf::injection::sqli(self.strings.get(value), &mut fingerprint);
                let found = length.and_then(|length| fingerprint.get(..length));
                if let (Some(found), Some(part)) = (found, parts.first_mut()) {
                    *part = self.strings.intern(found);
                    count = 1;
                }
            }
            Some(Question::Xss) => {
                if let Some(part) = parts.first_mut() {
                    *part = value;
                    count = 1;
                }
            }
            _ => {}
        }
        for (slot, id) in parts.iter().take(count).enumerate() {
            self.tx.set_slot(slot as u16, Value::Text(*id));
        }
    }
}
