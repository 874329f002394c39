//! What a rule looks at: `ARGS|!ARGS:password|&REQUEST_HEADERS:Host|REQUEST_COOKIES:/^_ga/|XML:/*`.

use super::ast::{Selector, Target};
use super::pattern;
use super::problem::{Problem, nearest};
use super::template::Template;
use super::variables::{Shape, VARIABLES, Variable};

/// One piece of the list: a target, or values that the others leave out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// To be looked at.
    Include(Target),
    /// `!`
    Exclude(Variable, Selector),
}

/// Parses a whole list. `!` entries apply to all targets of their variable, wherever they stand.
pub(crate) fn parse(text: &str) -> Result<Vec<Target>, Problem> {
    let mut targets = Vec::new();
    apply(&mut targets, entries(text)?);
    if targets.is_empty() {
        return Err(Problem::at(
            0,
            "nothing to look at",
            "name at least one variable without `!`, such as ARGS",
        ));
    }
    Ok(targets)
}

/// Adds entries to targets: those of the list itself, or of `SecRuleUpdateTargetById`.
pub(crate) fn apply(targets: &mut Vec<Target>, entries: Vec<Entry>) {
    let mut excluded = Vec::new();
    for entry in entries {
        match entry {
            Entry::Include(target) => targets.push(target),
            Entry::Exclude(variable, selector) => excluded.push((variable, selector)),
        }
    }
    for (variable, selector) in excluded {
        for target in targets.iter_mut().filter(|target| target.variable == variable) {
            target.exclusions.push(selector.clone());
        }
    }
}

/// The entries of a list separated by `|` (or `,`, as `SecRuleUpdateTargetById` allows).
pub(crate) fn entries(text: &str) -> Result<Vec<Entry>, Problem> {
    pieces(text)
        .into_iter()
        .filter(|(_, piece)| !piece.trim().is_empty())
        .map(|(offset, piece)| {
            let indent = piece.len() - piece.trim_start().len();
            entry(piece.trim()).map_err(|problem| problem.shifted(offset + indent))
        })
        .collect()
}

/// Cuts at `|` and `,` outside of `/…/`.
fn pieces(text: &str) -> Vec<(usize, &str)> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut begin = 0;
    let mut in_pattern = false;
    for (index, byte) in bytes.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|before| bytes.get(before)).copied();
        match byte {
            b'/' if in_pattern => in_pattern = before == Some(b'\\'),
            b'/' if matches!(before, Some(b':' | b'\'')) => {
                in_pattern = !is_xpath(text.get(begin..index).unwrap_or_default());
            }
            b'|' | b',' if !in_pattern => {
                found.push((begin, text.get(begin..index).unwrap_or_default()));
                begin = index + 1;
            }
            _ => {}
        }
    }
    found.push((begin, text.get(begin..).unwrap_or_default()));
    found
}

fn is_xpath(head: &str) -> bool {
    head.trim_start_matches(['!', '&', ' ']).to_ascii_uppercase().starts_with("XML:")
}

fn entry(piece: &str) -> Result<Entry, Problem> {
    let (is_excluded, rest) = match piece.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, piece),
    };
    let (is_count, rest) = match rest.strip_prefix('&') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let begin = piece.len() - rest.len();
    let (name, key) = match rest.split_once(':') {
        Some((name, key)) => (name, Some(key)),
        None => (rest, None),
    };
    let variable = Variable::parse(name).ok_or_else(|| unknown(begin, name))?;
    let key_at = begin + name.len() + 1;
    let (variable, selector) = match (variable, key) {
        (Variable::XmlText, key) => (xml(key, key_at)?, Selector::All),
        (variable, None) => (variable, Selector::All),
        (variable, Some(key)) => (variable, selector(variable, key, key_at)?),
    };
    if is_excluded {
        return Ok(Entry::Exclude(variable, selector));
    }
    Ok(Entry::Include(Target { variable, selector, is_count, exclusions: Vec::new() }))
}

