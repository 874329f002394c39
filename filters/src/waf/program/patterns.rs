//! All patterns of a program: scanned together, and each alone where its groups are asked for.
//!
//! One automaton over all patterns finds in one pass which of them match a string (WAF.md: four to
//! ten times faster than one after the other). It is a lazy DFA with a bounded cache; when a string
//! makes it clear the cache too often it gives up, and the patterns are tried one by one, each in
//! linear time. Phases 1 and 2 have one automaton, phases 3 to 5 another: a request is not scanned
//! for what answers contain.

use std::sync::OnceLock;

use regex_automata::hybrid::{LazyStateID, dfa};
use regex_automata::nfa::thompson;
use regex_automata::{Input, MatchKind, meta, util::primitives::NonMaxUsize};
use regex_syntax::hir::Hir;

use super::links::Draft;

/// Bytes of the lazy automaton's cache, per thread and group.
const CACHE_BYTES: usize = 8 << 20;

/// Bytes of one compiled pattern.
const PATTERN_BYTES_MAX: usize = 10 << 20;

/// Groups of a match that are kept: the whole and nine more.
pub(crate) const GROUPS: usize = 10;

/// Patterns for requests, or for answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    Request = 0,
    Answer = 1,
}

/// One pattern.
#[derive(Debug)]
pub(crate) struct Single {
    hir: Hir,
    regex: OnceLock<Option<meta::Regex>>,
    pub side: Side,
    /// Its place in the automaton of its side, when it is in it.
    pub bit: Option<u32>,
}

impl Single {
    /// The pattern alone, compiled when it is first asked for.
    fn regex(&self) -> Option<&meta::Regex> {
        self.regex
            .get_or_init(|| {
                let config = meta::Config::new()
                    .utf8_empty(false)
                    .nfa_size_limit(Some(PATTERN_BYTES_MAX))
                    .hybrid_cache_capacity(1 << 20)
                    .onepass(false);
                meta::Builder::new().configure(config).build_from_hir(&self.hir).ok()
            })
            .as_ref()
    }

    pub(crate) fn is_match(&self, value: &[u8]) -> bool {
        self.regex().is_some_and(|regex| regex.is_match(value))
    }

    /// How many groups it has, the whole match counted.
    pub(crate) fn group_count(&self) -> usize {
        self.hir.properties().explicit_captures_len() + 1
    }

    /// Where the groups of the first match are.
    pub(crate) fn groups(&self, value: &[u8]) -> [Option<(usize, usize)>; GROUPS] {
        let mut slots: [Option<NonMaxUsize>; GROUPS * 2] = [None; GROUPS * 2];
        let mut found = [None; GROUPS];
        let Some(regex) = self.regex() else { return found };
        // The engines behind it take no more slots than the pattern has.
        let wanted = (self.group_count() * 2).min(slots.len());
        if let Some(slots) = slots.get_mut(..wanted) {
            regex.search_slots(&Input::new(value), slots);
        }
        for (group, pair) in found.iter_mut().zip(slots.chunks_exact(2)) {
            if let [Some(from), Some(to)] = pair {
                *group = Some((from.get(), to.get()));
            }
        }
        found
    }
}

/// The automaton of one side.
#[derive(Debug)]
pub(crate) struct Automaton {
    dfa: dfa::DFA,
    /// Its patterns, by bit.
    pub members: Vec<u32>,
}

/// All patterns.
#[derive(Debug, Default)]
pub(crate) struct Patterns {
    pub singles: Vec<Single>,
    sides: [Option<Automaton>; 2],
}

/// What a thread needs to scan: caches that grow with use, up to their bound.
#[derive(Debug, Default)]
pub(crate) struct ScanCaches {
    sides: [Option<dfa::Cache>; 2],
}

impl Patterns {
    /// Compiles the automata.
    ///
    /// # Errors
    /// The index of a pattern that does not compile, and why.
    pub(crate) fn build(patterns: Vec<Draft>) -> Result<Self, (usize, String)> {
        let mut members: [Vec<u32>; 2] = [Vec::new(), Vec::new()];
        let mut singles = Vec::with_capacity(patterns.len());
        for (index, Draft { hir, side, is_joint }) in patterns.into_iter().enumerate() {
            let is_joint = is_joint && hir.properties().minimum_len() != Some(0);
            let list = members.get_mut(side as usize).filter(|_| is_joint);
            let bit = list.map(|list| {
                list.push(index as u32);
                list.len() as u32 - 1
            });
            singles.push(Single { hir, regex: OnceLock::new(), side, bit });
        }
        let mut sides = [None, None];
        for (slot, members) in sides.iter_mut().zip(members) {
            if !members.is_empty() {
                *slot = Some(Automaton::build(members, &singles)?);
            }
        }
        Ok(Self { singles, sides })
    }

