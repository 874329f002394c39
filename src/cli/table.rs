//! Tables and lines for people: columns, and lines that fit a terminal.

use std::fmt::Write;

/// What a line is, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    /// The names of columns.
    Head,
    /// Something to look at.
    Warning,
    /// Something that does not work.
    Bad,
}

/// A line of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) tone: Tone,
}

impl Line {
    pub(super) fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self { text: text.into(), tone }
    }

    /// The line, at most `width` columns of it. What would move the cursor is shown as `?`.
    pub(super) fn shown(&self, width: usize, colour: bool) -> String {
        let plain = |c: char| if c.is_control() { '?' } else { c };
        let text: String = self.text.chars().map(plain).take(width).collect();
        match self.tone {
            _ if !colour => text,
            Tone::Plain => text,
            Tone::Head => format!("\x1b[1m{text}\x1b[0m"),
            Tone::Warning => format!("\x1b[33m{text}\x1b[0m"),
            Tone::Bad => format!("\x1b[31m{text}\x1b[0m"),
        }
    }
}

/// Lines as one text, each whole.
pub(super) fn text(lines: &[Line], colour: bool) -> String {
    lines.iter().map(|line| line.shown(usize::MAX, colour) + "\n").collect()
}

/// Which side the cells of a column stand at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// Rows under named columns.
pub(super) struct Table {
    columns: Vec<(&'static str, Side)>,
    rows: Vec<(Tone, Vec<String>)>,
}

impl Table {
    pub(super) fn new(columns: &[(&'static str, Side)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row with a cell for each column.
    pub(super) fn row(&mut self, tone: Tone, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.columns.len(), "a cell for each column");
        self.rows.push((tone, cells));
    }

    /// The rows under their heads, columns two blanks apart.
    pub(super) fn lines(&self) -> Vec<Line> {
        let heads: Vec<String> = self.columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        let mut widths: Vec<usize> = heads.iter().map(|head| head.chars().count()).collect();
        for (_, cells) in &self.rows {
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let head = std::iter::once((Tone::Head, &heads));
        let rows = self.rows.iter().map(|(tone, cells)| (*tone, cells));
        head.chain(rows).map(|(tone, cells)| Line::new(tone, self.line(cells, &widths))).collect()
    }

    fn line(&self, cells: &[String], widths: &[usize]) -> String {
        let mut out = String::new();
        for ((cell, width), (_, side)) in cells.iter().zip(widths).zip(&self.columns) {
            let written = match side {
                Side::Left => write!(out, "{cell:<width$}  "),
                Side::Right => write!(out, "{cell:>width$}  "),
            };
            debug_assert!(written.is_ok(), "a string takes everything");
        }
        out.truncate(out.trim_end().len());
        out
    }
}

/// A time for people: `5s`, `3m 2s`, `2h 5m`, `4d 1h`.
pub(super) fn period(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m {}s", seconds % 60),
        3600..86_400 => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&[("POOL", Side::Left), ("UP", Side::Right)]);
        table.row(Tone::Plain, vec!["orchestrator".into(), "2/3".into()]);
        table.row(Tone::Bad, vec!["a".into(), "0/1".into()]);
        let shown = text(&table.lines(), false);
        assert_eq!(shown, "POOL           UP\norchestrator  2/3\na             0/1\n");
    }

    #[test]
    fn a_line_is_cut_and_cannot_move_the_cursor() {
        let line = Line::new(Tone::Bad, "ab\x1b[2Jé\ncd");
        assert_eq!(line.shown(7, false), "ab?[2Jé");
        assert_eq!(line.shown(1, true), "\x1b[31ma\x1b[0m");
    }

    #[test]
    fn periods_have_two_parts() {
        for (seconds, want) in [(0, "0s"), (75, "1m 15s"), (7500, "2h 5m"), (349_200, "4d 1h")] {
            assert_eq!(period(seconds), want);
        }
    }
}
