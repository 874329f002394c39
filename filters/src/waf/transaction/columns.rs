//! Columns: the values of a target after a pipeline, made when a rule first asks for them.
//!
//! A column stays valid until its variable changes (a stamp says so), so that phase 2 of a request
//! without a body makes none again. With its strings scanned, a column knows the union of the
//! patterns that match any of them: most rules are decided by one bit of it.

use super::state::State;
use super::strings::Id;
use super::values::Field;
use crate::waf::program::rule::Question;
use crate::waf::program::tables::{Selector, Target};
use crate::waf::program::{Program, ScanCaches};
use crate::waf::seclang::variables::Shape;
use crate::waf::{injection, operator};

/// Longer strings are not scanned for all patterns but for those that rules ask for.
pub(crate) const LONG: usize = 2048;

#[derive(Clone, Copy, Debug, Default)]
struct TargetState {
    stamp: u64,
    start: u32,
    length: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct ColumnState {
    stamp: u64,
    start: u32,
    length: u32,
    /// Per side: 0 unknown, 1 nothing matches, else 2 + offset of the union.
    unions: [u32; 2],
    has_long: bool,
}

/// All columns of a transaction.
#[derive(Debug)]
pub(crate) struct Columns {
    targets: Vec<TargetState>,
    columns: Vec<ColumnState>,
    /// Values of targets.
    items: Vec<Field>,
    /// Strings of columns, beside the items of their targets.
    ids: Vec<Id>,
    unions: Vec<u64>,
    /// Bits of one scan, reused.
    hits: Vec<u32>,
}

/// A column that is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made {
    pub items: u32,
    pub ids: u32,
    pub length: u32,
}

impl Columns {
    pub(crate) fn new(program: &Program) -> Self {
        Self {
            targets: vec![TargetState::default(); program.tables.targets.all.len()],
            columns: vec![ColumnState::default(); program.tables.columns.all.len()],
            items: Vec::new(),
            ids: Vec::new(),
            unions: Vec::new(),
            hits: Vec::new(),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.items.clear();
        self.ids.clear();
        self.unions.clear();
        self.items.shrink_to(1024);
        self.ids.shrink_to(4096);
        self.unions.shrink_to(1024);
    }

    pub(crate) fn item(&self, index: u32) -> Option<Field> {
        self.items.get(index as usize).copied()
    }

    pub(crate) fn id(&self, index: u32) -> Option<Id> {
        self.ids.get(index as usize).copied()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.targets.capacity() * size_of::<TargetState>()
            + self.columns.capacity() * size_of::<ColumnState>()
            + self.items.capacity() * size_of::<Field>()
            + self.ids.capacity() * size_of::<Id>()
            + self.unions.capacity() * size_of::<u64>()
    }
}

impl State {
    /// The values of target `index`.
    fn target(&mut self, program: &Program, index: u32) -> TargetState {
        let Some(target) = program.tables.targets.all.get(index as usize) else {
            return TargetState::default();
        };
        let stamp = self.values.stamp(target.variable);
        let known = self.columns.targets.get(index as usize).copied().unwrap_or_default();
        if known.stamp == stamp {
            return known;
        }
        let start = self.columns.items.len();
        self.resolve(program, target);
        let length = (self.columns.items.len() - start) as u32;
        let made = TargetState { stamp, start: start as u32, length };
        if let Some(place) = self.columns.targets.get_mut(index as usize) {
            *place = made;
        }
        made
    }

    /// Appends the values of `target` to the items.
    fn resolve(&mut self, program: &Program, target: &Target) {
        let start = self.columns.items.len();
        let fields = self.values.of(target.variable);
        let is_exact = target.variable.shape() == Shape::KeyedExact;
        for field in fields {
            let is_chosen = match &target.selector {
                Selector::Name(name) if is_exact => self.strings.get(field.key) == &**name,
                selector => self.selects(program, selector, field.key),
            };
            let is_excluded =
                || target.exclusions.iter().any(|one| self.selects(program, one, field.key));
            if is_chosen && !is_excluded() {
                self.columns.items.push(*field);
            }
        }
        if target.is_count {
            let count = self.columns.items.len() - start;
            self.columns.items.truncate(start);
            let value = super::tx::decimal(&mut self.strings, count as i64);
            let key = match &target.selector {
                Selector::Name(name) => self.strings.intern(name),
                _ => super::strings::EMPTY,
            };
            self.columns.items.push(Field { key, value });
        }
    }

