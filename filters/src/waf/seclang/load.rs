//! Reads sources in order, follows `Include`, and collects rules and faults.

use std::collections::HashMap;

use super::actions::Actions;
use super::ast::{Item, Rule, RuleSet};
use super::directives;
use super::fault::{Fault, Faults, Note, Place};
use super::library::{Library, beside, expand};
use super::lines::{self, Line, Word};
use super::problem::Problem;
use super::sanitise::Sanitise;
use super::variables::Variable;

/// Files that include each other are followed this deep.
pub const DEPTH_MAX: usize = 16;

/// How `ver` of the rules of the Core Rule Set begins.
const CRS_VERSION: &str = "OWASP_CRS/";

/// Ids of the rules that are built in.
const OWN_RULES: std::ops::Range<u64> = 9_100_000..9_200_000;

/// Faults after which reading stops.
const FAULTS_MAX: usize = 200;

/// Where rules come from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// A file, or a glob in its last part; read by the [`Library`].
    File(&'a str),
    /// A text, and the name under which faults show it.
    Text(&'a str, &'a str),
}

/// Loads all sources, in order, as one rule set.
///
/// # Errors
/// All faults that were found, up to two hundred.
pub fn load(sources: &[Source<'_>], library: &dyn Library) -> Result<RuleSet, Faults> {
    let mut loader = Loader::new(library);
    for source in sources {
        match source {
            Source::File(pattern) => loader.top_level(pattern),
            Source::Text(name, text) => loader.text(name, text.as_bytes(), 0),
        }
    }
    loader.close_chain();
    give_whole_bodies(&mut loader.set);
    if loader.faults.is_empty() { Ok(loader.set) } else { Err(Faults(loader.faults)) }
}

/// `REQUEST_BODY` is every body, as in ModSecurity 3, but for the rules of the Core Rule Set and
/// those that are built in: they are tuned on what ModSecurity 2 has there, which is forms.
fn give_whole_bodies(set: &mut RuleSet) {
    for item in &mut set.items {
        let Item::Rule(rule) = item else { continue };
        if rule.version.starts_with(CRS_VERSION) || OWN_RULES.contains(&rule.id) {
            continue;
        }
        let targets = rule.links.iter_mut().flat_map(|link| &mut link.targets);
        for target in targets.filter(|target| target.variable == Variable::RequestBody) {
            target.variable = Variable::WholeRequestBody;
        }
    }
}

/// What the file `text` includes: paths and globs, as they are written in it.
#[must_use]
pub fn includes(text: &[u8]) -> Vec<String> {
    let included = |line: &Line| match lines::words(&line.text).ok()?.as_slice() {
        [directive, path] if is_include(directive) => Some(path.text.clone()),
        _ => None,
    };
    lines::split("", text).iter().filter_map(included).collect()
}

fn is_include(directive: &Word) -> bool {
    directive.text.eq_ignore_ascii_case("include")
}

/// What has been read so far.
pub(crate) struct Loader<'a> {
    pub(crate) library: &'a dyn Library,
    pub(crate) set: RuleSet,
    faults: Vec<Fault>,
    /// Default actions of each phase, from `SecDefaultAction`.
    pub(crate) defaults: [Option<Actions>; 6],
    /// A rule whose last link says `chain`.
    pub(crate) open: Option<Box<Rule>>,
    /// Ids taken, and where.
    ids: HashMap<u64, Place>,
}

impl<'a> Loader<'a> {
    fn new(library: &'a dyn Library) -> Self {
        Self {
            library,
            set: RuleSet::default(),
            faults: Vec::new(),
            defaults: Default::default(),
            open: None,
            ids: HashMap::new(),
        }
    }

