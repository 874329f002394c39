//! Rules that no transaction can reach, or that match none, are left out.
//!
//! CRS guards each paranoia level with rules such as `TX:DETECTION_PARANOIA_LEVEL "@lt 2"` that
//! jump over it; the level is a constant of the setup. The rules are run once here with what is
//! known of TX: an operator on known values is decided, a jump that is always taken hides what it
//! jumps over, and what may or may not happen makes the variables it sets unknown. On doubt a rule
//! stays: the program without these rules does in every transaction what all rules would do,
//! except that rules with `nolog` and without effects are not listed among the matches.

use std::collections::BTreeMap;

use super::known::{Known, Truth};
use crate::waf::seclang::Sanitise;
use crate::waf::seclang::ast::{
    Control, Disruption, Effect, Flow, Item, Rule, RuleSelector, RuleSet,
};
use crate::waf::seclang::template::{Piece, Template};
use crate::waf::seclang::variables::Variable;

/// What becomes of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It stays as it is.
    Stays,
    /// It stays, but its operator is known to match.
    Matches,
    /// It is left out.
    Falls,
}

/// The fate of each item of `set`; markers stay.
pub(crate) fn fates(set: &RuleSet) -> Vec<Fate> {
    let mut folder = Folder {
        items: &set.items,
        sanitised: &set.settings.sanitised,
        fates: vec![Fate::Stays; set.items.len()],
        known: Known::default(),
        removals: Vec::new(),
        may_allow_request: false,
    };
    for phase in 1..=5 {
        if phase == 5 {
            // Logging follows any phase, also an interrupted one.
            folder.known.forget_changes();
        }
        folder.phase(phase);
        folder.known.mark();
    }
    folder.fates
}

struct Folder<'a> {
    items: &'a [Item],
    /// What rules hide from logs when they match.
    sanitised: &'a BTreeMap<u64, Vec<Sanitise>>,
    fates: Vec<Fate>,
    known: Known,
    /// What `ctl:ruleRemove…` of rules that may have run may have removed.
    removals: Vec<&'a RuleSelector>,
    /// Whether `allow:request` may have ended phases 1 and 2.
    may_allow_request: bool,
}

/// Where evaluation is within a phase.
#[derive(Default)]
struct Position<'a> {
    /// A jump that was certainly taken: nothing runs until this marker.
    until: Option<&'a str>,
    /// Jumps that were possibly taken: until these markers nothing is certain.
    perhaps_until: Vec<&'a str>,
    /// Nothing is certain until the end of the phase.
    is_doubtful: bool,
}

impl Position<'_> {
    fn is_certain(&self) -> bool {
        self.perhaps_until.is_empty() && !self.is_doubtful
    }
}

impl<'a> Folder<'a> {
    fn phase(&mut self, phase: u8) {
        let is_doubtful = phase == 2 && self.may_allow_request;
        let mut position = Position { is_doubtful, ..Position::default() };
        for (index, item) in self.items.iter().enumerate() {
            match item {
                Item::Marker(name) => pass_marker(&mut position, name),
                Item::Rule(rule) if rule.phase != phase => {}
                Item::Rule(_) if position.until.is_some() => self.decide(index, Fate::Falls),
                Item::Rule(rule) => self.rule(index, rule, &mut position),
            }
        }
    }

    fn decide(&mut self, index: usize, fate: Fate) {
        if let Some(place) = self.fates.get_mut(index) {
            *place = fate;
        }
    }

