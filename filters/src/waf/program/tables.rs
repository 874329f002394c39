//! Tables that rules share: what is looked at, how it is transformed, and both together.
//!
//! A *target* is values of a variable (with a selector and exclusions). A *pipeline* is a sequence
//! of transformations. A *column* is a target after a pipeline: rules with the same column share
//! its values, its transformed strings and the scan of these, once per transaction.

use std::collections::HashMap;
use std::hash::Hash;

use crate::waf::seclang::variables::Variable;
use crate::waf::transform::Transform;

/// Values of a variable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    pub variable: Variable,
    pub selector: Selector,
    pub is_count: bool,
    pub exclusions: Vec<Selector>,
}

/// Which values, by their names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Selector {
    All,
    Name(Box<[u8]>),
    /// Index of a pattern.
    Pattern(u32),
}

/// A target after a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Column {
    pub target: u32,
    pub pipeline: u32,
    /// The column one step before, and the step; `None` for the values as they are.
    pub from: Option<(u32, u8)>,
}

/// All strings of a list of targets after a pipeline, in no order. That of several targets is made
/// of those of each, so that lists that share a target share its strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct View {
    /// Index of the list.
    pub set: u32,
    pub pipeline: u32,
    /// The view one step before, and the step.
    pub from: Option<(u32, u8)>,
}

/// Values without duplicates, each known by its index.
#[derive(Clone, Debug)]
pub(crate) struct Interner<T> {
    pub all: Vec<T>,
    index: HashMap<T, u32>,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self { all: Vec::new(), index: HashMap::new() }
    }
}

impl<T: Clone + Eq + Hash> Interner<T> {
    /// The index of `value`, which is added when it is new.
    pub(crate) fn intern(&mut self, value: T) -> u32 {
        if let Some(index) = self.index.get(&value) {
            return *index;
        }
        let index = self.all.len() as u32;
        self.all.push(value.clone());
        self.index.insert(value, index);
        index
    }
}

/// All shared tables of a program.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tables {
    pub targets: Interner<Target>,
    /// Pipelines as indexes into `transforms`; pipeline 0 is empty.
    pub pipelines: Interner<Vec<u8>>,
    pub columns: Interner<Column>,
    /// Lists of targets.
    pub sets: Interner<Vec<u32>>,
    pub views: Interner<View>,
    /// Of each view of several targets, the views of each of these.
    pub parts: Vec<Box<[u32]>>,
    /// The transformations that any rule uses.
    pub transforms: Interner<Transform>,
}

impl Tables {
    pub(crate) fn new() -> Self {
        let mut tables = Self::default();
        tables.pipelines.intern(Vec::new());
        tables
    }

    /// The column of `target` after `pipeline`; those before it are made too.
    pub(crate) fn column(&mut self, target: u32, pipeline: u32) -> u32 {
        let steps = self.pipelines.all.get(pipeline as usize).cloned().unwrap_or_default();
        let from = steps.split_last().map(|(step, before)| {
            let before = self.pipelines.intern(before.to_vec());
            (self.column(target, before), *step)
        });
        self.columns.intern(Column { target, pipeline, from })
    }

    /// The view of the targets `set` after `pipeline`; those before it are made too.
    pub(crate) fn view(&mut self, set: u32, pipeline: u32) -> u32 {
        let steps = self.pipelines.all.get(pipeline as usize).cloned().unwrap_or_default();
        let from = steps.split_last().map(|(step, before)| {
            let before = self.pipelines.intern(before.to_vec());
            (self.view(set, before), *step)
        });
        let view = self.views.intern(View { set, pipeline, from });
        if (view as usize) < self.parts.len() {
            return view;
        }
        self.parts.push(Box::default());
        let targets = self.sets.all.get(set as usize).filter(|targets| targets.len() > 1);
        let targets = targets.cloned().unwrap_or_default();
        let alone = |target: &u32| {
            let alone = self.sets.intern(vec![*target]);
            self.view(alone, pipeline)
        };
        let parts = targets.iter().map(alone).collect();
        if let Some(place) = self.parts.get_mut(view as usize) {
            *place = parts;
        }
        view
    }

    /// The pipeline of these transformations.
    pub(crate) fn pipeline(&mut self, transforms: &[Transform]) -> u32 {
        let steps =
            transforms.iter().map(|step| self.transforms.intern(*step) as u8).collect::<Vec<_>>();
        self.pipelines.intern(steps)
    }
}