    fn top_level(&mut self, pattern: &str) {
        let fault = |message: String| Fault {
            place: Place { file: pattern.into(), line: 1, column: 1, text: String::new() },
            rule: None,
            message,
            help: "a file of rules, or a glob of such files".into(),
        };
        let paths = expand(pattern, self.library).unwrap_or_else(|error| {
            self.faults.push(fault(format!("cannot expand: {error}")));
            Vec::new()
        });
        for path in paths {
            match self.library.read(&path) {
                Ok(bytes) => self.text(&path, &bytes, 0),
                Err(error) => self.faults.push(fault(format!("cannot read {path}: {error}"))),
            }
        }
    }

    fn text(&mut self, file: &str, text: &[u8], depth: usize) {
        for line in lines::split(file, text) {
            if self.faults.len() >= FAULTS_MAX {
                return;
            }
            match lines::words(&line.text) {
                Ok(words) => self.line(file, &line, &words, depth),
                Err(offset) => {
                    let help = "close it with the same quote; `\\\"` is a quote inside";
                    self.fault(&line, None, Problem::at(offset, "a quote is never closed", help));
                }
            }
        }
    }

    fn line(&mut self, file: &str, line: &Line, words: &[Word], depth: usize) {
        let Some((directive, arguments)) = words.split_first() else { return };
        if is_include(directive) {
            if let Err(problem) = self.include(file, arguments, depth) {
                self.fault(line, None, problem);
            }
            return;
        }
        directives::apply(self, file, line, directive, arguments);
    }

    fn include(&mut self, file: &str, words: &[Word], depth: usize) -> Result<(), Problem> {
        let [word] = words else {
            return Err(Problem::at(0, "Include takes one argument", "a path or a glob"));
        };
        if depth >= DEPTH_MAX {
            let message = format!("files include each other more than {DEPTH_MAX} deep");
            return Err(Problem::at(word.offset, message, "does a file include itself?"));
        }
        let pattern = beside(file, &word.text);
        let unreadable = |error: String| {
            let message = format!("cannot include `{pattern}`: {error}");
            Problem::at(word.offset, message, "a path or a glob, relative to this file")
        };
        for path in expand(&pattern, self.library).map_err(unreadable)? {
            let bytes = self.library.read(&path).map_err(unreadable)?;
            self.text(&path, &bytes, depth + 1);
        }
        Ok(())
    }

    /// Records a fault.
    pub(crate) fn fault(&mut self, line: &Line, rule: Option<u64>, problem: Problem) {
        let Problem { offset, message, help } = problem;
        self.faults.push(Fault { place: line.place(offset), rule, message, help });
    }

    /// Records that something was accepted without effect.
    pub(crate) fn note(&mut self, line: &Line, offset: usize, message: String) {
        self.set.notes.push(Note { place: line.place(offset), message });
    }

    /// Takes an id for the rule at `line`.
    pub(crate) fn take_id(&mut self, line: &Line, id: u64, offset: usize) {
        let place = line.place(offset);
        if let Some(first) = self.ids.get(&id) {
            let help = format!("the first is at {}:{}", first.file, first.line);
            let message = format!("the id {id} is taken");
            self.fault(line, Some(id), Problem::at(offset, message, help));
            return;
        }
        self.ids.insert(id, place);
    }

    /// A rule that ends in `chain` without another rule is a fault.
    pub(crate) fn close_chain(&mut self) {
        if let Some(rule) = self.open.take() {
            self.faults.push(Fault {
                place: rule.place.clone(),
                rule: Some(rule.id),
                message: "the rule ends in `chain` and no rule follows".into(),
                help: "add the next SecRule of the chain, or take `chain` away".into(),
            });
        }
    }

    /// What the rule `id` hides from logs when it matches, added to what is known of it.
    pub(crate) fn sanitise(&mut self, id: u64, more: &[Sanitise]) {
        if !more.is_empty() {
            self.set.settings.sanitised.entry(id).or_default().extend_from_slice(more);
        }
    }

    /// Adds a whole rule.
    pub(crate) fn push(&mut self, rule: Box<Rule>) {
        self.set.items.push(Item::Rule(rule));
    }
}
