//! What a match changes: variables of TX, and what the rest of the transaction does.

use super::evaluate::{At, bit};
use super::state::State;
use super::strings::Id;
use super::tx::Value;
use crate::waf::program::Program;
use crate::waf::program::rule::{Change, Effect, Name};
use crate::waf::program::text::{Part, Text};
use crate::waf::seclang::variables::Variable;

impl State {
    /// Applies `effect`, which stands at rule, link and index `place`.
    pub(crate) fn apply(&mut self, program: &Program, place: (u32, u32, u32), effect: &Effect) {
        match effect {
            Effect::SetTx { name: Name::Slot(slot), change } => {
                let old = self.tx.slot(*slot);
                let value = self.changed(program, old, change);
                self.tx.set_slot(*slot, value);
            }
            Effect::SetTx { name: Name::Text(name), change } => {
                self.set_named(program, name, change);
            }
            Effect::Engine(mode) => self.engine = *mode,
            Effect::Audit(mode) => self.audit = *mode,
            Effect::RequestBodyAccess(on) => self.reads_request_body = *on,
            Effect::RequestBodyProcessor(processor) => {
                let name = self.strings.intern(processor.name().as_bytes());
                self.values.set(Variable::ReqbodyProcessor, name);
            }
            Effect::ForceRequestBody(on) => self.forces_request_body = *on,
            Effect::ResponseBodyAccess(on) => self.reads_response_body = *on,
            Effect::Remove(rules) => {
                self.removed.resize(rules.len(), 0);
                for (word, bits) in self.removed.iter_mut().zip(rules) {
                    *word |= bits;
                }
            }
            Effect::RemoveTarget(..) => {
                if !self.untargeted.contains(&place) {
                    self.untargeted.push(place);
                }
            }
        }
    }

    /// A name with macros: a slot when some rule writes that name out, else an extra.
    fn set_named(&mut self, program: &Program, name: &Text, change: &Change) {
        let mut out = std::mem::take(&mut self.text);
        out.clear();
        self.expand(program, name, &mut out);
        out.make_ascii_lowercase();
        let slot = program.names.find(&out);
        let id = if slot.is_none() { self.strings.intern(&out) } else { 0 };
        self.text = out;
        match slot {
            Some(slot) => {
                let value = self.changed(program, self.tx.slot(slot), change);
                self.tx.set_slot(slot, value);
            }
            None => {
                let value = self.changed(program, self.tx.extra(&self.strings, id), change);
                self.tx.set_extra(&mut self.strings, id, value);
            }
        }
    }

    fn changed(&mut self, program: &Program, old: Value, change: &Change) -> Value {
        match change {
            Change::Remove => Value::Unset,
            Change::Set(text) => self.assigned(program, text),
            Change::Add(operand) => {
                let by = self.operand(program, operand);
                Value::Number(old.number(&self.strings).saturating_add(by))
            }
            Change::Subtract(operand) => {
                let by = self.operand(program, operand);
                Value::Number(old.number(&self.strings).saturating_sub(by))
            }
        }
    }

    /// A value as it is; numbers stay numbers.
    fn assigned(&mut self, program: &Program, text: &Text) -> Value {
        if let [Part::Tx(slot)] = &*text.parts {
            let value = self.tx.slot(*slot);
            return if value == Value::Unset { Value::Text(0) } else { value };
        }
        Value::Text(self.expand_string(program, text))
    }

    /// Whether `ctl:ruleRemoveTarget…` took the value called `key` from the rule at `at`.
    pub(crate) fn is_untargeted(
        &self,
        program: &Program,
        at: At,
        variable: Variable,
        key: Id,
    ) -> bool {
        !self.untargeted.is_empty()
            && self.untargeted.iter().any(|(rule, link, effect)| {
                let rule = program.rules.get(*rule as usize);
                let link = rule.and_then(|rule| rule.links.get(*link as usize));
                match link.and_then(|link| link.effects.get(*effect as usize)) {
                    Some(Effect::RemoveTarget(rules, of, selector)) => {
                        *of == variable.as_named()
                            && bit(rules, at.rule)
                            && self.selects(program, selector, key)
                    }
                    _ => false,
                }
            })
    }
}
