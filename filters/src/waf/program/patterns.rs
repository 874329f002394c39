//! All patterns of a program: scanned together, and each alone where its groups are asked for.
//!
//! One automaton over all patterns finds in one pass which of them match a string (WAF.md: four to
//! ten times faster than one after the other). Where it gives up, the patterns that the string has
//! literals for are left open, and those of them that some rule asks for are tried alone, each in
//! linear time. Phases 1 and 2 have one automaton, phases 3 to 5 another: a request is not
//! scanned for what answers contain.

use std::sync::{Arc, OnceLock};

use regex_automata::nfa::thompson;
use regex_automata::{Input, meta, util::primitives::NonMaxUsize};
use regex_syntax::hir::{Hir, HirKind};

use super::automaton::{Automaton, Cache};
use super::links::Draft;
use super::literals::{Literals, Needs};
use crate::waf::seclang::pattern;

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
    /// As the rule has it: most patterns are never needed alone.
    source: Arc<str>,
    group_count: usize,
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
                // With groups it is larger than what was checked.
                let config = meta::Config::new()
                    .utf8_empty(false)
                    .nfa_size_limit(Some(PATTERN_BYTES_MAX * 4))
                    .hybrid_cache_capacity(1 << 20)
                    .onepass(false);
                let pattern = pattern::parse(&self.source).ok()?;
                meta::Builder::new().configure(config).build_from_hir(&pattern.hir).ok()
            })
            .as_ref()
    }

    pub(crate) fn is_match(&self, value: &[u8]) -> bool {
        self.regex().is_some_and(|regex| regex.is_match(value))
    }

    /// How many groups it has, the whole match counted.
    pub(crate) fn group_count(&self) -> usize {
        self.group_count
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

/// All patterns.
#[derive(Debug, Default)]
pub(crate) struct Patterns {
    pub singles: Vec<Single>,
    sides: [Option<Joint>; 2],
}

/// Patterns that are scanned for together.
#[derive(Debug)]
struct Joint {
    automaton: Automaton,
    /// What says which of them a text may match, where the automaton gives up.
    literals: Literals,
}

/// What a thread needs to scan: caches that grow with use, up to their bound.
#[derive(Debug, Default)]
pub(crate) struct ScanCaches {
    sides: [Option<Cache>; 2],
}

impl Patterns {
    /// Compiles the automata.
    ///
    /// # Errors
    /// The index of a pattern that does not compile, and why.
    pub(crate) fn build(drafts: &[Draft]) -> Result<Self, (usize, String)> {
        let mut members: [Vec<u32>; 2] = [Vec::new(), Vec::new()];
        let mut hirs: [Vec<&Hir>; 2] = [Vec::new(), Vec::new()];
        let mut singles = Vec::with_capacity(drafts.len());
        for (index, Draft { pattern, side, is_joint }) in drafts.iter().enumerate() {
            let properties = pattern.hir.properties();
            let place = *side as usize;
            let lists = members.get_mut(place).zip(hirs.get_mut(place));
            let lists = lists.filter(|_| *is_joint && properties.minimum_len() != Some(0));
            let bit = lists.map(|(members, hirs)| {
                members.push(index as u32);
                hirs.push(&pattern.hir);
                hirs.len() as u32 - 1
            });
            singles.push(Single {
                source: pattern.source.clone(),
                group_count: properties.explicit_captures_len() + 1,
                regex: OnceLock::new(),
                side: *side,
                bit,
            });
        }
        let mut sides = [None, None];
        for (slot, (members, hirs)) in sides.iter_mut().zip(members.into_iter().zip(hirs)) {
            let Some(first) = members.first().map(|index| *index as usize) else { continue };
            let joint = Joint::build(members, &hirs).map_err(|error| (first, error))?;
            *slot = Some(joint);
        }
        Ok(Self { singles, sides })
    }

    /// How many 64-bit words hold the matches of one side.
    pub(crate) fn words(&self, side: Side) -> usize {
        let count = self.side(side).map_or(0, |joint| joint.automaton.members.len());
        count.div_ceil(64)
    }

    fn side(&self, side: Side) -> Option<&Joint> {
        self.sides.get(side as usize).and_then(Option::as_ref)
    }

    pub(crate) fn caches(&self) -> ScanCaches {
        ScanCaches {
            sides: [Side::Request, Side::Answer]
                .map(|side| self.side(side).map(|joint| joint.automaton.cache())),
        }
    }

    /// Sets in `row` the bit of each pattern of `side` that matches `value`. Where the automaton
    /// gives up, bits may be missing: of patterns that are in `open` then.
    /// Cost: a pass over the text, or two.
    pub(crate) fn scan(
        &self,
        side: Side,
        caches: &mut ScanCaches,
        value: &[u8],
        (row, open): (&mut [u64], &mut [u64]),
    ) {
        let cache = caches.sides.get_mut(side as usize).and_then(Option::as_mut);
        let Some((joint, cache)) = self.side(side).zip(cache) else { return };
        if joint.automaton.scan(cache, value, row).is_none() {
            joint.literals.note_possible(value, open);
            open.iter_mut().zip(row).for_each(|(open, known)| *open &= !*known);
        }
    }
}

impl Joint {
    fn build(members: Vec<u32>, hirs: &[&Hir]) -> Result<Self, String> {
        let needs: Vec<Needs> = hirs.iter().map(|hir| Needs::of(hir)).collect();
        let literals = Literals::build(&needs)?;
        Ok(Self { automaton: Automaton::build(members, hirs)?, literals })
    }
}

/// A pattern's size is checked alone, so that the fault names it.
pub(crate) fn check_size(hir: &Hir) -> Result<(), String> {
    if bytes_at_most(hir) < PATTERN_BYTES_MAX {
        return Ok(());
    }
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

/// No less than the bytes of the pattern compiled, and quickly known.
fn bytes_at_most(hir: &Hir) -> usize {
    /// A state and what it may own beside its transitions.
    const STATE: usize = 64;
    const TRANSITION: usize = 8;
    let all = |parts: &[Hir]| {
        parts.iter().fold(STATE + parts.len() * TRANSITION, |sum, part| {
            sum.saturating_add(bytes_at_most(part))
        })
    };
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => STATE,
        HirKind::Literal(literal) => literal.0.len() * STATE,
        HirKind::Class(_) => STATE + 256 * TRANSITION,
        HirKind::Capture(capture) => STATE.saturating_add(bytes_at_most(&capture.sub)),
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min.saturating_add(1)).max(1);
            let once = bytes_at_most(&repetition.sub).saturating_add(2 * STATE);
            once.saturating_mul(times as usize)
        }
        HirKind::Concat(parts) | HirKind::Alternation(parts) => all(parts),
    }
}
