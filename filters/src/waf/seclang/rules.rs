//! `SecRule`, `SecAction`, `SecDefaultAction`: from words to rules.

use super::actions::{self, Actions};
use super::ast::{Disruption, Flow, Link, Operator, Rule, Target};
use super::library::beside;
use super::lines::{Line, Word};
use super::load::Loader;
use super::problem::Problem;
use super::{operators, targets};
use crate::waf::transform::Transform;

/// The status of a refusal that names none.
const STATUS_DEFAULT: u16 = 403;

/// `SecRule TARGETS "OPERATOR" ["ACTIONS"]`
pub(crate) fn rule(loader: &mut Loader<'_>, file: &str, line: &Line, words: &[Word]) {
    let (targets, operator, actions) = match words {
        [targets, operator] => (targets, operator, None),
        [targets, operator, actions] => (targets, operator, Some(actions)),
        _ => {
            let help = "SecRule TARGETS \"@operator parameter\" \"id:…,phase:…,…\"";
            let problem = Problem::at(0, format!("SecRule with {} arguments", words.len()), help);
            return loader.fault(line, None, problem);
        }
    };
    let (actions, mut problems) = list(actions);
    let parsed = targets::parse(&targets.text).map_err(|problem| problem.shifted(targets.offset));
    let targets = parsed.map_err(|problem| problems.push(problem)).unwrap_or_default();
    let library = loader.library;
    let read = |name: &str| library.read(&beside(file, name));
    let operator = operators::parse(&operator.text, line.place(operator.offset), &read)
        .map_err(|problem| problems.push(problem.shifted(operator.offset)))
        .ok();
    add(loader, line, targets, operator, actions, problems);
}

/// `SecAction "ACTIONS"`
pub(crate) fn action(loader: &mut Loader<'_>, line: &Line, words: &[Word]) {
    let [word] = words else {
        let problem =
            Problem::at(0, "SecAction takes one argument", "SecAction \"id:…,phase:…,…\"");
        return loader.fault(line, None, problem);
    };
    let (actions, problems) = list(Some(word));
    add(loader, line, Vec::new(), None, actions, problems);
}

/// `SecDefaultAction "phase:N,…"`
pub(crate) fn default_action(loader: &mut Loader<'_>, line: &Line, words: &[Word]) {
    let [word] = words else {
        let help = "SecDefaultAction \"phase:2,log,pass\"";
        return loader.fault(
            line,
            None,
            Problem::at(0, "SecDefaultAction takes one argument", help),
        );
    };
    let (actions, problems) = list(Some(word));
    let has_metadata =
        actions.id.is_some() || actions.message.is_some() || !actions.tags.is_empty();
    let has_more = !actions.effects.is_empty()
        || actions.flow.is_some()
        || actions.log_data.is_some()
        || actions.severity.is_some()
        || !actions.sanitised.is_empty()
        || actions.is_capturing
        || actions.is_chained
        || actions.is_multi_match;
    for problem in problems {
        loader.fault(line, None, problem);
    }
    let problem = match (actions.phase, &actions.disruption) {
        (None, _) => "SecDefaultAction without a phase",
        (_, None | Some(Disruption::Block)) => {
            "SecDefaultAction without pass, deny, drop or redirect"
        }
        _ if has_metadata => "SecDefaultAction with id, msg or tag",
        _ if has_more => "SecDefaultAction with more than what becomes of a match, log and t",
        _ => {
            if let Some(slot) = loader.defaults.get_mut(usize::from(actions.phase.unwrap_or(2))) {
                *slot = Some(actions);
            }
            return;
        }
    };
    let help = "such as SecDefaultAction \"phase:2,log,auditlog,deny,status:403\"";
    loader.fault(line, None, Problem::at(word.offset, problem, help));
}

fn list(word: Option<&Word>) -> (Actions, Vec<Problem>) {
    let Some(word) = word else { return (Actions::default(), Vec::new()) };
    let (mut actions, problems) = actions::parse(&word.text);
    for (offset, _) in &mut actions.notes {
        *offset += word.offset;
    }
    let problems = problems.into_iter().map(|problem| problem.shifted(word.offset)).collect();
    (actions, problems)
}

