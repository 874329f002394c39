//! Runs the rules of a phase.
//!
//! Most rules do not match, so the first question is the cheap one ([`State::passes`]): a bit of a
//! union, or an answer that is remembered. Only then are values looked at one by one, in order,
//! with captures and everything that a match does.

use super::expand::Said;
use super::state::{Allowed, State};
use super::strings::{EMPTY, Id};
use super::tx::Value;
use super::verdict::{Action, Interruption, Record, Seen};
use crate::waf::operator;
use crate::waf::program::rule::{Disruption, Flow, Link, Operand, Rule, Test};
use crate::waf::program::{GROUPS, Program, ScanCaches};
use crate::waf::seclang::ast::{Comparison, TextTest};
use crate::waf::seclang::settings::EngineMode;
use crate::waf::seclang::variables::Variable;

/// The phase of logging: it runs after an interruption too.
const LOGGING: u8 = 5;

/// Where a link is.
#[derive(Clone, Copy)]
pub(crate) struct At {
    pub rule: u32,
    pub link: u32,
}

impl State {
    /// Runs phase `number`.
    pub(crate) fn phase(&mut self, program: &Program, caches: &mut ScanCaches, number: u8) {
        if self.engine == EngineMode::Off || !self.is_allowed_to_run(number) {
            return;
        }
        self.columns.prepare(program);
        let operations = program.phases.get(usize::from(number)).map_or(&[][..], Vec::as_slice);
        let mut at = 0;
        while let Some(operation) = operations.get(at) {
            at += 1;
            let index = operation.rule;
            if self.is_stopped() {
                break;
            }
            if !self.removed.is_empty() && bit(&self.removed, index) {
                continue;
            }
            if !self.passes(program, caches, operation.gate) {
                continue;
            }
            let Some(rule) = program.rules.get(index as usize) else { continue };
            if !self.rule(program, caches, index, rule) {
                continue;
            }
            if let Flow::Jump(to) = rule.flow {
                at = to as usize;
            }
            if (self.interruption.is_some() && number != LOGGING)
                || self.allowed != Allowed::Nothing
            {
                break;
            }
        }
        if self.allowed == Allowed::Phase || (self.allowed == Allowed::Request && number >= 2) {
            self.allowed = Allowed::Nothing;
        }
    }

    fn is_allowed_to_run(&self, number: u8) -> bool {
        let is_running = number == LOGGING || self.interruption.is_none();
        is_running && self.allowed == Allowed::Nothing
    }

    /// Evaluates one rule with its chain. Returns whether all of it matched.
    fn rule(
        &mut self,
        program: &Program,
        caches: &mut ScanCaches,
        index: u32,
        rule: &Rule,
    ) -> bool {
        self.matched.clear();
        self.rule = index;
        let from = self.seen.len() as u32;
        let mut said = Said::default();
        for (number, link) in rule.links.iter().enumerate() {
            let at = At { rule: index, link: number as u32 };
            if !self.link(program, caches, at, link, &mut said) {
                self.seen.truncate(from as usize);
                return false;
            }
        }
        self.complete(program, index, rule, from, said);
        true
    }

    /// Evaluates one link on all its values. Returns whether any matched.
    fn link(
        &mut self,
        program: &Program,
        caches: &mut ScanCaches,
        at: At,
        link: &Link,
        said: &mut Said,
    ) -> bool {
        let before = self.seen.len();
        if matches!(link.test, Test::Action) {
            let seen = Seen { variable: Variable::Rule, key: EMPTY, value: EMPTY };
            self.hit(program, at, link, seen, said);
            self.seen.truncate(before);
            return true;
        }
        for group in link.columns.chunks(link.pipelines.len().max(1)) {
            self.group(program, caches, at, link, group, said);
        }
        for fluid in &link.fluid {
            self.fluid_target(program, caches, at, (link, fluid), said);
        }
        self.seen.len() > before
    }

