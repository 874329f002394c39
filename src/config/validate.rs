//! Validate: a tree against the JSON Schema of the config types.
//!
//! The schema is made from the types themselves, so there is one place that says which
//! keys there are. Every mismatch is collected, with what would be accepted.

use super::diagnostics::Problem;
use super::formats;
use super::tree::{Entry, Node, Value};
use serde_json::{Map, Value as Json};

/// A JSON Schema, with its definitions.
pub struct Schema {
    root: Json,
}

impl Schema {
    /// The schema of the config.
    #[must_use]
    pub fn of_config() -> Self {
        Self { root: schemars::schema_for!(super::Config).to_value() }
    }

    /// The whole schema.
    #[must_use]
    pub fn root(&self) -> &Json {
        &self.root
    }

    /// `schema` without indirection: the target of its `$ref`, and of `Option` the inner.
    #[must_use]
    pub fn resolve<'a>(&'a self, schema: &'a Json) -> &'a Json {
        self.choices(schema).first().copied().unwrap_or(schema)
    }

    /// Checks `node` against the whole schema; numbers and booleans that came as text from a
    /// variable become what they are.
    pub fn check(&self, node: &mut Node, problems: &mut Vec<Problem>) {
        self.check_node(node, "", &self.root, problems);
    }

    /// The schemas that a value may be of: more than one where it may be a text or a table.
    #[must_use]
    pub fn choices<'a>(&'a self, schema: &'a Json) -> Vec<&'a Json> {
        let is_some = |one: &&Json| one.get("type") != Some(&Json::from("null"));
        match schema.get("anyOf").and_then(Json::as_array) {
            Some(any) => any.iter().filter(is_some).flat_map(|one| self.choices(one)).collect(),
            None => match self.target(schema) {
                Some(target) => self.choices(target),
                None => vec![schema],
            },
        }
    }

    /// What `schema` refers to, if it is a reference.
    #[must_use]
    pub fn target(&self, schema: &Json) -> Option<&Json> {
        let path = schema.get("$ref")?.as_str()?;
        self.root.pointer(path.strip_prefix('#')?)
    }

    fn check_node(&self, node: &mut Node, key: &str, schema: &Json, problems: &mut Vec<Problem>) {
        let choices = self.choices(schema);
        let is_table = matches!(node.value, Value::Table(_));
        let fits = |one: &&&Json| Wanted::of(one).is_of(&node.value);
        let is_near = |one: &&&Json| (Wanted::of(one) == Wanted::Table) == is_table;
        let fitting = choices.iter().find(fits).or_else(|| choices.iter().find(is_near));
        let Some(schema) = fitting.or(choices.first()).copied() else { return };
        let wanted = Wanted::of(schema);
        wanted.convert(node);
        match (&mut node.value, wanted) {
            (Value::Table(_), Wanted::Table) => self.check_table(node, key, schema, problems),
            (Value::List(items), Wanted::List) => {
                if items.is_empty() && schema.get("minItems").is_some() {
                    problems.push(
                        Problem::new(key, node.span.clone(), "an empty list takes nothing")
                            .accepts("at least one item, or leave the key out"),
                    );
                }
                let of_item = schema.get("items").unwrap_or(&Json::Null);
                for (index, item) in items.iter_mut().enumerate() {
                    self.check_node(item, &format!("{key}[{index}]"), of_item, problems);
                }
            }
            (Value::Text(_), Wanted::Text) => check_text(node, key, schema, problems),
            (Value::Int(_), Wanted::Integer) => check_range(node, key, schema, problems),
            (Value::Bool(_), Wanted::Boolean) | (Value::Unknown, _) => {}
            _ => problems.push(
                Problem::new(key, node.span.clone(), format!("{} does not fit here", node.kind()))
                    .accepts(self.accepted(&choices)),
            ),
        }
    }

