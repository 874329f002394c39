//! Action lists: `id:1,phase:2,deny,t:none,msg:'a, b',setvar:'tx.x=+1',ctl:ruleEngine=Off`.

use super::ast::{Disruption, Effect, Flow};
use super::control;
use super::problem::{Problem, nearest};
use super::sanitise::Sanitise;
use super::template::Template;
use crate::waf::transform::Transform;

/// One action, not yet understood.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Raw<'a> {
    name: &'a str,
    value: &'a str,
    name_at: usize,
    value_at: usize,
}

/// All that an action list says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Actions {
    /// `id`
    pub id: Option<u64>,
    /// `phase`
    pub phase: Option<u8>,
    /// The last of `pass`, `deny` …
    pub disruption: Option<Disruption>,
    /// `status`
    pub status: Option<u16>,
    /// `log`, `nolog`
    pub is_logged: Option<bool>,
    /// `auditlog`, `noauditlog`
    pub is_audited: Option<bool>,
    /// `skip`, `skipAfter`
    pub flow: Option<Flow>,
    /// `chain`
    pub is_chained: bool,
    /// `capture`
    pub is_capturing: bool,
    /// `multiMatch`
    pub is_multi_match: bool,
    /// `t:` in order; `t:none` is kept, so that it can remove those of the default action.
    pub transforms: Vec<Transform>,
    /// `setvar`, `ctl`
    pub effects: Vec<Effect>,
    /// `msg`
    pub message: Option<Template>,
    /// `logdata`
    pub log_data: Option<Template>,
    /// `tag`
    pub tags: Vec<String>,
    /// `ver`
    pub version: String,
    /// `rev`
    pub revision: String,
    /// `severity`
    pub severity: Option<u8>,
    /// `maturity`
    pub maturity: Option<u8>,
    /// `accuracy`
    pub accuracy: Option<u8>,
    /// What a match hides from logs.
    pub sanitised: Vec<Sanitise>,
    /// What is accepted and does nothing, in words, and where it stands.
    pub notes: Vec<(usize, String)>,
    /// Whether an `id` is there that is none.
    pub has_broken_id: bool,
}

const SEVERITIES: &[&str] =
    &["EMERGENCY", "ALERT", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG"];

const NAMES: &[&str] = &[
    "accuracy",
    "allow",
    "auditlog",
    "block",
    "capture",
    "chain",
    "ctl",
    "deny",
    "drop",
    "id",
    "log",
    "logdata",
    "maturity",
    "msg",
    "multiMatch",
    "noauditlog",
    "nolog",
    "pass",
    "phase",
    "redirect",
    "rev",
    "sanitiseArg",
    "sanitiseMatched",
    "sanitiseRequestHeader",
    "sanitiseResponseHeader",
    "setvar",
    "severity",
    "skip",
    "skipAfter",
    "status",
    "t",
    "tag",
    "ver",
];

/// Parses a list. All its problems are found, not only the first.
pub(crate) fn parse(text: &str) -> (Actions, Vec<Problem>) {
    let mut actions = Actions::default();
    let mut problems = Vec::new();
    let (list, open_quote) = cut(text);
    if let Some(offset) = open_quote {
        let help = "close it with `'`; `\\'` is a quote inside";
        problems.push(Problem::at(offset, "a quote is never closed", help));
    }
    for raw in list {
        if let Err(problem) = take(&mut actions, &raw) {
            actions.has_broken_id |= raw.name.eq_ignore_ascii_case("id");
            problems.push(problem);
        }
    }
    (actions, problems)
}

/// Cuts at commas outside of `'…'` and takes name and value apart; and where a quote begins that
/// is never closed.
fn cut(text: &str) -> (Vec<Raw<'_>>, Option<usize>) {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut begin = 0;
    let mut colon = None;
    let mut quoted: Option<usize> = None;
    let mut escaped = false;
    for (index, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'\'' => quoted = if quoted.is_some() { None } else { Some(index) },
            b':' if quoted.is_none() && colon.is_none() => colon = Some(index),
            b',' if quoted.is_none() => {
                found.extend(raw(text, begin, colon, index));
                begin = index + 1;
                colon = None;
            }
            _ => {}
        }
    }
    found.extend(raw(text, begin, colon, bytes.len()));
    (found, quoted)
}

fn raw(text: &str, begin: usize, colon: Option<usize>, end: usize) -> Option<Raw<'_>> {
    let name_end = colon.unwrap_or(end);
    let name = text.get(begin..name_end)?;
    let value = text.get(name_end..end)?;
    let value = value.strip_prefix(':').unwrap_or(value);
    let value_at = end - value.trim_start().len();
    let trimmed = value.trim();
    let unquoted = trimmed.strip_prefix('\'').and_then(|inner| inner.strip_suffix('\''));
    if name.trim().is_empty() && trimmed.is_empty() {
        return None;
    }
    Some(Raw {
        name: name.trim(),
        value: unquoted.unwrap_or(trimmed),
        name_at: begin + name.len() - name.trim_start().len(),
        value_at: value_at + usize::from(unquoted.is_some()),
    })
}

