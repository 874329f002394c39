//! `vanne waf test`: rules run against their regression tests, in process.

use super::super::table::{Side, Table, Tone, text};
use super::rules::{Mode, Rules};
use anyhow::{Context, anyhow, bail};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vanne_filters::waf::regression::{File, Miss, Stage, is_file_of_tests};
use vanne_filters::waf::transaction::{Caches, Transaction};

/// What the tests of the Core Rule Set ask of its setup.
const SETUP: &str = r#"
SecAction "id:900005,phase:1,nolog,pass,ctl:ruleRemoveById=910000,\
    setvar:tx.crs_validate_utf8_encoding=1,setvar:tx.arg_name_length=100,\
    setvar:tx.arg_length=400,setvar:tx.total_arg_length=64000,setvar:tx.max_num_args=255,\
    setvar:tx.max_file_size=64100,setvar:tx.combined_file_sizes=65535"
SecRule REQUEST_HEADERS:X-CRS-Test "@rx ^.*$" \
    "id:999999,phase:1,pass,t:none,log,msg:'X-CRS-Test %{MATCHED_VAR}',ctl:ruleRemoveById=1-999999"
"#;

/// Run regression tests of rules, in the format of the Core Rule Set's (YAML).
///
/// Each stage is a request; expected and forbidden ids are compared with those of the rules that
/// log a match, a status with how the rules answer if they refuse (--mode block). With --crs, the
/// setup is what the tests of the Core Rule Set ask for.
///
/// Exit code 0: all passed. 1: some failed. 2: rules or tests could not be read.
///
/// Example: vanne waf test --crs coreruleset --paranoia 4 coreruleset/tests/regression/tests
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Files of tests, or folders that are searched for them.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    rules: Rules,
    /// Whether rules refuse.
    #[arg(long, value_enum, default_value = "detect")]
    mode: Mode,
    /// Print JSON, for programs: `{"passed", "failed", "families": [{"family", "passed",
    /// "failed"}], "failures": [{"test", "family", "missing", "unwanted", "status"}]}`.
    #[arg(long)]
    json: bool,
}

/// What came of the tests.
#[derive(Default)]
struct Outcome<'a> {
    /// Passed and failed stages of each family.
    families: BTreeMap<&'a str, [usize; 2]>,
    failures: Vec<(&'a Stage, Miss)>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<bool> {
    let program = args.rules.program(args.mode, SETUP)?;
    let stages = stages(&args.paths)?;
    let mut transaction = Transaction::new(Arc::clone(&program));
    let mut caches = Caches::new(&program);
    let mut outcome = Outcome::default();
    for stage in &stages {
        transaction.begin(&program);
        stage.case.run(&mut transaction, &mut caches);
        let miss = stage.miss(&transaction);
        let [passed, failed] = outcome.families.entry(&stage.family).or_default();
        *(if miss.is_some() { failed } else { passed }) += 1;
        outcome.failures.extend(miss.map(|miss| (stage, miss)));
    }
    match args.json {
        true => super::super::print_json(&outcome.to_json(stages.len()))?,
        false => super::super::print(&outcome.to_text(stages.len())?)?,
    }
    Ok(outcome.failures.is_empty())
}

impl Outcome<'_> {
    fn to_text(&self, count: usize) -> anyhow::Result<String> {
        let mut out = String::new();
        for (stage, miss) in &self.failures {
            writeln!(out, "FAILED {}: {miss}", stage.case.id)?;
        }
        let columns = [("FAMILY", Side::Left), ("PASSED", Side::Right), ("FAILED", Side::Right)];
        let mut table = Table::new(&columns);
        for (family, [passed, failed]) in &self.families {
            let tone = if *failed == 0 { Tone::Plain } else { Tone::Bad };
            table.row(tone, vec![(*family).into(), passed.to_string(), failed.to_string()]);
        }
        let colour = super::super::wants_colour(std::io::stdout().is_terminal());
        out += &text(&table.lines(), colour);
        let failed = self.failures.len();
        writeln!(out, "{} passed, {failed} failed", count - failed)?;
        Ok(out)
    }

    fn to_json(&self, count: usize) -> serde_json::Value {
        let families = self.families.iter().map(|(family, [passed, failed])| {
            json!({ "family": family, "passed": passed, "failed": failed })
        });
        let failures = self.failures.iter().map(|(stage, miss)| {
            let status = miss
                .status
                .map(|(expected, found)| json!({ "expected": expected, "found": found }));
            json!({
                "test": stage.case.id,
                "family": stage.family,
                "missing": miss.missing,
                "unwanted": miss.unwanted,
                "status": status,
            })
        });
        json!({
            "passed": count - self.failures.len(),
            "failed": self.failures.len(),
            "families": families.collect::<Vec<_>>(),
            "failures": failures.collect::<Vec<_>>(),
        })
    }
}

/// The stages of all files, in the order of their paths.
fn stages(paths: &[PathBuf]) -> anyhow::Result<Vec<Stage>> {
    let mut files = Vec::new();
    for path in paths {
        find(path, path.is_file(), &mut files).with_context(|| path.display().to_string())?;
    }
    files.sort();
    files.dedup();
    let mut stages = Vec::new();
    for path in files {
        stages.extend(stages_of(&path).with_context(|| path.display().to_string())?);
    }
    if stages.is_empty() {
        bail!("no tests found: files of YAML, or folders that hold some");
    }
    Ok(stages)
}

fn find(path: &Path, is_named: bool, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if is_named {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let path = entry.path();
        // Links are not followed: they may lead in a circle.
        match entry.file_type()?.is_dir() {
            true => find(&path, false, files)?,
            false if is_file_of_tests(&path) => files.push(path),
            false => {}
        }
    }
    Ok(())
}

fn stages_of(path: &Path) -> anyhow::Result<Vec<Stage>> {
    let text = fs::read_to_string(path)?;
    if !text.lines().any(|line| line.starts_with("tests:")) {
        // A file that is all comments.
        return Ok(Vec::new());
    }
    let file: File = serde_saphyr::from_str(&text)?;
    let folder = path.parent().and_then(Path::file_name).unwrap_or_default();
    let asked = |body: &[u8]| serde_json::from_slice(body).ok();
    file.stages(&folder.to_string_lossy(), &asked).map_err(|error| anyhow!(error))
}
