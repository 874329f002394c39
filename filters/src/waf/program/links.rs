//! Links compiled: targets become columns or fluid targets, operators become tests.

use super::asked::Asked;
use super::names::Names;
use super::patterns::{self, Side};
use super::rule::{Change, Choice, Effect, Fluid, Link, Name, Operand, Question, Test};
use super::tables::{Selector, Tables, Target};
use super::text::{Part, Text};
use crate::waf::operator::number;
use crate::waf::seclang::ast::{self, Control, RuleSelector};
use crate::waf::seclang::pattern::{self, Pattern};
use crate::waf::seclang::template::Template;
use crate::waf::seclang::variables::{Shape, Variable};
use crate::waf::seclang::{Fault, Place};
use crate::waf::transform::Transform;
use std::collections::HashMap;
use std::sync::Arc;

/// A pattern before it is compiled.
#[derive(Debug)]
pub(crate) struct Draft {
    pub pattern: Arc<Pattern>,
    pub side: Side,
    /// Whether it is worth scanning for with all others: it is wanted on all values of a
    /// collection. Other patterns match often, or are asked of one value, and are tried alone.
    pub is_joint: bool,
}

/// A question before its automaton is built.
#[derive(Debug)]
pub(crate) enum QuestionDraft {
    Phrases { phrases: Arc<[Vec<u8>]>, place: Place, rule: u64 },
    Other(Question),
}

/// Whether a test that says yes sets TX:0, where its link captures.
fn is_captured(test: &Test) -> bool {
    // Of questions, some capture nothing.
    matches!(test, Test::Pattern(_))
}

/// Whether a target may have many values.
fn is_many(target: &ast::Target) -> bool {
    let has_names = target.variable.shape() != Shape::Scalar;
    has_names && !target.is_count && !matches!(target.selector, ast::Selector::Name(_))
}

/// What the links of a program share while it is compiled.
pub(crate) struct Linker<'a> {
    pub tables: Tables,
    pub names: Names,
    pub patterns: Vec<Draft>,
    /// The rule that brought each pattern.
    pub pattern_rules: Vec<usize>,
    pub questions: Vec<QuestionDraft>,
    pub asked: Asked,
    pub faults: Vec<Fault>,
    /// The phase of the rule that is compiled.
    phase: u8,
    /// Its link sets TX:0 whenever it matches.
    sets_capture: bool,
    rules: &'a [&'a ast::Rule],
    pattern_index: HashMap<(Arc<str>, Side), u32>,
    phrase_index: HashMap<Arc<[Vec<u8>]>, u32>,
}

