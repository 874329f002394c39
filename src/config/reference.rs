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
struct Section<'a> {
    key: String,
    table: &'a Json,
    doc: String,
    leaves: Vec<Leaf>,
}

/// Where a key holds tables: in itself, under names, or in a list.
enum Tables<'a> {
    One(&'a Json),
    Named(&'a Json),
    Listed(&'a Json),
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

fn sections(schema: &Schema) -> Vec<Section<'_>> {
    let mut out = Vec::new();
    walk(schema, schema.root(), "", (&Json::Null, None), &mut out);
    out
}

/// Describes `table`, which is at `key` and has this default and, if its type does not say
/// all, this doc.
fn walk<'a>(
    schema: &'a Schema,
    table: &'a Json,
    key: &str,
    (default, doc): (&'a Json, Option<String>),
    out: &mut Vec<Section<'a>>,
) {
    let table_schema = table_of(schema, table).unwrap_or(table);
    let place = out.len();
    let doc = doc.unwrap_or_else(|| doc_of(schema, table));
    out.push(Section { key: key.to_owned(), table: table_schema, doc, leaves: Vec::new() });
    let properties = table_schema.get("properties").and_then(Json::as_object);
    for (name, property) in properties.into_iter().flatten() {
        let path = join(key, name);
        let inner = schema.resolve(property);
        let own_default = default
            .get(name)
            .or_else(|| property.get("default"))
            .or_else(|| inner.get("default"))
            .unwrap_or(&Json::Null);
        let tables = tables(schema, property);
        let alike = tables.as_ref().and_then(|tables| known(schema, tables, out));
        match (tables, &alike) {
            (Some(Tables::One(table)), None) => {
                walk(schema, table, &path, (own_default, None), out);
            }
            (Some(Tables::Named(table)), None) => {
                let is_text_too = schema.choices(table).len() > 1;
                let doc = || format!("{}\n\n{}", doc_of(schema, property), doc_of(schema, table));
                let doc = is_text_too.then(doc);
                walk(schema, table, &join(&path, "NAME"), (&Json::Null, doc), out);
            }
            (Some(Tables::Listed(table)), None) => {
                walk(schema, table, &path, (&Json::Null, None), out);
            }
            _ => {
                let mut leaf =
                    leaf(schema, property, path, own_default, is_required(table_schema, name));
                leaf.accepted = alike.unwrap_or(leaf.accepted);
                if let Some(section) = out.get_mut(place) {
                    section.leaves.push(leaf);
                }
            }
        }
    }
}

/// The tables that `property` holds, if any.
fn tables<'a>(schema: &'a Schema, property: &'a Json) -> Option<Tables<'a>> {
    let inner = schema.resolve(property);
    if inner.get("properties").is_some() {
        return Some(Tables::One(property));
    }
    let named = inner.get("additionalProperties").filter(|any| table_of(schema, any).is_some());
    let listed = || inner.get("items").filter(|items| table_of(schema, items).is_some());
    named.map(Tables::Named).or_else(|| listed().map(Tables::Listed))
}

/// What is accepted in words, if these tables were described before: a table may hold others
/// like itself, and the same page twice would be no better.
fn known(schema: &Schema, tables: &Tables<'_>, out: &[Section<'_>]) -> Option<String> {
    let (table, form) = match tables {
        Tables::One(table) => (table, "a table like"),
        Tables::Named(table) => (table, "a table; each of its values like"),
        Tables::Listed(table) => (table, "a list; each item is a table like"),
    };
    let table = table_of(schema, table)?;
    let section = out.iter().find(|section| std::ptr::eq(section.table, table))?;
    Some(format!("{form} `{}`", section.key))
}

/// The table among what `schema` says a value may be.
fn table_of<'a>(schema: &'a Schema, of: &'a Json) -> Option<&'a Json> {
    schema.choices(of).into_iter().find(|one| one.get("properties").is_some())
}

fn leaf(schema: &Schema, property: &Json, key: String, default: &Json, required: bool) -> Leaf {
    let inner = schema.resolve(property);
    let accepted = match inner.get("items").map(|items| schema.resolve(items)) {
        Some(items) => format!("a list, each item {}", accepted(items)),
        None => match inner.get("additionalProperties").filter(|any| any.is_object()) {
            Some(any) => format!("a table, each value {}", accepted(schema.resolve(any))),
            None => schema.accepted(&schema.choices(property)),
        },
    };
    Leaf {
        key,
        accepted,
        default: if default.is_null() { None } else { Some(default.to_string()) },
        is_required: required,
        doc: doc_of(schema, property),
    }
}

fn is_required(table: &Json, name: &str) -> bool {
    table
        .get("required")
        .and_then(Json::as_array)
        .is_some_and(|required| required.iter().any(|key| key == name))
}

/// What `of` says of itself, or else what it refers to says, or what that may be.
fn doc_of(schema: &Schema, of: &Json) -> String {
    let mut of = Some(of);
    while let Some(one) = of {
        if let Some(doc) = one.get("description").and_then(Json::as_str) {
            return doc.to_owned();
        }
        of = schema
            .target(one)
            .or_else(|| schema.choices(one).first().copied().filter(|c| !std::ptr::eq(*c, one)));
    }
    String::new()
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
