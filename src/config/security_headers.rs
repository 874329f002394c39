//! `[security_headers.NAME]` and what routes say of it; which set is whose.

use super::check_edits::{self, Field};
use super::diagnostics::Problem;
use super::tree::Node;
use super::validate::join;
use super::{Config, Route};
use crate::types::ids::FilterId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use vanne_filters::SecurityHeaders;
use vanne_filters::security_headers::preset::Preset;

/// The name of the set that is for all that names none.
pub const DEFAULT: &str = "default";

/// The set of a route's answers: the name of a `[security_headers.NAME]`, or of a preset; or the
/// set itself, as a table.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum RouteSecurityHeaders {
    /// It is called so.
    Named(FilterId),
    /// It is the route's own.
    Own(Box<SecurityHeaders>),
}

impl Config {
    /// The security headers for answers to requests of `route`, or to those that have none.
    /// `None`: it names a set that there is not.
    #[must_use]
    pub fn security_headers_of(&self, route: Option<&Route>) -> Option<Cow<'_, SecurityHeaders>> {
        let named = |name: &str| {
            let set = self.security_headers.iter().find(|(id, _)| id.as_str() == name);
            set.map(|(_, set)| Cow::Borrowed(set))
        };
        match route.and_then(|route| route.security_headers.as_ref()) {
            Some(RouteSecurityHeaders::Own(set)) => Some(Cow::Owned((**set).clone())),
            Some(RouteSecurityHeaders::Named(name)) => named(name.as_str())
                .or_else(|| Some(Cow::Owned(SecurityHeaders::of(Preset::by_name(name.as_str())?)))),
            None => Some(named(DEFAULT).unwrap_or_default()),
        }
    }
}

/// Adds what is wrong with names of sets: those that presets have, and those that nothing has.
pub(super) fn check(root: &Node, problems: &mut Vec<Problem>) {
    let sets = root.get("security_headers").map(Node::entries).unwrap_or_default();
    for set in sets.iter().filter(|set| Preset::by_name(&set.key).is_some()) {
        let message = format!("`{}` is the name of a preset", set.key);
        let accepted = format!("another name, and `preset = \"{}\"` in the table", set.key);
        problems.push(
            Problem::new(&join("security_headers", &set.key), set.key_span.clone(), message)
                .accepts(accepted),
        );
    }
    for set in sets {
        let key = join("security_headers", &set.key);
        check_removed(&set.node, &key, problems);
        check_heeded(&set.node, &key, problems);
    }
    let routes = root.get("route").map(Node::items).unwrap_or_default();
    for (index, route) in routes.iter().enumerate() {
        let Some(node) = route.get("security_headers") else { continue };
        check_removed(node, &format!("route[{index}].security_headers"), problems);
        check_heeded(node, &format!("route[{index}].security_headers"), problems);
        let Some(name) = node.text() else { continue };
        let presets = Preset::ALL.map(Preset::as_str);
        let known: Vec<&str> = sets
            .iter()
            .map(|set| set.key.as_str())
            .filter(|name| !presets.contains(name))
            .chain(presets)
            .collect();
        if name != DEFAULT && !known.contains(&name) {
            let key = format!("route[{index}].security_headers");
            let message = format!("no security_headers is called `{name}`");
            problems.push(
                Problem::new(&key, node.span.clone(), message)
                    .accepts(format!("one of {}", known.join(", ")))
                    .suggests(name, known),
            );
        }
    }
}

/// Warns of values that no browser heeds.
fn check_heeded(set: &Node, key: &str, problems: &mut Vec<Problem>) {
    let rows = [
        ("frame_options", "\"DENY\" or \"SAMEORIGIN\", or \"\" to leave it out"),
        (
            "strict_transport_security",
            "`max-age=` with seconds in it, like \"max-age=31536000\", or \"\" to leave it out",
        ),
    ];
    for (name, accepted) in rows {
        let Some(node) = set.get(name) else { continue };
        let text = node.text().unwrap_or_default();
        let is_heeded = match name {
            "frame_options" => ["deny", "sameorigin"].contains(&&*text.to_ascii_lowercase()),
            _ => has_max_age(text),
        };
        let key = join(key, name);
        // One problem of a value is enough.
        let is_told = problems.iter().any(|problem| problem.key == key);
        if !text.is_empty() && !is_heeded && !is_told {
            let message = "browsers pass over this value, as if the field were not there";
            let problem = Problem::new(&key, node.span.clone(), message);
            problems.push(problem.accepts(accepted).warning());
        }
    }
}

/// Whether `text` says for how long, once (RFC 6797 §6.1.1).
fn has_max_age(text: &str) -> bool {
    let directives = text.split(';').filter_map(|one| one.split_once('='));
    let mut ages = directives.filter(|(name, _)| name.trim().eq_ignore_ascii_case("max-age"));
    let (age, other) = (ages.next(), ages.next());
    let seconds = age.map(|(_, age)| age.trim().trim_matches('"'));
    let is_number = |age: &str| !age.is_empty() && age.bytes().all(|byte| byte.is_ascii_digit());
    other.is_none() && seconds.is_some_and(is_number)
}

/// What frames an answer cannot be removed.
fn check_removed(set: &Node, key: &str, problems: &mut Vec<Problem>) {
    let removed = set.get("remove").map(Node::items).unwrap_or_default();
    for node in removed {
        let Some(name) = node.text() else { continue };
        let table = join(key, "remove");
        check_edits::check_field(Field { name, table: &table, span: &node.span }, &[], problems);
    }
}
