//! Marked TOML: a config as text, with a mark after each key that says where its value is from.

use serde_json::{Map, Value as Json};

/// `value` as TOML. `mark` says what stands after the key at a path, if anything; a part of a
/// path is a key, or the place in a list of tables.
pub(super) fn write(value: &Json, mark: &dyn Fn(&[&str]) -> Option<String>) -> String {
    let mut writer = Writer { out: String::new(), mark };
    if let Json::Object(table) = value {
        writer.table(&[], table);
    }
    writer.out
}

struct Writer<'a> {
    out: String,
    mark: &'a dyn Fn(&[&str]) -> Option<String>,
}

impl Writer<'_> {
    /// Values first: what follows the head of a table is part of that.
    fn table(&mut self, path: &[&str], table: &Map<String, Json>) {
        for (key, value) in table.iter().filter(|(_, value)| !holds_tables(value)) {
            self.value(path, key, value);
        }
        for (key, value) in table.iter().filter(|(_, value)| holds_tables(value)) {
            let path = [path, &[key.as_str()]].concat();
            match value {
                Json::Object(table) => self.named(&path, table),
                Json::Array(tables) => self.listed(&path, tables),
                _ => {}
            }
        }
    }

    fn value(&mut self, path: &[&str], name: &str, value: &Json) {
        // What is nothing has no place in TOML.
        let Ok(text) = toml::Value::try_from(value) else { return };
        let mark = (self.mark)(&[path, &[name]].concat());
        let mark = mark.map(|mark| format!("  # {mark}")).unwrap_or_default();
        self.out.push_str(&format!("{} = {text}{mark}\n", key(name)));
    }

    fn named(&mut self, path: &[&str], table: &Map<String, Json>) {
        // Tables that hold only tables are named by these.
        if table.is_empty() || table.values().any(|value| !holds_tables(value)) {
            self.out.push_str(&format!("\n[{}]\n", head(path)));
        }
        self.table(path, table);
    }

    fn listed(&mut self, path: &[&str], tables: &[Json]) {
        for (index, value) in tables.iter().enumerate() {
            let Json::Object(table) = value else { continue };
            self.out.push_str(&format!("\n[[{}]]\n", head(path)));
            let index = index.to_string();
            self.table(&[path, &[index.as_str()]].concat(), table);
        }
    }
}

fn holds_tables(value: &Json) -> bool {
    match value {
        Json::Object(_) => true,
        Json::Array(items) => !items.is_empty() && items.iter().all(Json::is_object),
        _ => false,
    }
}

/// The name of a table at `path`; places in lists are not part of it.
fn head(path: &[&str]) -> String {
    let is_key = |part: &&&str| part.parse::<usize>().is_err();
    path.iter().filter(is_key).map(|part| key(part)).collect::<Vec<_>>().join(".")
}

fn key(name: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    match !name.is_empty() && name.bytes().all(is_bare) {
        true => name.to_owned(),
        false => toml::Value::String(name.to_owned()).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_written_is_read_back_and_marked() {
        let value = json!({
            "profile": "staging",
            "empty": {},
            "log": { "level": "de\"bug" },
            "a": { "b.c": { "d": [1, 2], "nothing": [] } },
            "route": [
                { "name": "x", "match": { "header": { "x y": "z" } } },
                { "name": "y", "all": [{ "e": true }] },
            ],
        });
        let text = write(&value, &|path| (path == ["log", "level"]).then(|| "there".to_owned()));
        let read: Json = toml::from_str(&text).unwrap();
        assert_eq!(read, value, "{text}");
        assert!(text.contains("\nlevel = 'de\"bug'  # there\n"), "{text}");
        assert!(text.contains("\n[a.\"b.c\"]\n") && text.contains("\n[[route.all]]\n"), "{text}");
        assert_eq!(text.matches('#').count(), 1);
    }
}
