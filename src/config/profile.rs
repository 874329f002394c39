//! `profile`: what keys are by default where a process runs.
//!
//! A profile says values for keys that the file leaves out, before anything is checked; a key
//! that stands in the file is never changed. What is not in [`Profile::settings`] is the same in
//! all profiles: so what was tried in staging is what runs in production.

use super::tree::{Entry, Node, Value};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use std::ops::Range;

/// Where a process runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Before users.
    #[default]
    Production,
    /// As production, for trying things out: tells more, refuses nobody for what rules of
    /// firewalls say, and leaves nothing in browsers.
    Staging,
    /// On one's own machine: waits for who stands at a breakpoint, and ends at once.
    Development,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Production, Self::Staging, Self::Development];

    /// The name in the config.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Staging => "staging",
            Self::Development => "development",
        }
    }

    /// What keys are that the file leaves out: each key with its value; `*` stands for every name
    /// that is there. All else is at its default.
    #[must_use]
    pub fn settings(self) -> Vec<(&'static str, Json)> {
        match self {
            Self::Production => vec![("security_headers.default", json!({ "preset": "basic" }))],
            Self::Staging => vec![
                ("log.level", json!("debug")),
                // Browsers would remember it for the host.
                (
                    "security_headers.default",
                    json!({ "preset": "basic", "strict_transport_security": "" }),
                ),
            ],
            Self::Development => vec![
                ("listener.*.explain_to", json!(["127.0.0.0/8", "::1/128"])),
                ("log.level", json!("debug")),
                ("pool.*.timeouts.between_bytes", json!("10m")),
                ("pool.*.timeouts.first_byte", json!("10m")),
                ("process.drain_deadline", json!("2s")),
                ("process.drain_delay", json!("10ms")),
                ("security_headers.default", json!({ "preset": "off" })),
            ],
        }
    }

    /// The same that only counts where the file says its profile: firewalls, and how paths are
    /// read. Who has not said where the process runs is not refused anything by rules that the
    /// file does not name, and backends get the paths that came.
    #[must_use]
    pub fn settings_if_said(self) -> Vec<(&'static str, Json)> {
        let dots = ("listener.*.paths.dot_segments", json!("normalise"));
        let slashes = ("listener.*.paths.repeated_slashes", json!("merge"));
        let own_rules = ("waf.default", json!({ "own_rules": true }));
        let watching = ("waf.*.mode", json!("detect"));
        let log = ("waf_log.to", json!("stdout"));
        match self {
            Self::Production => vec![dots, slashes, own_rules],
            Self::Staging => vec![dots, slashes, own_rules, watching, log],
            Self::Development => {
                let refused = ("waf.*.log", json!("refused"));
                vec![dots, slashes, own_rules, refused, watching, log]
            }
        }
    }

    /// Whether it says the value of the key at `path`, or of a table that this is in.
    #[must_use]
    pub fn says(self, path: &[&str]) -> bool {
        let is_of = |key: &str| {
            let parts: Vec<&str> = key.split('.').collect();
            parts.len() <= path.len()
                && parts.iter().zip(path).all(|(part, own)| *part == "*" || part == own)
        };
        self.settings().iter().chain(&self.settings_if_said()).any(|(key, _)| is_of(key))
    }
}

/// Adds to `root` what its profile says of keys that are not there.
pub(super) fn fill(root: &mut Node) {
    let node = root.get("profile");
    let place = node.map_or(0..0, |node| node.span.clone());
    let word = node.and_then(Node::text).unwrap_or_default();
    // Another word is a problem that was told already.
    let profile = Profile::ALL.into_iter().find(|one| one.as_str() == word).unwrap_or_default();
    let if_said = node.map(|_| profile.settings_if_said());
    for (key, value) in profile.settings().into_iter().chain(if_said.into_iter().flatten()) {
        let path: Vec<&str> = key.split('.').collect();
        insert(root, &path, &value, &place);
    }
}

fn insert(node: &mut Node, path: &[&str], value: &Json, place: &Range<usize>) {
    let ([key, rest @ ..], Value::Table(entries)) = (path, &mut node.value) else { return };
    if *key == "*" {
        return entries.iter_mut().for_each(|entry| insert(&mut entry.node, rest, value, place));
    }
    match entries.iter_mut().find(|entry| entry.key == *key) {
        Some(entry) => insert(&mut entry.node, rest, value, place),
        // Of no name there is nothing to say.
        None if rest.first() == Some(&"*") => {}
        None => {
            let mut node = match rest {
                [] => node_of(value, place),
                _ => node_of(&json!({}), place),
            };
            insert(&mut node, rest, value, place);
            entries.push(Entry { key: (*key).to_owned(), key_span: place.clone(), node });
        }
    }
}

