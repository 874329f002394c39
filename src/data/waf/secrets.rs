//! What logs do not show of a request: as the config says (`access_log.redact`), and as rules that
//! matched do (`sanitiseArg` …).

use super::Waf;
use crate::data::log_line::{HIDDEN, Redact};
use std::borrow::Cow;
use vanne_filters::waf::transaction::{Found, Hidden, Match, Transaction};

/// What is not to be shown of one request.
pub(super) struct Secrets<'a> {
    redact: Cow<'a, Redact>,
    hidden: Hidden,
}

impl<'a> Secrets<'a> {
    /// Those of `transaction`. Cost: a look at its matches if any rule sanitises, else nothing.
    pub(super) fn of(waf: &'a Waf, transaction: &Transaction) -> Self {
        let hidden = transaction.hidden();
        let mut redact = Cow::Borrowed(&waf.redact);
        if !hidden.arguments.is_empty() {
            let names = hidden.arguments.iter().map(|name| name.to_ascii_lowercase().into());
            redact.to_mut().parameters.extend(names);
        }
        Self { redact, hidden }
    }

    /// Whether what `found` is on may hold a secret.
    pub(super) fn hides(&self, found: &Match<'_>) -> bool {
        self.hidden.hides(found) || found.found().any(|value| is_secret(&self.redact, &value))
    }

    /// The text of a rule, if there is no secret in it.
    pub(super) fn shown<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        if self.hidden.is_in(text) || self.redact.finds_in(text) { HIDDEN } else { text }
    }

    /// `text`, a target or the value of a field, without what is secret in it.
    pub(super) fn without<'t>(&self, text: &'t [u8]) -> Cow<'t, [u8]> {
        let mut shown = Vec::new();
        self.redact.each(text, |run| shown.extend_from_slice(run));
        if self.hidden.is_in(&shown) { Cow::Borrowed(HIDDEN) } else { Cow::Owned(shown) }
    }

    /// Whether the header field `name` is not to be shown.
    pub(super) fn hides_field(&self, name: &[u8]) -> bool {
        self.redact.hides_header(name) || self.hidden.hides_field(name)
    }
}

/// Whether the value may be a secret, by its name or by what is in it.
pub(super) fn is_secret(redact: &Redact, found: &Found<'_>) -> bool {
    // Of what has waited there is only the beginning.
    if let Some(is_secret) = found.is_secret {
        return is_secret;
    }
    match found.variable {
        "REQUEST_COOKIES" => true,
        "REQUEST_HEADERS" if redact.hides_header(found.name) => true,
        // Of JSON and multipart too: any word in it may be the name of a secret.
        "REQUEST_BODY" if redact.hides_argument(found.value) => true,
        _ => redact.hides_argument(found.name) || redact.finds_in(found.value),
    }
}
