//! Shown: the config as operators get to see it: paths resolved, secrets as ***.

use super::Config;
use serde_json::Value as Json;

/// `config`, as far as the file says something: `written` is what it says. Without `written`
/// all of it, defaults too.
///
/// # Errors
/// When a value is none that JSON knows, which no config has.
pub fn shown(config: &Config, written: Option<&Json>) -> serde_json::Result<Json> {
    let mut all = serde_json::to_value(config)?;
    if let Some(written) = written {
        keep_written(&mut all, written);
    }
    hide(&mut all);
    Ok(all)
}

/// Parts of the names of fields whose values are secrets.
const SECRET_NAMES: &[&str] = &["auth", "cookie", "key", "password", "secret", "session", "token"];
/// Keys of the config whose value is a table of fields.
const FIELD_TABLES: &[&str] = &["add", "cookie", "header", "headers", "query", "set"];

/// Shows values of fields as *** that are secrets, as far as their names tell: what a route sets
/// (`authorization`), and what it asks for.
pub fn hide(value: &mut Json) {
    match value {
        Json::Object(map) => {
            for (key, value) in map {
                let is_fields = FIELD_TABLES.contains(&key.as_str());
                match value {
                    Json::Object(fields) if is_fields => fields.iter_mut().for_each(hide_field),
                    _ => {}
                }
                hide(value);
            }
        }
        Json::Array(list) => list.iter_mut().for_each(hide),
        _ => {}
    }
}

/// Hides the value of the field called `name`, if that sounds like a secret: a text, or a rule
/// with one in it.
fn hide_field((name, value): (&String, &mut Json)) {
    let name = name.to_ascii_lowercase();
    if !SECRET_NAMES.iter().any(|part| name.contains(part)) {
        return;
    }
    let texts: Vec<&mut Json> = match value {
        Json::Object(rule) => rule.values_mut().collect(),
        text => vec![text],
    };
    for text in texts.into_iter().filter(|text| text.is_string()) {
        *text = "***".into();
    }
}

/// Drops from `all` what `written` does not have.
fn keep_written(all: &mut Json, written: &Json) {
    match (all, written) {
        (Json::Object(all), Json::Object(written)) => {
            all.retain(|key, _| {
                written.contains_key(key)
                    // A secret from a file stands under its own key.
                    || written.contains_key(&format!("{key}_file"))
            });
            for (key, value) in all {
                keep_written(value, written.get(key).unwrap_or(&Json::Null));
            }
        }
        (Json::Array(all), Json::Array(written)) => {
            for (value, written) in all.iter_mut().zip(written) {
                keep_written(value, written);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_sounds_like_a_secret_is_hidden_and_nothing_else() {
        let mut value = json!({ "route": [{
            "name": "key",
            "headers": { "request": { "set": { "authorization": "Bearer x", "x-a": "b" } } },
            "match": { "header": { "x-api-key": { "exact": "x" }, "x-token": { "present": true } } },
            "answer": { "headers": { "set-cookie": "a=b", "x-b": "c" } },
        }] });
        hide(&mut value);
        let route = &value["route"][0];
        assert_eq!(route["name"], "key");
        let set = &route["headers"]["request"]["set"];
        assert_eq!(set, &json!({ "authorization": "***", "x-a": "b" }));
        let header = &route["match"]["header"];
        assert_eq!(
            header,
            &json!({ "x-api-key": { "exact": "***" }, "x-token": { "present": true } })
        );
        assert_eq!(route["answer"]["headers"], json!({ "set-cookie": "***", "x-b": "c" }));
    }
}
