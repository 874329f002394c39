//! Fuzz: any bytes as a config in each of its three syntaxes.
//!
//! None panics, what is wrong can be shown, and what is accepted is accepted again, and equal,
//! after it was written out. Secrets are not compared: they are written as `***`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;
use vanne::config::{self, Config, Environment, Format, Secret, Source};

/// No variable is set.
struct Nothing;

impl Environment for Nothing {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }
}

fn read(text: &str, format: Format) -> Option<Config> {
    let source = Source { name: "fuzz", text, format, folder: Path::new("/nowhere") };
    let (config, shown) = match config::parse(&source, &Nothing) {
        Ok(loaded) => (Some(loaded.config), loaded.warnings),
        Err(diagnostics) => (None, *diagnostics),
    };
    assert!(!shown.to_text(true).is_empty() || shown.problems.is_empty());
    assert!(shown.to_json().is_ok());
    config
}

/// `config` with each `${` written so that it is no variable.
fn escaped(config: &Config) -> serde_json::Value {
    fn escape(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::String(text) => *text = text.replace("${", "$${"),
            serde_json::Value::Array(items) => items.iter_mut().for_each(escape),
            serde_json::Value::Object(entries) => entries.values_mut().for_each(escape),
            _ => {}
        }
    }
    let mut value = serde_json::to_value(config).expect("a config is JSON");
    escape(&mut value);
    value
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // The file that it names would be read, whatever it is.
    if text.contains("token_file") || text.contains('\\') && text.contains("token") {
        return;
    }
    for format in [Format::Toml, Format::Yaml, Format::Json] {
        let Some(mut config) = read(text, format) else { continue };
        config.probe.metrics_token = config.probe.metrics_token.and("***".parse::<Secret>().ok());
        let json = escaped(&config);
        let toml = toml::to_string(&json).expect("a config is TOML");
        assert_eq!(read(&toml, Format::Toml).as_ref(), Some(&config), "{toml}");
        let json = json.to_string();
        assert_eq!(read(&json, Format::Json).as_ref(), Some(&config), "{json}");
    }
});
