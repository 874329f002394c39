//! `vanne waf explain`: what rules make of one request.

use super::rules::{Mode, Rules};
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::fmt::Write;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vanne_filters::waf::regression;
use vanne_filters::waf::transaction::{Action, Caches, Interruption, Match, Transaction};

/// The longest request.
const REQUEST_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Bytes of a value that are shown.
const SHOWN_BYTES_MAX: usize = 120;
/// Values of a match that are shown.
const SHOWN_MAX: usize = 8;

/// Say which rules match a request, on what, with what score, and what would happen.
///
/// The request is a file as it is sent over HTTP/1.1: head, blank line, body. Values are shown
/// as rules see them, shortened, and are not redacted.
///
/// Exit code 0: explained, whatever would happen. 2: rules or request could not be read.
///
/// Example: printf 'GET /?q=<script> HTTP/1.1\r\nHost: a\r\n\r\n' | vanne waf explain - --own-rules
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// A file that holds the request, or - for standard input.
    #[arg(value_name = "REQUEST")]
    request: PathBuf,
    #[command(flatten)]
    rules: Rules,
    /// Whether rules refuse; in detect, what comes after a refusal is seen too.
    #[arg(long, value_enum, default_value = "block")]
    mode: Mode,
    /// Also rules that do not log their matches.
    #[arg(long)]
    all: bool,
    /// Print JSON, for programs: `{"verdict", "by", "status", "scores": {"inbound", "outbound"},
    /// "matches": [{"rule", "phase", "file", "line", "severity", "message", "data", "tags",
    /// "on": [{"variable", "value"}], "scores"}]}`.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<bool> {
    let program = args.rules.program(args.mode, "")?;
    let raw = read(&args.request).with_context(|| args.request.display().to_string())?;
    let case = regression::parse(&raw);
    if case.method.is_empty() || case.uri.is_empty() {
        let path = args.request.display();
        bail!("{path}: no request: the first line is such as `GET /path HTTP/1.1`");
    }
    let mut transaction = Transaction::new(Arc::clone(&program));
    case.run(&mut transaction, &mut Caches::new(&program));
    let matches: Vec<Match<'_>> =
        transaction.matches().filter(|one| args.all || one.about.is_logged).collect();
    match args.json {
        true => super::super::print_json(&to_json(&transaction, &matches))?,
        false => super::super::print(&to_text(&transaction, &matches)?)?,
    }
    Ok(true)
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut raw = Vec::new();
    let source: Box<dyn Read> = match path == Path::new("-") {
        true => Box::new(std::io::stdin()),
        false => Box::new(std::fs::File::open(path)?),
    };
    if source.take(REQUEST_BYTES_MAX + 1).read_to_end(&mut raw)? as u64 > REQUEST_BYTES_MAX {
        return Err(std::io::Error::other("the request is longer than 16 MiB"));
    }
    Ok(raw)
}

/// What happens, and the rule that does it.
fn verdict(transaction: &Transaction) -> (&'static str, Option<&Interruption>) {
    match (transaction.interruption(), transaction.would_interrupt()) {
        (Some(end), _) => ("refused", Some(end)),
        (None, Some(end)) => ("would-be-refused", Some(end)),
        (None, None) => ("passes", None),
    }
}

fn scores(transaction: &Transaction) -> [i64; 2] {
    ["blocking_inbound_anomaly_score", "blocking_outbound_anomaly_score"].map(|name| {
        let text = transaction.variable(name.as_bytes()).unwrap_or_default();
        String::from_utf8_lossy(&text).parse().unwrap_or_default()
    })
}

fn to_text(transaction: &Transaction, matches: &[Match<'_>]) -> anyhow::Result<String> {
    let mut out = String::new();
    for one in matches {
        let about = one.about;
        let message = shown(one.message);
        writeln!(
            out,
            "{} (phase {}, {}:{}) {message}",
            about.id, about.phase, about.file, about.line
        )?;
        for (variable, value) in on(one) {
            writeln!(out, "    on {variable} = \"{value}\"")?;
        }
        let (inbound, outbound) = (one.inbound_score, one.outbound_score);
        if inbound != 0 || outbound != 0 {
            writeln!(out, "    score {inbound}, of the answer {outbound}")?;
        }
    }
    let (_, end) = verdict(transaction);
    let [inbound, outbound] = scores(transaction);
    let scores = match (inbound, outbound) {
        (0, 0) => String::new(),
        (inbound, 0) => format!(", score {inbound}"),
        (inbound, outbound) => format!(", score {inbound}, of the answer {outbound}"),
    };
    let count = matches.len();
    let matched = if count == 1 { "1 match".into() } else { format!("{count} matches") };
    let what = match end {
        None => "it passes".to_owned(),
        Some(end) => {
            let is_refused = transaction.interruption().is_some();
            let would = if is_refused { "it is refused" } else { "it would be refused" };
            format!("{would} by rule {} ({})", end.rule, how(end))
        }
    };
    writeln!(out, "{matched}{scores}: {what}")?;
    Ok(out)
}

fn how(end: &Interruption) -> String {
    match &end.action {
        Action::Deny => format!("deny, status {}", end.status),
        Action::Drop => "drop".to_owned(),
        Action::Redirect(to) => format!("redirect to {}", shown(to)),
    }
}

fn to_json(transaction: &Transaction, matches: &[Match<'_>]) -> Value {
    let (verdict, end) = verdict(transaction);
    let scores = |[inbound, outbound]: [i64; 2]| json!({"inbound": inbound, "outbound": outbound});
    let matches = matches.iter().map(|one| {
        let on = on(one).map(|(variable, value)| json!({ "variable": variable, "value": value }));
        json!({
            "rule": one.about.id,
            "phase": one.about.phase,
            "file": &*one.about.file,
            "line": one.about.line,
            "severity": one.about.severity,
            "message": shown(one.message),
            "data": shown(one.data),
            "tags": one.about.tags.iter().map(|tag| &**tag).collect::<Vec<&str>>(),
            "on": on.collect::<Vec<_>>(),
            "scores": scores([one.inbound_score, one.outbound_score]),
        })
    });
    json!({
        "matches": matches.collect::<Vec<_>>(),
        "verdict": verdict,
        "by": end.map(|end| end.rule),
        "status": end.map(|end| end.status),
        "scores": scores(self::scores(transaction)),
    })
}

/// Names and values that a rule matched.
fn on(one: &Match<'_>) -> impl Iterator<Item = (String, String)> {
    one.found().take(SHOWN_MAX).map(|found| {
        let name = match found.name.is_empty() {
            true => found.variable.to_owned(),
            false => format!("{}:{}", found.variable, shown(found.name)),
        };
        (name, shown(found.value))
    })
}

/// The first bytes, as ASCII: what is none, or would move a cursor, is escaped.
fn shown(bytes: &[u8]) -> String {
    match bytes.split_at_checked(SHOWN_BYTES_MAX) {
        Some((first, rest)) if !rest.is_empty() => {
            format!("{}… ({} bytes)", first.escape_ascii(), bytes.len())
        }
        _ => bytes.escape_ascii().to_string(),
    }
}