impl<'a> Linker<'a> {
    pub(crate) fn new(rules: &'a [&'a ast::Rule]) -> Self {
        Self {
            tables: Tables::new(),
            names: Names::new(),
            patterns: Vec::new(),
            pattern_rules: Vec::new(),
            questions: Vec::new(),
            asked: Asked::new(),
            faults: Vec::new(),
            phase: 0,
            sets_capture: false,
            rules,
            pattern_index: HashMap::new(),
            phrase_index: HashMap::new(),
        }
    }

    /// Compiles one link of `rule`.
    pub(crate) fn link(&mut self, rule: &ast::Rule, link: &ast::Link) -> Link {
        let side = if rule.phase <= 2 { Side::Request } else { Side::Answer };
        self.phase = rule.phase;
        let pipelines = self.pipelines(link);
        let mut columns = Vec::new();
        let mut fluid = Vec::new();
        let mut set = Vec::new();
        let mut has_many = false;
        for target in &link.targets {
            self.asked.note(target.variable, rule.phase);
            if target.variable.is_fluid() {
                fluid.push(self.fluid(target, side, rule));
                continue;
            }
            has_many |= is_many(target);
            let target = Target {
                variable: target.variable,
                selector: self.selector(&target.selector, side, rule),
                is_count: target.is_count,
                exclusions: self.exclusions(&target.exclusions, side, rule),
            };
            // A gate may say yes too often: without exclusions, more rules share its view.
            let exclusions = match target.variable {
                Variable::RequestCookies | Variable::Args | Variable::ArgsNames => Vec::new(),
                _ => target.exclusions.clone(),
            };
            set.push(self.tables.targets.intern(Target { exclusions, ..target.clone() }));
            let target = self.tables.targets.intern(target);
            for pipeline in &pipelines {
                columns.push(self.tables.column(target, *pipeline));
            }
        }
        let test = match &link.operator {
            None => Test::Action,
            Some(operator) => self.test(operator, side, rule),
        };
        let is_negated = link.operator.as_ref().is_some_and(|operator| operator.is_negated);
        if let (Test::Pattern(pattern), false, true) = (&test, is_negated, has_many)
            && let Some(draft) = self.patterns.get_mut(*pattern as usize)
        {
            draft.is_joint = true;
        }
        set.sort_unstable();
        set.dedup();
        let set = self.tables.sets.intern(set);
        let views = pipelines.iter().map(|pipeline| self.tables.view(set, *pipeline)).collect();
        self.sets_capture = link.is_capturing && !is_negated && is_captured(&test);
        let effects = link.effects.iter().map(|effect| self.effect(effect, rule)).collect();
        Link {
            test,
            is_negated,
            views,
            columns: columns.into(),
            fluid: fluid.into(),
            pipelines: pipelines.into(),
            is_capturing: link.is_capturing,
            effects,
            message: link.message.as_ref().map(|text| self.said(text)),
            log_data: link.log_data.as_ref().map(|text| self.said(text)),
        }
    }

    /// The whole pipeline; for `multiMatch` each of its prefixes, the empty one first.
    fn pipelines(&mut self, link: &ast::Link) -> Vec<u32> {
        let steps: &[Transform] = &link.transforms;
        let from = if link.is_multi_match { 0 } else { steps.len() };
        (from..=steps.len())
            .map(|length| self.tables.pipeline(steps.get(..length).unwrap_or_default()))
            .collect()
    }

    /// A text that is expanded before its link has matched.
    fn text(&mut self, template: &Template) -> Text {
        let text = Text::compile(template, &mut self.names);
        for part in &text.parts {
            match part {
                Part::Literal(_) => {}
                Part::Tx(slot) => self.asked.note_slot(*slot, self.phase),
                Part::Value(variable, _) => self.asked.note(*variable, self.phase),
            }
        }
        text
    }

    /// A text that is expanded when its link has matched: nothing is kept for what that sets.
    pub(crate) fn said(&mut self, template: &Template) -> Text {
        let text = Text::compile(template, &mut self.names);
        for part in &text.parts {
            match part {
                Part::Literal(_) => {}
                Part::Tx(0) if self.sets_capture => {}
                Part::Tx(slot) => self.asked.note_slot(*slot, self.phase),
                Part::Value(Variable::MatchedVar | Variable::MatchedVarName, _) => {}
                Part::Value(variable, _) => self.asked.note(*variable, self.phase),
            }
        }
        text
    }

    /// The right side of a comparison, or by how much a variable changes.
    fn operand(text: Text) -> Operand {
        match text.as_literal() {
            Some(literal) => Operand::Number(number(literal)),
            None => Operand::Text(text),
        }
    }

    fn exclusions(
        &mut self,
        selectors: &[ast::Selector],
        side: Side,
        rule: &ast::Rule,
    ) -> Vec<Selector> {
        let mut all: Vec<Selector> =
            selectors.iter().map(|selector| self.selector(selector, side, rule)).collect();
        all.sort();
        all.dedup();
        all
    }

    fn selector(&mut self, selector: &ast::Selector, side: Side, rule: &ast::Rule) -> Selector {
        match selector {
            ast::Selector::All => Selector::All,
            ast::Selector::Name(name) => Selector::Name(name.as_bytes().into()),
            ast::Selector::Pattern(source) => {
                // Names are matched in any case; the loader has parsed the pattern before.
                match pattern::parse(&format!("(?i){source}")) {
                    Ok(parsed) => Selector::Pattern(self.pattern(&Arc::new(parsed), side, rule)),
                    Err(_) => Selector::All,
                }
            }
        }
    }

    fn fluid(&mut self, target: &ast::Target, side: Side, rule: &ast::Rule) -> Fluid {
        let choice = match self.selector(&target.selector, side, rule) {
            Selector::All => Choice::All,
            Selector::Name(name) if target.variable == Variable::Tx => {
                Choice::Slot(self.names.slot(&name))
            }
            Selector::Name(name) => Choice::Name(name),
            Selector::Pattern(pattern) => Choice::Pattern(pattern, Box::default()),
        };
        match (&choice, target.variable) {
            (Choice::Slot(slot), _) => self.asked.note_slot(*slot, rule.phase),
            (_, Variable::Tx) => self.asked.note_tx(rule.phase),
            _ => {}
        }
        Fluid {
            variable: target.variable,
            is_count: target.is_count,
            choice,
            exclusions: self.exclusions(&target.exclusions, side, rule).into(),
        }
    }

    fn pattern(&mut self, pattern: &Arc<Pattern>, side: Side, rule: &ast::Rule) -> u32 {
        let key = (pattern.source.clone(), side);
        if let Some(index) = self.pattern_index.get(&key) {
            return *index;
        }
        if let Err(error) = patterns::check_size(&pattern.hir) {
            self.faults.push(Fault {
                place: rule.place.clone(),
                rule: Some(rule.id),
                message: format!("the pattern does not compile: {error}"),
                help: "smaller repetitions".into(),
            });
        }
        let index = self.patterns.len() as u32;
        self.patterns.push(Draft { pattern: pattern.clone(), side, is_joint: false });
        self.pattern_rules.push(self.rules.iter().position(|r| r.id == rule.id).unwrap_or(0));
        self.pattern_index.insert(key, index);
        index
    }

    fn test(&mut self, operator: &ast::Operator, side: Side, rule: &ast::Rule) -> Test {
        match &operator.test {
            ast::Test::Pattern(pattern) => Test::Pattern(self.pattern(pattern, side, rule)),
            ast::Test::Phrases(phrases) => self.phrases(phrases, operator, rule),
            ast::Test::Compare(comparison, operand) => {
                Test::Compare(*comparison, Self::operand(self.text(operand)))
            }
            ast::Test::Text(test, text) => Test::Text(*test, self.text(text)),
            ast::Test::ByteRange(range) => {
                self.question(QuestionDraft::Other(Question::ByteRange(range.clone())))
            }
            ast::Test::Addresses(addresses) => Test::Addresses(addresses.clone()),
            ast::Test::Sqli => self.once(Question::Sqli),
            ast::Test::Xss => self.once(Question::Xss),
            ast::Test::UrlEncoding => self.once(Question::UrlEncoding),
            ast::Test::Utf8Encoding => self.once(Question::Utf8Encoding),
            ast::Test::Always => Test::Always,
            ast::Test::Never => Test::Never,
        }
    }

    fn question(&mut self, question: QuestionDraft) -> Test {
        self.questions.push(question);
        Test::Question(self.questions.len() as u32 - 1)
    }

    /// A question without parameters: asked by many rules, answered once.
    fn once(&mut self, question: Question) -> Test {
        let kind = std::mem::discriminant(&question);
        let is_same = |known: &QuestionDraft| matches!(known, QuestionDraft::Other(known) if std::mem::discriminant(known) == kind);
        match self.questions.iter().position(is_same) {
            Some(index) => Test::Question(index as u32),
            None => self.question(QuestionDraft::Other(question)),
        }
    }

    fn phrases(
        &mut self,
        phrases: &Arc<[Vec<u8>]>,
        operator: &ast::Operator,
        rule: &ast::Rule,
    ) -> Test {
        if let Some(index) = self.phrase_index.get(phrases) {
            return Test::Question(*index);
        }
        let draft = QuestionDraft::Phrases {
            phrases: phrases.clone(),
            place: operator.place.clone(),
            rule: rule.id,
        };
        self.phrase_index.insert(phrases.clone(), self.questions.len() as u32);
        self.question(draft)
    }

    fn effect(&mut self, effect: &ast::Effect, rule: &ast::Rule) -> Effect {
        match effect {
            ast::Effect::SetTx { name, change } => self.set_tx(name, change),
            ast::Effect::Control(control) => self.control(control, rule),
        }
    }

    fn set_tx(&mut self, name: &Template, change: &ast::Change) -> Effect {
        let name = match name.as_literal() {
            Some(literal) => Name::Slot(self.names.slot(literal.as_bytes())),
            None => Name::Text(self.said(name)),
        };
        if matches!(change, ast::Change::Add(_) | ast::Change::Subtract(_)) {
            match name {
                Name::Slot(slot) => self.asked.note_slot(slot, self.phase),
                Name::Text(_) => self.asked.note_tx(self.phase),
            }
        }
        let change = match change {
            ast::Change::Set(text) => Change::Set(self.said(text)),
            ast::Change::Add(text) => Change::Add(Self::operand(self.said(text))),
            ast::Change::Subtract(text) => Change::Subtract(Self::operand(self.said(text))),
            ast::Change::Remove => Change::Remove,
        };
        Effect::SetTx { name, change }
    }

    fn control(&mut self, control: &Control, rule: &ast::Rule) -> Effect {
        match control {
            Control::Engine(mode) => Effect::Engine(*mode),
            Control::Audit(mode) => Effect::Audit(*mode),
            Control::RequestBodyAccess(on) => Effect::RequestBodyAccess(*on),
            Control::RequestBodyProcessor(processor) => Effect::RequestBodyProcessor(*processor),
            Control::ForceRequestBody(on) => Effect::ForceRequestBody(*on),
            Control::ResponseBodyAccess(on) => Effect::ResponseBodyAccess(*on),
            Control::Remove(rules) => Effect::Remove(self.bits(rules)),
            Control::RemoveTarget(rules, variable, selector) => {
                let selector = self.selector(selector, Side::Request, rule);
                Effect::RemoveTarget(self.bits(rules), *variable, selector)
            }
        }
    }

    fn bits(&self, selector: &RuleSelector) -> Box<[u64]> {
        let mut bits = vec![0u64; self.rules.len().div_ceil(64)];
        for (index, rule) in self.rules.iter().enumerate() {
            if let Some(word) = bits.get_mut(index / 64).filter(|_| selector.covers(rule)) {
                *word |= 1 << (index % 64);
            }
        }
        bits.into()
    }
}
