//! Firewalls: rule files read and compiled, and what the config adds to them.
//!
//! All files are read at each reload; what they are compiled to stays in use while nothing in
//! them has changed. Routes with the same exclusions share their rules.

use super::{CompileError, Means, dangling, log};
use crate::config::rule_files::{self, ADDED_RULES, Disk};
use crate::config::{
    self, Config, WafAbove, WafExclusion, WafLogFormat, WafLogged, WafMode, WafWhenOver,
};
use crate::data::waf::{Answers, Families, Verdict, Waf};
use crate::observe::metrics::{WAF_DURATION, WAF_MATCHES, WAF_REQUESTS};
use crate::types::hash::stable;
use crate::types::ids::{RouteId, WafId};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use vanne_filters::waf::own::OWN_RULES;
use vanne_filters::waf::program::{About, Program};
use vanne_filters::waf::seclang::{RuleSet, Source, load};

/// Ids of the Core Rule Set: their first three digits are a family.
const CRS: std::ops::Range<u64> = 900_000..1_000_000;

/// The firewalls of a config, as its routes ask for them.
#[derive(Default)]
pub(super) struct Wafs(Vec<(WafId, Vec<usize>, Arc<Waf>)>);

impl Wafs {
    /// That of `route`, if it has one that is not off.
    ///
    /// # Errors
    /// When its rules cannot be read, or the config was not checked.
    pub(super) fn of_route(
        &mut self,
        route: &config::Route,
        config: &Config,
        means: &mut Means<'_>,
    ) -> Result<Option<Arc<Waf>>, CompileError> {
        let named = config.waf_of(route).map_err(|id| dangling("waf", id))?;
        let Some((id, waf)) = named.filter(|(_, waf)| waf.mode != WafMode::Off) else {
            return Ok(None);
        };
        let exclusions = exclusions_of(waf, &route.name);
        let is_same =
            |(other, others, _): &&(WafId, Vec<usize>, _)| other == id && *others == exclusions;
        if let Some((_, _, made)) = self.0.iter().find(is_same) {
            return Ok(Some(Arc::clone(made)));
        }
        let made = Arc::new(one(id, waf, &exclusions, config, means)?);
        self.0.push((id.clone(), exclusions, Arc::clone(&made)));
        Ok(Some(made))
    }
}

/// What is wrong with the rules of firewalls that some route has.
pub(in crate::control) fn problems(config: &Config) -> Vec<CompileError> {
    let mut seen = Vec::new();
    let mut problems = Vec::new();
    for route in &config.route {
        let Ok(Some((id, waf))) = config.waf_of(route) else { continue };
        let key = (id, exclusions_of(waf, &route.name));
        if waf.mode == WafMode::Off || seen.contains(&key) {
            continue;
        }
        let read = read(id, waf, &key.1).and_then(|(set, _)| compile(id, &set));
        problems.extend(read.err());
        seen.push(key);
    }
    problems
}

/// The exclusions that count for `route`, by their places.
fn exclusions_of(waf: &config::Waf, route: &RouteId) -> Vec<usize> {
    let counts =
        |exclusion: &WafExclusion| exclusion.route.as_ref().is_none_or(|only| only == route);
    let places = waf.exclusions.iter().enumerate();
    places.filter(|(_, exclusion)| counts(exclusion)).map(|(at, _)| at).collect()
}

fn one(
    id: &WafId,
    waf: &config::Waf,
    exclusions: &[usize],
    config: &Config,
    means: &mut Means<'_>,
) -> Result<Waf, CompileError> {
    let (set, number) = read(id, waf, exclusions)?;
    let program = means.kept.program(number, || compile(id, &set))?;
    let mut group = means.metrics.group();
    let counts =
        Verdict::ALL.map(|verdict| group.handle(&WAF_REQUESTS, [id.as_str(), verdict.as_str()]));
    let duration = group.handle(&WAF_DURATION, [id.as_str()]);
    let is_detecting = waf.mode == WafMode::Detect;
    let answers = waf.answers && program.has_rules_for_answers();
    Ok(Waf {
        id: id.clone(),
        answers: answers.then(|| Answers {
            body_bytes_max: usize::try_from(waf.answer_body.max.as_bytes()).unwrap_or(usize::MAX),
            takes_first_part: is_detecting || waf.answer_body.above == WafAbove::FirstPart,
            reads_bodies: program.reads_answer_bodies(),
        }),
        families: families(id, &program, means),
        program,
        body_bytes_max: usize::try_from(waf.body.max.as_bytes()).unwrap_or(usize::MAX),
        takes_first_part: is_detecting || waf.body.above == WafAbove::FirstPart,
        time_budget: waf.time_budget.as_duration(),
        passes_when_over: is_detecting || waf.when_over == WafWhenOver::Open,
        audit: (config.waf_log.format == WafLogFormat::Modsecurity).then(server),
        tells_of_all: waf.log == WafLogged::All,
        share: waf.sample.map_or(10_000, |share| share.as_basis_points()),
        redact: log::redact(&config.access_log),
        counts,
        duration,
        tally: means.kept.tally(id),
    })
}

