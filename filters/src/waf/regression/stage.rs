//! One request of a test, and whether rules did what it expects.

use std::fmt;

use super::case::Case;
use crate::waf::seclang::settings::EngineMode;
use crate::waf::transaction::Transaction;

/// One request and what must and must not be logged for it.
#[derive(Debug)]
pub struct Stage {
    /// What results are counted under, such as `REQUEST-942-APPLICATION-ATTACK-SQLI`.
    pub family: String,
    /// The request.
    pub case: Case,
    /// Ids of rules that must be logged.
    pub expected: Vec<u64>,
    /// Ids of rules that must not be logged.
    pub forbidden: Vec<u64>,
    /// The status of the answer, judged where rules act.
    pub status: Option<u16>,
}

/// What a stage got wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Miss {
    /// Ids that were expected and not logged.
    pub missing: Vec<u64>,
    /// Ids that were forbidden and logged.
    pub unwanted: Vec<u64>,
    /// The status that was expected, and what it was.
    pub status: Option<(u16, u16)>,
}

impl Stage {
    /// What `transaction`, which ran the request, got wrong; `None` when nothing.
    #[must_use]
    pub fn miss(&self, transaction: &Transaction) -> Option<Miss> {
        let matches = transaction.matches().filter(|one| one.about.is_logged);
        let logged: Vec<u64> = matches.map(|one| one.about.id).collect();
        let missing = self.expected.iter().filter(|id| !logged.contains(id)).copied().collect();
        let unwanted = self.forbidden.iter().filter(|id| logged.contains(id)).copied().collect();
        let status = self.status.filter(|_| transaction.engine() == EngineMode::On);
        let found = transaction.interruption().map_or(self.case.status, |end| end.status);
        let status = status.filter(|status| *status != found).map(|status| (status, found));
        let miss = Miss { missing, unwanted, status };
        (miss != Miss::default()).then_some(miss)
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |ids: &[u64]| {
            let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
            ids.join(", ")
        };
        let mut parts = Vec::new();
        if !self.missing.is_empty() {
            parts.push(format!("not matched: {}", list(&self.missing)));
        }
        if !self.unwanted.is_empty() {
            parts.push(format!("matched, though forbidden: {}", list(&self.unwanted)));
        }
        if let Some((expected, found)) = self.status {
            parts.push(format!("status {found} instead of {expected}"));
        }
        f.write_str(&parts.join("; "))
    }
}
