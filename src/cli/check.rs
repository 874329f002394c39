//! `vanne check`: is this config right?

use crate::config::{
    self, Config, Diagnostics, Format, Loaded, Problem, ProcessEnvironment, Severity,
};
use crate::control::deep;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Check a config file: all mistakes at once, each with its place.
///
/// Exit code 0: it can be used (warnings may be shown). 1: it cannot. 2: it could not be
/// read at all.
///
/// Example: vanne check conf/vanne.toml --json
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The config file: TOML, YAML or JSON, by its extension.
    file: PathBuf,
    /// Also read the files that the config names: certificates, keys, authorities.
    #[arg(long)]
    deep: bool,
    /// Print JSON, for programs: `{"file", "errors": [{"line", "column", "key", "message",
    /// "accepted", "suggestion"}], "warnings"}`.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let loaded = config::load(&args.file, &ProcessEnvironment).and_then(|loaded| match args.deep {
        true => deeply(&args.file, loaded),
        false => Ok(loaded),
    });
    let (diagnostics, config) = match &loaded {
        Ok(loaded) => (&loaded.warnings, Some(&loaded.config)),
        Err(diagnostics) => (&**diagnostics, None),
    };
    let text = match args.json {
        true => diagnostics.to_json().map(|json| json + "\n").unwrap_or_default(),
        false => {
            let colour = super::wants_colour(std::io::stdout().is_terminal());
            diagnostics.to_text(colour) + &summary(diagnostics, config)
        }
    };
    if super::print(&text).is_err() {
        return ExitCode::FAILURE;
    }
    match config {
        Some(_) => ExitCode::SUCCESS,
        None if diagnostics.is_readable => ExitCode::FAILURE,
        None => ExitCode::from(super::UNREADABLE),
    }
}

/// The same config, or what is wrong with the files that it names.
fn deeply(file: &Path, mut loaded: Loaded) -> Result<Loaded, Box<Diagnostics>> {
    let format = config::format_of(file).unwrap_or(Format::Toml);
    let text = loaded.warnings.text.clone();
    let place = |key: &str| config::place(&text, format, key);
    let warnings = deep::warnings(&loaded.config).into_iter();
    let warnings =
        warnings.map(|(key, message)| Problem::new(&key, place(&key), message).warning());
    loaded.warnings.problems.extend(warnings);
    let problems = deep::problems(&loaded.config);
    if problems.is_empty() {
        return Ok(loaded);
    }
    let mut diagnostics = Box::new(loaded.warnings);
    diagnostics.problems.extend(problems.into_iter().map(|(key, message)| {
        Problem::new(&key, place(&key), message).accepts("a file that can be used")
    }));
    Err(diagnostics)
}

/// One line that says it all.
fn summary(diagnostics: &Diagnostics, config: Option<&Config>) -> String {
    let file = &diagnostics.file;
    let warnings = match diagnostics.count(Severity::Warning) {
        0 => String::new(),
        count => format!(", {}", counted(count, "warning")),
    };
    let Some(config) = config else {
        let errors = counted(diagnostics.count(Severity::Error), "error");
        return format!("{file}: {errors}{warnings}\n");
    };
    let backends = config.pool.values().map(|pool| pool.backends.len()).sum();
    format!(
        "{file}: ok: {}, {}, {}, {}{warnings}\n",
        counted(config.listener.len(), "listener"),
        counted(config.route.len(), "route"),
        counted(config.pool.len(), "pool"),
        counted(backends, "backend"),
    )
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
