//! Matches: the config's `match` tables → what a route is found by.

use crate::config::{HostPattern, RouteMatch, ValueMatch, ValueRule};
use crate::data::route::{Condition, HostTerm, Match, PathTerm, Predicate, ValueTerm};
use crate::types::percent::plain_text;

/// Which requests `matches` takes.
pub(super) fn compile(matches: &RouteMatch) -> Match {
    Match {
        host: matches.host.as_ref().map(host),
        path: path(matches).unwrap_or_else(|| PathTerm::prefix("/")),
        predicate: Predicate::new(conditions(matches)),
    }
}

/// All that `matches` says, as a predicate.
fn predicate(matches: &RouteMatch) -> Predicate {
    let host = matches.host.as_ref().map(|pattern| Condition::Host(host(pattern)));
    let path = path(matches).map(Condition::Path);
    Predicate::new(host.into_iter().chain(path).chain(conditions(matches)).collect())
}

fn host(pattern: &HostPattern) -> HostTerm {
    match pattern {
        HostPattern::Exact(host) => HostTerm::Exact(host.as_str().into()),
        HostPattern::Below(host) => HostTerm::Below(host.as_str().into()),
    }
}

fn path(matches: &RouteMatch) -> Option<PathTerm> {
    let prefix = matches.path.as_ref().map(|path| PathTerm::prefix(&plain_text(path.as_str())));
    let exact = matches.path_exact.as_ref();
    let exact = || exact.map(|path| PathTerm::Exact(plain_text(path.as_str()).as_bytes().into()));
    let pattern = || matches.path_regex.as_ref().map(|path| PathTerm::Pattern(path.0.clone()));
    prefix.or_else(exact).or_else(pattern)
}

/// What `matches` says of other things than host and path.
fn conditions(matches: &RouteMatch) -> Vec<Condition> {
    let mut out = Vec::new();
    if !matches.method.is_empty() {
        let methods = matches.method.iter().map(|method| method.as_str().into());
        out.push(Condition::Method(methods.collect()));
    }
    out.extend(
        matches.header.iter().map(|(name, to)| Condition::Field(name.as_str().into(), value(to))),
    );
    out.extend(
        matches
            .query
            .iter()
            .map(|(name, to)| Condition::Query(name.as_str().as_bytes().into(), value(to))),
    );
    out.extend(
        matches
            .cookie
            .iter()
            .map(|(name, to)| Condition::Cookie(name.as_str().as_bytes().into(), value(to))),
    );
    if !matches.client.is_empty() {
        out.push(Condition::Client(matches.client.iter().map(|network| network.0).collect()));
    }
    if !matches.all.is_empty() {
        out.push(Condition::All(matches.all.iter().map(predicate).collect()));
    }
    if !matches.any.is_empty() {
        out.push(Condition::Any(matches.any.iter().map(predicate).collect()));
    }
    out.extend(matches.not.iter().map(|not| Condition::Not(Box::new(predicate(not)))));
    out
}

fn value(to: &ValueMatch) -> ValueTerm {
    let bytes = |text: &str| text.as_bytes().into();
    match to {
        ValueMatch::Exact(text) => ValueTerm::Exact(bytes(text)),
        ValueMatch::Rule(ValueRule::Prefix(text)) => ValueTerm::Prefix(bytes(text)),
        ValueMatch::Rule(ValueRule::Suffix(text)) => ValueTerm::Suffix(bytes(text)),
        ValueMatch::Rule(ValueRule::Contains(text)) => ValueTerm::Contains(bytes(text)),
        ValueMatch::Rule(ValueRule::Regex(pattern)) => ValueTerm::Pattern(pattern.clone()),
        ValueMatch::Rule(ValueRule::Present(true)) => ValueTerm::Present,
        ValueMatch::Rule(ValueRule::Present(false)) => ValueTerm::Absent,
    }
}
