//! The strings of a transaction: each distinct one once, with what is known of it.
//!
//! Values of requests repeat: names, decoded forms that equal the raw ones, results of forty
//! pipelines. A string is stored once and known by its number; what a transformation makes of it,
//! which patterns match it and what the operators say are remembered beside it. Nothing is freed
//! until the transaction ends, and the memory is used again by the next one.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;

/// The number of a string; 0 is the empty one.
pub(crate) type Id = u32;

/// The empty string.
pub(crate) const EMPTY: Id = 0;

/// What is left allocated from one transaction to the next, at most.
const BYTES_KEPT: usize = 64 << 10;
const STRINGS_KEPT: usize = 512;

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    start: u32,
    length: u32,
    hash: u32,
    /// Per side: 0 not scanned, 1 nothing matches, else 2 + the offset of its row of bits.
    scans: [u32; 2],
    /// One more than the index of the variable of TX with this name that no slot has.
    extra: u32,
    /// The last view that was made and has it.
    mark: u32,
}

/// All strings of a transaction.
#[derive(Debug)]
pub(crate) struct Strings {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// Open addressing; 0 is free, else one more than the number. A power of two.
    table: Vec<u32>,
    /// Per string one cell per transformation: one more than the number of the result.
    results: Vec<u32>,
    /// Per string `words` of "asked" and `words` of "yes", per question.
    answers: Vec<u64>,
    /// Rows of bits of matching patterns.
    rows: Vec<u64>,
    transforms: usize,
    words: usize,
    hasher: RandomState,
}

impl Strings {
    pub(crate) fn new(transforms: usize, questions: usize) -> Self {
        let mut strings = Self {
            bytes: Vec::with_capacity(8 << 10),
            entries: Vec::with_capacity(256),
            table: vec![0; 1024],
            results: Vec::new(),
            answers: Vec::new(),
            rows: Vec::new(),
            transforms,
            words: questions.div_ceil(64),
            hasher: RandomState::default(),
        };
        strings.intern(b"");
        strings
    }

