//! From parsed rules to a [`Program`].

use std::collections::HashMap;

use super::fold::{self, Fate};
use super::links::{Linker, QuestionDraft};
use super::names::Names;
use super::patterns::Patterns;
use super::rule::{About, Choice, Disruption, Flow, Gate, Operation, Question, Rule, Test, Views};
use super::{PHASES, Program};
use crate::waf::operator::Phrases;
use crate::waf::seclang::ast::{self, Item, RuleSet};
use crate::waf::seclang::{Fault, Faults};

/// Compiles a rule set.
pub(crate) fn compile(set: &RuleSet, serial: u64) -> Result<Program, Faults> {
    let (set, dropped) = folded(with_markers(set));
    let set = &set;
    let parsed: Vec<&ast::Rule> = set
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Rule(rule) => Some(&**rule),
            Item::Marker(_) => None,
        })
        .collect();
    let mut linker = Linker::new(&parsed);
    let mut faults = Vec::new();
    let mut rules = Vec::with_capacity(parsed.len());
    for rule in &parsed {
        rules.push(compile_rule(rule, &mut linker));
    }
    let mut phases: [Vec<u32>; PHASES] = Default::default();
    lay_out(set, &mut rules, &mut phases, &mut faults);
    // Half of the work is the automata of patterns, the other half those of phrases.
    let (patterns, questions) = std::thread::scope(|scope| {
        let drafts = std::mem::take(&mut linker.questions);
        let questions = scope.spawn(|| questions(drafts));
        let patterns = Patterns::build(&linker.patterns);
        (patterns, questions.join())
    });
    let patterns = patterns.map_err(|(index, error)| {
        let rule = linker.pattern_rules.get(index).and_then(|rule| parsed.get(*rule));
        Faults(rule.map(|rule| too_large(rule, &error)).into_iter().collect())
    })?;
    faults.append(&mut linker.faults);
    let questions = questions.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let questions = questions.unwrap_or_else(|mut found| {
        faults.append(&mut found);
        Vec::new()
    });
    if !faults.is_empty() {
        return Err(Faults(faults));
    }
    let mut gate_views = Vec::new();
    let operations = phases.map(|list| {
        list.into_iter()
            .map(|rule| Operation { rule, gate: gate(&rules, rule, &patterns, &mut gate_views) })
            .collect::<Vec<_>>()
    });
    choose_slots(&mut rules, &linker.names, &patterns);
    let scores = ["inbound", "outbound"].map(|side| score_slots(&linker.names, side));
    for slot in scores.iter().flatten() {
        linker.asked.note_slot(*slot, 5);
    }
    Ok(Program {
        serial,
        phases: operations,
        gate_views,
        rules,
        tables: linker.tables,
        patterns,
        questions,
        names: linker.names,
        settings: set.settings.clone(),
        asked: linker.asked,
        scores,
        notes: set.notes.clone(),
        dropped,
    })
}

/// Builds what operators ask.
fn questions(drafts: Vec<QuestionDraft>) -> Result<Vec<Question>, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut questions = Vec::with_capacity(drafts.len());
    for draft in drafts {
        match draft {
            QuestionDraft::Other(question) => questions.push(question),
            QuestionDraft::Phrases { phrases, place, rule } => match Phrases::new(phrases.iter()) {
                Ok(built) => questions.push(Question::Phrases(built)),
                Err(error) => faults.push(Fault {
                    place,
                    rule: Some(rule),
                    message: format!("the phrases do not compile: {error}"),
                    help: "fewer phrases".into(),
                }),
            },
        }
    }
    if faults.is_empty() { Ok(questions) } else { Err(faults) }
}

/// `skip:N` becomes `skipAfter` of a marker of its own, so that rules between may be left out.
fn with_markers(set: &RuleSet) -> RuleSet {
    let mut set = set.clone();
    let mut at = 0;
    while let Some(item) = set.items.get_mut(at) {
        at += 1;
        let Item::Rule(rule) = item else { continue };
        let ast::Flow::Skip(count) = rule.flow else { continue };
        let name = format!("after {count} rules from {}", rule.id);
        rule.flow = ast::Flow::SkipAfter(name.clone());
        let phase = rule.phase;
        let following = set.items.iter().enumerate().skip(at);
        let of_phase = following
            .filter(|(_, item)| matches!(item, Item::Rule(rule) if rule.phase == phase))
            .map(|(index, _)| index + 1);
        let end = of_phase.take(count as usize).last().unwrap_or(at);
        set.items.insert(end, Item::Marker(name));
    }
    set
}

/// The rules that some transaction can reach, and the ids of the others.
fn folded(set: RuleSet) -> (RuleSet, Vec<u64>) {
    let mut dropped = Vec::new();
    let mut items = Vec::with_capacity(set.items.len());
    let fates = fold::fates(&set);
    for (item, fate) in set.items.into_iter().zip(fates) {
        match (item, fate) {
            (Item::Rule(rule), Fate::Falls) => dropped.push(rule.id),
            (Item::Rule(mut rule), Fate::Matches) => {
                for link in &mut rule.links {
                    link.operator = None;
                    link.targets.clear();
                }
                items.push(Item::Rule(rule));
            }
            (item, _) => items.push(item),
        }
    }
    (RuleSet { items, settings: set.settings, notes: set.notes }, dropped)
}

/// `tx.inbound_anomaly_score_pl1` ..= `…_pl4`, as CRS counts.
fn score_slots(names: &Names, side: &str) -> Vec<u16> {
    let slot = |level: u8| names.find(format!("{side}_anomaly_score_pl{level}").as_bytes());
    (1..=4).filter_map(slot).collect()
}

