//! Views: all strings that one link looks at, each once, and what matches any of them.
//!
//! A rule that no string of its view can match is passed by with one bit of the view's union. A
//! view stays valid until anything but TX changes, which is between phases only.

use super::state::State;
use super::strings::Id;
use crate::waf::program::rule::{Gate, Question};
use crate::waf::program::{Program, ScanCaches, Side};
use crate::waf::{injection, operator};

/// Longer strings are not scanned for all patterns but for those that rules ask for.
pub(crate) const LONG: usize = 2048;

/// A view that is made.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ViewState {
    epoch: u64,
    /// Index of its contents.
    contents: u32,
}

/// The strings of one or more views: most transformations change nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Contents {
    start: u32,
    length: u32,
    /// Per side: 0 unknown, 1 nothing matches, else 2 + offset of the union.
    unions: [u32; 2],
    has_long: bool,
}

impl State {
    /// Whether the first link of a rule may match, as its gate says.
    pub(crate) fn passes(
        &mut self,
        program: &Program,
        caches: &mut ScanCaches,
        gate: Gate,
    ) -> bool {
        let (Gate::Pattern { views, .. } | Gate::Question { views, .. }) = gate else {
            return true;
        };
        (views.from..views.from + views.count).any(|at| {
            let view = program.gate_views.get(at as usize).copied().unwrap_or_default();
            let (index, contents) = self.view(program, view);
            match gate {
                Gate::Open => true,
                Gate::Question { question, .. } => self.any_answer(program, contents, question),
                Gate::Pattern { pattern, side, cell, mask, .. } => {
                    let union = match contents.unions.get(side as usize).copied().unwrap_or(1) {
                        0 => self.unite(program, caches, index, contents, side),
                        known => known,
                    };
                    let at = union.checked_sub(2).map(|offset| offset as usize + usize::from(cell));
                    let word = at.and_then(|at| self.columns.unions.get(at));
                    word.is_some_and(|word| word & mask != 0)
                        || (contents.has_long && self.long_matches(program, contents, pattern))
                }
            }
        })
    }

    fn any_answer(&mut self, program: &Program, contents: Contents, question: u32) -> bool {
        (contents.start..contents.start + contents.length).any(|at| {
            let id = self.columns.distinct.get(at as usize).copied().unwrap_or_default();
            self.answer(program, id, question)
        })
    }

    /// Contents of view `index`, and their index; made when they are not.
    fn view(&mut self, program: &Program, index: u32) -> (u32, Contents) {
        let known = self.columns.views.get(index as usize).copied().unwrap_or_default();
        let epoch = self.values.epoch();
        let contents = match known.epoch == epoch {
            true => known.contents,
            false => {
                let contents = self.make_view(program, index);
                if let Some(place) = self.columns.views.get_mut(index as usize) {
                    *place = ViewState { epoch, contents };
                }
                contents
            }
        };
        let found = self.columns.contents.get(contents as usize).copied();
        (contents, found.unwrap_or_default())
    }

    /// Makes view `index`: where its contents are. A step that changes nothing makes none.
    fn make_view(&mut self, program: &Program, index: u32) -> u32 {
        let Some(view) = program.tables.views.all.get(index as usize) else { return 0 };
        let before = view.from.map(|(from, step)| (self.view(program, from), step));
        let start = self.columns.distinct.len() as u32;
        self.columns.mark += 1;
        let mut has_long = false;
        match before {
            None => {
                let targets = program.tables.sets.all.get(view.set as usize);
                for target in targets.map_or(&[][..], Vec::as_slice) {
                    has_long |= self.gather(program, *target);
                }
            }
            Some(((known, contents), step)) => {
                let mut is_changed = false;
                for at in contents.start..contents.start + contents.length {
                    let id = self.columns.distinct.get(at as usize).copied().unwrap_or_default();
                    let result = self.stepped(program, id, step);
                    is_changed |= result != id;
                    has_long |= self.note(result);
                }
                if !is_changed {
                    self.columns.distinct.truncate(start as usize);
                    return known;
                }
            }
        }
        let length = self.columns.distinct.len() as u32 - start;
        let unions = if length == 0 { [1; 2] } else { [0; 2] };
        self.columns.contents.push(Contents { start, length, unions, has_long });
        self.columns.contents.len() as u32 - 1
    }

