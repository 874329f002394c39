//! `vanne waf lint`: mistakes in rules that loading them does not show, and those that it does.

use super::rules::{Crs, Parts};
use crate::config::rule_files::Disk;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use vanne_filters::waf::program::Program;
use vanne_filters::waf::seclang::ast::{
    Control, Disruption, Effect, Flow, Item, Rule, RuleSelector, RuleSet,
};
use vanne_filters::waf::seclang::{Fault, Library, Note, Place, doubts};

/// Find mistakes in rules: what cannot be loaded, and what has no effect.
///
/// Errors keep rules from being loaded: ids that are taken, what is not supported, jumps to
/// markers that do not follow. Warnings: rules that never match (removed, always skipped, of a
/// paranoia level that is not reached, looking at what comes later, comparing letters of the wrong
/// case), what is not done as it is said (`drop`, `redirect`), removals and updates that name no rule, markers that
/// nobody skips to, directives without effect.
///
/// Exit code 0: no errors. 1: errors. 2: there is no Core Rule Set where --crs says.
///
/// Example: vanne waf lint --crs coreruleset 'waf/*.conf'
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Files of rules, or globs; read in order.
    #[arg(value_name = "FILE", required_unless_present_any = ["crs", "own_rules"])]
    files: Vec<String>,
    #[command(flatten)]
    crs: Crs,
    /// Print JSON, for programs: `[{"severity", "message", "help", "rules", "file", "line",
    /// "column"}]`.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    Error,
    Warning,
}

/// A mistake.
#[derive(Debug, Serialize)]
struct Finding {
    severity: Severity,
    message: String,
    help: String,
    /// Ids of the rules it is about.
    rules: Vec<u64>,
    file: Option<String>,
    line: Option<u32>,
    column: Option<u32>,
    /// As it is shown to people.
    #[serde(skip)]
    text: String,
}

pub(super) fn run(args: &Args) -> anyhow::Result<bool> {
    let parts = args.crs.parts(&args.files, None, "")?;
    let findings = findings(&parts);
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let errors = count(Severity::Error);
    if args.json {
        super::super::print_json(&findings)?;
        return Ok(errors == 0);
    }
    let mut out = String::new();
    for finding in &findings {
        out += &finding.text;
    }
    writeln!(out, "{errors} errors, {} warnings", count(Severity::Warning))?;
    super::super::print(&out)?;
    Ok(errors == 0)
}

fn findings(parts: &Parts) -> Vec<Finding> {
    let set = match parts.load(&Disk::default()) {
        Ok(set) => set,
        Err(faults) => return faults.0.iter().map(error).collect(),
    };
    let mut findings = removed(parts, &set);
    if rules(&set).next().is_none() {
        findings.push(warning("no rules found".to_owned(), Vec::new(), None));
    }
    match Program::compile(&set) {
        Err(faults) => findings.extend(faults.0.iter().map(error)),
        Ok(program) => {
            findings.extend(unreached(&set, program.dropped()));
            findings.extend(program.notes().iter().map(note));
        }
    }
    findings.extend(rules(&set).flat_map(doubtful));
    findings.extend(missing_rules(&set));
    findings.extend(lonely_markers(&set));
    findings
}

/// Rules that another directive takes away.
fn removed(parts: &Parts, set: &RuleSet) -> Vec<Finding> {
    let kept: BTreeSet<u64> = rules(set).map(|rule| rule.id).collect();
    let Ok(whole) = parts.load(&WithoutRemovals::default()) else { return Vec::new() };
    let gone = rules(&whole).filter(|rule| !kept.contains(&rule.id));
    gone.map(|rule| {
        let message = format!("rule {} never matches: it is removed", rule.id);
        warning(message, vec![rule.id], Some(&rule.place))
    })
    .collect()
}

/// Rules that no transaction reaches, or that match in none.
fn unreached(set: &RuleSet, dropped: &[u64]) -> Vec<Finding> {
    let dropped: BTreeSet<u64> = dropped.iter().copied().collect();
    let mut findings = Vec::new();
    let mut levels: BTreeMap<u8, Vec<u64>> = BTreeMap::new();
    for rule in rules(set).filter(|rule| dropped.contains(&rule.id) && does_something(rule)) {
        let level = rule.tags.iter().find_map(|tag| tag.strip_prefix("paranoia-level/"));
        if let Some(level) = level.and_then(|level| level.parse().ok()).filter(|level| *level > 1) {
            levels.entry(level).or_default().push(rule.id);
            continue;
        }
        let why = "it is always skipped, or its operator cannot match";
        let message = format!("rule {} never matches: {why}", rule.id);
        findings.push(warning(message, vec![rule.id], Some(&rule.place)));
    }
    findings.extend(levels.into_iter().map(|(level, ids)| {
        let message = format!(
            "{} rules never match: they are of paranoia level {level}, which is not reached",
            ids.len()
        );
        warning(message, ids, None)
    }));
    findings
}

