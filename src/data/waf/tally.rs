//! Which rules have matched how often: for operators who look for false alarms.

use parking_lot::Mutex;
use std::collections::HashMap;
use vanne_filters::waf::transaction::Match;

/// Rules that are remembered; more do not match in any rule set that is known.
const RULES_MAX: usize = 4096;
/// The longest message that is remembered.
const MESSAGE_BYTES_MAX: usize = 200;

/// Matches of rules since the process began. A match is rare, so one lock will do.
#[derive(Debug, Default)]
pub struct Tally(Mutex<HashMap<u64, Row>>);

/// What is known of a rule's matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// How often it has matched.
    pub matches: u64,
    /// How often in a request that was refused, or would have been.
    pub refused: u64,
    /// Its message, as it was first.
    pub message: String,
}

impl Tally {
    /// Counts a match.
    pub fn count(&self, found: &Match<'_>, is_refused: bool) {
        let mut rows = self.0.lock();
        if rows.len() >= RULES_MAX && !rows.contains_key(&found.about.id) {
            return;
        }
        let row = rows.entry(found.about.id).or_insert_with(|| {
            let message = found.message.get(..MESSAGE_BYTES_MAX).unwrap_or(found.message);
            Row { message: String::from_utf8_lossy(message).into_owned(), ..Row::default() }
        });
        row.matches += 1;
        row.refused += u64::from(is_refused);
    }

    /// The `most` rules that have matched most often, the first the most.
    #[must_use]
    pub fn top(&self, most: usize) -> Vec<(u64, Row)> {
        let mut rows: Vec<_> = self.0.lock().iter().map(|(id, row)| (*id, row.clone())).collect();
        rows.sort_by_key(|(id, row)| (std::cmp::Reverse(row.matches), *id));
        rows.truncate(most);
        rows
    }
}
