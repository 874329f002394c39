//! `setvar` and `ctl`: what a rule changes for the rest of its transaction.

use super::ast::{Change, Control, Effect, RuleSelector};
use super::problem::{Problem, nearest};
use super::settings::{AuditMode, EngineMode, Processor};
use super::targets;
use super::template::Template;
use super::variables::Variable;

const CONTROLS: &[&str] = &[
    "auditEngine",
    "forceRequestBodyVariable",
    "requestBodyAccess",
    "requestBodyProcessor",
    "responseBodyAccess",
    "ruleEngine",
    "ruleRemoveById",
    "ruleRemoveByMsg",
    "ruleRemoveByTag",
    "ruleRemoveTargetById",
    "ruleRemoveTargetByMsg",
    "ruleRemoveTargetByTag",
];

/// Parses `tx.name=value`, `tx.name=+value`, `!tx.name`, `tx.name`.
pub(crate) fn set_variable(value: &str, offset: usize) -> Result<Effect, Problem> {
    let (is_removed, rest) = match value.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let (name, assigned) = match rest.split_once('=') {
        Some((name, assigned)) => (name, Some(assigned)),
        None => (rest, None),
    };
    let key = name
        .split_once('.')
        .filter(|(collection, key)| collection.eq_ignore_ascii_case("tx") && !key.trim().is_empty())
        .map(|(_, key)| key.trim());
    let Some(key) = key else {
        return Err(Problem::at(
            offset,
            format!("`setvar` of `{name}` is not supported"),
            "tx.NAME; nothing else can be set, and nothing is kept between requests",
        ));
    };
    let template = |text: &str| {
        Template::parse(text).map_err(|(at, macro_name)| {
            let at = value.find(&macro_name).unwrap_or(at);
            Problem::at(
                offset + at,
                format!("the macro %{{{macro_name}}} is of no known variable"),
                "a variable as in targets, such as %{tx.name}",
            )
        })
    };
    let change = match assigned {
        _ if is_removed => Change::Remove,
        None => Change::Set(Template::literal("1")),
        Some(assigned) => match assigned.split_at_checked(1) {
            Some(("+", number)) => Change::Add(template(number)?),
            Some(("-", number)) => Change::Subtract(template(number)?),
            _ => Change::Set(template(assigned)?),
        },
    };
    Ok(Effect::SetTx { name: template(&key.to_ascii_lowercase())?, change })
}

/// Parses `ruleEngine=Off` and its like. `None`: accepted, and nothing to do here.
pub(crate) fn control(value: &str, offset: usize) -> Result<Option<Effect>, Problem> {
    let (name, setting) = value
        .split_once('=')
        .ok_or_else(|| Problem::at(offset, "`ctl` without `=`", "such as ctl:ruleEngine=Off"))?;
    let setting_at = offset + name.len() + 1;
    let invalid = |expected: &str| {
        Problem::at(setting_at, format!("`{name}={setting}` is not valid"), expected)
    };
    let control = match name.trim().to_ascii_lowercase().as_str() {
        "ruleengine" => {
            Control::Engine(engine(setting).ok_or_else(|| invalid("On, Off or DetectionOnly"))?)
        }
        "auditengine" => {
            Control::Audit(audit(setting).ok_or_else(|| invalid("On, Off or RelevantOnly"))?)
        }
        "forcerequestbodyvariable" => {
            Control::ForceRequestBody(on_off(setting).ok_or_else(|| invalid("On or Off"))?)
        }
        "requestbodyaccess" => {
            Control::RequestBodyAccess(on_off(setting).ok_or_else(|| invalid("On or Off"))?)
        }
        "responsebodyaccess" => {
            Control::ResponseBodyAccess(on_off(setting).ok_or_else(|| invalid("On or Off"))?)
        }
        "requestbodyprocessor" => Control::RequestBodyProcessor(
            Processor::parse(setting)
                .ok_or_else(|| invalid("URLENCODED, MULTIPART, JSON or XML"))?,
        ),
        "ruleremovebyid" => Control::Remove(ids(setting, setting_at)?),
        "ruleremovebytag" => Control::Remove(RuleSelector::Tag(setting.to_owned())),
        "ruleremovebymsg" => Control::Remove(RuleSelector::Message(setting.to_owned())),
        "ruleremovetargetbyid" | "ruleremovetargetbytag" | "ruleremovetargetbymsg" => {
            remove_target(name, setting, setting_at)?
        }
        "auditlogparts" | "debugloglevel" => return Ok(None),
        _ => {
            let help = match nearest(name, CONTROLS.iter().copied()) {
                Some(near) => format!("did you mean ctl:{near}?"),
                None => format!("one of {}", CONTROLS.join(", ")),
            };
            return Err(Problem::at(offset, format!("`ctl:{name}` is not supported"), help));
        }
    };
    Ok(Some(Effect::Control(control)))
}

