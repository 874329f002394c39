//! Diagnostics: what is wrong with a config file, and where.
//!
//! All problems of a file are collected; each names its place, its key, what would be
//! accepted and, if there is one, what was probably meant. Shown as text with the line
//! and a caret, or as JSON.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;
use std::ops::Range;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The config cannot be used.
    Error,
    /// It can, but something in it has no effect.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The key it is about, like `pool.api.timeouts.connect`; empty for the whole file.
    pub key: String,
    /// Where it stands, in bytes of the file.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What would be accepted.
    pub accepted: Option<String>,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl Problem {
    /// An error.
    #[must_use]
    pub fn new(key: &str, span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            key: key.to_owned(),
            span,
            message: message.into(),
            accepted: None,
            suggestion: None,
        }
    }

    /// The same as a warning.
    #[must_use]
    pub fn warning(self) -> Self {
        Self { severity: Severity::Warning, ..self }
    }

    /// Adds what would be accepted.
    #[must_use]
    pub fn accepts(self, accepted: impl Into<String>) -> Self {
        Self { accepted: Some(accepted.into()), ..self }
    }

    /// Adds which of `candidates` was probably meant by `written`, if one is close.
    #[must_use]
    pub fn suggests<'a>(
        self,
        written: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        Self { suggestion: closest(written, candidates), ..self }
    }
}

/// The candidate that is closest to `written`, if it could be meant by it.
fn closest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(written, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate.to_owned())
}

/// Why there is no config: the file, and what is wrong with it.
#[derive(Clone, Debug)]
pub struct Diagnostics {
    /// The file, as it was named.
    pub file: String,
    /// Its text; empty if it could not be read.
    pub text: String,
    /// What is wrong, in the order of the file.
    pub problems: Vec<Problem>,
    /// Whether the file could be read at all.
    pub is_readable: bool,
}

impl Diagnostics {
    /// The file could not be read.
    #[must_use]
    pub fn unreadable(file: &str, why: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            text: String::new(),
            problems: vec![Problem::new("", 0..0, why)],
            is_readable: false,
        }
    }

    /// How many problems are of `severity`.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.problems.iter().filter(|problem| problem.severity == severity).count()
    }

    /// As text for people: each problem with its line and a caret.
    #[must_use]
    pub fn to_text(&self, is_coloured: bool) -> String {
        let renderer = if is_coloured { Renderer::styled() } else { Renderer::plain() };
        let mut out = String::new();
        for problem in &self.problems {
            out.push_str(&self.render(&renderer, problem));
            out.push_str("\n\n");
        }
        out
    }

    fn render(&self, renderer: &Renderer, problem: &Problem) -> String {
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        if !self.is_readable {
            let title = format!("{}: {}", self.file, problem.message);
            return renderer.render(&[Group::with_title(level.primary_title(title))]);
        }
        let title = if problem.key.is_empty() {
            problem.message.clone()
        } else {
            format!("{}: {}", problem.key, problem.message)
        };
        let mut span = problem.span.clone();
        span.end = span.end.min(self.text.len());
        span.start = span.start.min(span.end);
        let mut label = AnnotationKind::Primary.span(span);
        if let Some(suggestion) = &problem.suggestion {
            label = label.label(format!("did you mean `{suggestion}`?"));
        }
        let mut group = level
            .primary_title(title)
            .element(Snippet::source(&self.text).path(&self.file).annotation(label));
        if let Some(accepted) = &problem.accepted {
            group = group.element(Level::HELP.message(format!("expected {accepted}")));
        }
        renderer.render(&[group])
    }

    /// As JSON for programs.
    ///
    /// # Errors
    /// Never in practice: it is all text and numbers.
    pub fn to_json(&self) -> serde_json::Result<String> {
        let of = |severity| {
            self.problems
                .iter()
                .filter(|problem| problem.severity == severity)
                .map(|problem| self.report(problem))
                .collect()
        };
        serde_json::to_string_pretty(&Report {
            file: &self.file,
            errors: of(Severity::Error),
            warnings: of(Severity::Warning),
        })
    }

    fn report<'a>(&self, problem: &'a Problem) -> ProblemReport<'a> {
        let (line, column) = line_and_column(&self.text, problem.span.start);
        ProblemReport {
            line,
            column,
            key: &problem.key,
            message: &problem.message,
            accepted: problem.accepted.as_deref(),
            suggestion: problem.suggestion.as_deref(),
        }
    }
}

#[derive(Serialize)]
struct Report<'a> {
    file: &'a str,
    errors: Vec<ProblemReport<'a>>,
    warnings: Vec<ProblemReport<'a>>,
}

#[derive(Serialize)]
struct ProblemReport<'a> {
    line: usize,
    column: usize,
    key: &'a str,
    message: &'a str,
    accepted: Option<&'a str>,
    suggestion: Option<&'a str>,
}

/// Line and column (in characters), both from 1.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_word_is_suggested_and_a_far_one_is_not() {
        let keys = ["backends", "algorithm", "timeouts"];
        assert_eq!(closest("backend", keys).unwrap(), "backends");
        assert_eq!(closest("algoritm", keys).unwrap(), "algorithm"); // misspelt on purpose
        assert!(closest("zzz", keys).is_none());
    }

    #[test]
    fn text_shows_file_line_and_caret_and_json_the_same_place() {
        let problem = Problem::new("pool.a", 8..9, "unknown key").accepts("another");
        let diagnostics = Diagnostics {
            file: "a.toml".into(),
            text: "[pool]\n b = 1\n".into(),
            problems: vec![problem],
            is_readable: true,
        };
        let text = diagnostics.to_text(false);
        assert!(text.contains("a.toml:2:2") && text.contains('^'), "{text}");
        let json: serde_json::Value =
            serde_json::from_str(&diagnostics.to_json().unwrap()).unwrap();
        assert_eq!(
            (&json["errors"][0]["line"], &json["errors"][0]["column"]),
            (&2.into(), &2.into())
        );
    }
}
