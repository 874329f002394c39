//! Targets whose values may change with every rule: TX, MATCHED_*, and a few single values.

use super::evaluate::{At, compares};
use super::expand::Said;
use super::state::State;
use super::strings::{EMPTY, Id};
use super::tx::{Value, decimal};
use super::verdict::Seen;
use crate::waf::program::rule::{Choice, Fluid, Link, Test};
use crate::waf::program::{Program, ScanCaches};
use crate::waf::seclang::variables::Variable;

impl State {
    /// Evaluates a link on a fluid target.
    pub(crate) fn fluid_target(
        &mut self,
        program: &Program,
        caches: &mut ScanCaches,
        at: At,
        (link, fluid): (&Link, &Fluid),
        said: &mut Said,
    ) {
        if self.is_settled(program, link, fluid) {
            return;
        }
        let mut pending = std::mem::take(&mut self.pending);
        pending.clear();
        self.collect(program, fluid, &mut pending);
        for seen in &pending {
            if self.is_untargeted(program, at, seen.variable, seen.key) {
                continue;
            }
            let mut last = None;
            for pipeline in &link.pipelines {
                let value = self.transformed(program, seen.value, *pipeline);
                let is_new = last.replace(value) != Some(value);
                let seen = Seen { value, ..*seen };
                self.value(program, caches, (at, link), seen, (is_new, false), said);
            }
        }
        self.pending = pending;
    }

    /// The common case, decided without any string: a slot of TX compared with a number, or the
    /// count of a slot. Returns true when it is known not to match.
    fn is_settled(&mut self, program: &Program, link: &Link, fluid: &Fluid) -> bool {
        let (Test::Compare(comparison, operand), Choice::Slot(slot)) = (&link.test, &fluid.choice)
        else {
            return false;
        };
        if link.pipelines.as_ref() != [0] || !fluid.exclusions.is_empty() {
            return false;
        }
        let value = self.tx.slot(*slot);
        let left = match (fluid.is_count, value) {
            (true, value) => i64::from(value != Value::Unset),
            (false, Value::Unset) => return true,
            (false, value) => value.number(&self.strings),
        };
        let right = self.operand(program, operand);
        compares(*comparison, left, right) == link.is_negated
    }

    /// The values of a fluid target.
    fn collect(&mut self, program: &Program, fluid: &Fluid, pending: &mut Vec<Seen>) {
        let variable = fluid.variable;
        match variable {
            Variable::Tx => self.collect_tx(program, &fluid.choice, pending),
            Variable::MatchedVar | Variable::MatchedVars => {
                let all = if variable == Variable::MatchedVar {
                    self.last.as_slice()
                } else {
                    self.matched.as_slice()
                };
                // The name of a value is that of where it came from.
                pending.extend(all.iter().map(|seen| Seen { variable, ..*seen }));
            }
            Variable::MatchedVarName | Variable::MatchedVarsNames => {
                self.collect_names(variable, pending);
            }
            Variable::Rule => {}
            _ => {
                let fields = self.values.of(variable).iter();
                pending.extend(fields.map(|one| Seen { variable, key: one.key, value: one.value }));
            }
        }
        if !fluid.exclusions.is_empty() {
            pending.retain(|seen| {
                !fluid.exclusions.iter().any(|one| self.selects(program, one, seen.key))
            });
        }
        if let (false, Choice::Name(name)) = (variable == Variable::Tx, &fluid.choice) {
            pending.retain(|seen| self.strings.get(seen.key).eq_ignore_ascii_case(name));
        }
        if fluid.is_count {
            let value = decimal(&mut self.strings, pending.len() as i64);
            let key = match &fluid.choice {
                Choice::Slot(slot) => self.slot_name(program, *slot),
                _ => EMPTY,
            };
            pending.clear();
            pending.push(Seen { variable, key, value });
        }
    }

    fn slot_name(&mut self, program: &Program, slot: u16) -> Id {
        let name = program.names.all.get(usize::from(slot));
        self.strings.intern(name.map_or(&[][..], |name| name))
    }

    fn collect_tx(&mut self, program: &Program, choice: &Choice, pending: &mut Vec<Seen>) {
        match choice {
            Choice::Slot(slot) => self.collect_slot(program, *slot, pending),
            Choice::Name(_) => {}
            Choice::All => {
                for slot in 0..program.names.all.len() {
                    self.collect_slot(program, slot as u16, pending);
                }
                self.collect_extras(pending, |_| true);
            }
            Choice::Pattern(pattern, slots) => {
                for slot in slots {
                    self.collect_slot(program, *slot, pending);
                }
                let single = program.patterns.singles.get(*pattern as usize);
                self.collect_extras(pending, |name| {
                    single.is_some_and(|single| single.is_match(name))
                });
            }
        }
    }

    fn collect_slot(&mut self, program: &Program, slot: u16, pending: &mut Vec<Seen>) {
        if let Some(value) = self.tx.slot(slot).text(&mut self.strings) {
            let key = self.slot_name(program, slot);
            pending.push(Seen { variable: Variable::Tx, key, value });
        }
    }

    fn collect_extras(&mut self, pending: &mut Vec<Seen>, is_chosen: impl Fn(&[u8]) -> bool) {
        for index in 0..self.tx.extras().len() {
            let Some((key, value)) = self.tx.extras().get(index).copied() else { continue };
            if !is_chosen(self.strings.get(key)) {
                continue;
            }
            if let Some(value) = value.text(&mut self.strings) {
                pending.push(Seen { variable: Variable::Tx, key, value });
            }
        }
    }

    fn collect_names(&mut self, variable: Variable, pending: &mut Vec<Seen>) {
        let count = if variable == Variable::MatchedVarName { 1 } else { self.matched.len() };
        for index in 0..count {
            let seen = match variable {
                Variable::MatchedVarName => self.last,
                _ => self.matched.get(index).copied(),
            };
            let Some(seen) = seen else { continue };
            let mut out = std::mem::take(&mut self.text);
            out.clear();
            self.append_name(seen, &mut out);
            let value = self.strings.intern(&out);
            self.text = out;
            pending.push(Seen { variable, key: seen.key, value });
        }
    }
}
