//! Reference: the page about every key, made from the config types' docs.
//!
//! Walks the schema, whose keys are in alphabetical order. A test writes the page and fails if it was
//! stale, so it cannot say anything the types do not.

use super::validate::{Schema, accepted, join};
use serde_json::Value as Json;

/// One key that holds a value, not a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Its path; `NAME` stands for a name that the operator gives.
    pub key: String,
    /// What is accepted.
    pub accepted: String,
    /// The default, as JSON; `None` if there is none.
    pub default: Option<String>,
    /// Whether it has to be given.
    pub is_required: bool,
    /// What it does.
    pub doc: String,
}

/// A table: its path, what it is for, and the keys in it.
struct Section {
    key: String,
    doc: String,
    leaves: Vec<Leaf>,
}

/// Every key of the config that holds a value.
#[must_use]
pub fn leaves(schema: &Schema) -> Vec<Leaf> {
    sections(schema).into_iter().flat_map(|section| section.leaves).collect()
}

/// The page, in Markdown.
#[must_use]
pub fn page(schema: &Schema) -> String {
    let mut out = String::from(
        "# Configuration reference\n\n\
         <!-- Generated from the config types (src/config/) by `cargo test --test generated`. -->\n\n\
         A config is TOML, or the same keys as YAML or JSON, by the file's extension. Lengths of\n\
         time are strings with a unit: `ms`, `s`, `m`, `h`, `d`. In any string `${NAME}` is filled\n\
         in from the environment, `${NAME:-default}` with a default; `$${` stands for a plain `${`.\n\
         `NAME` in a key stands for a name of your own: 1 to 63 of `a-z 0-9 _ -`.\n\
         `vanne check FILE` finds all mistakes at once.\n",
    );
    for section in sections(schema) {
        if section.leaves.is_empty() {
            continue;
        }
        out.push_str(&format!("\n## `{}`\n\n{}\n", section.key, section.doc));
        for leaf in section.leaves {
            let name = leaf.key.rsplit('.').next().unwrap_or_default();
            out.push_str(&format!("\n### `{name}`\n\n{}\n\n", leaf.doc));
            out.push_str(&format!("- Accepts {}.\n", leaf.accepted));
            out.push_str(&match (leaf.is_required, leaf.default) {
                (true, _) => "- Required.\n".to_owned(),
                (false, Some(default)) => format!("- Default: `{default}`\n"),
                (false, None) => "- Optional.\n".to_owned(),
            });
        }
    }
    out
}

fn sections(schema: &Schema) -> Vec<Section> {
    let mut out = Vec::new();
    walk(schema, schema.root(), "", &Json::Null, &mut out);
    out
}

fn walk(schema: &Schema, table: &Json, key: &str, default: &Json, out: &mut Vec<Section>) {
    let table_schema = schema.resolve(table);
    let place = out.len();
    let doc = doc_of(table, table_schema);
    out.push(Section { key: key.to_owned(), doc, leaves: Vec::new() });
    let properties = table_schema.get("properties").and_then(Json::as_object);
    for (name, property) in properties.into_iter().flatten() {
        let path = join(key, name);
        let inner = schema.resolve(property);
        let own_default = default
            .get(name)
            .or_else(|| property.get("default"))
            .or_else(|| inner.get("default"))
            .unwrap_or(&Json::Null);
        if inner.get("properties").is_some() {
            walk(schema, property, &path, own_default, out);
        } else if let Some(of_any) = inner.get("additionalProperties").filter(|a| a.is_object()) {
            walk(schema, of_any, &join(&path, "NAME"), &Json::Null, out);
        } else if let Some(item) = list_of_tables(schema, inner) {
            walk(schema, item, &path, &Json::Null, out);
        } else {
            let leaf = leaf(schema, property, path, own_default, is_required(table_schema, name));
            if let Some(section) = out.get_mut(place) {
                section.leaves.push(leaf);
            }
        }
    }
}

fn leaf(schema: &Schema, property: &Json, key: String, default: &Json, required: bool) -> Leaf {
    let inner = schema.resolve(property);
    let accepted = match inner.get("items").map(|items| schema.resolve(items)) {
        Some(items) => format!("a list, each item {}", accepted(items)),
        None => accepted(inner),
    };
    Leaf {
        key,
        accepted,
        default: if default.is_null() { None } else { Some(default.to_string()) },
        is_required: required,
        doc: doc_of(property, inner),
    }
}

fn list_of_tables<'a>(schema: &'a Schema, inner: &'a Json) -> Option<&'a Json> {
    let items = inner.get("items")?;
    schema.resolve(items).get("properties").is_some().then_some(items)
}

fn is_required(table: &Json, name: &str) -> bool {
    table
        .get("required")
        .and_then(Json::as_array)
        .is_some_and(|required| required.iter().any(|key| key == name))
}

fn doc_of(outer: &Json, inner: &Json) -> String {
    let text = |schema: &Json| schema.get("description").and_then(Json::as_str).map(str::to_owned);
    text(outer).or_else(|| text(inner)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leaf_is_documented() {
        let leaves = leaves(&Schema::of_config());
        assert!(leaves.len() > 30, "{}", leaves.len());
        for leaf in leaves {
            assert!(leaf.doc.len() > 10, "{} has no text", leaf.key);
        }
    }

    #[test]
    fn a_leaf_has_its_default_and_what_is_accepted() {
        let leaves = leaves(&Schema::of_config());
        let leaf = leaves.iter().find(|l| l.key == "listener.NAME.timeouts.head").unwrap();
        assert_eq!(leaf.default.as_deref(), Some("\"10s\""));
        assert!(leaf.accepted.contains("unit"));
    }
}