/// Adds a rule, or a link to the open chain.
fn add(
    loader: &mut Loader<'_>,
    line: &Line,
    targets: Vec<Target>,
    operator: Option<Operator>,
    actions: Actions,
    problems: Vec<Problem>,
) {
    let chained = loader.open.take();
    let rule_id = actions.id.or(chained.as_ref().map(|rule| rule.id));
    let is_whole = problems.is_empty();
    for problem in problems {
        loader.fault(line, rule_id, problem);
    }
    for (offset, message) in &actions.notes {
        loader.note(line, *offset, message.clone());
    }
    if let Some(id) = rule_id {
        loader.sanitise(id, &actions.sanitised);
    }
    let is_chained = actions.is_chained;
    let begun = match chained {
        Some(rule) => link(loader, line, rule, targets, operator, actions),
        None => start(loader, line, targets, operator, actions),
    };
    match begun {
        Some(rule) if is_chained => loader.open = Some(rule),
        Some(rule) if is_whole => loader.push(rule),
        _ => {}
    }
}

fn link(
    loader: &mut Loader<'_>,
    line: &Line,
    mut rule: Box<Rule>,
    targets: Vec<Target>,
    operator: Option<Operator>,
    actions: Actions,
) -> Option<Box<Rule>> {
    let has_flow = actions.flow.is_some() || actions.id.is_some() || actions.phase.is_some();
    if has_flow || !matches!(actions.disruption, None | Some(Disruption::Pass | Disruption::Block))
    {
        let message = "a chained rule with id, phase, a disruptive action, skip or skipAfter";
        let help = "write these on the first rule of the chain";
        loader.fault(line, Some(rule.id), Problem::at(0, message, help));
    }
    for (name, is_there) in [
        ("tag", !actions.tags.is_empty()),
        ("severity", actions.severity.is_some()),
        ("status", actions.status.is_some()),
        ("log", actions.is_logged.is_some()),
        ("ver", !actions.version.is_empty()),
        ("rev", !actions.revision.is_empty()),
        ("maturity", actions.maturity.is_some()),
        ("accuracy", actions.accuracy.is_some()),
    ] {
        if is_there {
            loader.note(line, 0, format!("`{name}` of a chained rule does nothing here"));
        }
    }
    rule.links.push(make_link(line, targets, operator, &[], actions));
    Some(rule)
}

fn start(
    loader: &mut Loader<'_>,
    line: &Line,
    targets: Vec<Target>,
    operator: Option<Operator>,
    mut actions: Actions,
) -> Option<Box<Rule>> {
    let Some(id) = actions.id else {
        if !actions.has_broken_id {
            let problem = Problem::at(0, "a rule without an id", "id:N, unique in all files");
            loader.fault(line, None, problem);
        }
        return None;
    };
    loader.take_id(line, id, 0);
    let phase = actions.phase.unwrap_or(2);
    let defaults = loader.defaults.get(usize::from(phase)).cloned().flatten().unwrap_or_default();
    let disruption = match actions.disruption.take() {
        Some(Disruption::Block) | None => defaults.disruption.unwrap_or(Disruption::Pass),
        Some(disruption) => disruption,
    };
    let mut rule = Box::new(Rule {
        id,
        phase,
        tags: std::mem::take(&mut actions.tags),
        version: std::mem::take(&mut actions.version),
        revision: std::mem::take(&mut actions.revision),
        maturity: actions.maturity.unwrap_or_default(),
        accuracy: actions.accuracy.unwrap_or_default(),
        severity: actions.severity,
        disruption,
        status: actions.status.or(defaults.status).unwrap_or(STATUS_DEFAULT),
        is_logged: actions.is_logged.or(defaults.is_logged).unwrap_or(true),
        is_audited: actions.is_audited.or(defaults.is_audited).unwrap_or(true),
        flow: actions.flow.take().unwrap_or(Flow::Next),
        links: Vec::new(),
        place: line.place(0),
    });
    rule.links.push(make_link(line, targets, operator, &defaults.transforms, actions));
    Some(rule)
}

fn make_link(
    line: &Line,
    targets: Vec<Target>,
    operator: Option<Operator>,
    defaults: &[Transform],
    actions: Actions,
) -> Link {
    let mut transforms = Vec::new();
    for transform in defaults.iter().chain(&actions.transforms) {
        match transform {
            Transform::None => transforms.clear(),
            transform => transforms.push(*transform),
        }
    }
    Link {
        targets,
        operator,
        transforms,
        is_capturing: actions.is_capturing,
        is_multi_match: actions.is_multi_match,
        effects: actions.effects,
        message: actions.message,
        log_data: actions.log_data,
        place: line.place(0),
    }
}
