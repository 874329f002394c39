//! Tree: a config file as values that know where they stand.
//!
//! TOML, YAML and JSON become the same tree, so that every check is written once. It
//! holds no rules about keys or values.

use super::diagnostics::Problem;
use super::json;
use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// A value and where it stands, in bytes of the file.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where.
    pub span: Range<usize>,
    /// What.
    pub value: Value,
    /// Whether a variable was filled in.
    pub is_expanded: bool,
}

/// What a value is.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing was written.
    Null,
    /// A variable that could not be filled in; that is a problem already, so that nothing
    /// else is said about it.
    Unknown,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Keys and values, in the file's order.
    Table(Vec<Entry>),
}

/// A key with its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_span: Range<usize>,
    /// The value.
    pub node: Node,
}

/// The syntax of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// TOML
    Toml,
    /// YAML 1.2
    Yaml,
    /// JSON
    Json,
}

impl Node {
    fn new(span: Range<usize>, value: Value) -> Self {
        Self { span, value, is_expanded: false }
    }

    /// What kind of value it is, in words.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Unknown => "what could not be read",
            Value::Bool(_) => "a boolean",
            Value::Int(_) | Value::Float(_) => "a number",
            Value::Text(_) => "a string",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    /// The value of `key`, if this is a table that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// The keys and values, if this is a table.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        if let Value::Table(entries) = &self.value { entries } else { &[] }
    }

    /// The values, if this is a list.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        if let Value::List(items) = &self.value { items } else { &[] }
    }

    /// The text, if this is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    /// The same without places.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null | Value::Unknown => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Int(value) => (*value).into(),
            Value::Float(value) => (*value).into(),
            Value::Text(value) => value.as_str().into(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Table(entries) => {
                let pairs = entries.iter().map(|entry| (entry.key.clone(), entry.node.to_json()));
                serde_json::Value::Object(pairs.collect())
            }
        }
    }
}

/// Reads `text`. What is no valid syntax is a problem with its place.
///
/// # Errors
/// All syntax errors that the parser could tell apart.
pub fn parse(text: &str, format: Format) -> Result<Node, Vec<Problem>> {
    match format {
        Format::Toml => from_toml(text),
        Format::Yaml => from_yaml(text),
        Format::Json => from_json(text),
    }
}

fn from_toml(text: &str) -> Result<Node, Vec<Problem>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let problem = |error: &toml::de::Error| {
            let span = error.span().unwrap_or(0..0);
            Problem::new("", span, format!("not valid TOML: {}", error.message().trim()))
        };
        return Err(errors.iter().map(problem).collect());
    }
    let span = table.span();
    Ok(Node::new(span, Value::Table(toml_entries(table.into_inner()))))
}

fn toml_entries(table: DeTable<'_>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = table
        .into_iter()
        .map(|(key, value)| {
            let span = value.span();
            Entry {
                key_span: key.span(),
                key: key.into_inner().into_owned(),
                node: Node::new(span, toml_value(value.into_inner())),
            }
        })
        .collect();
    entries.sort_by_key(|entry| entry.key_span.start);
    entries
}

fn toml_value(value: DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Float(f64::INFINITY), Value::Int),
        DeValue::Float(number) => {
            number.as_str().parse().map_or(Value::Float(f64::NAN), Value::Float)
        }
        DeValue::Boolean(value) => Value::Bool(value),
        DeValue::Datetime(time) => Value::Text(time.to_string()),
        DeValue::Array(items) => Value::List(
            items
                .into_iter()
                .map(|item| Node::new(item.span(), toml_value(item.into_inner())))
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(toml_entries(table)),
    }
}

/// JSON is read by the YAML parser, which knows places.
fn from_json(text: &str) -> Result<Node, Vec<Problem>> {
    from_yaml(&json::to_yaml(text)?).map_err(|mut problems| {
        for problem in &mut problems {
            problem.message = problem.message.replacen("not valid YAML", "not valid JSON", 1);
        }
        problems
    })
}

fn from_yaml(text: &str) -> Result<Node, Vec<Problem>> {
    let mut reader = YamlReader { text, parser: Parser::new_from_str(text) };
    reader.document().map_err(|problem| vec![problem])
}

/// Deepest nesting that is read: a config has five levels.
const DEPTH_MAX: usize = 32;

struct YamlReader<'a> {
    text: &'a str,
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
}