    /// Column `index`, made when it is not.
    pub(crate) fn column(&mut self, program: &Program, index: u32) -> Made {
        let Some(column) = program.tables.columns.all.get(index as usize) else {
            return Made { items: 0, ids: 0, length: 0 };
        };
        let target = self.target(program, column.target);
        let known = self.columns.columns.get(index as usize).copied().unwrap_or_default();
        if known.stamp == target.stamp {
            return Made { items: target.start, ids: known.start, length: known.length };
        }
        let start = self.columns.ids.len() as u32;
        let mut has_long = false;
        for item in target.start..target.start + target.length {
            let Some(field) = self.columns.item(item) else { continue };
            let id = self.transformed(program, field.value, column.pipeline);
            has_long |= self.strings.get(id).len() > LONG;
            self.columns.ids.push(id);
        }
        let made = ColumnState {
            stamp: target.stamp,
            start,
            length: target.length,
            unions: [0; 2],
            has_long,
        };
        if let Some(place) = self.columns.columns.get_mut(index as usize) {
            *place = made;
        }
        Made { items: target.start, ids: start, length: target.length }
    }

    /// What a pipeline makes of a string.
    pub(crate) fn transformed(&mut self, program: &Program, id: Id, pipeline: u32) -> Id {
        let steps = program.tables.pipelines.all.get(pipeline as usize);
        let mut id = id;
        for step in steps.map_or(&[][..], Vec::as_slice) {
            id = match self.strings.result(id, *step) {
                Some(known) => known,
                None => self.transform(program, id, *step),
            };
        }
        id
    }

    fn transform(&mut self, program: &Program, id: Id, step: u8) -> Id {
        let Some(transform) = program.tables.transforms.all.get(usize::from(step)) else {
            return id;
        };
        let result = match transform.apply(self.strings.get(id), &mut self.out) {
            true => self.strings.intern(&self.out),
            false => id,
        };
        self.strings.set_result(id, step, result);
        result
    }

    /// Whether `pattern` matches any string of column `index`.
    pub(crate) fn column_matches(
        &mut self,
        program: &Program,
        caches: &mut ScanCaches,
        index: u32,
        pattern: u32,
    ) -> bool {
        let made = self.column(program, index);
        if made.length == 0 {
            return false;
        }
        let Some(single) = program.patterns.singles.get(pattern as usize) else { return false };
        let side = single.side as usize;
        let state = self.columns.columns.get(index as usize).copied().unwrap_or_default();
        let union = match state.unions.get(side).copied().unwrap_or_default() {
            0 => self.unite(program, caches, index, made, single.side),
            known => known,
        };
        let cell = union.checked_sub(2).map(|offset| offset as usize + single.bit as usize / 64);
        let word = cell.and_then(|cell| self.columns.unions.get(cell));
        if word.is_some_and(|word| word >> (single.bit % 64) & 1 == 1) {
            return true;
        }
        state.has_long
            && (made.ids..made.ids + made.length).any(|at| {
                let value = self.strings.get(self.columns.id(at).unwrap_or_default());
                value.len() > LONG && single.is_match(value)
            })
    }

    /// Scans the strings of a column and joins what matches them.
    fn unite(
        &mut self,
        program: &Program,
        caches: &mut ScanCaches,
        index: u32,
        made: Made,
        side: crate::waf::program::Side,
    ) -> u32 {
        let words = program.patterns.words(side);
        let offset = self.columns.unions.len();
        self.columns.unions.resize(offset + words, 0);
        let mut is_empty = true;
        for at in made.ids..made.ids + made.length {
            let Some(id) = self.columns.id(at) else { continue };
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
        let state = self.columns.columns.get_mut(index as usize);
        if let Some(place) = state.and_then(|state| state.unions.get_mut(side as usize)) {
            *place = union;
        }
        union
    }

    fn scan(
        &mut self,
        program: &Program,
        caches: &mut ScanCaches,
        id: Id,
        side: crate::waf::program::Side,
    ) {
        if self.strings.is_scanned(id, side as usize) {
            return;
        }
        let words = program.patterns.words(side);
        self.strings.set_scanned(id, side as usize);
        let hits = &mut self.columns.hits;
        hits.clear();
        program.patterns.scan(side, caches, self.strings.get(id), |bit| hits.push(bit));
        for bit in &self.columns.hits {
            self.strings.set_match(id, side as usize, words, *bit);
        }
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
        if self.strings.get(id).len() > LONG {
            return single.is_match(self.strings.get(id));
        }
        self.scan(program, caches, id, single.side);
        let words = program.patterns.words(single.side);
        let row = self.strings.row(id, single.side as usize, words);
        row.get(single.bit as usize / 64).is_some_and(|word| word >> (single.bit % 64) & 1 == 1)
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
