//! Requests as lines of JSON in, what the WAF says of each as a line of JSON out.
//!
//! The other end of `tests/waf/`: the oracles there (Coraza, libmodsecurity) take the same
//! arguments and lines. `-rules FILE` and `-directive TEXT` may be repeated and are read in order;
//! `-bench N` prints microseconds per transaction instead, the best of five means of N.
#![expect(clippy::print_stderr, reason = "it tells what is wrong with its arguments")]

#[path = "../tests/crs/files.rs"]
#[expect(dead_code, reason = "the place of the Core Rule Set is given by arguments here")]
mod files;
#[path = "../tests/crs/wire.rs"]
mod wire;

use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::Instant;

use vanne_filters::waf::program::Program;
use vanne_filters::waf::seclang::{Source, load};
use vanne_filters::waf::transaction::{Caches, Transaction};
use wire::Case;

fn main() -> std::process::ExitCode {
    match run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            std::process::ExitCode::FAILURE
        }
    }
}

struct Options {
    sources: Vec<(bool, String)>,
    bench: Option<u32>,
}

fn options() -> Result<Options, String> {
    let mut options = Options { sources: Vec::new(), bench: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or(format!("{name} needs a value"))?;
        match name.as_str() {
            "-rules" => options.sources.push((true, value)),
            "-directive" => options.sources.push((false, value)),
            "-bench" => {
                options.bench = Some(value.parse().map_err(|error| format!("-bench: {error}"))?);
            }
            _ => return Err(format!("{name} is not known: -rules, -directive or -bench")),
        }
    }
    Ok(options)
}

fn run() -> Result<(), String> {
    let options = options()?;
    let sources: Vec<Source<'_>> = options
        .sources
        .iter()
        .map(|(is_file, text)| match is_file {
            true => Source::File(text),
            false => Source::Text("directive", text),
        })
        .collect();
    let set = load(&sources, &files::Disk).map_err(|faults| faults.to_string())?;
    let program = Arc::new(Program::compile(&set).map_err(|faults| faults.to_string())?);
    let mut transaction = Transaction::new(Arc::clone(&program));
    let mut caches = Caches::new(&program);
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| error.to_string())?;
        let case = wire::parse(&line)?;
        let answer = match options.bench {
            None => {
                transaction.begin(&program);
                case.run(&mut transaction, &mut caches);
                wire::answer(&case, &transaction)
            }
            Some(count) => bench(&case, &program, &mut transaction, &mut caches, count),
        };
        writeln!(out, "{answer}").map_err(|error| error.to_string())?;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn bench(
    case: &Case,
    program: &Arc<Program>,
    transaction: &mut Transaction,
    caches: &mut Caches,
    count: u32,
) -> serde_json::Value {
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let begun = Instant::now();
        for _ in 0..count {
            transaction.begin(program);
            case.run(transaction, caches);
        }
        best = best.min(begun.elapsed().as_secs_f64() * 1e6 / f64::from(count));
    }
    serde_json::json!({ "id": case.id, "us": best, "bytes": transaction.memory_bytes() })
}
