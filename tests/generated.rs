//! Generated files: the reference, the schema, the OpenAPI document and what the chart says about its values are
//! written here, and fail here when stale.
//!
//! So that what is committed is always what the types say. `conf/*.toml` are written by hand;
//! that they are right is checked here too. To add a generated file: a test that makes its text
//! and calls [`ensure`].
#![cfg(test)]

#[path = "generated/chart.rs"]
mod chart;

use std::fmt::Write;
use std::fs;
use std::path::Path;
use vanne::config::validate::Schema;
use vanne::config::{self, Environment, reference};
use vanne::control::admin::openapi;
use vanne::observe::metrics::{Kind, METRICS};

/// No variable is set: the examples have defaults where they use one.
struct Nothing;

impl Environment for Nothing {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The file at `path`, which counts from the root.
fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// Writes `text` to the file at `path` and fails, unless it stands there already.
fn ensure(path: &str, text: &str) {
    let before = fs::read_to_string(root().join(path)).unwrap_or_default();
    if before == text {
        return;
    }
    fs::write(root().join(path), text).unwrap();
    panic!("{path} was stale, is written: commit it");
}

/// The section about metrics, from their table.
fn metrics() -> String {
    let mut out = String::from(
        "\n## Metrics\n\n`/metrics` on the probe port, in Prometheus' text format. Durations are in seconds.\n\n\
         | name | kind | labels | meaning |\n|---|---|---|---|\n",
    );
    for metric in METRICS {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, labels, help) = (metric.name, labels.join(" "), metric.help);
        writeln!(out, "| `{name}` | {kind} | {labels} | {help} |").unwrap();
    }
    out
}

#[test]
fn the_reference_is_in_step() {
    ensure("conf/REFERENCE.md", &(reference::page(&Schema::of_config()) + &metrics()));
}

#[test]
fn the_schema_is_in_step() {
    ensure("conf/schema.json", &format!("{:#}\n", Schema::of_config().root()));
}

#[test]
fn the_openapi_document_is_in_step() {
    ensure("conf/openapi.json", &format!("{:#}\n", openapi::document()));
}

#[test]
fn every_example_config_is_right() {
    let mut count = 0;
    for entry in fs::read_dir(root().join("conf")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let text = match config::load(&path, &Nothing) {
                Ok(loaded) => loaded.warnings.to_text(false),
                Err(diagnostics) => diagnostics.to_text(false),
            };
            assert!(text.is_empty(), "{text}");
            count += 1;
        }
    }
    assert!(count >= 4, "only {count} examples");
}

#[test]
fn every_metric_moves_in_a_test() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let folder = |name: &str| fs::read_dir(tests.join(name)).unwrap();
    let files = folder("it").chain(folder("load")).map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.is_file()).chain([tests.join("panic.rs")]);
    let text: String = files.map(|path| fs::read_to_string(path).unwrap_or_default()).collect();
    let ends = ["\"", " ", "{", "_count", "_sum", "_bucket"];
    let is_named = |name: &str| ends.iter().any(|end| text.contains(&format!("{name}{end}")));
    let unnamed: Vec<_> = METRICS.iter().map(|row| row.name).filter(|it| !is_named(it)).collect();
    assert!(unnamed.is_empty(), "no test looks at {unnamed:?}");
}