    /// Adds the values of a target to the view that is made. Returns whether any is long.
    fn gather(&mut self, program: &Program, target: u32) -> bool {
        let (start, length) = self.values_of(program, target);
        let mut has_long = false;
        for at in start..start + length {
            if let Some(field) = self.columns.item(at) {
                has_long |= self.note(field.value);
            }
        }
        has_long
    }

    /// Adds a string to the view that is made, once. Returns whether it is long.
    fn note(&mut self, id: Id) -> bool {
        if !self.strings.meets(id, self.columns.mark) {
            return false;
        }
        self.columns.distinct.push(id);
        self.strings.get(id).len() > LONG
    }

    /// Scans the strings of a view and joins what matches them.
    fn unite(
        &mut self,
        program: &Program,
        caches: &mut ScanCaches,
        index: u32,
        state: Contents,
        side: Side,
    ) -> u32 {
        let words = program.patterns.words(side);
        let offset = self.columns.unions.len();
        self.columns.unions.resize(offset + words, 0);
        let mut is_empty = true;
        for at in state.start..state.start + state.length {
            let id = self.columns.distinct.get(at as usize).copied().unwrap_or_default();
            if self.strings.get(id).len() > LONG {
                continue;
            }
            self.scan(program, caches, id, side);
            let row = self.strings.row(id, side as usize, words);
            for (word, bits) in self.columns.unions.iter_mut().skip(offset).zip(row) {
                *word |= bits;
                is_empty = false;
            }
        }
        let union = if is_empty {
            self.columns.unions.truncate(offset);
            1
        } else {
            offset as u32 + 2
        };
        let state = self.columns.contents.get_mut(index as usize);
        if let Some(place) = state.and_then(|state| state.unions.get_mut(side as usize)) {
            *place = union;
        }
        union
    }

    fn scan(&mut self, program: &Program, caches: &mut ScanCaches, id: Id, side: Side) {
        if self.strings.is_scanned(id, side as usize) {
            return;
        }
        let row = &mut self.columns.row;
        row.clear();
        row.resize(program.patterns.words(side), 0);
        if !program.patterns.scan(side, caches, self.strings.get(id), row) {
            row.clear();
        }
        self.strings.set_row(id, side as usize, &self.columns.row);
    }

    fn long_matches(&self, program: &Program, state: Contents, pattern: u32) -> bool {
        let from = state.start as usize;
        let ids = self.columns.distinct.get(from..from + state.length as usize);
        let single = program.patterns.singles.get(pattern as usize);
        ids.unwrap_or_default().iter().any(|id| {
            let value = self.strings.get(*id);
            value.len() > LONG && single.is_some_and(|single| single.is_match(value))
        })
    }

    /// Whether `pattern` matches the string `id` of a column.
    pub(crate) fn pattern_matches(
        &mut self,
        program: &Program,
        caches: &mut ScanCaches,
        id: Id,
        pattern: u32,
    ) -> bool {
        let Some(single) = program.patterns.singles.get(pattern as usize) else { return false };
        let value = self.strings.get(id);
        let Some(bit) = single.bit.filter(|_| value.len() <= LONG) else {
            return single.is_match(value);
        };
        self.scan(program, caches, id, single.side);
        let words = program.patterns.words(single.side);
        let row = self.strings.row(id, single.side as usize, words);
        row.get(bit as usize / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1)
    }

    /// The answer to a question about the string `id`.
    pub(crate) fn answer(&mut self, program: &Program, id: Id, question: u32) -> bool {
        if let Some(known) = self.strings.answer(id, question) {
            return known;
        }
        let value = self.strings.get(id);
        let yes = match program.questions.get(question as usize) {
            Some(Question::Phrases(phrases)) => phrases.find(value).is_some(),
            Some(Question::ByteRange(range)) => range.violates(value).is_some(),
            Some(Question::Sqli) => injection::sqli(value, &mut [0; 8]).is_some(),
            Some(Question::Xss) => injection::xss(value),
            Some(Question::UrlEncoding) => operator::validate_url_encoding(value),
            Some(Question::Utf8Encoding) => operator::validate_utf8_encoding(value),
            None => false,
        };
        self.strings.set_answer(id, question, yes);
        yes
    }
}