impl<'a> YamlReader<'a> {
    fn document(&mut self) -> Result<Node, Problem> {
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
                Event::StreamEnd => {
                    return Ok(Node::new(0..0, Value::Table(Vec::new())));
                }
                event => {
                    let node = self.node(event, span, 0)?;
                    return self.end().map(|()| node);
                }
            }
        }
    }

    fn end(&mut self) -> Result<(), Problem> {
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(()),
                Event::DocumentStart(_) => {
                    return Err(self.problem(span, "a second document: expected only one"));
                }
                _ => {}
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Problem> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let at = offset_of(self.text, error.marker().line(), error.marker().col());
                Err(Problem::new("", at..at, format!("not valid YAML: {}", error.info())))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Problem> {
        if depth > DEPTH_MAX {
            return Err(self.problem(span, "nested too deeply"));
        }
        let place = self.range(span);
        let value = match event {
            Event::Scalar(text, style, ..) => scalar(&text, style),
            Event::SequenceStart(..) => Value::List(self.list(depth)?),
            Event::MappingStart(..) => Value::Table(self.table(depth)?),
            Event::Alias(_) => {
                return Err(self.problem(span, "aliases are not read: write the value out"));
            }
            _ => return Err(self.problem(span, "not a value")),
        };
        Ok(Node::new(place, value))
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, Problem> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(items);
            }
            items.push(self.node(event, span, depth + 1)?);
        }
    }

    fn table(&mut self, depth: usize) -> Result<Vec<Entry>, Problem> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Ok(entries),
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err(self.problem(span, "a key must be plain text")),
            };
            if entries.iter().any(|entry| entry.key == key) {
                return Err(self.problem(span, &format!("`{key}` is there twice")));
            }
            let key_span = self.range(span);
            let (event, span) = self.next()?;
            let node = self.node(event, span, depth + 1)?;
            entries.push(Entry { key, key_span, node });
        }
    }

    fn range(&self, span: Span) -> Range<usize> {
        let start = offset_of(self.text, span.start.line(), span.start.col());
        let end = offset_of(self.text, span.end.line(), span.end.col());
        start..end.max(start)
    }

    fn problem(&self, span: Span, message: &str) -> Problem {
        Problem::new("", self.range(span), message.to_owned())
    }
}

/// YAML 1.2 core schema: only plain scalars are anything but text.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::Text(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => text
            .parse()
            .map(Value::Int)
            .or_else(|_| parse_float(text).map(Value::Float).ok_or(()))
            .unwrap_or_else(|()| Value::Text(text.to_owned())),
    }
}

fn parse_float(text: &str) -> Option<f64> {
    let is_number = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    if is_number { text.parse().ok() } else { None }
}

/// Byte offset of a line (from 1) and a column in characters (from 0).
pub(super) fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let mut start = 0;
    for (index, content) in text.split_inclusive('\n').enumerate() {
        if index + 1 == line {
            let within = content.char_indices().nth(column).map_or(content.len(), |(at, _)| at);
            return start + within;
        }
        start += content.len();
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_json(text: &str, format: Format) -> serde_json::Value {
        parse(text, format).unwrap().to_json()
    }

    #[test]
    fn the_three_formats_give_one_tree() {
        let toml = "a = 1\n[b]\nc = [true, 'x']\nd = 1.5\n";
        let yaml = "a: 1\nb:\n  c: [true, \"x\"]\n  d: 1.5\n";
        let text = r#"{"a": 1, "b": {"c": [true, "x"], "d": 1.5}}"#;
        let want: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(as_json(toml, Format::Toml), want);
        assert_eq!(as_json(yaml, Format::Yaml), want);
        assert_eq!(as_json(text, Format::Json), want);
    }

    #[test]
    fn places_are_bytes_of_the_file() {
        let yaml = "ä: ö\nkey: value\n";
        let tree = parse(yaml, Format::Yaml).unwrap();
        let entry = &tree.entries()[1];
        assert_eq!(yaml.get(entry.key_span.clone()), Some("key"));
        assert_eq!(yaml.get(entry.node.span.clone()), Some("value"));
    }

    #[test]
    fn broken_syntax_has_a_place() {
        for (text, format) in [
            ("a = \n", Format::Toml),
            ("a: [1\nb: 2\n", Format::Yaml),
            ("{\"a\": 1,}", Format::Json),
            ("a: 1", Format::Json),
            ("a: 1\na: 2\n", Format::Yaml),
            ("a: &x 1\nb: *x\n", Format::Yaml),
        ] {
            let problems = parse(text, format).unwrap_err();
            assert!(problems[0].span.start <= text.len(), "{text}");
        }
    }

    #[test]
    fn nesting_has_a_limit() {
        assert!(parse(&"[".repeat(1000), Format::Yaml).is_err());
        assert!(parse(&format!("{}{}", "[".repeat(100), "]".repeat(100)), Format::Yaml).is_err());
    }
}
