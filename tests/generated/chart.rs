//! What the chart says about its values: their schema, with that of the config in it, and the table for people;
//! and that its versions are the program's.
//!
//! `k8s/chart.schema.json` is written by hand: the chart's own values. To add one, write it there and in
//! `k8s/chart/values.yaml`; `tests/kube/chart.py` compares the defaults.

use super::{ensure, read};
use serde_json::{Map, Value};
use std::fmt::Write;
use vanne::config::validate::Schema;

const BEGIN: &str =
    "<!-- values: generated from k8s/chart.schema.json by `cargo test --test generated` -->\n";
const END: &str = "<!-- values: end -->\n";

fn own() -> Value {
    serde_json::from_str(&read("k8s/chart.schema.json")).unwrap()
}

/// Rows for `properties`, each by its whole path. A value with values of its own has no row.
fn rows(properties: &Map<String, Value>, path: &str, out: &mut String) {
    for (name, value) in properties {
        let path = format!("{path}{name}");
        if let Some(inner) = value.get("properties") {
            rows(inner.as_object().unwrap(), &format!("{path}."), out);
        } else {
            let default = value.get("default").map_or(String::new(), |it| format!("`{it}`"));
            let text = value["description"].as_str().unwrap().replace('|', "\\|");
            writeln!(out, "| `{path}` | {default} | {text} |").unwrap();
        }
    }
}

#[test]
fn the_schema_of_values_is_in_step() {
    let mut root = own();
    let mut config = Schema::of_config().root().clone();
    let fields = config.as_object_mut().unwrap();
    fields.remove("$schema");
    let mut kinds = fields.remove("$defs").unwrap();
    kinds["Config"] = config;
    root["$defs"] = kinds;
    ensure("k8s/chart/values.schema.json", &format!("{root:#}\n"));
}

#[test]
fn the_table_of_values_is_in_step() {
    let mut table = String::from("\n| value | default | meaning |\n|---|---|---|\n");
    rows(own()["properties"].as_object().unwrap(), "", &mut table);
    table.push('\n');
    let text = read("k8s/chart/README.md");
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    ensure("k8s/chart/README.md", &format!("{before}{BEGIN}{table}{END}{after}"));
}

#[test]
fn chart_and_images_have_the_versions_of_the_program() {
    let version = env!("CARGO_PKG_VERSION");
    let toolchain = read("rust-toolchain.toml");
    let rust = toolchain.split("channel = \"").nth(1).unwrap().split('"').next().unwrap();
    for (path, line) in [
        ("k8s/chart/Chart.yaml", format!("\nversion: {version}\n")),
        ("k8s/chart/Chart.yaml", format!("\nappVersion: {version}\n")),
        ("k8s/compose.yaml", format!("  image: vanne:{version}\n")),
        ("Dockerfile", format!("FROM rust:{rust}-slim-bookworm AS build\n")),
    ] {
        assert!(read(path).contains(&line), "{path}: expected {line:?}");
    }
}
