//! What is known of TX before any request: the values that only constants can have given it.

use std::collections::{HashMap, HashSet};

use crate::waf::operator::{self, number};
use crate::waf::seclang::ast::{Change, Effect, Link, Selector, Target, Test, TextTest};
use crate::waf::seclang::template::{Piece, Template};
use crate::waf::seclang::variables::Variable;
use crate::waf::transaction::compares;

/// Whether something holds in every transaction, in none, or it depends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Truth {
    Always,
    Never,
    Depends,
}

/// TX as far as it is known. Names that were never set are known to be unset.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    values: HashMap<String, String>,
    unknown: HashSet<String>,
    /// Names that begin like this may have been set to anything.
    unknown_prefixes: Vec<String>,
    /// Names whose value has changed since [`Known::mark`], if that was called.
    changed: Option<HashSet<String>>,
}

impl Known {
    fn is_unknown(&self, name: &str) -> bool {
        name.bytes().all(|byte| byte.is_ascii_digit())
            || self.unknown.contains(name)
            || self.unknown_prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()))
    }

    /// From here on, changes are remembered.
    pub(crate) fn mark(&mut self) {
        self.changed.get_or_insert_with(HashSet::new);
    }

    /// Forgets what has changed since the mark: a later phase may follow any of these states.
    pub(crate) fn forget_changes(&mut self) {
        for name in self.changed.take().unwrap_or_default() {
            self.unknown.insert(name);
        }
    }

    fn set(&mut self, name: &str, value: Option<String>, is_certain: bool) {
        if self.is_unknown(name) {
            if is_certain && self.unknown.remove(name) && !self.is_unknown(name) {
                self.store(name, value);
            }
            return;
        }
        if self.values.get(name) == value.as_ref() {
            return;
        }
        if is_certain {
            self.store(name, value);
        } else {
            self.forget(name);
        }
    }

    fn store(&mut self, name: &str, value: Option<String>) {
        if let Some(changed) = &mut self.changed {
            changed.insert(name.to_owned());
        }
        match value {
            Some(value) => self.values.insert(name.to_owned(), value),
            None => self.values.remove(name),
        };
    }

    fn forget(&mut self, name: &str) {
        self.unknown.insert(name.to_owned());
        if let Some(changed) = &mut self.changed {
            changed.insert(name.to_owned());
        }
    }

    /// The text of a template, when all of it is known.
    fn text(&self, template: &Template) -> Option<String> {
        let mut out = String::new();
        for piece in &template.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Value(Variable::Tx, Some(name)) if !self.is_unknown(name) => {
                    out.push_str(self.values.get(name).map_or("", String::as_str));
                }
                Piece::Value(..) => return None,
            }
        }
        Some(out)
    }

    /// Applies what a match does, when it certainly or only possibly happens.
    pub(crate) fn apply(&mut self, effect: &Effect, is_certain: bool) {
        let Effect::SetTx { name, change } = effect else { return };
        let Some(name) = self.text(name) else {
            let prefix = match name.pieces.first() {
                Some(Piece::Text(text)) => text.to_ascii_lowercase(),
                _ => String::new(),
            };
            self.values.retain(|known, _| !known.starts_with(&prefix));
            self.unknown_prefixes.push(prefix);
            return;
        };
        let name = name.to_ascii_lowercase();
        let old = || match self.is_unknown(&name) {
            true => None,
            false => Some(self.values.get(&name).map_or(0, |value| number(value.as_bytes()))),
        };
        let by = |text: &Template| self.text(text).map(|text| number(text.as_bytes()));
        let value = match change {
            Change::Remove => Some(None),
            Change::Set(text) => self.text(text).map(Some),
            Change::Add(text) => {
                old().zip(by(text)).map(|(old, by)| Some(old.saturating_add(by).to_string()))
            }
            Change::Subtract(text) => {
                old().zip(by(text)).map(|(old, by)| Some(old.saturating_sub(by).to_string()))
            }
        };
        match value {
            Some(value) => self.set(&name, value, is_certain),
            None => self.forget(&name),
        }
    }

    /// Whether `link` matches.
    pub(crate) fn truth(&self, link: &Link) -> Truth {
        let Some(operator) = &link.operator else { return Truth::Always };
        if !link.transforms.is_empty() {
            return Truth::Depends;
        }
        let mut truth = Truth::Never;
        for target in &link.targets {
            let Some(value) = self.value(target) else { return Truth::Depends };
            let Some(value) = value else { continue };
            match self.test(&operator.test, &value) {
                None => return Truth::Depends,
                Some(holds) if holds != operator.is_negated => truth = Truth::Always,
                Some(_) => {}
            }
        }
        truth
    }

    /// `None`: not known; `Some(None)`: known to have no value.
    fn value(&self, target: &Target) -> Option<Option<String>> {
        let Selector::Name(name) = &target.selector else { return None };
        if target.variable != Variable::Tx || !target.exclusions.is_empty() || self.is_unknown(name)
        {
            return None;
        }
        let value = self.values.get(name);
        if target.is_count {
            return Some(Some(if value.is_some() { "1" } else { "0" }.to_owned()));
        }
        Some(value.cloned())
    }

    fn test(&self, test: &Test, value: &str) -> Option<bool> {
        match test {
            Test::Compare(comparison, right) => {
                let right = number(self.text(right)?.as_bytes());
                Some(compares(*comparison, number(value.as_bytes()), right))
            }
            Test::Text(TextTest::Equals, right) => {
                Some(operator::streq(value.as_bytes(), self.text(right)?.as_bytes()))
            }
            Test::Always => Some(true),
            Test::Never => Some(false),
            _ => None,
        }
    }
}
