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

/// What there is room for when a transaction begins.
const BYTES_FIRST: usize = 8 << 10;
const STRINGS_FIRST: usize = 256;
const TABLE_FIRST: usize = STRINGS_FIRST * 4;

/// Places for strings of a transaction that waits, at least.
const TABLE_LEAST: usize = 32;

/// A row with bits of patterns that may match.
const OPEN: u32 = 1 << 31;

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    start: u32,
    length: u32,
    hash: u32,
    /// Per side: 0 not scanned, 1 nothing matches, else 2 + the offset of its row of bits; with
    /// [`OPEN`], of that and of the bits that are not sure.
    scans: [u32; 2],
    /// One more than the index of the variable of TX with this name that no slot has.
    extra: u32,
    /// The last view that was made and has it.
    mark: u32,
    /// One more than the index of the newest of its facts.
    facts: u32,
    /// Bits of the transformations that do not change it: most.
    same: u64,
}

/// What is known of a string and seldom is: the next one of the same string follows.
#[derive(Clone, Copy, Debug)]
struct Fact {
    about: About,
    next: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    /// What a transformation makes of it.
    Result(u8, Id),
    /// A question of which the answer is yes.
    Yes(u32),
}

/// All strings of a transaction.
#[derive(Debug)]
pub(crate) struct Strings {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// Open addressing; 0 is free, else one more than the number. A power of two.
    table: Vec<u32>,
    facts: Vec<Fact>,
    /// Per string `words` of the bits of questions that were asked.
    asked: Vec<u64>,
    /// Rows of bits of matching patterns.
    rows: Vec<u64>,
    words: usize,
    hasher: RandomState,
}