    /// One target: a column, or one for each prefix of the pipeline.
    fn group(
        &mut self,
        program: &Program,
        caches: &mut ScanCaches,
        at: At,
        link: &Link,
        group: &[u32],
        said: &mut Said,
    ) {
        let Some(first) = group.first() else { return };
        let first_made = self.column(program, *first);
        if first_made.length == 0 {
            return;
        }
        let variable = variable_of(program, *first);
        for item in 0..first_made.length {
            let Some(field) = self.columns.item(first_made.items + item) else { continue };
            if self.is_untargeted(program, at, variable, field.key) {
                continue;
            }
            let mut last = None;
            for (number, column) in group.iter().enumerate() {
                let made = match number {
                    0 => first_made,
                    _ => self.column(program, *column),
                };
                let id = self.columns.id(made.ids + item).unwrap_or_default();
                let is_new = last.replace(id) != Some(id);
                let seen = Seen { variable, key: field.key, value: id };
                self.value(program, caches, (at, link), seen, (is_new, true), said);
            }
        }
    }

    /// One value of a link: what follows when the operator says so.
    pub(crate) fn value(
        &mut self,
        program: &Program,
        caches: &mut ScanCaches,
        (at, link): (At, &Link),
        seen: Seen,
        (is_new, is_kept): (bool, bool),
        said: &mut Said,
    ) {
        if is_new && self.tests(program, caches, link, seen.value, is_kept) != link.is_negated {
            self.hit(program, at, link, seen, said);
        }
    }

    /// Whether the operator matches the string `id`, before negation. `is_kept`: what is found out
    /// about the string is worth remembering.
    pub(crate) fn tests(
        &mut self,
        program: &Program,
        caches: &mut ScanCaches,
        link: &Link,
        id: Id,
        is_kept: bool,
    ) -> bool {
        match &link.test {
            Test::Pattern(pattern) if is_kept => {
                self.pattern_matches(program, caches, id, *pattern)
            }
            Test::Pattern(pattern) => {
                let single = program.patterns.singles.get(*pattern as usize);
                single.is_some_and(|single| single.is_match(self.strings.get(id)))
            }
            Test::Question(question) => self.answer(program, id, *question),
            Test::Compare(comparison, operand) => {
                let right = self.operand(program, operand);
                compares(*comparison, operator::number(self.strings.get(id)), right)
            }
            Test::Text(test, text) => {
                let mut parameter = std::mem::take(&mut self.text);
                parameter.clear();
                self.expand(program, text, &mut parameter);
                let holds = text_test(*test, self.strings.get(id), &parameter);
                self.text = parameter;
                holds
            }
            Test::Addresses(addresses) => addresses.matches(self.strings.get(id)),
            Test::Always | Test::Action => true,
            Test::Never => false,
        }
    }

    pub(crate) fn operand(&mut self, program: &Program, operand: &Operand) -> i64 {
        match operand {
            Operand::Number(number) => *number,
            Operand::Text(text) => self.expand_number(program, text),
        }
    }

    /// One value matched: everything that follows from it alone.
    pub(crate) fn hit(
        &mut self,
        program: &Program,
        at: At,
        link: &Link,
        seen: Seen,
        said: &mut Said,
    ) {
        self.matched.push(seen);
        self.last = Some(seen);
        self.seen.push(seen);
        if link.is_capturing && !link.is_negated {
            self.capture(program, link, seen.value);
        }
        for (index, effect) in link.effects.iter().enumerate() {
            self.apply(program, (at.rule, at.link, index as u32), effect);
        }
        let is_single =
            program.rules.get(at.rule as usize).is_some_and(|rule| rule.links.len() == 1);
        if is_single || at.link > 0 {
            self.describe(program, at.rule, link, said);
        }
    }

