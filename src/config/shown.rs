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
    Ok(all)
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
