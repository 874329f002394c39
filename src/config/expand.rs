//! Expand: `${NAME}` and `${NAME:-default}` in strings, from the environment.
//!
//! `$${` stands for a plain `${`. A name that is not set and has no default is an error at
//! the string. A string that is nothing but one variable may stand for a number or a
//! boolean: the schema check turns it into one where it is wanted.

use super::diagnostics::Problem;
use super::tree::{Node, Value};

/// Where variables come from.
pub trait Environment {
    /// The value of `name`, if it is set.
    fn variable(&self, name: &str) -> Option<String>;
}

/// The environment of the process.
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    #[expect(clippy::disallowed_methods, reason = "the environment enters here and nowhere else")]
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// Expands every string of `node`; what could not be is added to `problems`.
pub fn expand(
    node: &mut Node,
    key: &str,
    environment: &dyn Environment,
    problems: &mut Vec<Problem>,
) {
    let span = node.span.clone();
    match &mut node.value {
        Value::Text(text) if text.contains("${") => match expanded(text, environment) {
            Ok(new) => {
                *text = new;
                node.is_expanded = true;
            }
            Err(message) => {
                problems.push(
                    Problem::new(key, span, message)
                        .accepts("${NAME} of a variable that is set, or ${NAME:-default}"),
                );
                node.value = Value::Unknown;
            }
        },
        Value::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                expand(item, &format!("{key}[{index}]"), environment, problems);
            }
        }
        Value::Table(entries) => {
            for entry in entries {
                let key = super::validate::join(key, &entry.key);
                expand(&mut entry.node, &key, environment, problems);
            }
        }
        _ => {}
    }
}

fn expanded(text: &str, environment: &dyn Environment) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(plain) = before.strip_suffix('$') {
            out.push_str(plain);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        let (inner, tail) = after.split_once('}').ok_or("`${` without `}`")?;
        let (name, default) = match inner.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inner, None),
        };
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if name.is_empty() || !name.bytes().all(is_name) {
            return Err(format!("`{name}` is not the name of a variable"));
        }
        match (environment.variable(name), default) {
            (Some(value), _) if !value.is_empty() || default.is_none() => out.push_str(&value),
            (_, Some(default)) => out.push_str(default),
            _ => return Err(format!("the variable {name} is not set")),
        }
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;
    impl Environment for Fixed {
        fn variable(&self, name: &str) -> Option<String> {
            match name {
                "SET" => Some("value".into()),
                "EMPTY" => Some(String::new()),
                _ => None,
            }
        }
    }

    #[test]
    fn variables_and_defaults_are_filled_in() {
        for (text, want) in [
            ("${SET}", "value"),
            ("a-${SET}-b", "a-value-b"),
            ("${NOT:-x:y}", "x:y"),
            ("${EMPTY:-x}", "x"),
            ("${EMPTY}", ""),
            ("$${SET}", "${SET}"),
            ("$5 {x}", "$5 {x}"),
        ] {
            assert_eq!(expanded(text, &Fixed).unwrap(), want, "{text}");
        }
    }

    #[test]
    fn what_is_not_set_or_not_closed_is_an_error() {
        for text in ["${NOT}", "${SET", "${}", "${a b}"] {
            assert!(expanded(text, &Fixed).is_err(), "{text}");
        }
    }
}