    /// Fills TX:0 ..= TX:9 from what matched.
    fn capture(&mut self, program: &Program, link: &Link, value: Id) {
        match link.test {
            Test::Pattern(pattern) => {
                let Some(single) = program.patterns.singles.get(pattern as usize) else { return };
                let groups = single.groups(self.strings.get(value));
                self.text.clear();
                let mut text = std::mem::take(&mut self.text);
                text.extend_from_slice(self.strings.get(value));
                let count = single.group_count().min(GROUPS);
                for (slot, group) in groups.iter().take(count).enumerate() {
                    let part = group.and_then(|(from, to)| text.get(from..to)).unwrap_or_default();
                    let id = self.strings.intern(part);
                    self.tx.set_slot(slot as u16, Value::Text(id));
                }
                self.text = text;
            }
            Test::Question(question) => self.capture_answer(program, question, value),
            _ => {}
        }
    }

    /// The whole rule matched: it is recorded, and acts.
    fn complete(&mut self, program: &Program, index: u32, rule: &Rule, from: u32, later: Said) {
        // What the first link of a chain says may be about the others: it is expanded last, and
        // goes before what they say.
        let mut said = Said::default();
        if let Some(link) = rule.links.first().filter(|_| rule.links.len() > 1) {
            self.describe(program, index, link, &mut said);
        }
        let message = said.message.or(later.message).unwrap_or(EMPTY);
        let data = said.data.or(later.data).unwrap_or(EMPTY);
        let scores = [0, 1].map(|side: usize| {
            let slots = program.scores.get(side).map_or(&[][..], Vec::as_slice);
            slots.iter().map(|slot| self.tx.slot(*slot).number(&self.strings)).sum()
        });
        let to = self.seen.len() as u32;
        self.records.push(Record { rule: index, message, data, from, to, scores });
        if let Some(severity) = rule.about.severity.filter(|severity| *severity < self.severity) {
            self.severity = severity;
            self.set_number(program, Variable::HighestSeverity, i64::from(severity));
        }
        self.disrupt(program, rule);
    }

    fn disrupt(&mut self, program: &Program, rule: &Rule) {
        let action = match &rule.disruption {
            Disruption::Pass => return,
            Disruption::Deny => Action::Deny,
            Disruption::Drop => Action::Drop,
            Disruption::Redirect(url) => {
                let mut target = Vec::new();
                self.expand(program, url, &mut target);
                Action::Redirect(target)
            }
            Disruption::Allow => return self.allow(Allowed::All),
            Disruption::AllowPhase => return self.allow(Allowed::Phase),
            Disruption::AllowRequest => return self.allow(Allowed::Request),
        };
        let interruption = Interruption { rule: rule.about.id, status: rule.status, action };
        match self.engine {
            EngineMode::On => self.interruption = self.interruption.take().or(Some(interruption)),
            EngineMode::DetectionOnly | EngineMode::Off => {
                self.would_interrupt = self.would_interrupt.take().or(Some(interruption));
            }
        }
    }

    fn allow(&mut self, reach: Allowed) {
        if self.engine == EngineMode::On {
            self.allowed = reach;
        }
    }
}

fn variable_of(program: &Program, column: u32) -> Variable {
    let column = program.tables.columns.all.get(column as usize);
    let target = column.and_then(|column| program.tables.targets.all.get(column.target as usize));
    target.map_or(Variable::Rule, |target| target.variable)
}

pub(crate) fn bit(bits: &[u64], index: u32) -> bool {
    bits.get(index as usize / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
}

pub(crate) fn compares(comparison: Comparison, left: i64, right: i64) -> bool {
    match comparison {
        Comparison::Equal => left == right,
        Comparison::AtLeast => left >= right,
        Comparison::Above => left > right,
        Comparison::AtMost => left <= right,
        Comparison::Below => left < right,
    }
}

fn text_test(test: TextTest, value: &[u8], parameter: &[u8]) -> bool {
    match test {
        TextTest::BeginsWith => operator::begins_with(value, parameter),
        TextTest::Contains => operator::contains(value, parameter),
        TextTest::ContainsWord => operator::contains_word(value, parameter),
        TextTest::EndsWith => operator::ends_with(value, parameter),
        TextTest::Equals => operator::streq(value, parameter),
        TextTest::Matches => operator::strmatch(value, parameter),
        TextTest::Within => operator::within(value, parameter),
    }
}
