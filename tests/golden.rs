//! Golden: config files with mistakes, and what is said about each, word for word.
//!
//! Every `tests/golden/NAME.toml`, `.yaml` or `.json` is read as `vanne check` reads it, with a
//! fixed environment, and what is said is compared with `NAME.toml.expected`. To add a case, write
//! its file and run `BLESS=1 cargo test --test golden`; then read what was written.
#![cfg(test)]
#![expect(clippy::disallowed_methods, reason = "BLESS is for whoever runs the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use vanne::config::{self, Environment, Format, Source};

/// The folder, as messages show it: tests run in the root of the package.
const FOLDER: &str = "tests/golden";

/// The variables that the cases use.
struct Fixed;

impl Environment for Fixed {
    fn variable(&self, name: &str) -> Option<String> {
        let value = match name {
            "HOST" => "api.example.com",
            "NUMBER" => "2",
            "TOO_MANY" => "9999",
            "WORD" => "many",
            "EMPTY" => "",
            _ => return None,
        };
        Some(value.to_owned())
    }
}

fn format_of(path: &Path) -> Option<Format> {
    match path.extension()?.to_str()? {
        "toml" => Some(Format::Toml),
        "yaml" => Some(Format::Yaml),
        "json" => Some(Format::Json),
        _ => None,
    }
}

/// Path → format of every case.
fn cases() -> BTreeMap<PathBuf, Format> {
    let paths = fs::read_dir(FOLDER).unwrap().map(|entry| entry.unwrap().path());
    paths.filter_map(|path| Some((path.clone(), format_of(&path)?))).collect()
}

fn expected_path(case: &Path) -> PathBuf {
    PathBuf::from(format!("{}.expected", case.display()))
}

/// What is said about `case`: the last line says whether it can be used.
fn said(case: &Path, format: Format) -> String {
    let text = fs::read_to_string(case).unwrap();
    let name = case.file_name().unwrap().to_str().unwrap();
    let source = Source { name, text: &text, format, folder: Path::new(FOLDER) };
    match config::parse(&source, &Fixed) {
        Ok(loaded) => loaded.warnings.to_text(false) + "ok\n",
        Err(diagnostics) => diagnostics.to_text(false) + "not ok\n",
    }
}

#[test]
fn what_is_said_about_each_file_is_as_expected() {
    let is_blessing = std::env::var("BLESS").is_ok_and(|value| value == "1");
    let mut wrong = String::new();
    for (case, format) in cases() {
        let (said, path) = (said(&case, format), expected_path(&case));
        if is_blessing {
            fs::write(path, said).unwrap();
        } else if fs::read_to_string(&path).unwrap_or_default() != said {
            wrong += &format!("--- {}: not as in {}:\n{said}", case.display(), path.display());
        }
    }
    assert!(wrong.is_empty(), "{wrong}\nBLESS=1 accepts this");
    assert_eq!(orphans(), Vec::<PathBuf>::new(), "expectations without a case");
}

/// Expectations whose case is gone.
fn orphans() -> Vec<PathBuf> {
    let wanted: BTreeSet<PathBuf> = cases().keys().map(|case| expected_path(case)).collect();
    let entries = fs::read_dir(FOLDER).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "expected"))
        .filter(|path| !wanted.contains(path))
        .collect()
}

/// The lines about problems, without places: what must not depend on the syntax.
fn titles(said: &str) -> Vec<&str> {
    said.lines().filter(|line| line.starts_with("error") || line.starts_with("warning")).collect()
}

#[test]
fn the_same_mistakes_read_the_same_in_every_format() {
    let all = ["toml", "yaml", "json"].map(|extension| {
        let path = PathBuf::from(format!("{FOLDER}/five-mistakes.{extension}"));
        let format = format_of(&path).unwrap();
        said(&path, format)
    });
    let [toml, yaml, json] = all.each_ref().map(|said| {
        let mut titles = titles(said);
        titles.sort_unstable();
        titles
    });
    assert_eq!(toml.len(), 5, "{toml:#?}");
    assert_eq!(toml, yaml);
    assert_eq!(toml, json);
}
