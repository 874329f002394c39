//! Views: all strings that one link looks at, each once, and what matches any of them.
//!
//! A rule that no string of its view can match is passed by with one bit of the view's union. A
//! view stays valid until anything but TX changes, which is between phases only.

use super::state::State;
use super::strings::Id;
use crate::waf::program::rule::{Gate, Question};
use crate::waf::program::{Program, ScanCaches, Side};
use crate::waf::{injection, operator};

/// A view that is made.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ViewState {
    epoch: u64,
    /// Index of its contents.
    contents: u32,
    /// Of a view of several targets, those that have any values, as bits: the last bit stands for
    /// all targets from there on. A step makes none where there are none.
    filled: u32,
}

/// The strings of one or more views: most transformations change nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Contents {
    /// Of the numbers of strings; of indexes of other contents when it `is_joined`.
    start: u32,
    length: u32,
    is_joined: bool,
    /// Per side: 0 unknown, 1 nothing matches, else 2 + offset of the union.
    unions: [u32; 2],
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
                Gate::Pattern { side, cell, mask, .. } => {
                    let union = match contents.unions.get(side as usize).copied().unwrap_or(1) {
                        0 => self.unite(program, caches, index, contents, side),
                        known => known,
                    };
                    let at = union.checked_sub(2).map(|offset| offset as usize + usize::from(cell));
                    let word = at.and_then(|at| self.columns.unions.get(at));
                    word.is_some_and(|word| word & mask != 0)
                }
            }
        })
    }

    fn any_answer(&mut self, program: &Program, contents: Contents, question: u32) -> bool {
        (contents.start..contents.start + contents.length).any(|at| {
            let one = self.columns.distinct.get(at as usize).copied().unwrap_or_default();
            if !contents.is_joined {
                return self.answer(program, one, question);
            }
            let part = self.columns.contents.get(one as usize).copied().unwrap_or_default();
            self.any_answer(program, part, question)
        })
    }

    /// Contents of view `index`, and their index; made when they are not.
    fn view(&mut self, program: &Program, index: u32) -> (u32, Contents) {
        let known = self.columns.views.get(index as usize).copied().unwrap_or_default();
        let epoch = self.values.epoch();
        let contents = match known.epoch == epoch {
            true => known.contents,
            false => {
                let (contents, filled) = self.make_view(program, index);
                if let Some(place) = self.columns.views.get_mut(index as usize) {
                    *place = ViewState { epoch, contents, filled };
                }
                contents
            }
        };
        let found = self.columns.contents.get(contents as usize).copied();
        (contents, found.unwrap_or_default())
    }

    /// Makes view `index`: where its contents are, and which of its targets have any values. A
    /// step that changes nothing makes no contents.
    fn make_view(&mut self, program: &Program, index: u32) -> (u32, u32) {
        let Some(view) = program.tables.views.all.get(index as usize) else { return (0, 0) };
        let before = view.from.map(|(from, step)| (self.view(program, from), step));
        let parts = program.tables.parts.get(index as usize).map_or(&[][..], |parts| parts);
        if !parts.is_empty() {
            let from = view.from.and_then(|(from, _)| self.columns.views.get(from as usize));
            let filled = from.map_or(u32::MAX, |from| from.filled);
            return self.join(program, parts, before.map(|(before, _)| before), filled);
        }
        let start = self.columns.distinct.len() as u32;
        self.columns.mark += 1;
        match before {
            None => {
                let targets = program.tables.sets.all.get(view.set as usize);
                for target in targets.map_or(&[][..], Vec::as_slice) {
                    self.gather(program, *target);
                }
            }
            Some(((known, contents), step)) => {
                let mut is_changed = false;
                for at in contents.start..contents.start + contents.length {
                    let id = self.columns.distinct.get(at as usize).copied().unwrap_or_default();
                    let result = self.stepped(program, id, step);
                    is_changed |= result != id;
                    self.note(result);
                }
                if !is_changed {
                    self.columns.distinct.truncate(start as usize);
                    return (known, 0);
                }
            }
        }
        (self.add_contents(start, false), 0)
    }

    /// Makes contents of all that was added to the strings from `start` on.
    fn add_contents(&mut self, start: u32, is_joined: bool) -> u32 {
        let length = self.columns.distinct.len() as u32 - start;
        let unions = if length == 0 { [1; 2] } else { [0; 2] };
        self.columns.contents.push(Contents { start, length, is_joined, unions });
        self.columns.contents.len() as u32 - 1
    }

    /// Joins the contents of the views `parts`, of those that may be `filled`: where the result
    /// is, and which of them are. The contents `before` the last step when it changed none of
    /// them, the only ones when all others are empty.
    fn join(
        &mut self,
        program: &Program,
        parts: &[u32],
        before: Option<(u32, Contents)>,
        filled: u32,
    ) -> (u32, u32) {
        let bit = |at: usize| 1 << at.min(u32::BITS as usize - 1);
        let mut found = std::mem::take(&mut self.columns.joined);
        found.clear();
        let mut still = 0;
        for (at, part) in parts.iter().enumerate() {
            if filled & bit(at) == 0 {
                continue;
            }
            let (index, contents) = self.view(program, *part);
            if contents.length > 0 {
                found.push(index);
                still |= bit(at);
            }
        }
        let is_same = |contents: &Contents| {
            let (start, end) = (contents.start, contents.start + contents.length);
            let parts = self.columns.distinct.get(start as usize..end as usize);
            contents.is_joined && parts == Some(&found)
        };
        let joined = match (before.filter(|(_, contents)| is_same(contents)), found.as_slice()) {
            (Some((known, _)), _) => known,
            (None, [only]) => *only,
            (None, parts) => {
                let start = self.columns.distinct.len() as u32;
                self.columns.distinct.extend_from_slice(parts);
                self.add_contents(start, true)
            }
        };
        self.columns.joined = found;
        (joined, still)
    }

    /// Adds the values of a target to the view that is made.
    fn gather(&mut self, program: &Program, target: u32) {
        let (start, length) = self.values_of(program, target);
        for at in start..start + length {
            if let Some(field) = self.columns.item(at) {
                self.note(field.value);
            }
        }
    }

    /// Adds a string to the view that is made, once.
    fn note(&mut self, id: Id) {
        if self.strings.meets(id, self.columns.mark) {
            self.columns.distinct.push(id);
        }
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
        let ones = state.start..state.start + state.length;
        if state.is_joined {
            // Its parts first: their bits may not come between those of the union.
            for at in ones.clone() {
                self.union_of_part(program, caches, at, side);
            }
        }
        let offset = self.columns.unions.len();
        self.columns.unions.resize(offset + words, 0);
        let mut is_empty = true;
        for at in ones {
            if state.is_joined {
                let known = self.union_of_part(program, caches, at, side);
                is_empty &= !self.add_union(known, offset, words);
                continue;
            }
            let id = self.columns.distinct.get(at as usize).copied().unwrap_or_default();
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

    /// Adds a union that is known to the last one, which begins at `offset`; false: it is empty.
    fn add_union(&mut self, known: u32, offset: usize, words: usize) -> bool {
        let Some(from) = known.checked_sub(2).map(|from| from as usize) else { return false };
        let (before, union) = self.columns.unions.split_at_mut(offset);
        let bits = before.get(from..from + words).unwrap_or_default();
        union.iter_mut().zip(bits).for_each(|(word, bits)| *word |= bits);
        true
    }

    /// The union of a part of joined contents, made when it is not.
    fn union_of_part(
        &mut self,
        program: &Program,
        caches: &mut ScanCaches,
        at: u32,
        side: Side,
    ) -> u32 {
        let index = self.columns.distinct.get(at as usize).copied().unwrap_or_default();
        let part = self.columns.contents.get(index as usize).copied().unwrap_or_default();
        match part.unions.get(side as usize).copied().unwrap_or(1) {
            0 => self.unite(program, caches, index, part, side),
            known => known,
        }
    }

    fn scan(&mut self, program: &Program, caches: &mut ScanCaches, id: Id, side: Side) {
        if self.strings.is_scanned(id, side as usize) {
            return;
        }
        let words = program.patterns.words(side);
        let (row, open) = (&mut self.columns.row, &mut self.columns.open);
        for bits in [&mut *row, &mut *open] {
            bits.clear();
            bits.resize(words, 0);
        }
        program.patterns.scan(side, caches, self.strings.get(id), (row, open));
        self.strings.set_row(id, side as usize, row, open);
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
        let Some(bit) = single.bit else {
            return single.is_match(self.strings.get(id));
        };
        self.scan(program, caches, id, single.side);
        let (side, words) = (single.side as usize, program.patterns.words(single.side));
        self.strings.matches(id, side, words, bit).unwrap_or_else(|| {
            let yes = single.is_match(self.strings.get(id));
            self.strings.settle((id, side), words, bit, yes);
            yes
        })
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