fn take(actions: &mut Actions, raw: &Raw<'_>) -> Result<(), Problem> {
    let name = raw.name.to_ascii_lowercase();
    if let Some(sanitised) = Sanitise::parse(&name, raw.value, raw.name_at) {
        actions.sanitised.push(sanitised?);
        return Ok(());
    }
    match name.as_str() {
        "id" => actions.id = Some(id(actions, raw)?),
        "phase" => actions.phase = Some(phase(raw)?),
        "status" => {
            let expected = "an HTTP status, 100..=599";
            actions.status = Some(number_within(raw, 100..=599, expected)?);
        }
        "chain" => actions.is_chained = true,
        "capture" => actions.is_capturing = true,
        "multimatch" => actions.is_multi_match = true,
        "log" => (actions.is_logged, actions.is_audited) = (Some(true), Some(true)),
        "nolog" => (actions.is_logged, actions.is_audited) = (Some(false), Some(false)),
        "auditlog" => actions.is_audited = Some(true),
        "noauditlog" => actions.is_audited = Some(false),
        "t" => actions.transforms.push(transform(raw)?),
        "msg" => actions.message = Some(template(raw)?),
        "logdata" => actions.log_data = Some(template(raw)?),
        "tag" => actions.tags.push(raw.value.to_owned()),
        "ver" => raw.value.clone_into(&mut actions.version),
        "rev" => raw.value.clone_into(&mut actions.revision),
        "severity" => actions.severity = Some(severity(raw)?),
        "maturity" => actions.maturity = Some(number(raw, "a whole number, 0..=9")?),
        "accuracy" => actions.accuracy = Some(number(raw, "a whole number, 0..=9")?),
        "skip" => actions.flow = Some(Flow::Skip(number(raw, "how many rules to skip")?)),
        "skipafter" => actions.flow = Some(Flow::SkipAfter(raw.value.to_owned())),
        "setvar" => actions.effects.push(control::set_variable(raw.value, raw.value_at)?),
        "ctl" => match control::control(raw.value, raw.value_at)? {
            Some(effect) => actions.effects.push(effect),
            None => actions.notes.push((raw.name_at, ignored(&format!("ctl:{}", raw.value)))),
        },
        "pass" | "block" | "deny" | "drop" | "redirect" | "allow" => {
            if let Some(before) = actions.disruption.replace(disruption(raw)?) {
                let before = before.name();
                let message = format!("`{before}` does nothing here: `{}` follows", raw.name);
                actions.notes.push((raw.name_at, message));
            }
        }
        "initcol" | "expirevar" | "setuid" | "setsid" | "setrsc" => {
            actions.notes.push((raw.name_at, ignored(raw.name)));
        }
        _ => return Err(unknown(raw)),
    }
    Ok(())
}

fn ignored(name: &str) -> String {
    format!("`{name}` is accepted and does nothing here")
}

fn id(actions: &Actions, raw: &Raw<'_>) -> Result<u64, Problem> {
    let expected = "a whole number above 0, unique";
    match actions.id {
        Some(_) => Err(Problem::at(raw.name_at, "a rule with two ids", "one `id`")),
        None => number_within(raw, 1..=u64::MAX, expected),
    }
}

fn unknown(raw: &Raw<'_>) -> Problem {
    let help = match raw.name.to_ascii_lowercase().as_str() {
        "exec" | "proxy" | "pause" | "setenv" | "append" | "prepend" | "xmlns" | "deprecatevar" => {
            "no program is run, nothing is proxied, delayed or rewritten by a rule".to_owned()
        }
        _ => match nearest(raw.name, NAMES.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("one of {}", NAMES.join(", ")),
        },
    };
    Problem::at(raw.name_at, format!("the action `{}` is not supported", raw.name), help)
}

fn number<T: std::str::FromStr>(raw: &Raw<'_>, expected: &str) -> Result<T, Problem> {
    raw.value.trim().parse().map_err(|_error: T::Err| {
        Problem::at(raw.value_at, format!("`{}:{}` is not valid", raw.name, raw.value), expected)
    })
}

fn number_within<T: std::str::FromStr + PartialOrd>(
    raw: &Raw<'_>,
    range: std::ops::RangeInclusive<T>,
    expected: &str,
) -> Result<T, Problem> {
    let found = number(raw, expected)?;
    let outside = || {
        Problem::at(raw.value_at, format!("`{}:{}` is not valid", raw.name, raw.value), expected)
    };
    range.contains(&found).then_some(found).ok_or_else(outside)
}

fn phase(raw: &Raw<'_>) -> Result<u8, Problem> {
    match raw.value.trim().to_ascii_lowercase().as_str() {
        "1" => Ok(1),
        "2" | "request" => Ok(2),
        "3" => Ok(3),
        "4" | "response" => Ok(4),
        "5" | "logging" => Ok(5),
        other => Err(Problem::at(
            raw.value_at,
            format!("there is no phase `{other}`"),
            "1 (request headers), 2 (request), 3 (response headers), 4 (response), 5 (logging)",
        )),
    }
}