/// The cheap test of a rule's first link.
fn gate(rules: &[Rule], index: u32, patterns: &Patterns, gate_views: &mut Vec<u32>) -> Gate {
    let first = rules.get(index as usize).and_then(|rule| rule.links.first());
    let Some(link) = first.filter(|link| !link.is_negated && link.fluid.is_empty()) else {
        return Gate::Open;
    };
    let views = Views { from: gate_views.len() as u32, count: link.views.len() as u32 };
    gate_views.extend_from_slice(&link.views);
    match link.test {
        Test::Question(question) => Gate::Question { views, question },
        Test::Pattern(pattern) => {
            let single = patterns.singles.get(pattern as usize);
            let Some((side, bit)) = single.and_then(|one| Some((one.side, one.bit?))) else {
                return Gate::Open;
            };
            let (cell, mask) = ((bit / 64) as u8, 1u64 << (bit % 64));
            Gate::Pattern { views, side, cell, mask }
        }
        _ => Gate::Open,
    }
}

/// Names that rules write out are matched with the patterns of `TX:/…/` once, here.
fn choose_slots(rules: &mut [Rule], names: &Names, patterns: &Patterns) {
    let links = rules.iter_mut().flat_map(|rule| rule.links.iter_mut());
    for fluid in links.flat_map(|link| link.fluid.iter_mut()) {
        if let Choice::Pattern(pattern, slots) = &mut fluid.choice {
            let single = patterns.singles.get(*pattern as usize);
            let is_match = |name: &[u8]| single.is_some_and(|single| single.is_match(name));
            let all = names.all.iter().enumerate();
            *slots = all.filter(|(_, name)| is_match(name)).map(|(slot, _)| slot as u16).collect();
        }
    }
}

fn too_large(rule: &ast::Rule, error: &str) -> Fault {
    Fault {
        place: rule.place.clone(),
        rule: Some(rule.id),
        message: format!("the patterns do not compile: {error}"),
        help: "smaller repetitions; all patterns of a program share one automaton".into(),
    }
}

fn compile_rule(rule: &ast::Rule, linker: &mut Linker<'_>) -> Rule {
    let links = rule.links.iter().map(|link| linker.link(rule, link)).collect();
    let last = rule.links.last().and_then(|link| link.operator.as_ref());
    Rule {
        about: About {
            id: rule.id,
            phase: rule.phase,
            tags: rule.tags.iter().map(|tag| tag.as_str().into()).collect(),
            version: rule.version.as_str().into(),
            revision: rule.revision.as_str().into(),
            maturity: rule.maturity,
            accuracy: rule.accuracy,
            operator: last.map_or("", |operator| &operator.name).into(),
            parameter: last.map_or("", |operator| &operator.parameter).into(),
            severity: rule.severity,
            is_logged: rule.is_logged,
            is_audited: rule.is_audited,
            file: rule.place.file.clone(),
            line: rule.place.line,
        },
        disruption: match &rule.disruption {
            ast::Disruption::Pass | ast::Disruption::Block => Disruption::Pass,
            ast::Disruption::Deny => Disruption::Deny,
            ast::Disruption::Drop => Disruption::Drop,
            ast::Disruption::Redirect(url) => Disruption::Redirect(linker.said(url)),
            ast::Disruption::Allow => Disruption::Allow,
            ast::Disruption::AllowPhase => Disruption::AllowPhase,
            ast::Disruption::AllowRequest => Disruption::AllowRequest,
        },
        status: rule.status,
        flow: Flow::Next,
        links,
    }
}

/// Puts rules into their phases and turns markers and counts into indexes.
fn lay_out(
    set: &RuleSet,
    rules: &mut [Rule],
    phases: &mut [Vec<u32>; PHASES],
    faults: &mut Vec<Fault>,
) {
    // Where each marker stands, as the index of the next operation of each phase; later ones of
    // one name follow earlier ones.
    let mut markers: HashMap<&str, Vec<[u32; PHASES]>> = HashMap::new();
    let mut placed: Vec<(usize, u32, &ast::Rule)> = Vec::new();
    for item in &set.items {
        match item {
            Item::Marker(name) => {
                let here = std::array::from_fn(|phase| {
                    phases.get(phase).map_or(0, |list| list.len() as u32)
                });
                markers.entry(name).or_default().push(here);
            }
            Item::Rule(rule) => {
                let index = placed.len();
                let Some(list) = phases.get_mut(usize::from(rule.phase)) else { continue };
                placed.push((index, list.len() as u32, rule));
                list.push(index as u32);
            }
        }
    }
    for (index, at, parsed) in placed {
        let flow = match &parsed.flow {
            ast::Flow::Next | ast::Flow::Skip(_) => Flow::Next,
            ast::Flow::SkipAfter(name) => {
                let phase = usize::from(parsed.phase);
                let after = markers.get(name.as_str()).and_then(|places| {
                    let here = places.iter().filter_map(|place| place.get(phase));
                    here.copied().find(|place| *place > at)
                });
                after.map_or_else(
                    || {
                        faults.push(missing_marker(parsed, name));
                        Flow::Next
                    },
                    Flow::Jump,
                )
            }
        };
        if let Some(rule) = rules.get_mut(index) {
            rule.flow = flow;
        }
    }
}

fn missing_marker(rule: &ast::Rule, name: &str) -> Fault {
    Fault {
        place: rule.place.clone(),
        rule: Some(rule.id),
        message: format!("no SecMarker `{name}` follows this rule"),
        help: format!("add `SecMarker {name}` where evaluation shall go on"),
    }
}
