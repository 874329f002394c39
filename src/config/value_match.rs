//! What a value of a header, a parameter or a cookie must be: a text, or a rule about it.

use crate::types::pattern::Pattern;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// A value is given as a text, which it must be exactly (`"blue"`), or as a table with one
/// key, like `{ prefix = "blue-" }`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ValueMatch {
    /// Exactly this.
    Exact(#[schemars(extend("format" = "header-value"))] String),
    /// What the rule says.
    Rule(ValueRule),
}

/// A rule about a value: one key.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(transform = one_key)]
pub enum ValueRule {
    /// It contains this.
    Contains(#[schemars(extend("format" = "header-value"))] String),
    /// It begins with this.
    Prefix(#[schemars(extend("format" = "header-value"))] String),
    /// `true`: there is one, whatever it is. `false`: there is none.
    Present(bool),
    /// All of it fits this regular expression.
    Regex(Pattern),
    /// It ends with this.
    Suffix(#[schemars(extend("format" = "header-value"))] String),
}

/// Writes the schema of an enum, whose variants are tables of one key, as one table of which
/// one key must be given: so it is checked and described as all other tables are.
fn one_key(schema: &mut Schema) {
    let Some(Json::Array(variants)) = schema.remove("oneOf") else { return };
    let mut properties = Map::new();
    for variant in variants {
        let Json::Object(mut variant) = variant else { continue };
        let doc = variant.remove("description");
        let Some(Json::Object(keys)) = variant.remove("properties") else { continue };
        for (key, mut value) in keys {
            if let (Json::Object(value), Some(doc)) = (&mut value, doc.clone()) {
                value.insert("description".into(), doc);
            }
            properties.insert(key, value);
        }
    }
    schema.insert("type".into(), "object".into());
    schema.insert("properties".into(), properties.into());
    schema.insert("additionalProperties".into(), false.into());
    schema.insert("minProperties".into(), 1.into());
    schema.insert("maxProperties".into(), 1.into());
}