fn transform(raw: &Raw<'_>) -> Result<Transform, Problem> {
    Transform::parse(raw.value.as_bytes()).ok_or_else(|| {
        let near = nearest(raw.value, Transform::NAMES.iter().map(|(name, _)| *name));
        let help = match near {
            Some(near) => format!("did you mean t:{near}?"),
            None => {
                "a transformation of the ModSecurity reference manual, such as t:lowercase".into()
            }
        };
        Problem::at(raw.value_at, format!("the transformation `{}` is not known", raw.value), help)
    })
}

fn severity(raw: &Raw<'_>) -> Result<u8, Problem> {
    let value = raw.value.trim();
    let by_name = SEVERITIES.iter().position(|name| name.eq_ignore_ascii_case(value));
    let found = by_name.or_else(|| value.parse::<usize>().ok().filter(|number| *number <= 7));
    found.map(|number| number as u8).ok_or_else(|| {
        let help = format!("0..=7 or one of {}", SEVERITIES.join(", "));
        Problem::at(raw.value_at, format!("there is no severity `{value}`"), help)
    })
}

fn template(raw: &Raw<'_>) -> Result<Template, Problem> {
    Template::parse(&raw.value.replace("\\'", "'")).map_err(|(offset, name)| {
        Problem::at(
            raw.value_at + offset,
            format!("the macro %{{{name}}} is of no known variable"),
            "a variable as in targets, such as %{tx.name} or %{MATCHED_VAR}",
        )
    })
}

fn disruption(raw: &Raw<'_>) -> Result<Disruption, Problem> {
    let found = match (raw.name.to_ascii_lowercase().as_str(), raw.value.trim()) {
        ("pass", "") => Disruption::Pass,
        ("block", "") => Disruption::Block,
        ("deny", "") => Disruption::Deny,
        ("drop", "") => Disruption::Drop,
        ("allow", "") => Disruption::Allow,
        ("allow", "phase") => Disruption::AllowPhase,
        ("allow", "request") => Disruption::AllowRequest,
        ("redirect", url) if !url.is_empty() => Disruption::Redirect(template(raw)?),
        (name, value) => {
            return Err(Problem::at(
                raw.name_at,
                format!("`{name}:{value}` is not valid"),
                "pass, block, deny, drop, redirect:URL, allow, allow:phase or allow:request",
            ));
        }
    };
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waf::seclang::ast::Change;
    use crate::waf::seclang::variables::Variable;

    #[test]
    fn a_list_is_cut_outside_of_quotes() {
        let text = "id:'7', phase:request,deny,t:none,t:lowercase,msg:'a, b: %{TX.0}',\
                    setvar:'tx.a_%{MATCHED_VAR}=+%{tx.b}',skipAfter:END,nolog,severity:CRITICAL,capture";
        let (actions, problems) = parse(text);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!((actions.id, actions.phase, actions.severity), (Some(7), Some(2), Some(2)));
        assert_eq!(actions.transforms, [Transform::None, Transform::Lowercase]);
        assert_eq!(actions.message.unwrap().pieces.len(), 2);
        assert_eq!(actions.flow, Some(Flow::SkipAfter("END".into())));
        assert!(matches!(&actions.effects[0], Effect::SetTx { change: Change::Add(_), name }
            if name.pieces.len() == 2));
        assert_eq!(Template::parse("%{tx.b}").unwrap().pieces.len(), 1);
        assert_eq!(Variable::parse("tx"), Some(Variable::Tx));
    }

    #[test]
    fn what_is_said_twice_or_not_closed_is_a_problem() {
        for (list, at, what) in [
            ("id:0,deny", 3, "`id:0` is not valid"),
            ("id:1,deny,id:2", 10, "two ids"),
            ("id:1,status:999", 12, "`status:999`"),
            ("id:1,status:99", 12, "`status:99`"),
            ("id:1,msg:'abc,deny", 9, "never closed"),
            ("id:1,msg:it's", 11, "never closed"),
            ("id:1,sanitiseArg", 5, "names nothing"),
        ] {
            let (_, problems) = parse(list);
            let [problem] = &*problems else { panic!("{list}: {problems:?}") };
            assert_eq!(problem.offset, at, "{list}");
            assert!(problem.message.contains(what), "{list}: {}", problem.message);
        }
        let (actions, problems) = parse("id:1,deny,pass,msg:'it\\'s'");
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(actions.disruption, Some(Disruption::Pass));
        let note = "`deny` does nothing here: `pass` follows".to_owned();
        assert_eq!(actions.notes, [(10, note)]);
    }

    #[test]
    fn each_problem_of_a_list_has_its_place() {
        let (_, problems) = parse("id:x,phase:9,t:lowercas,exec:/bin/sh,densy,severity:9");
        let places: Vec<usize> = problems.iter().map(|problem| problem.offset).collect();
        assert_eq!(places, [3, 11, 15, 24, 37, 52]);
        assert!(problems[2].help.contains("t:lowercase"));
        assert!(problems[4].help.contains("`deny`"));
    }
}