fn remove_target(name: &str, setting: &str, offset: usize) -> Result<Control, Problem> {
    let (rules, target) = setting.split_once(';').ok_or_else(|| {
        Problem::at(offset, format!("`{name}` names no target"), "such as 942100;ARGS:password")
    })?;
    let selector = match name.trim().to_ascii_lowercase().as_str() {
        "ruleremovetargetbyid" => ids(rules, offset)?,
        "ruleremovetargetbytag" => RuleSelector::Tag(rules.to_owned()),
        _ => RuleSelector::Message(rules.to_owned()),
    };
    let (variable, values) =
        excluded(target).map_err(|problem| problem.shifted(offset + rules.len() + 1))?;
    Ok(Control::RemoveTarget(selector, variable, values))
}

/// One target with or without `!` before it.
fn excluded(text: &str) -> Result<(Variable, super::ast::Selector), Problem> {
    let text = text.trim().trim_start_matches('!');
    let entry = targets::entries(text)?.into_iter().next();
    match entry {
        Some(targets::Entry::Include(target)) => Ok((target.variable, target.selector)),
        Some(targets::Entry::Exclude(variable, selector)) => Ok((variable, selector)),
        None => Err(Problem::at(0, "no target", "such as ARGS:password")),
    }
}

/// `1`, `1-5`, `1,3-5` or `1 3-5`.
pub(crate) fn ids(text: &str, offset: usize) -> Result<RuleSelector, Problem> {
    let mut ranges = Vec::new();
    for part in text.split([',', ' ']).map(str::trim).filter(|part| !part.is_empty()) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        match (from.trim().parse(), to.trim().parse()) {
            (Ok(from), Ok(to)) if from <= to => ranges.push((from, to)),
            _ => {
                let message = format!("`{part}` is neither an id nor a range of ids");
                return Err(Problem::at(offset, message, "such as 942100 or 942000-942999"));
            }
        }
    }
    if ranges.is_empty() {
        return Err(Problem::at(offset, "no rule is named", "such as 942100 or 942000-942999"));
    }
    Ok(RuleSelector::Ids(ranges))
}

pub(crate) fn engine(text: &str) -> Option<EngineMode> {
    match text.trim().to_ascii_lowercase().as_str() {
        "on" => Some(EngineMode::On),
        "off" => Some(EngineMode::Off),
        "detectiononly" => Some(EngineMode::DetectionOnly),
        _ => None,
    }
}

pub(crate) fn audit(text: &str) -> Option<AuditMode> {
    match text.trim().to_ascii_lowercase().as_str() {
        "on" => Some(AuditMode::On),
        "off" => Some(AuditMode::Off),
        "relevantonly" => Some(AuditMode::RelevantOnly),
        _ => None,
    }
}

pub(crate) fn on_off(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waf::seclang::ast::Selector;

    #[test]
    fn controls_are_understood() {
        let parsed = control("ruleRemoveTargetById=1-5;ARGS:/^a/", 0).unwrap().unwrap();
        let expected = Control::RemoveTarget(
            RuleSelector::Ids(vec![(1, 5)]),
            Variable::Args,
            Selector::Pattern("^a".into()),
        );
        assert_eq!(parsed, Effect::Control(expected));
        assert!(control("ruleEngin=On", 3).unwrap_err().help.contains("ruleEngine"));
        assert_eq!(control("ruleEngine=Maybe", 3).unwrap_err().offset, 14);
        assert!(set_variable("ip.count=+1", 0).unwrap_err().help.contains("tx.NAME"));
    }
}