    /// Forgets all strings. Memory that an unusual transaction needed is given back.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.bytes.clear();
        self.results.clear();
        self.answers.clear();
        self.rows.clear();
        if self.table.len() > STRINGS_KEPT * 4 {
            self.table = vec![0; STRINGS_KEPT * 4];
            self.entries.shrink_to(STRINGS_KEPT);
            self.results.shrink_to(STRINGS_KEPT * self.transforms);
            self.answers.shrink_to(STRINGS_KEPT * self.words * 2);
            self.rows.shrink_to(STRINGS_KEPT);
        } else {
            self.table.fill(0);
        }
        self.bytes.shrink_to(BYTES_KEPT);
        self.intern(b"");
    }

    pub(crate) fn get(&self, id: Id) -> &[u8] {
        let Some(entry) = self.entries.get(id as usize) else { return b"" };
        let start = entry.start as usize;
        self.bytes.get(start..start + entry.length as usize).unwrap_or_default()
    }

    fn hash(&self, value: &[u8]) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(value);
        hasher.finish() as u32
    }

    /// The number of `value`.
    pub(crate) fn intern(&mut self, value: &[u8]) -> Id {
        let hash = self.hash(value);
        let mask = self.table.len() - 1;
        let mut cell = hash as usize & mask;
        while let Some(taken) = self.table.get(cell).copied().filter(|taken| *taken != 0) {
            let id = taken - 1;
            let is_same_hash =
                self.entries.get(id as usize).is_some_and(|known| known.hash == hash);
            if is_same_hash && self.get(id) == value {
                return id;
            }
            cell = (cell + 1) & mask;
        }
        self.add(value, hash, cell)
    }

    fn add(&mut self, value: &[u8], hash: u32, cell: usize) -> Id {
        let id = self.entries.len() as u32;
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(value);
        let length = value.len() as u32;
        self.entries.push(Entry { start, length, hash, ..Entry::default() });
        self.results.resize(self.results.len() + self.transforms, 0);
        self.answers.resize(self.answers.len() + self.words * 2, 0);
        if let Some(free) = self.table.get_mut(cell) {
            *free = id + 1;
        }
        if self.entries.len() * 2 > self.table.len() {
            self.grow();
        }
        id
    }

    fn grow(&mut self) {
        let size = self.table.len() * 2;
        self.table.clear();
        self.table.resize(size, 0);
        let mask = size - 1;
        for (id, entry) in self.entries.iter().enumerate() {
            let mut cell = entry.hash as usize & mask;
            while self.table.get(cell).is_some_and(|taken| *taken != 0) {
                cell = (cell + 1) & mask;
            }
            if let Some(free) = self.table.get_mut(cell) {
                *free = id as u32 + 1;
            }
        }
    }

    /// What transformation number `transform` makes of `id`, when it is known.
    pub(crate) fn result(&self, id: Id, transform: u8) -> Option<Id> {
        let cell = id as usize * self.transforms + usize::from(transform);
        self.results.get(cell).and_then(|known| known.checked_sub(1))
    }

    pub(crate) fn set_result(&mut self, id: Id, transform: u8, result: Id) {
        let cell = id as usize * self.transforms + usize::from(transform);
        if let Some(known) = self.results.get_mut(cell) {
            *known = result + 1;
        }
    }

    /// The answer to a question about `id`, when it was asked before.
    pub(crate) fn answer(&self, id: Id, question: u32) -> Option<bool> {
        let base = id as usize * self.words * 2 + question as usize / 64;
        let bit = 1u64 << (question % 64);
        let is_asked = self.answers.get(base).is_some_and(|word| word & bit != 0);
        is_asked.then(|| self.answers.get(base + self.words).is_some_and(|word| word & bit != 0))
    }

    pub(crate) fn set_answer(&mut self, id: Id, question: u32, yes: bool) {
        let base = id as usize * self.words * 2 + question as usize / 64;
        let bit = 1u64 << (question % 64);
        if let Some(asked) = self.answers.get_mut(base) {
            *asked |= bit;
        }
        if let Some(word) = self.answers.get_mut(base + self.words).filter(|_| yes) {
            *word |= bit;
        }
    }

    /// Whether `id` was scanned for the patterns of a side.
    pub(crate) fn is_scanned(&self, id: Id, side: usize) -> bool {
        self.scan_of(id, side) != 0
    }

    fn scan_of(&self, id: Id, side: usize) -> u32 {
        let entry = self.entries.get(id as usize);
        entry.and_then(|entry| entry.scans.get(side)).copied().unwrap_or(1)
    }

    /// The bits of the patterns that match `id`; empty when none does.
    pub(crate) fn row(&self, id: Id, side: usize, words: usize) -> &[u64] {
        match self.scan_of(id, side).checked_sub(2) {
            Some(offset) => {
                self.rows.get(offset as usize..offset as usize + words).unwrap_or_default()
            }
            None => &[],
        }
    }

    /// Keeps `row` as the bits of the patterns that match `id`; empty: none does.
    pub(crate) fn set_row(&mut self, id: Id, side: usize, row: &[u64]) {
        let offset = self.rows.len() as u32;
        let Some(scan) = self.entries.get_mut(id as usize).and_then(|e| e.scans.get_mut(side))
        else {
            return;
        };
        *scan = if row.is_empty() { 1 } else { offset + 2 };
        self.rows.extend_from_slice(row);
    }

    /// Whether `id` is met for the first time under `mark`; marks only grow.
    pub(crate) fn meets(&mut self, id: Id, mark: u32) -> bool {
        let entry = self.entries.get_mut(id as usize);
        entry.is_some_and(|entry| std::mem::replace(&mut entry.mark, mark) != mark)
    }

    /// Index of the variable of TX called `id` that has no slot.
    pub(crate) fn extra(&self, id: Id) -> Option<usize> {
        self.entries.get(id as usize).and_then(|entry| (entry.extra as usize).checked_sub(1))
    }

    pub(crate) fn set_extra(&mut self, id: Id, index: usize) {
        if let Some(entry) = self.entries.get_mut(id as usize) {
            entry.extra = index as u32 + 1;
        }
    }

    /// Bytes of memory held.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
            + self.entries.capacity() * size_of::<Entry>()
            + (self.table.capacity() + self.results.capacity()) * size_of::<u32>()
            + (self.answers.capacity() + self.rows.capacity()) * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_strings_have_one_number() {
        let mut strings = Strings::new(3, 70);
        assert_eq!(strings.intern(b""), EMPTY);
        let a = strings.intern(b"a");
        for number in 0..5000 {
            strings.intern(format!("v{number}").as_bytes());
        }
        assert_eq!(strings.intern(b"a"), a);
        let last = strings.intern(b"v4999");
        assert_eq!(strings.get(last), b"v4999");
        strings.set_result(a, 2, EMPTY);
        assert_eq!((strings.result(a, 2), strings.result(a, 1)), (Some(EMPTY), None));
        strings.set_answer(a, 69, true);
        strings.set_answer(a, 3, false);
        assert_eq!((strings.answer(a, 69), strings.answer(a, 3)), (Some(true), Some(false)));
        assert_eq!(strings.answer(a, 68), None);
        strings.set_row(a, 0, &[]);
        assert!(strings.is_scanned(a, 0) && !strings.is_scanned(a, 1));
        strings.set_row(a, 1, &[0, 2]);
        assert_eq!(strings.row(a, 1, 2), [0, 2]);
        assert!(strings.meets(a, 1) && !strings.meets(a, 1) && strings.meets(a, 2));
        strings.clear();
        assert_eq!(strings.intern(b"a"), 1);
        assert!(strings.memory_bytes() < 512 << 10);
    }
}
