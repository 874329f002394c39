//! One automaton over many patterns: which of them match a string, found in one pass.
//!
//! A lazy DFA: its states are made when a string first needs them and kept in a cache of the
//! thread. A known state costs two nanoseconds a byte, a new one ten microseconds and more, and
//! texts can be written that need a new one at every byte. So a scan gives up when it has made
//! more than its share, or when the cache is full; a full cache is emptied when it has been of use
//! for long enough to make up for what it took to fill. Who gives up tries the patterns one by one.

use regex_automata::hybrid::{LazyStateID, dfa};
use regex_automata::nfa::thompson;
use regex_automata::{Input, MatchKind};
use regex_syntax::hir::Hir;

use super::front::narrowed;

/// Bytes of the cache, per thread and automaton.
const CACHE_BYTES: usize = 8 << 20;

/// Left for the last state before the cache is full: it must not be emptied by itself.
const CACHE_BYTES_FREE: usize = 512 << 10;

/// Bytes of new states that one scan may make, and as many more for each byte of the string.
const SCAN_BYTES: usize = 64 << 10;
const SCAN_BYTES_PER_BYTE: usize = 2;

/// Bytes of strings that are scanned before a full cache is emptied.
const RENEWAL_BYTES: usize = 4 << 20;

/// The automaton.
#[derive(Debug)]
pub(crate) struct Automaton {
    dfa: dfa::DFA,
    /// Its patterns, by bit.
    pub members: Vec<u32>,
    cache_bytes: usize,
}

/// What a thread keeps of an automaton.
#[derive(Debug)]
pub(crate) struct Cache {
    states: dfa::Cache,
    /// The newest state that is plain, and the newest of the others; numbers only grow.
    newest: [LazyStateID; 2],
    /// Bytes of strings that were scanned since the cache was empty.
    scanned_bytes: usize,
}

impl Automaton {
    /// The automaton of `members`, which `hirs` are.
    ///
    /// # Errors
    /// They are too many or too large to be numbered.
    pub(crate) fn build(members: Vec<u32>, hirs: &[&Hir]) -> Result<Self, String> {
        Self::with_cache(members, hirs, CACHE_BYTES)
    }

    fn with_cache(members: Vec<u32>, hirs: &[&Hir], cache_bytes: usize) -> Result<Self, String> {
        let config = thompson::Config::new();
        let config = config.utf8(false).which_captures(thompson::WhichCaptures::None);
        let mut compiler = thompson::Compiler::new();
        let nfa = compiler.configure(config).build_many_from_hir(hirs);
        let nfa = narrowed(nfa.map_err(|error| error.to_string())?);
        let config = dfa::Config::new()
            .match_kind(MatchKind::All)
            .cache_capacity(cache_bytes + CACHE_BYTES_FREE)
            .skip_cache_capacity_check(true);
        let dfa = dfa::Builder::new().configure(config).build_from_nfa(nfa);
        Ok(Self { dfa: dfa.map_err(|error| error.to_string())?, members, cache_bytes })
    }

    /// An empty cache.
    pub(crate) fn cache(&self) -> Cache {
        let states = self.dfa.create_cache();
        Cache { states, newest: [LazyStateID::default(); 2], scanned_bytes: 0 }
    }

    /// Sets in `row` the bit of each pattern that matches `value`. `None`: it gave up, and bits may
    /// be missing.
    pub(crate) fn scan(&self, cache: &mut Cache, value: &[u8], row: &mut [u64]) -> Option<()> {
        let dfa = &self.dfa;
        cache.scanned_bytes = cache.scanned_bytes.saturating_add(value.len());
        let share = SCAN_BYTES + value.len() * SCAN_BYTES_PER_BYTE;
        let bytes_max = cache.states.memory_usage().saturating_add(share);
        let mut state = dfa.start_state_forward(&mut cache.states, &Input::new(value)).ok()?;
        // A state whose patterns are in the row already need not be asked again.
        let mut last = None;
        for byte in value {
            state = dfa.next_state(&mut cache.states, state, *byte).ok()?;
            let [plain, other] = &mut cache.newest;
            if !state.is_tagged() {
                if state > *plain {
                    *plain = state;
                    self.may_grow(cache, bytes_max)?;
                }
                continue;
            }
            if last == Some(state) {
                continue;
            }
            if state.is_dead() || state.is_quit() {
                return state.is_dead().then_some(());
            }
            if state > *other {
                *other = state;
                self.may_grow(cache, bytes_max)?;
            }
            if state.is_match() {
                self.record(cache, state, row);
                last = Some(state);
            }
        }
        state = dfa.next_eoi_state(&mut cache.states, state).ok()?;
        if state.is_match() {
            self.record(cache, state, row);
        }
        Some(())
    }

    /// Called for each new state: `None` when there shall be no more.
    fn may_grow(&self, cache: &mut Cache, bytes_max: usize) -> Option<()> {
        let bytes = cache.states.memory_usage();
        if bytes <= self.cache_bytes {
            return (bytes <= bytes_max).then_some(());
        }
        if cache.scanned_bytes >= RENEWAL_BYTES {
            cache.states.reset(&self.dfa);
            cache.newest = Default::default();
            cache.scanned_bytes = 0;
        }
        None
    }

    fn record(&self, cache: &Cache, state: LazyStateID, row: &mut [u64]) {
        for index in 0..self.dfa.match_len(&cache.states, state) {
            set(row, self.dfa.match_pattern(&cache.states, state, index).as_usize());
        }
    }
}

/// Sets bit number `bit`.
pub(crate) fn set(row: &mut [u64], bit: usize) {
    if let Some(word) = row.get_mut(bit / 64) {
        *word |= 1 << (bit % 64);
    }
}