/// Whether a match would be seen: those that only guard what they skip are left out rightly.
fn does_something(rule: &Rule) -> bool {
    let acts = rule.links.iter().any(|link| !link.effects.is_empty());
    rule.is_logged || acts || rule.disruption != Disruption::Pass
}

/// What a rule says that it hardly means.
fn doubtful(rule: &Rule) -> impl Iterator<Item = Finding> {
    let id = rule.id;
    doubts(rule).into_iter().map(move |note| warning(note.message, vec![id], Some(&note.place)))
}

/// Actions that remove or change rules that are not there.
fn missing_rules(set: &RuleSet) -> Vec<Finding> {
    let mut findings = Vec::new();
    for rule in rules(set) {
        let effects = rule.links.iter().flat_map(|link| &link.effects);
        let selectors = effects.filter_map(|effect| match effect {
            Effect::Control(Control::Remove(selector) | Control::RemoveTarget(selector, ..)) => {
                Some(selector)
            }
            _ => None,
        });
        for selector in selectors.filter(|selector| !rules(set).any(|rule| selector.covers(rule))) {
            let message = format!("no rule fits {}: this has no effect", named(selector));
            findings.push(warning(message, vec![rule.id], Some(&rule.place)));
        }
    }
    findings
}

fn named(selector: &RuleSelector) -> String {
    match selector {
        RuleSelector::Tag(tag) => format!("the tag `{tag}`"),
        RuleSelector::Message(message) => format!("the message `{message}`"),
        RuleSelector::Ids(ranges) => {
            let ranges = ranges.iter().map(|(from, to)| match from == to {
                true => from.to_string(),
                false => format!("{from}-{to}"),
            });
            format!("the ids {}", ranges.collect::<Vec<_>>().join(", "))
        }
    }
}

fn lonely_markers(set: &RuleSet) -> Vec<Finding> {
    let jumps: BTreeSet<&str> = rules(set)
        .filter_map(|rule| match &rule.flow {
            Flow::SkipAfter(marker) => Some(marker.as_str()),
            _ => None,
        })
        .collect();
    let markers: BTreeSet<&str> = set
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Marker(name) => Some(name.as_str()),
            Item::Rule(_) => None,
        })
        .collect();
    let lonely = markers.difference(&jumps);
    lonely
        .map(|name| warning(format!("nothing skips to the marker `{name}`"), Vec::new(), None))
        .collect()
}

fn rules(set: &RuleSet) -> impl Iterator<Item = &Rule> {
    set.items.iter().filter_map(|item| match item {
        Item::Rule(rule) => Some(&**rule),
        Item::Marker(_) => None,
    })
}

fn error(fault: &Fault) -> Finding {
    Finding {
        severity: Severity::Error,
        message: fault.message.clone(),
        help: fault.help.clone(),
        rules: fault.rule.into_iter().collect(),
        file: Some(fault.place.file.to_string()),
        line: Some(fault.place.line),
        column: Some(fault.place.column),
        text: fault.to_string(),
    }
}

fn note(note: &Note) -> Finding {
    warning(note.message.clone(), Vec::new(), Some(&note.place))
}

fn warning(message: String, rules: Vec<u64>, place: Option<&Place>) -> Finding {
    let mut text = format!("warning: {message}\n");
    if let Some(Place { file, line, column, .. }) = place {
        text += &format!(" --> {file}:{line}:{column}\n");
    }
    Finding {
        severity: Severity::Warning,
        message,
        help: String::new(),
        rules,
        file: place.map(|place| place.file.to_string()),
        line: place.map(|place| place.line),
        column: place.map(|place| place.column),
        text,
    }
}

/// Reads from the file system, with directives that remove rules made comments.
#[derive(Default)]
struct WithoutRemovals(Disk);

impl Library for WithoutRemovals {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        let bytes = self.0.read(path)?;
        let mut out = Vec::with_capacity(bytes.len());
        let mut is_removal = false;
        let mut goes_on = false;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if !goes_on {
                const NAME: &[u8] = b"SecRuleRemoveBy";
                let first = line.trim_ascii_start().get(..NAME.len()).unwrap_or_default();
                is_removal = first.eq_ignore_ascii_case(NAME);
            }
            goes_on = line.trim_ascii_end().ends_with(b"\\");
            out.extend_from_slice(if is_removal { b"\n" } else { line });
        }
        Ok(out)
    }

    fn list(&self, directory: &str) -> Result<Vec<String>, String> {
        self.0.list(directory)
    }
}
