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
        check_removed(&set.node, &join("security_headers", &set.key), problems);
    }
    let routes = root.get("route").map(Node::items).unwrap_or_default();
    for (index, route) in routes.iter().enumerate() {
        let Some(node) = route.get("security_headers") else { continue };
        check_removed(node, &format!("route[{index}].security_headers"), problems);
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

/// What frames an answer cannot be removed.
fn check_removed(set: &Node, key: &str, problems: &mut Vec<Problem>) {
    let removed = set.get("remove").map(Node::items).unwrap_or_default();
    for node in removed {
        let Some(name) = node.text() else { continue };
        let table = join(key, "remove");
        check_edits::check_field(Field { name, table: &table, span: &node.span }, &[], problems);
    }
}
