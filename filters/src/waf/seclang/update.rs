//! `SecRuleUpdateTargetBy…`, `SecRuleUpdateActionById`, `SecRuleRemoveBy…`: changes to rules above.

use super::actions;
use super::ast::{Disruption, Item, Rule, RuleSelector};
use super::lines::{Line, Word};
use super::load::Loader;
use super::problem::Problem;
use super::{control, targets};
use crate::waf::transform::Transform;

/// How a directive names its rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// `…ById`
    Id,
    /// `…ByTag`
    Tag,
    /// `…ByMsg`
    Message,
}

fn selector(by: By, word: &Word) -> Result<RuleSelector, Problem> {
    match by {
        By::Id => control::ids(&word.text, word.offset),
        By::Tag => Ok(RuleSelector::Tag(word.text.clone())),
        By::Message => Ok(RuleSelector::Message(word.text.clone())),
    }
}

fn chosen<'a>(
    loader: &'a mut Loader<'_>,
    selector: &'a RuleSelector,
) -> impl Iterator<Item = &'a mut Box<Rule>> {
    loader.set.items.iter_mut().filter_map(move |item| match item {
        Item::Rule(rule) if selector.covers(rule) => Some(rule),
        _ => None,
    })
}

fn nothing(loader: &mut Loader<'_>, line: &Line, word: &Word) {
    let message = format!("no rule above fits `{}`: this has no effect", word.text);
    loader.note(line, word.offset, message);
}

/// `SecRuleRemoveById 1 2-5`
pub(crate) fn remove(
    loader: &mut Loader<'_>,
    line: &Line,
    words: &[Word],
    by: By,
) -> Result<(), Problem> {
    if words.is_empty() {
        return Err(Problem::at(0, "no rule is named", "such as SecRuleRemoveById 942100"));
    }
    for word in words {
        let selector = selector(by, word)?;
        let before = loader.set.items.len();
        let is_kept = |item: &Item| !matches!(item, Item::Rule(rule) if selector.covers(rule));
        loader.set.items.retain(is_kept);
        if loader.set.items.len() == before {
            nothing(loader, line, word);
        }
    }
    Ok(())
}

/// `SecRuleUpdateTargetById 942100 "!ARGS:password|REQUEST_URI"`
pub(crate) fn targets(
    loader: &mut Loader<'_>,
    line: &Line,
    words: &[Word],
    by: By,
) -> Result<(), Problem> {
    let [rules, list] = words else {
        let help = "the rules, then targets, such as 942100 \"!ARGS:password\"";
        return Err(Problem::at(0, "expected two arguments", help));
    };
    let selector = selector(by, rules)?;
    let entries = targets::entries(&list.text).map_err(|problem| problem.shifted(list.offset))?;
    let mut count = 0;
    for rule in chosen(loader, &selector) {
        count += 1;
        if let Some(link) = rule.links.first_mut().filter(|link| link.operator.is_some()) {
            targets::apply(&mut link.targets, entries.clone());
        }
    }
    if count == 0 {
        nothing(loader, line, rules);
    }
    Ok(())
}

/// `SecRuleUpdateActionById 949110 "deny,status:404"`
pub(crate) fn actions(
    loader: &mut Loader<'_>,
    line: &Line,
    words: &[Word],
) -> Result<(), Vec<Problem>> {
    let [rules, list] = words else {
        let help = "a rule's id, then actions, such as 949110 \"t:none,deny,status:404\"";
        return Err(vec![Problem::at(0, "expected two arguments", help)]);
    };
    let selector = selector(By::Id, rules).map_err(|problem| vec![problem])?;
    let (parsed, problems) = actions::parse(&list.text);
    let mut problems: Vec<Problem> =
        problems.into_iter().map(|problem| problem.shifted(list.offset)).collect();
    if parsed.id.is_some() || parsed.phase.is_some() || parsed.is_chained {
        let message = "id, phase and chain of a rule cannot be changed";
        problems.push(Problem::at(list.offset, message, "any other action"));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    for (offset, message) in &parsed.notes {
        loader.note(line, list.offset + offset, message.clone());
    }
    let mut ids = Vec::new();
    for rule in chosen(loader, &selector) {
        ids.push(rule.id);
        update(rule, &parsed);
    }
    ids.iter().for_each(|id| loader.sanitise(*id, &parsed.sanitised));
    if ids.is_empty() {
        nothing(loader, line, rules);
    }
    Ok(())
}

fn update(rule: &mut Rule, actions: &actions::Actions) {
    match &actions.disruption {
        None | Some(Disruption::Block) => {}
        Some(disruption) => rule.disruption = disruption.clone(),
    }
    rule.status = actions.status.unwrap_or(rule.status);
    rule.is_logged = actions.is_logged.unwrap_or(rule.is_logged);
    rule.is_audited = actions.is_audited.unwrap_or(rule.is_audited);
    rule.severity = actions.severity.or(rule.severity);
    rule.maturity = actions.maturity.unwrap_or(rule.maturity);
    rule.accuracy = actions.accuracy.unwrap_or(rule.accuracy);
    for (place, text) in
        [(&mut rule.version, &actions.version), (&mut rule.revision, &actions.revision)]
    {
        if !text.is_empty() {
            text.clone_into(place);
        }
    }
    rule.flow = actions.flow.clone().unwrap_or_else(|| rule.flow.clone());
    rule.tags.extend(actions.tags.iter().cloned());
    let Some(link) = rule.links.first_mut() else { return };
    for transform in &actions.transforms {
        match transform {
            Transform::None => link.transforms.clear(),
            transform => link.transforms.push(*transform),
        }
    }
    link.is_capturing |= actions.is_capturing;
    link.is_multi_match |= actions.is_multi_match;
    link.effects.extend(actions.effects.iter().cloned());
    if let Some(message) = &actions.message {
        link.message = Some(message.clone());
    }
    if let Some(data) = &actions.log_data {
        link.log_data = Some(data.clone());
    }
}