/// `value` as if it stood at `place`.
fn node_of(value: &Json, place: &Range<usize>) -> Node {
    let value = match value {
        Json::Null => Value::Null,
        Json::Bool(is) => Value::Bool(*is),
        Json::Number(number) => Value::Int(number.as_i64().unwrap_or_default()),
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(items) => Value::List(items.iter().map(|item| node_of(item, place)).collect()),
        Json::Object(table) => {
            let entry = |(key, value): (&String, &Json)| Entry {
                key: key.clone(),
                key_span: place.clone(),
                node: node_of(value, place),
            };
            Value::Table(table.iter().map(entry).collect())
        }
    };
    Node { span: place.clone(), value, is_expanded: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tree::{self, Format};

    fn filled(text: &str) -> Json {
        let mut root = tree::parse(text, Format::Toml).unwrap();
        fill(&mut root);
        root.to_json()
    }

    #[test]
    fn what_the_file_leaves_out_is_as_the_profile_says() {
        let file = "profile = \"development\"\n[log]\nlevel = \"warn\"\n[pool.a]\n[pool.b.timeouts]\nfirst_byte = \"1s\"\n";
        let config = filled(file);
        assert_eq!(config["log"]["level"], "warn");
        assert_eq!(config["pool"]["a"]["timeouts"]["first_byte"], "10m");
        assert_eq!(config["pool"]["b"]["timeouts"]["first_byte"], "1s");
        assert_eq!(config["pool"]["b"]["timeouts"]["between_bytes"], "10m");
        assert_eq!(config["security_headers"]["default"], json!({ "preset": "off" }));
        // Without names there is nothing to be said of them.
        assert_eq!(config.get("listener"), None);
    }

    #[test]
    fn a_table_that_a_profile_says_as_a_whole_is_the_files_if_it_is_there() {
        let file = "profile = \"staging\"\n[security_headers.default]\npreset = \"strict\"\n";
        let default = &filled(file)["security_headers"]["default"];
        assert_eq!(*default, json!({ "preset": "strict" }));
        for (file, preset) in [("", "basic"), ("profile = \"nonsense\"", "basic")] {
            assert_eq!(filled(file)["security_headers"]["default"]["preset"], preset);
        }
    }

    #[test]
    fn firewalls_are_as_a_profile_says_that_stands_in_the_file() {
        assert_eq!(filled("").get("waf"), None);
        let of = |profile: &str, file: &str| {
            let mut config = filled(&format!("profile = \"{profile}\"\n{file}"));
            (config["waf"].take(), config["waf_log"].take())
        };
        let production = json!({ "default": { "own_rules": true } });
        assert_eq!(of("production", ""), (production, Json::Null));
        let stdout = json!({ "to": "stdout" });
        let staging = json!({ "default": { "own_rules": true, "mode": "detect" } });
        assert_eq!(of("staging", ""), (staging, stdout.clone()));
        let file = "[waf.default]\nrules = []\n[waf.a]\nmode = \"block\"\n";
        let development = json!({
            "a": { "log": "refused", "mode": "block" },
            "default": { "log": "refused", "mode": "detect", "rules": [] },
        });
        assert_eq!(of("development", file), (development, stdout));
    }

    #[test]
    fn paths_are_read_as_backends_do_where_the_file_says_its_profile() {
        let listeners = "[listener.a]\n[listener.b]\npaths = { dot_segments = \"pass\" }\n";
        assert_eq!(filled(listeners)["listener"]["a"], json!({}));
        for profile in ["production", "staging", "development"] {
            let config = filled(&format!("profile = \"{profile}\"\n{listeners}"));
            let paths = |name: &str| config["listener"][name]["paths"].clone();
            let safe = json!({ "dot_segments": "normalise", "repeated_slashes": "merge" });
            assert_eq!(paths("a"), safe, "{profile}");
            assert_eq!(
                paths("b"),
                json!({ "dot_segments": "pass", "repeated_slashes": "merge" }),
                "{profile}"
            );
        }
    }

    #[test]
    fn a_profile_knows_what_it_says() {
        for (path, says) in [
            (&["log", "level"][..], true),
            (&["listener", "http", "explain_to"], true),
            (&["security_headers", "default", "preset"], true),
            (&["security_headers", "site", "preset"], false),
            (&["log"], false),
        ] {
            assert_eq!(Profile::Development.says(path), says, "{path:?}");
        }
        assert!(!Profile::Production.says(&["log", "level"]));
    }
}
