//! What is wrong with a rule file: each fault has its place, the rule, and what would be accepted.
//!
//! Faults are collected over all files, so that one run shows them all. Shown, a fault looks like
//! an error of a compiler: message, place, the line with a caret below, help.

use std::fmt;

/// Where something stands in a rule file. Lines and columns count from 1; columns count bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The file as it was given to the loader.
    pub file: std::sync::Arc<str>,
    /// Line of the first byte.
    pub line: u32,
    /// Column of the first byte.
    pub column: u32,
    /// The whole line, without its end.
    pub text: String,
}

/// One thing that keeps a rule set from being loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where it is.
    pub place: Place,
    /// Id of the rule it is in, when that is known.
    pub rule: Option<u64>,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// What would be accepted.
    pub help: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { file, line, column, text } = &self.place;
        write!(f, "error: {}", self.message)?;
        if let Some(rule) = self.rule {
            write!(f, " (rule {rule})")?;
        }
        let width = line.to_string().len();
        let (shown, offset) = window(text, *column);
        writeln!(f, "\n{:width$}--> {file}:{line}:{column}", "")?;
        writeln!(f, "{:width$} |", "")?;
        writeln!(f, "{line} | {shown}")?;
        writeln!(f, "{:width$} | {:offset$}^", "", "")?;
        if !self.help.is_empty() {
            writeln!(f, "{:width$} = help: {}", "", self.help)?;
        }
        Ok(())
    }
}

/// The part of a long line around `column`, and how far in it the caret stands.
fn window(text: &str, column: u32) -> (String, usize) {
    const BEFORE: usize = 60;
    const WIDTH: usize = 120;
    let at = (column as usize).saturating_sub(1).min(text.len());
    let chars: Vec<(usize, char)> = text.char_indices().collect();
    let at_char = chars.iter().take_while(|(index, _)| *index < at).count();
    let from = if chars.len() <= WIDTH { 0 } else { at_char.saturating_sub(BEFORE) };
    let shown: String = chars
        .iter()
        .skip(from)
        .take(WIDTH)
        .map(|(_, c)| if c.is_control() { ' ' } else { *c })
        .collect();
    (shown, at_char - from)
}

/// All faults of a rule set, in the order of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.0 {
            writeln!(f, "{fault}")?;
        }
        write!(f, "{} fault(s) in the rules", self.0.len())
    }
}

/// Something that was accepted but is not this engine's to do, or has no effect here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Where it is.
    pub place: Place,
    /// What is left out, and who does it instead.
    pub message: String,
}
