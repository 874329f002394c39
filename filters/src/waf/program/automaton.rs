//! One automaton over many patterns: which of them match a string, found in one pass.
//!
//! A lazy DFA: its states are made when a string first needs them and kept in a cache of the
//! thread. A known state costs two nanoseconds a byte, a new one ten microseconds and more, and
//! texts can be written that need a new one at every byte. So a thread has a credit of bytes for
//! new states, which grows with the bytes that it scans; where it is used up a scan gives up. A full cache is emptied and filled anew.

use regex_automata::hybrid::{LazyStateID, dfa};
use regex_automata::nfa::thompson;
use regex_automata::{Input, MatchKind};
use regex_syntax::hir::Hir;

use super::front::narrowed;

/// Bytes of the cache, per thread and automaton.
const CACHE_BYTES: usize = 8 << 20;

/// Left for the last state before the cache is full: it must not be emptied by itself.
const CACHE_BYTES_FREE: usize = 512 << 10;

/// Bytes of new states that a byte of a string pays for, and for how many a thread saves at most.
/// It begins with as many as fill the cache.
const CREDIT_PER_BYTE: usize = 1;
const CREDIT_MAX: isize = 1 << 20;

/// A thread that owes more does not begin a scan.
const DEBT_MAX: isize = 64 << 10;

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
    /// Bytes of states when the newest was made.
    bytes: usize,
    /// Bytes of new states that may be made.
    credit: isize,
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
        let bytes = states.memory_usage();
        let credit = self.cache_bytes.cast_signed();
        Cache { states, newest: Default::default(), bytes, credit }
    }

    /// Sets in `row` the bit of each pattern that matches `value`. `None`: it gave up, and bits may
    /// be missing.
    pub(crate) fn scan(&self, cache: &mut Cache, value: &[u8], row: &mut [u64]) -> Option<()> {
        let dfa = &self.dfa;
        let earned = value.len().saturating_mul(CREDIT_PER_BYTE).cast_signed();
        cache.credit = cache.credit.max(cache.credit.saturating_add(earned).min(CREDIT_MAX));
        if cache.credit < -DEBT_MAX {
            return None;
        }
        let mut state = dfa.start_state_forward(&mut cache.states, &Input::new(value)).ok()?;
        // A state whose patterns are in the row already need not be asked again.
        let mut last = None;
        for byte in value {
            state = dfa.next_state(&mut cache.states, state, *byte).ok()?;
            let [plain, other] = &mut cache.newest;
            let newest = if state.is_tagged() { other } else { plain };
            if state > *newest {
                *newest = state;
                self.grow(cache)?;
            }
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
        state = dfa.next_eoi_state(&mut cache.states, state).ok()?;
        if state.is_match() {
            self.record(cache, state, row);
        }
        Some(())
    }

    /// Pays for a new state. `None`: there shall be no more.
    fn grow(&self, cache: &mut Cache) -> Option<()> {
        let bytes = cache.states.memory_usage();
        cache.credit -= bytes.saturating_sub(cache.bytes).cast_signed();
        cache.bytes = bytes;
        if bytes > self.cache_bytes {
            cache.states.reset(&self.dfa);
            cache.newest = Default::default();
            cache.bytes = cache.states.memory_usage();
            return None;
        }
        (cache.credit > 0).then_some(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waf::seclang::pattern;
    use regex_automata::meta;

    const PATTERNS: &[&str] = &[
        "a[ab]{14}c",
        r"(?i)union\s+select",
        r"\bon(?:e|ly)\b",
        "^ab+",
        "[xy]$",
        r"b.{3}\Bx",
        r"\Asel",
    ];

    /// Pieces in an order that hangs on `seed`.
    fn text(seed: &mut u64, pieces: &[&str], count: usize) -> Vec<u8> {
        let mut next = || {
            *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (*seed >> 33) as usize
        };
        (0..count).flat_map(|_| pieces[next() % pieces.len()].bytes()).collect()
    }

    fn automaton(cache_bytes: usize) -> (Automaton, Vec<meta::Regex>) {
        let parsed: Vec<_> = PATTERNS.iter().map(|one| pattern::parse(one).unwrap().hir).collect();
        let config = meta::Config::new().utf8_empty(false);
        let mut builder = meta::Builder::new();
        builder.configure(config);
        let alone = parsed.iter().map(|hir| builder.build_from_hir(hir).unwrap()).collect();
        let hirs: Vec<&Hir> = parsed.iter().collect();
        let members = (0..hirs.len() as u32).collect();
        (Automaton::with_cache(members, &hirs, cache_bytes).unwrap(), alone)
    }

    #[test]
    fn it_finds_what_each_pattern_finds() {
        let (automaton, alone) = automaton(CACHE_BYTES);
        let mut cache = automaton.cache();
        let pieces =
            ["a", "b", "ab", "x", "y", "one", "Union", " ", "\n", "se", "lect", "c", "\u{e9}"];
        let mut seed = 7;
        for round in 0..3000 {
            let value = text(&mut seed, &pieces, round % 40);
            let mut row = [0];
            automaton.scan(&mut cache, &value, &mut row).unwrap();
            for (bit, regex) in alone.iter().enumerate() {
                let is_found = row[0] >> bit & 1 == 1;
                assert_eq!(is_found, regex.is_match(&value), "{bit} {}", value.escape_ascii());
            }
        }
    }

    #[test]
    fn a_flood_of_states_makes_it_give_up_for_a_while_only() {
        let (automaton, _) = automaton(400 << 10);
        let mut cache = automaton.cache();
        let mut seed = 1;
        let mut given_up = 0;
        for _ in 0..500 {
            let value = text(&mut seed, &["a", "b"], 2000);
            given_up += usize::from(automaton.scan(&mut cache, &value, &mut [0]).is_none());
        }
        assert!(given_up > 400, "{given_up}");
        assert!(cache.states.memory_usage() <= (400 << 10) + CACHE_BYTES_FREE);
        assert_eq!(cache.states.clear_count(), 0, "it was emptied by itself");
        let ordinary = |cache: &mut Cache| {
            let mut row = [0];
            automaton.scan(cache, b"1 union  select one", &mut row).map(|()| row)
        };
        let found = (0..10_000).find_map(|_| ordinary(&mut cache));
        assert_eq!(found, Some([0b110]));
        assert_eq!(ordinary(&mut cache), found);
    }
}
