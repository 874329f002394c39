//! What logs show of matches, for a transaction that waits.
//!
//! A rule may match on thousands of values, and each of them may be as long as a body. Logs show the
//! beginning of the first or of the last, of a few rules, and hide it where any of them may be a
//! secret: so of each rule that one is kept, cut, and whether there was a secret.

use super::state::State;
use super::strings::{EMPTY, Id};
use super::verdict::{Brief, Found, Record, Seen, characters};
use crate::waf::program::Program;

/// What logs show of matches.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    /// Values, and what is said of them, of so many of the rules that log, and of so many of those
    /// that are audited.
    pub rules: usize,
    /// Of each the last value; else the first.
    pub is_last: bool,
    /// Bytes of what a rule says.
    pub said_bytes: usize,
    /// Bytes of a value's name.
    pub name_bytes: usize,
    /// Bytes of a value.
    pub value_bytes: usize,
    /// Whether a value may be a secret.
    pub is_secret: &'a dyn Fn(&Found<'_>) -> bool,
}

impl<'a> Shown<'a> {
    /// The first value of each of so many `rules`, and as many `bytes` of every text.
    #[must_use]
    pub const fn first(
        rules: usize,
        bytes: usize,
        is_secret: &'a dyn Fn(&Found<'_>) -> bool,
    ) -> Self {
        Self {
            rules,
            is_last: false,
            said_bytes: bytes,
            name_bytes: bytes,
            value_bytes: bytes,
            is_secret,
        }
    }
}

/// The values of all rules that are kept.
#[derive(Default)]
struct Kept {
    seen: Vec<Seen>,
    briefs: Vec<Brief>,
    /// The last value that was cut, and the characters that it lost: many rules match on one.
    last_cut: Option<(Id, usize)>,
}

impl State {
    /// Keeps of matches what is `shown`.
    pub(crate) fn shorten(&mut self, program: &Program, shown: Shown<'_>) {
        let mut records = std::mem::take(&mut self.records);
        let mut kept = Kept::default();
        let (mut logged, mut audited) = (0, 0);
        for record in &mut records {
            let Some(rule) = program.rules.get(record.rule as usize) else { continue };
            let is_shown = (rule.about.is_logged && logged < shown.rules)
                || (rule.about.is_audited && audited < shown.rules);
            logged += usize::from(rule.about.is_logged);
            audited += usize::from(rule.about.is_audited);
            let from = kept.seen.len() as u32;
            if is_shown {
                self.shorten_values(record, shown, &mut kept);
            }
            (record.from, record.to) = (from, kept.seen.len() as u32);
            record.message = self.strings.cut(record.message, shown.said_bytes);
            let data = if is_shown { record.data } else { EMPTY };
            record.data = self.strings.cut(data, shown.said_bytes);
        }
        self.records = records;
        (self.seen, self.briefs) = (kept.seen, kept.briefs);
    }

    fn shorten_values(&mut self, record: &Record, shown: Shown<'_>, kept: &mut Kept) {
        let (from, to) = (record.from, record.to);
        let is_secret =
            |found: Found<'_>| found.is_secret.unwrap_or_else(|| (shown.is_secret)(&found));
        let any_secret = self.found(from, to).any(is_secret);
        let at = if shown.is_last { to.wrapping_sub(1) } else { from };
        let one = self.seen.get(at as usize).copied().filter(|_| from < to);
        let Some(mut one) = one else { return };
        let more = self.briefs.get(at as usize).map_or(0, |brief| brief.characters);
        let cut = match kept.last_cut {
            Some((value, cut)) if value == one.value => cut,
            _ => self.strings.get(one.value).get(shown.value_bytes..).map_or(0, characters),
        };
        kept.last_cut = Some((one.value, cut));
        one.key = self.strings.cut(one.key, shown.name_bytes);
        one.value = self.strings.cut(one.value, shown.value_bytes);
        kept.seen.push(one);
        kept.briefs.push(Brief { is_secret: any_secret, characters: more + cut });
    }
}