impl Strings {
    pub(crate) fn new(questions: usize) -> Self {
        let mut strings = Self {
            bytes: Vec::with_capacity(BYTES_FIRST),
            entries: Vec::with_capacity(STRINGS_FIRST),
            table: vec![0; TABLE_FIRST],
            facts: Vec::new(),
            asked: Vec::new(),
            rows: Vec::new(),
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
        self.facts.clear();
        self.asked.clear();
        self.rows.clear();
        if self.table.len() > STRINGS_KEPT * 4 {
            self.table = vec![0; STRINGS_KEPT * 4];
            self.entries.shrink_to(STRINGS_KEPT);
            self.facts.shrink_to(STRINGS_KEPT);
            self.asked.shrink_to(STRINGS_KEPT * self.words);
            self.rows.shrink_to(STRINGS_KEPT);
        } else {
            self.table.fill(0);
        }
        if self.table.len() < TABLE_FIRST {
            // It has waited.
            self.table.resize(TABLE_FIRST, 0);
            self.entries.reserve(STRINGS_FIRST);
            self.bytes.reserve(BYTES_FIRST);
        }
        self.bytes.shrink_to(BYTES_KEPT);
        self.intern(b"");
    }

    /// Leaves no strings but the empty one behind, in as little memory as can be, and gives those
    /// that there were.
    pub(crate) fn replace(&mut self) -> Self {
        let new = Self {
            bytes: Vec::new(),
            entries: Vec::new(),
            table: vec![0; TABLE_LEAST],
            facts: Vec::new(),
            asked: Vec::new(),
            rows: Vec::new(),
            words: self.words,
            hasher: self.hasher.clone(),
        };
        let old = std::mem::replace(self, new);
        self.intern(b"");
        old
    }

    /// The number of the first bytes of `id`.
    pub(crate) fn cut(&mut self, id: Id, bytes_max: usize) -> Id {
        match self.get(id) {
            text if text.len() <= bytes_max => id,
            text => {
                let beginning = text.get(..bytes_max).unwrap_or_default().to_vec();
                self.intern(&beginning)
            }
        }
    }

    /// Gives back the memory that is there for more strings.
    pub(crate) fn fit(&mut self) {
        self.bytes.shrink_to_fit();
        self.entries.shrink_to_fit();
        self.asked.shrink_to_fit();
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
        self.asked.resize(self.asked.len() + self.words, 0);
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

    /// What transformation number `transform` (0..=63) makes of `id`, when it is known.
    pub(crate) fn result(&self, id: Id, transform: u8) -> Option<Id> {
        let entry = self.entries.get(id as usize)?;
        if entry.same >> (transform & 63) & 1 == 1 {
            return Some(id);
        }
        self.facts(entry.facts).find_map(|about| match about {
            About::Result(known, result) if known == transform => Some(result),
            _ => None,
        })
    }

    pub(crate) fn set_result(&mut self, id: Id, transform: u8, result: Id) {
        if result != id {
            self.note(id, About::Result(transform, result));
        } else if let Some(entry) = self.entries.get_mut(id as usize) {
            entry.same |= 1 << (transform & 63);
        }
    }

    /// The answer to a question about `id`, when it was asked before.
    pub(crate) fn answer(&self, id: Id, question: u32) -> Option<bool> {
        let word = self.asked.get(id as usize * self.words + question as usize / 64)?;
        let is_asked = word >> (question % 64) & 1 == 1;
        is_asked.then(|| {
            let newest = self.entries.get(id as usize).map_or(0, |entry| entry.facts);
            self.facts(newest).any(|about| about == About::Yes(question))
        })
    }

    pub(crate) fn set_answer(&mut self, id: Id, question: u32, yes: bool) {
        let cell = id as usize * self.words + question as usize / 64;
        if let Some(word) = self.asked.get_mut(cell) {
            *word |= 1 << (question % 64);
        }
        if yes {
            self.note(id, About::Yes(question));
        }
    }

    /// The facts of a string, the newest first: as many as it has results and answers at most.
    fn facts(&self, newest: u32) -> impl Iterator<Item = About> {
        let at = |number: u32| self.facts.get((number as usize).checked_sub(1)?);
        std::iter::successors(at(newest), move |fact| at(fact.next)).map(|fact| fact.about)
    }

    fn note(&mut self, id: Id, about: About) {
        if let Some(entry) = self.entries.get_mut(id as usize) {
            self.facts.push(Fact { about, next: entry.facts });
            entry.facts = self.facts.len() as u32;
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

    /// Where the row of `id` begins, and whether it has open bits.
    fn row_at(&self, id: Id, side: usize) -> Option<(usize, bool)> {
        let scan = self.scan_of(id, side);
        Some(((scan & !OPEN).checked_sub(2)? as usize, scan & OPEN != 0))
    }

    /// The bits of the patterns that match `id`, or may; empty when none does.
    pub(crate) fn row(&self, id: Id, side: usize, words: usize) -> &[u64] {
        let at = self.row_at(id, side);
        at.and_then(|(at, _)| self.rows.get(at..at + words)).unwrap_or_default()
    }

    /// Keeps `row` as the bits of the patterns that match `id`, and those in `open`, which may.
    pub(crate) fn set_row(&mut self, id: Id, side: usize, row: &[u64], open: &[u64]) {
        let offset = self.rows.len() as u32 + 2;
        let Some(scan) = self.entries.get_mut(id as usize).and_then(|e| e.scans.get_mut(side))
        else {
            return;
        };
        let is_open = open.iter().any(|word| *word != 0);
        *scan = match (is_open, row.iter().any(|word| *word != 0)) {
            (true, _) => offset | OPEN,
            (false, true) => offset,
            (false, false) => 1,
        };
        if is_open {
            self.rows.extend(row.iter().zip(open).map(|(row, open)| row | open));
            self.rows.extend_from_slice(open);
        } else if *scan != 1 {
            self.rows.extend_from_slice(row);
        }
    }

    /// Whether the pattern of this bit matches `id`; `None`: it may.
    pub(crate) fn matches(&self, id: Id, side: usize, words: usize, bit: u32) -> Option<bool> {
        let (cell, mask) = (bit as usize / 64, 1 << (bit % 64));
        let Some((at, is_open)) = self.row_at(id, side) else { return Some(false) };
        let has = |at: usize| self.rows.get(at + cell).is_some_and(|word| word & mask != 0);
        let is_unsure = is_open && has(at + words);
        (!is_unsure).then(|| has(at))
    }

    /// Whether the pattern of this bit matches `id` is known now.
    pub(crate) fn settle(&mut self, (id, side): (Id, usize), words: usize, bit: u32, yes: bool) {
        let (cell, mask) = (bit as usize / 64, 1 << (bit % 64));
        let Some((at, true)) = self.row_at(id, side) else { return };
        if let Some(open) = self.rows.get_mut(at + words + cell) {
            *open &= !mask;
        }
        if let Some(row) = self.rows.get_mut(at + cell).filter(|_| !yes) {
            *row &= !mask;
        }
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
            + self.table.capacity() * size_of::<u32>()
            + self.facts.capacity() * size_of::<Fact>()
            + (self.asked.capacity() + self.rows.capacity()) * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_strings_have_one_number() {
        let mut strings = Strings::new(70);
        assert_eq!(strings.intern(b""), EMPTY);
        let a = strings.intern(b"a");
        for number in 0..5000 {
            strings.intern(format!("v{number}").as_bytes());
        }
        assert_eq!(strings.intern(b"a"), a);
        let last = strings.intern(b"v4999");
        assert_eq!(strings.get(last), b"v4999");
        strings.set_result(a, 2, EMPTY);
        strings.set_result(a, 0, a);
        let results = [0, 1, 2].map(|transform| strings.result(a, transform));
        assert_eq!(results, [Some(a), None, Some(EMPTY)]);
        strings.set_answer(a, 69, true);
        strings.set_answer(a, 3, false);
        assert_eq!((strings.answer(a, 69), strings.answer(a, 3)), (Some(true), Some(false)));
        assert_eq!(strings.answer(a, 68), None);
        strings.set_row(a, 0, &[0, 0], &[0, 0]);
        assert!(strings.is_scanned(a, 0) && !strings.is_scanned(a, 1));
        assert_eq!((strings.row(a, 0, 2), strings.matches(a, 0, 2, 65)), (&[][..], Some(false)));
        strings.set_row(a, 1, &[0, 2], &[1 << 7, 1]);
        assert_eq!(strings.row(a, 1, 2), [1 << 7, 3]);
        let known = |strings: &Strings| [0, 7, 64, 65].map(|bit| strings.matches(a, 1, 2, bit));
        assert_eq!(known(&strings), [Some(false), None, None, Some(true)]);
        strings.settle((a, 1), 2, 7, false);
        strings.settle((a, 1), 2, 64, true);
        assert_eq!(known(&strings), [Some(false), Some(false), Some(true), Some(true)]);
        assert_eq!(strings.row(a, 1, 2), [0, 3]);
        assert!(strings.meets(a, 1) && !strings.meets(a, 1) && strings.meets(a, 2));
        strings.clear();
        assert_eq!(strings.intern(b"a"), 1);
        assert!(strings.memory_bytes() < 512 << 10);
    }
}