    fn rule(&mut self, index: usize, rule: &'a Rule, position: &mut Position<'a>) {
        let covering: Vec<&RuleSelector> =
            self.removals.iter().filter(|removal| removal.covers(rule)).copied().collect();
        let is_certain = position.is_certain() && covering.is_empty();
        let mut truth = Truth::Always;
        let mut has_effects = false;
        for link in &rule.links {
            match self.known.truth(link) {
                Truth::Never if truth == Truth::Always => {
                    truth = Truth::Never;
                    break;
                }
                Truth::Always if truth == Truth::Always => {}
                _ => truth = Truth::Depends,
            }
            for effect in &link.effects {
                self.known.apply(effect, is_certain && truth == Truth::Always);
                self.control(effect);
                has_effects = true;
            }
        }
        if truth == Truth::Never {
            if !has_effects {
                self.decide(index, Fate::Falls);
            }
            return;
        }
        self.disruption(rule, position);
        let is_jump_certain = truth == Truth::Always && self.hides(index, rule, &covering);
        // A jump out of a region that may itself be jumped over is still taken at run time.
        let is_jump_done = is_jump_certain && position.perhaps_until.is_empty();
        match &rule.flow {
            // Counts were turned into markers before.
            Flow::Next | Flow::Skip(_) => {}
            Flow::SkipAfter(marker) if is_jump_certain => position.until = Some(marker),
            Flow::SkipAfter(marker) => position.perhaps_until.push(marker),
        }
        if truth == Truth::Always {
            self.simplify(index, rule, is_jump_done);
        }
    }

    /// A rule that always matches needs no operator, and often nothing at all.
    fn simplify(&mut self, index: usize, rule: &Rule, is_jump_done: bool) {
        let is_silent = !rule.is_logged
            && !rule.is_audited
            && rule.disruption == Disruption::Pass
            && !self.sanitised.contains_key(&rule.id);
        let [link] = rule.links.as_slice() else { return };
        if !is_silent || rule.severity.is_some() {
            return;
        }
        let flows_on = rule.flow == Flow::Next || is_jump_done;
        if link.effects.is_empty() && flows_on {
            self.decide(index, Fate::Falls);
        } else if !link.is_capturing && !mentions_match(&link.effects) {
            self.decide(index, Fate::Matches);
        }
    }

    fn control(&mut self, effect: &'a Effect) {
        if let Effect::Control(Control::Remove(selector)) = effect {
            self.removals.push(selector);
        }
    }

    fn disruption(&mut self, rule: &Rule, position: &mut Position<'_>) {
        match &rule.disruption {
            Disruption::Pass | Disruption::Block => {}
            Disruption::AllowPhase | Disruption::AllowRequest => {
                self.may_allow_request |= rule.disruption == Disruption::AllowRequest;
                position.is_doubtful = true;
                self.known.mark();
            }
            _ => self.known.mark(),
        }
    }

    /// Whether a jump of `rule` hides what it jumps over even when `ctl` has removed the rule:
    /// whatever removes it must remove all of that too.
    fn hides(&self, index: usize, rule: &Rule, covering: &[&RuleSelector]) -> bool {
        let Flow::SkipAfter(marker) = &rule.flow else { return false };
        let over = self.items.iter().skip(index + 1);
        over.take_while(|item| !matches!(item, Item::Marker(name) if name == marker))
            .filter_map(|item| match item {
                Item::Rule(other) if other.phase == rule.phase => Some(other),
                _ => None,
            })
            .all(|other| covering.iter().all(|removal| removal.covers(other)))
    }
}

/// What a marker ends. A certain jump that began inside a possible one is no longer certain behind
/// the end of that one.
fn pass_marker<'a>(position: &mut Position<'a>, name: &str) {
    let before = position.perhaps_until.len();
    position.perhaps_until.retain(|marker| *marker != name);
    let has_ended = position.perhaps_until.len() < before;
    match position.until {
        Some(marker) if marker == name => position.until = None,
        Some(marker) if has_ended => {
            position.until = None;
            position.perhaps_until.push(marker);
        }
        _ => {}
    }
}

/// Whether an effect's text depends on what matched.
fn mentions_match(effects: &[Effect]) -> bool {
    let of_match = |template: &Template| {
        template.pieces.iter().any(|piece| {
            matches!(
                piece,
                Piece::Value(
                    Variable::MatchedVar
                        | Variable::MatchedVarName
                        | Variable::MatchedVars
                        | Variable::MatchedVarsNames
                        | Variable::Rule,
                    _
                )
            )
        })
    };
    effects.iter().any(|effect| match effect {
        Effect::SetTx { name, change } => {
            use crate::waf::seclang::ast::Change;
            of_match(name)
                || match change {
                    Change::Set(text) | Change::Add(text) | Change::Subtract(text) => {
                        of_match(text)
                    }
                    Change::Remove => false,
                }
        }
        Effect::Control(_) => false,
    })
}