/// Reads all rules, and the number of what was read.
fn read(
    id: &WafId,
    waf: &config::Waf,
    exclusions: &[usize],
) -> Result<(RuleSet, u64), CompileError> {
    let (setup, rules) = files(waf);
    let name = format!("waf.{id}");
    let (before, after) = (before(waf), after(waf));
    let excluded: Vec<(String, String)> = exclusions
        .iter()
        .filter_map(|at| {
            Some((format!("{name}.exclusions[{at}]"), directive(waf.exclusions.get(*at)?)))
        })
        .collect();
    let mut sources: Vec<Source<'_>> = setup.iter().map(|path| Source::File(path)).collect();
    sources.push(Source::Text(&name, &before));
    if waf.own_rules {
        sources.extend(OWN_RULES.map(|(name, text)| Source::Text(name, text)));
    }
    sources.extend(rules.iter().map(|path| Source::File(path)));
    sources.extend(excluded.iter().map(|(name, text)| Source::Text(name, text)));
    sources.push(Source::Text(&name, &after));
    let disk = Disk::default();
    for source in &sources {
        if let Source::Text(_, text) = source {
            disk.note(text);
        }
    }
    let set = load(&sources, &disk).map_err(|faults| unusable(id, &faults))?;
    Ok((set, disk.number()))
}

fn compile(id: &WafId, set: &RuleSet) -> Result<Program, CompileError> {
    let program = Program::compile(set).map_err(|faults| unusable(id, &faults))?;
    let (rules, notes) = (program.rules().count(), program.notes().len());
    tracing::info!(waf = %id, rules, without_effect = notes, "rules of a firewall compiled");
    for note in program.notes() {
        let (file, line) = (&note.place.file, note.place.line);
        tracing::debug!(waf = %id, %file, line, message = note.message, "without effect");
    }
    Ok(program)
}

fn unusable(id: &WafId, faults: &impl std::fmt::Display) -> CompileError {
    CompileError::Unusable {
        key: format!("waf.{id}"),
        why: format!("rules cannot be used\n{faults}"),
    }
}

/// The setup file, if there is one, and all others: paths that may have a glob at their end.
fn files(waf: &config::Waf) -> (Option<String>, Vec<String>) {
    let setup = waf.crs.as_ref().and_then(|folder| rule_files::setup_of(&folder.0));
    let all = rule_files::patterns(waf);
    let rules = all.iter().skip(usize::from(setup.is_some())).map(|path| rule_files::text(path));
    (setup.as_deref().map(rule_files::text), rules.collect())
}

/// What the config says to the rules, in their own words.
fn before(waf: &config::Waf) -> String {
    let mut sets = String::new();
    if let Some(level) = waf.paranoia {
        sets += &format!(",setvar:tx.blocking_paranoia_level={level}");
    }
    if let Some(score) = waf.inbound_threshold {
        sets += &format!(",setvar:tx.inbound_anomaly_score_threshold={score}");
    }
    if let Some(score) = waf.outbound_threshold {
        sets += &format!(",setvar:tx.outbound_anomaly_score_threshold={score}");
    }
    let said = match sets.is_empty() {
        true => String::new(),
        false => format!("SecAction \"id:{ADDED_RULES},phase:1,pass,nolog,t:none{sets}\"\n"),
    };
    said + &vanne_filters::waf::body_processors(ADDED_RULES + 1)
}

fn after(waf: &config::Waf) -> String {
    let engine = if waf.mode == WafMode::Detect { "DetectionOnly" } else { "On" };
    let most = waf.body.max.as_bytes();
    let mut said = format!(
        "SecRuleEngine {engine}\nSecRequestBodyLimit {most}\n\
         SecRequestBodyLimitAction ProcessPartial\n"
    );
    if waf.answers {
        let (most, types) = (waf.answer_body.max.as_bytes(), waf.answer_body.types.join(" "));
        said += &format!(
            "SecResponseBodyAccess On\nSecResponseBodyLimit {most}\n\
             SecResponseBodyLimitAction ProcessPartial\nSecResponseBodyMimeType {types}\n"
        );
    }
    said
}

fn directive(exclusion: &WafExclusion) -> String {
    let (by, which) = match (&exclusion.rule, &exclusion.tag) {
        (Some(rule), _) => ("Id", rule.to_string()),
        (None, tag) => ("Tag", format!("\"{}\"", tag.as_deref().unwrap_or_default())),
    };
    match &exclusion.target {
        None => format!("SecRuleRemoveBy{by} {which}\n"),
        Some(target) => format!("SecRuleUpdateTargetBy{by} {which} \"!{target}\"\n"),
    }
}

/// A name for this machine in audit logs, in hexadecimal digits.
fn server() -> Box<str> {
    let system = rustix::system::uname();
    let name = system.nodename().to_bytes();
    format!("{:016x}", stable(name)).into()
}

/// Counters for the families of rules that log.
fn families(id: &WafId, program: &Program, means: &Means<'_>) -> Families {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut families = Families::default();
    let mut group = means.metrics.group();
    for about in program.rules().filter(|about| about.is_logged) {
        let family = family(about);
        let place = *places.entry(family).or_insert_with_key(|family| {
            families.counts.push(group.handle(&WAF_MATCHES, [id.as_str(), family]));
            families.counts.len() - 1
        });
        families.of_rule.insert(about.id, place);
    }
    families
}

fn family(about: &About) -> String {
    match CRS.contains(&about.id) {
        true => (about.id / 1000).to_string(),
        false => {
            let stem = Path::new(&*about.file).file_stem().unwrap_or_default();
            stem.to_string_lossy().into_owned()
        }
    }
}
