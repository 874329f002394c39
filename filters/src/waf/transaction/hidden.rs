//! What logs are not to show of a transaction because rules that matched say so.
//!
//! Asked for when a log is written, not before: nothing of it is kept while rules run.

use super::{Match, Transaction};
use crate::waf::seclang::Sanitise;
use crate::waf::seclang::variables::Variable;

/// Values and names of each kind that are looked for; of more, all texts are hidden.
const MOST: usize = 16;

/// Bytes of a value that are looked for: its beginning, for texts are cut.
const VALUE_BYTES_MAX: usize = 128;

/// Names and values that are not to be shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hidden {
    /// Names of arguments, as the request has them.
    pub arguments: Vec<Vec<u8>>,
    request_fields: Vec<Vec<u8>>,
    answer_fields: Vec<Vec<u8>>,
    /// Rules whose matches are hidden whole.
    rules: Vec<u64>,
    /// The beginnings of the values of all these, none empty.
    values: Vec<Vec<u8>>,
    /// There are more than are kept.
    is_all: bool,
}

impl Hidden {
    /// What `sanitise…` of the rules that matched hides.
    pub(crate) fn of(transaction: &Transaction) -> Self {
        let mut hidden = Self::default();
        let sanitised = &transaction.program.settings.sanitised;
        if sanitised.is_empty() {
            return hidden;
        }
        for found in transaction.matches() {
            let said = sanitised.get(&found.about.id).map_or(&[][..], Vec::as_slice);
            said.iter().for_each(|one| hidden.add(one, &found));
        }
        hidden.bound();
        for (names, variable) in [
            (&hidden.arguments, Variable::Args),
            (&hidden.request_fields, Variable::RequestHeaders),
            (&hidden.answer_fields, Variable::ResponseHeaders),
        ] {
            let fields = transaction.state.fields(variable);
            let secret = fields.filter(|(name, value)| has(names, name) && !value.is_empty());
            hidden.values.extend(secret.map(|(_, value)| beginning(value)));
        }
        hidden.bound();
        hidden
    }

    /// Names of arguments whose values logs may have to hide: by rules that have matched, and by
    /// those that may.
    pub(crate) fn arguments_asked(transaction: &Transaction) -> Vec<Vec<u8>> {
        let hidden = Self::of(transaction);
        let sanitised = transaction.program.settings.sanitised.values().flatten();
        let named = sanitised.filter_map(|one| match one {
            Sanitise::Argument(name) => Some(name.as_bytes().to_vec()),
            _ => None,
        });
        // Where all is hidden, nothing is looked for.
        let matched = if hidden.is_all { Vec::new() } else { hidden.arguments };
        matched.into_iter().chain(named).collect()
    }

    fn add(&mut self, sanitise: &Sanitise, found: &Match<'_>) {
        let (names, name) = match sanitise {
            Sanitise::Argument(name) => (&mut self.arguments, name),
            Sanitise::RequestField(name) => (&mut self.request_fields, name),
            Sanitise::AnswerField(name) => (&mut self.answer_fields, name),
            Sanitise::Matched => return self.add_matched(found),
        };
        names.push(name.as_bytes().to_vec());
    }

    /// Hides all that a rule matched.
    fn add_matched(&mut self, found: &Match<'_>) {
        self.rules.push(found.about.id);
        for one in found.found() {
            match one.variable {
                "ARGS" | "ARGS_GET" | "ARGS_POST" => self.arguments.push(one.name.to_vec()),
                "REQUEST_HEADERS" => self.request_fields.push(one.name.to_vec()),
                "RESPONSE_HEADERS" => self.answer_fields.push(one.name.to_vec()),
                _ => {}
            }
            if !one.value.is_empty() {
                self.values.push(beginning(one.value));
            }
        }
    }

    /// Drops what is there twice; what a log does with a match is not to hang on how many there are.
    fn bound(&mut self) {
        let fields = [&mut self.request_fields, &mut self.answer_fields];
        for list in fields.into_iter().chain([&mut self.arguments, &mut self.values]) {
            list.sort_unstable();
            list.dedup();
            self.is_all |= list.len() > MOST;
            list.truncate(MOST);
        }
    }

    /// Whether there is nothing to hide.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether what `found` matched is not to be shown, nor what its rule says of it.
    #[must_use]
    pub fn hides(&self, found: &Match<'_>) -> bool {
        self.rules.contains(&found.about.id)
            || self.is_in(found.data)
            || found.found().any(|one| {
                let names = match one.variable {
                    "REQUEST_HEADERS" => &self.request_fields,
                    "RESPONSE_HEADERS" => &self.answer_fields,
                    _ => &self.arguments,
                };
                has(names, one.name) || self.is_in(one.value)
            })
    }

    /// Whether a value that is not to be shown is in `text`, or may be.
    #[must_use]
    pub fn is_in(&self, text: &[u8]) -> bool {
        self.is_all || self.values.iter().any(|value| memchr::memmem::find(text, value).is_some())
    }

    /// Whether the header field `name`, of the request or of the answer, is not to be shown.
    #[must_use]
    pub fn hides_field(&self, name: &[u8]) -> bool {
        self.is_all || has(&self.request_fields, name) || has(&self.answer_fields, name)
    }
}

fn beginning(value: &[u8]) -> Vec<u8> {
    value.get(..VALUE_BYTES_MAX).unwrap_or(value).to_vec()
}

pub(super) fn has(names: &[Vec<u8>], name: &[u8]) -> bool {
    !name.is_empty() && names.iter().any(|known| known.eq_ignore_ascii_case(name))
}