/// CRS uses two paths, and they are all there is: no document is kept to walk in.
fn xml(key: Option<&str>, offset: usize) -> Result<Variable, Problem> {
    match key {
        Some("/*" | "//*") => Ok(Variable::XmlText),
        Some("//@*") => Ok(Variable::XmlAttributes),
        other => Err(Problem::at(
            offset,
            format!("the XPath `{}` is not supported", other.unwrap_or_default()),
            "XML:/* (the texts of all elements) or XML://@* (the values of all attributes)",
        )),
    }
}

pub(crate) fn selector(variable: Variable, key: &str, offset: usize) -> Result<Selector, Problem> {
    if variable.shape() == Shape::Scalar {
        return Err(Problem::at(
            offset,
            format!("{} has one value, so `{key}` cannot be chosen from it", variable.name()),
            format!("write {} alone", variable.name()),
        ));
    }
    if let Some(found) = Template::find_macro(key) {
        let message = format!("a macro cannot choose from {}", variable.name());
        return Err(Problem::at(offset + found.start, message, "a name, or /a pattern of names/"));
    }
    let key = key.trim();
    let key = key.strip_prefix('\'').and_then(|key| key.strip_suffix('\'')).unwrap_or(key);
    let inner = key.strip_prefix('/').and_then(|key| key.strip_suffix('/'));
    match inner {
        Some(inner) => {
            let inner = inner.replace("\\/", "/");
            pattern::parse(&inner).map_err(|problem| problem.shifted(offset + 1))?;
            Ok(Selector::Pattern(inner))
        }
        None => Ok(Selector::Name(key.to_ascii_lowercase())),
    }
}

fn unknown(offset: usize, name: &str) -> Problem {
    let upper = name.to_ascii_uppercase();
    let help = match upper.as_str() {
        "IP" | "GLOBAL" | "SESSION" | "USER" | "RESOURCE" => {
            "nothing is kept between requests here; count with the proxy's rate limits".to_owned()
        }
        "GEO" => "there is no table of countries; match addresses with @ipMatch".to_owned(),
        "ENV" => "the environment of the process is not shown to rules".to_owned(),
        "FILES_TMPNAMES" | "FILES_TMP_CONTENT" => {
            "uploads are not written to files; FILES and FILES_NAMES hold their names".to_owned()
        }
        _ => match nearest(&upper, VARIABLES.iter().map(|(name, ..)| *name)) {
            Some(near) => format!("did you mean {near}?"),
            None => "a variable of the ModSecurity reference manual, such as ARGS".to_owned(),
        },
    };
    Problem::at(offset, format!("the variable `{name}` is not supported"), help)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(variable: Variable, selector: Selector) -> Target {
        Target { variable, selector, is_count: false, exclusions: Vec::new() }
    }

    #[test]
    fn lists_are_cut_outside_of_patterns() {
        let list = "ARGS|!ARGS:a|REQUEST_COOKIES:/a|b/|&TX:X|XML:/*|XML://@*";
        let found = parse(list).unwrap();
        let mut args = target(Variable::Args, Selector::All);
        args.exclusions.push(Selector::Name("a".into()));
        let mut tx = target(Variable::Tx, Selector::Name("x".into()));
        tx.is_count = true;
        let expected = [
            args,
            target(Variable::RequestCookies, Selector::Pattern("a|b".into())),
            tx,
            target(Variable::XmlText, Selector::All),
            target(Variable::XmlAttributes, Selector::All),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_not_supported_says_what_is() {
        assert_eq!(parse("ARGS|ARG").unwrap_err().offset, 5);
        assert!(parse("ARG").unwrap_err().help.contains("ARGS"));
        assert!(parse("IP:x").unwrap_err().help.contains("rate limits"));
        assert!(parse("XML:/a/b").unwrap_err().help.contains("XML:/*"));
        assert!(parse("REQUEST_URI:x").unwrap_err().message.contains("one value"));
        assert!(parse("!ARGS:x").is_err());
        assert!(parse("ARGS:%{tx.name}").unwrap_err().message.contains("macro"));
    }
}