    /// What one of `choices` accepts, in words.
    #[must_use]
    pub fn accepted(&self, choices: &[&Json]) -> String {
        choices.iter().map(|one| accepted(one)).collect::<Vec<_>>().join(", or ")
    }

    fn check_table(&self, node: &mut Node, key: &str, schema: &Json, problems: &mut Vec<Problem>) {
        let empty = Map::new();
        let properties = schema.get("properties").and_then(Json::as_object).unwrap_or(&empty);
        let of_any = schema.get("additionalProperties").filter(|any| any.is_object());
        let span = node.span.clone();
        let Value::Table(entries) = &mut node.value else { return };
        for required in schema.get("required").and_then(Json::as_array).into_iter().flatten() {
            let name = required.as_str().unwrap_or_default();
            if !entries.iter().any(|entry| entry.key == name) {
                let of_key = properties.get(name).map_or(&Json::Null, |s| self.resolve(s));
                problems.push(
                    Problem::new(&join(key, name), span.clone(), format!("`{name}` is missing"))
                        .accepts(accepted(of_key)),
                );
            }
        }
        if schema.get("maxProperties") == Some(&Json::from(1)) && entries.len() != 1 {
            problems.push(
                Problem::new(key, span, "this table has exactly one key").accepts(accepted(schema)),
            );
        }
        let names = schema.get("propertyNames").and_then(|names| names.get("format")?.as_str());
        for entry in entries {
            let path = join(key, &entry.key);
            match (properties.get(&entry.key), of_any) {
                (Some(of_key), _) => self.check_node(&mut entry.node, &path, of_key, problems),
                (None, Some(of_any)) => {
                    check_name(entry, &path, names.unwrap_or("name"), problems);
                    self.check_node(&mut entry.node, &path, of_any, problems);
                }
                (None, None) => problems.push(unknown(entry, &path, properties)),
            }
        }
    }
}

/// What kind of value a schema wants.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Table,
    List,
    Text,
    Integer,
    Boolean,
    Unknown,
}

impl Wanted {
    fn of(schema: &Json) -> Self {
        let kind = match schema.get("type") {
            Some(Json::Array(kinds)) => kinds.iter().find(|k| *k != "null"),
            other => other,
        };
        match kind.and_then(Json::as_str) {
            Some("object") => Self::Table,
            Some("array") => Self::List,
            Some("string") => Self::Text,
            Some("integer") => Self::Integer,
            Some("boolean") => Self::Boolean,
            // An enum of words with descriptions.
            _ if schema.get("oneOf").is_some() || schema.get("enum").is_some() => Self::Text,
            _ => Self::Unknown,
        }
    }

    /// Whether `value` is of this kind.
    fn is_of(self, value: &Value) -> bool {
        matches!(
            (value, self),
            (Value::Table(_), Self::Table)
                | (Value::List(_), Self::List)
                | (Value::Text(_), Self::Text)
                | (Value::Int(_), Self::Integer)
                | (Value::Bool(_), Self::Boolean)
        )
    }

    /// A variable's text where a number or a boolean is wanted becomes one.
    fn convert(self, node: &mut Node) {
        let Value::Text(text) = &node.value else { return };
        let converted = match self {
            Self::Integer => text.parse().ok().map(Value::Int),
            Self::Boolean => text.parse().ok().map(Value::Bool),
            _ => None,
        };
        // Only text that was written as a variable: a quoted number stays an error.
        if let (Some(value), true) = (converted, node.is_expanded) {
            node.value = value;
        }
    }
}

fn unknown(entry: &Entry, path: &str, properties: &Map<String, Json>) -> Problem {
    let known: Vec<&str> = properties.keys().map(String::as_str).collect();
    Problem::new(path, entry.key_span.clone(), format!("unknown key `{}`", entry.key))
        .accepts(format!("one of {}", known.join(", ")))
        .suggests(&entry.key, known)
}