    /// How many 64-bit words hold the matches of one side.
    pub(crate) fn words(&self, side: Side) -> usize {
        let count = self.side(side).map_or(0, |automaton| automaton.members.len());
        count.div_ceil(64)
    }

    pub(crate) fn side(&self, side: Side) -> Option<&Automaton> {
        self.sides.get(side as usize).and_then(Option::as_ref)
    }

    pub(crate) fn caches(&self) -> ScanCaches {
        ScanCaches {
            sides: [Side::Request, Side::Answer]
                .map(|side| self.side(side).map(|automaton| automaton.dfa.create_cache())),
        }
    }

    /// Sets in `row` the bit of each pattern of `side` that matches `value`. Returns whether any
    /// does.
    pub(crate) fn scan(
        &self,
        side: Side,
        caches: &mut ScanCaches,
        value: &[u8],
        row: &mut [u64],
    ) -> bool {
        let Some(automaton) = self.side(side) else { return false };
        if let Some(cache) = caches.sides.get_mut(side as usize).and_then(Option::as_mut)
            && automaton.scan(cache, value, row).is_some()
        {
            return row.iter().any(|word| *word != 0);
        }
        let mut any = false;
        for (bit, member) in automaton.members.iter().enumerate() {
            let single = self.singles.get(*member as usize);
            if single.is_some_and(|single| single.is_match(value)) {
                set(row, bit);
                any = true;
            }
        }
        any
    }
}

fn set(row: &mut [u64], bit: usize) {
    if let Some(word) = row.get_mut(bit / 64) {
        *word |= 1 << (bit % 64);
    }
}

impl Automaton {
    /// Runs over `value` once. `None`: the cache is too small for what this value needs.
    fn scan(&self, cache: &mut dfa::Cache, value: &[u8], row: &mut [u64]) -> Option<()> {
        let dfa = &self.dfa;
        let mut state = dfa.start_state_forward(cache, &Input::new(value)).ok()?;
        // A state whose patterns are in the row already need not be asked again.
        let mut last = None;
        for byte in value {
            state = dfa.next_state(cache, state, *byte).ok()?;
            if !state.is_tagged() || last == Some(state) {
                continue;
            }
            if state.is_dead() || state.is_quit() {
                return state.is_dead().then_some(());
            }
            if state.is_match() {
                self.record(cache, state, row);
                last = Some(state);
            }
        }
        state = dfa.next_eoi_state(cache, state).ok()?;
        if state.is_match() {
            self.record(cache, state, row);
        }
        Some(())
    }

    fn record(&self, cache: &dfa::Cache, state: LazyStateID, row: &mut [u64]) {
        for index in 0..self.dfa.match_len(cache, state) {
            set(row, self.dfa.match_pattern(cache, state, index).as_usize());
        }
    }

    fn build(members: Vec<u32>, singles: &[Single]) -> Result<Self, (usize, String)> {
        let hirs: Vec<&Hir> = members
            .iter()
            .filter_map(|index| singles.get(*index as usize).map(|single| &single.hir))
            .collect();
        let first = members.first().map_or(0, |index| *index as usize);
        let nfa = thompson::Compiler::new()
            .configure(
                thompson::Config::new().utf8(false).which_captures(thompson::WhichCaptures::None),
            )
            .build_many_from_hir(&hirs)
            .map_err(|error| (first, error.to_string()))?;
        let config = dfa::Config::new()
            .match_kind(MatchKind::All)
            .cache_capacity(CACHE_BYTES)
            .skip_cache_capacity_check(true)
            .minimum_cache_clear_count(Some(3))
            .minimum_bytes_per_state(Some(10));
        let dfa = dfa::Builder::new()
            .configure(config)
            .build_from_nfa(nfa)
            .map_err(|error| (first, error.to_string()))?;
        Ok(Self { dfa, members })
    }
}

/// A pattern's size is checked alone, so that the fault names it.
pub(crate) fn check_size(hir: &Hir) -> Result<(), String> {
    thompson::Compiler::new()
        .configure(
            thompson::Config::new()
                .utf8(false)
                .which_captures(thompson::WhichCaptures::None)
                .nfa_size_limit(Some(PATTERN_BYTES_MAX)),
        )
        .build_from_hir(hir)
        .map(|_nfa| ())
        .map_err(|error| error.to_string())
}
