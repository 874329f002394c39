//! The verdicts, for a reader.

use crate::case::Case;
use crate::judge::Verdict;
use std::collections::BTreeMap;

/// Cases, dangerous ones, and ones against policy.
#[derive(Default)]
struct Counts {
    cases: usize,
    dangerous: usize,
    against_policy: usize,
}

impl Counts {
    fn add(&mut self, verdict: &Verdict) {
        self.cases += 1;
        // What is dangerous is counted once.
        if !verdict.dangers.is_empty() {
            self.dangerous += 1;
        } else if !verdict.against_policy.is_empty() {
            self.against_policy += 1;
        }
    }
}

/// Prints the counts by class and each case that was not good; how many those are.
pub(crate) fn print(proxy: &str, cases: &[Case], verdicts: &[Verdict]) -> usize {
    let mut classes: BTreeMap<String, Counts> = BTreeMap::new();
    let mut all = Counts::default();
    for (case, verdict) in cases.iter().zip(verdicts) {
        let class = format!("{:?}: {}", case.kind, case.class).to_lowercase();
        classes.entry(class).or_default().add(verdict);
        all.add(verdict);
        let reasons = verdict.dangers.iter().map(|why| ("DANGEROUS", why));
        let reasons = reasons.chain(verdict.against_policy.iter().map(|why| ("policy", why)));
        for (kind, why) in reasons {
            println!(
                "{kind:<9}  {} {}: {} ({}): {why}",
                case.id, case.class, case.name, case.section
            );
        }
    }
    println!("\n{:<44} {:>5} {:>9} {:>14}", proxy, "cases", "dangerous", "against policy");
    for (class, counts) in &classes {
        let Counts { cases, dangerous, against_policy } = counts;
        println!("{class:<44} {cases:>5} {dangerous:>9} {against_policy:>14}");
    }
    let Counts { cases, dangerous, against_policy } = all;
    println!("{:<44} {cases:>5} {dangerous:>9} {against_policy:>14}", "all");
    dangerous + against_policy
}