fn check_name(entry: &Entry, path: &str, format: &str, problems: &mut Vec<Problem>) {
    let Some(row) = formats::by_name(format) else { return };
    if let Some(wrong) = (row.check)(&entry.key) {
        let message = wrong.split(':').next().unwrap_or_default();
        problems.push(
            Problem::new(path, entry.key_span.clone(), format!("`{}` is {message}", entry.key))
                .accepts(row.accepted),
        );
    }
}

fn check_text(node: &Node, key: &str, schema: &Json, problems: &mut Vec<Problem>) {
    let Some(text) = node.text() else { return };
    let words = words(schema);
    if !words.is_empty() {
        if !words.contains(&text) {
            problems.push(
                Problem::new(key, node.span.clone(), format!("`{text}` is not known here"))
                    .accepts(accepted(schema))
                    .suggests(text, words),
            );
        }
        return;
    }
    let row = schema.get("format").and_then(Json::as_str).and_then(formats::by_name);
    if let Some((row, wrong)) = row.and_then(|row| Some((row, (row.check)(text)?))) {
        let message = wrong.split(": expected").next().unwrap_or_default().to_owned();
        problems.push(Problem::new(key, node.span.clone(), message).accepts(row.accepted));
    }
}

fn check_range(node: &Node, key: &str, schema: &Json, problems: &mut Vec<Problem>) {
    let Value::Int(number) = node.value else { return };
    let bound = |name: &str| schema.get(name).and_then(Json::as_i64);
    let is_below = bound("minimum").is_some_and(|minimum| number < minimum);
    let is_above = bound("maximum").is_some_and(|maximum| number > maximum);
    let numbers = schema.get("enum").and_then(Json::as_array);
    let is_other = numbers.is_some_and(|numbers| !numbers.contains(&number.into()));
    if is_below || is_above || is_other {
        let message = format!("{number} is out of range");
        problems.push(Problem::new(key, node.span.clone(), message).accepts(accepted(schema)));
    }
}

/// The words an enum allows; empty if `schema` is none.
#[must_use]
pub fn words(schema: &Json) -> Vec<&str> {
    let plain = schema.get("enum").and_then(Json::as_array).into_iter().flatten();
    let described = schema
        .get("oneOf")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .filter_map(|one| one.get("const"));
    plain.chain(described).filter_map(Json::as_str).collect()
}

/// What `schema` accepts, in words: completes "expected …".
#[must_use]
pub fn accepted(schema: &Json) -> String {
    let words = words(schema);
    if !words.is_empty() {
        let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
        return format!("one of {}", quoted.join(", "));
    }
    let bound = |name: &str| schema.get(name).and_then(Json::as_i64);
    match Wanted::of(schema) {
        Wanted::Table => match schema.get("properties").and_then(Json::as_object) {
            Some(keys) if schema.get("maxProperties") == Some(&Json::from(1)) => {
                let keys: Vec<&str> = keys.keys().map(String::as_str).collect();
                format!("a table with one of the keys {}", keys.join(", "))
            }
            _ => "a table".into(),
        },
        Wanted::List => "a list".into(),
        Wanted::Boolean => "true or false".into(),
        Wanted::Integer if schema.get("enum").is_some() => {
            let numbers = schema.get("enum").and_then(Json::as_array).into_iter().flatten();
            let numbers: Vec<String> = numbers.map(Json::to_string).collect();
            format!("one of {}", numbers.join(", "))
        }
        Wanted::Integer => match (bound("minimum"), bound("maximum")) {
            (Some(min), Some(max)) => format!("a whole number from {min} to {max}"),
            _ => "a whole number".into(),
        },
        Wanted::Text | Wanted::Unknown => schema
            .get("format")
            .and_then(Json::as_str)
            .and_then(formats::by_name)
            .map_or_else(|| "a string".into(), |row| row.accepted.into()),
    }
}

/// The path of `key` inside `table`.
#[must_use]
pub fn join(table: &str, key: &str) -> String {
    if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") }
}
