//! Columns: the values of a target after a pipeline, made when a rule first asks for them.
//!
//! A column is made from the one before it by one transformation; when that changes nothing, both
//! are the same strings. It stays valid until its variable changes (a stamp says so), so that
//! phase 2 of a request without a body makes none again.

use super::state::State;
use super::strings::{EMPTY, Id};
use super::values::Field;
use super::views::{Contents, ViewState};
use crate::waf::program::Program;
use crate::waf::program::tables::{Selector, Target};

#[derive(Clone, Copy, Debug, Default)]
struct TargetState {
    stamp: u64,
    start: u32,
    length: u32,
}

/// A column that is made: where its items and its strings begin, and how many there are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Made {
    stamp: u64,
    pub items: u32,
    pub ids: u32,
    pub length: u32,
}

/// All columns of a transaction.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    targets: Vec<TargetState>,
    columns: Vec<Made>,
    /// Values of targets.
    items: Vec<Field>,
    /// Strings of columns, beside the items of their targets.
    ids: Vec<Id>,
    pub views: Vec<ViewState>,
    pub contents: Vec<Contents>,
    /// Strings of views, each once.
    pub distinct: Vec<Id>,
    /// Scratch for what is joined, reused.
    pub joined: Vec<u32>,
    /// Bits of the patterns that match any string of a view.
    pub unions: Vec<u64>,
    /// Bits of one scan, reused: of what matches, and of what may.
    pub row: Vec<u64>,
    pub open: Vec<u64>,
    /// The last mark of a view.
    pub mark: u32,
}

impl Columns {
    pub(crate) fn new(program: &Program) -> Self {
        let mut columns = Self::default();
        columns.prepare(program);
        columns
    }

    /// Makes places for all columns and views, none made, when there are none.
    pub(crate) fn prepare(&mut self, program: &Program) {
        let tables = &program.tables;
        if self.views.len() < tables.views.all.len() {
            self.targets.resize(tables.targets.all.len(), TargetState::default());
            self.columns.resize(tables.columns.all.len(), Made::default());
            self.views.resize(tables.views.all.len(), ViewState::default());
        }
    }

    pub(crate) fn clear(&mut self) {
        self.items.clear();
        self.ids.clear();
        self.contents.clear();
        self.distinct.clear();
        self.unions.clear();
        self.mark = 0;
        self.items.shrink_to(1024);
        self.ids.shrink_to(4096);
        self.distinct.shrink_to(4096);
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
            + self.columns.capacity() * size_of::<Made>()
            + self.views.capacity() * size_of::<ViewState>()
            + self.contents.capacity() * size_of::<Contents>()
            + self.items.capacity() * size_of::<Field>()
            + (self.ids.capacity() + self.distinct.capacity()) * size_of::<Id>()
            + self.joined.capacity() * size_of::<u32>()
            + (self.unions.capacity() + self.row.capacity() + self.open.capacity())
                * size_of::<u64>()
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

    /// The values of target `index`: where its items begin, and how many there are.
    pub(crate) fn values_of(&mut self, program: &Program, index: u32) -> (u32, u32) {
        let made = self.target(program, index);
        (made.start, made.length)
    }

    /// Appends the values of `target` to the items.
    fn resolve(&mut self, program: &Program, target: &Target) {
        let start = self.columns.items.len();
        let fields = self.values.of(target.variable);
        for field in fields {
            let is_chosen = self.selects(program, &target.selector, field.key);
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
                _ => EMPTY,
            };
            self.columns.items.push(Field { key, value });
        }
    }

    /// Column `index`, made when it is not.
    pub(crate) fn column(&mut self, program: &Program, index: u32) -> Made {
        let Some(column) = program.tables.columns.all.get(index as usize) else {
            return Made::default();
        };
        let target = self.target(program, column.target);
        let known = self.columns.columns.get(index as usize).copied().unwrap_or_default();
        if known.stamp == target.stamp {
            return known;
        }
        let made = match column.from {
            Some((from, step)) if target.length > 0 => {
                let before = self.column(program, from);
                let ids = self.step(program, before, step);
                Made { ids, ..before }
            }
            _ => {
                let ids = self.columns.ids.len() as u32;
                let Columns { ids: all, items, .. } = &mut self.columns;
                let from = target.start as usize;
                let fields = items.get(from..from + target.length as usize);
                all.extend(fields.unwrap_or_default().iter().map(|field| field.value));
                Made { stamp: target.stamp, items: target.start, ids, length: target.length }
            }
        };
        if let Some(place) = self.columns.columns.get_mut(index as usize) {
            *place = made;
        }
        made
    }

    /// Strings of a column after one more step: where they begin. The same place when all stay.
    fn step(&mut self, program: &Program, before: Made, step: u8) -> u32 {
        let start = self.columns.ids.len() as u32;
        let mut is_changed = false;
        for at in before.ids..before.ids + before.length {
            let id = self.columns.id(at).unwrap_or_default();
            let result = self.stepped(program, id, step);
            is_changed |= result != id;
            self.columns.ids.push(result);
        }
        if is_changed {
            return start;
        }
        self.columns.ids.truncate(start as usize);
        before.ids
    }

    pub(crate) fn stepped(&mut self, program: &Program, id: Id, step: u8) -> Id {
        match self.strings.result(id, step) {
            Some(known) => known,
            None => self.transform(program, id, step),
        }
    }

    /// What a pipeline makes of a string.
    pub(crate) fn transformed(&mut self, program: &Program, id: Id, pipeline: u32) -> Id {
        let steps = program.tables.pipelines.all.get(pipeline as usize);
        let steps = steps.map_or(&[][..], Vec::as_slice);
        steps.iter().fold(id, |id, step| self.stepped(program, id, *step))
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
}
