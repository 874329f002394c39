//! The Core Rule Set: what it takes to load, and time and memory of one transaction.
//!
//! `VANNE_CRS_DIR=… cargo bench -p vanne-filters --profile gate --bench waf`. Of each paranoia
//! level: milliseconds to load, the best of five; bytes of the program alone, bytes of it and of a
//! thread's caches after all requests. Of each request: microseconds, the best of five means, and
//! bytes that the transaction holds; then microseconds that it takes to let go of what nobody asks
//! for while it waits, the best of twenty, and bytes that it holds then. An argument after `--`
//! chooses requests by a part of the name.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "printing is what it does")]

mod cases;
#[path = "../../tests/crs/files.rs"]
mod files;

use std::alloc::System;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use vanne_filters::waf::program::Program;
use vanne_filters::waf::regression::Case;
use vanne_filters::waf::seclang::{Source, load};
use vanne_filters::waf::transaction::{Caches, Shown, Transaction};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SETUP: &str = r#"
SecRuleEngine On
SecRequestBodyAccess On
SecArgumentsLimit 10000
SecRule REQUEST_HEADERS:Content-Type "^application/json" \
    "id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
"#;

/// What logs show of matches.
const SHOWN: Shown<'_> = Shown::first(64, 256, &|_| false);

/// Loads the rules at a paranoia level: the program, and milliseconds to read and to compile.
#[expect(clippy::disallowed_methods, reason = "it measures")]
fn program(crs: &Path, level: u8) -> Result<(Program, f64, f64), String> {
    let path = |name: &str| crs.join(name).to_string_lossy().into_owned();
    let (example, rules) = (path("crs-setup.conf.example"), path("rules/*.conf"));
    let paranoia = format!(
        "SecAction \"id:900000,phase:1,nolog,pass,setvar:tx.blocking_paranoia_level={level}\""
    );
    let sources = [
        Source::Text("setup", SETUP),
        Source::File(&example),
        Source::Text("paranoia", &paranoia),
        Source::File(&rules),
    ];
    let begun = Instant::now();
    let set = load(&sources, &files::Disk).map_err(|faults| faults.to_string())?;
    let read = begun.elapsed().as_secs_f64() * 1e3;
    let program = Program::compile(&set).map_err(|faults| faults.to_string())?;
    let compile = begun.elapsed().as_secs_f64() * 1e3 - read;
    Ok((program, read, compile))
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn measure(
    program: &Arc<Program>,
    transaction: &mut Transaction,
    caches: &mut Caches,
    case: &Case,
) -> (f64, usize) {
    let mut best = f64::INFINITY;
    let rounds = if case.body.len() > 10_000 { 5 } else { 200 };
    for _ in 0..5 {
        let begun = Instant::now();
        for _ in 0..rounds {
            transaction.begin(program);
            case.run(transaction, caches);
        }
        best = best.min(begun.elapsed().as_secs_f64() * 1e6 / f64::from(rounds));
    }
    (best, transaction.memory_bytes())
}

/// Microseconds until a transaction waits for its answer, and what it holds then.
#[expect(clippy::disallowed_methods, reason = "it measures")]
fn measure_rest(transaction: &mut Transaction, caches: &mut Caches, case: &Case) -> (f64, usize) {
    let (mut best, mut bytes) = (f64::INFINITY, 0);
    for _ in 0..20 {
        transaction.begin(&Arc::clone(transaction.program()));
        let mut is_first = true;
        case.run_waiting(transaction, caches, |transaction, still| {
            if std::mem::take(&mut is_first) {
                let begun = Instant::now();
                transaction.rest(still, SHOWN);
                best = best.min(begun.elapsed().as_secs_f64() * 1e6);
                bytes = transaction.memory_bytes();
            }
        });
    }
    (best, bytes)
}

/// Bytes that the process holds now.
fn live_bytes() -> isize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated.cast_signed() - stats.bytes_deallocated.cast_signed()
}

fn megabytes(bytes: isize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn main() -> Result<(), String> {
    let Some(crs) = files::crs() else { return Ok(()) };
    let chosen = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    for level in [1, 2, 4] {
        let (mut read, mut compile) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..4 {
            let (_, one, other) = program(&crs, level)?;
            (read, compile) = (read.min(one), compile.min(other));
        }
        let before = live_bytes();
        let (built, one, other) = program(&crs, level)?;
        (read, compile) = (read.min(one), compile.min(other));
        let alone = megabytes(live_bytes() - before);
        println!(
            "paranoia {level}  read in {read:.1} ms, compiled in {compile:.1} ms, {alone:.1} MiB"
        );
        let program = Arc::new(built);
        let mut caches = Caches::new(&program);
        let sizes = [1, 4, 16, 64].map(cases::worst);
        for case in cases::ordinary().iter().chain(sizes.iter().flatten()) {
            if !case.id.contains(&chosen) {
                continue;
            }
            let mut transaction = Transaction::new(Arc::clone(&program));
            let (micros, bytes) = measure(&program, &mut transaction, &mut caches, case);
            let (rest, waiting) = measure_rest(&mut transaction, &mut caches, case);
            let (held, waiting) = (bytes / 1024, waiting as f64 / 1024.0);
            println!(
                "paranoia {level}  {:32} {micros:10.1} us {held:8} KiB {rest:10.1} us \
                 {waiting:8.1} KiB",
                case.id,
            );
        }
        let used = megabytes(live_bytes() - before);
        drop(caches);
        let program_used = megabytes(live_bytes() - before);
        println!(
            "paranoia {level}  after use {program_used:.1} MiB, with a thread's caches {used:.1} MiB"
        );
    }
    Ok(())
}
